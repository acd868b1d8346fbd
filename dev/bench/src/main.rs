//! Measures what a governed call costs: the same load, direct and through Remit in turn, in one run.
//!
//! `remit-bench gateway --remit PATH` starts a trivial upstream, a bare reverse proxy on hyper and Remit with everything on (token
//! verified, decision, durable journal), and alternates rounds between them. Every answer is checked. CPU is what the kernel counted for
//! the process; memory is its resident set.

mod layers;
mod load;
mod proxy;
mod report;
mod run;
mod upstream;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option =
        |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned();
    let ended =
        match arguments.first().map(String::as_str) {
            Some("upstream") => upstream::serve(),
            Some("proxy") => option("--to").ok_or_else(|| "--to URL is missing".to_owned()).and_then(|to| proxy::serve(&to)),
            Some("gateway") => run::gateway(&run::Plan {
                remit: option("--remit").unwrap_or_else(|| "target/release/remit".to_owned()),
                rounds: option("--rounds").and_then(|text| text.parse().ok()).unwrap_or(5),
                seconds: option("--seconds").and_then(|text| text.parse().ok()).unwrap_or(2.0),
                connections: option("--connections")
                    .map_or_else(|| vec![1, 32, 256], |text| text.split(',').filter_map(|n| n.parse().ok()).collect()),
                json: arguments.iter().any(|argument| argument == "--json"),
            }),
            Some("layers") => layers::layers(),
        _ => Err("usage: remit-bench gateway [--remit PATH] [--rounds N] [--seconds S] [--connections 1,32,256] [--json], or remit-bench layers"
                .to_owned()),
        };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}
