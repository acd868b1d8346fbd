//! How long a policy set takes to compile: `cargo run -p remit-cedar --example compile [policies] [tools]`, 10,000 over 1,000 by default.
//!
//! Three mixes: each policy names one action; a third names a group of actions; a tenth names none. One policy of fifty is temporal.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that can't be set up fails; its table is its output")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use remit_cedar::{File, Mode, PolicySet, Source, Tool};

/// Tools of one server.
const SERVER: usize = 20;
/// One policy of so many looks back.
const TEMPORAL: usize = 50;

/// What the action of a policy is.
#[derive(Debug, Clone, Copy)]
enum Mix {
    Each,
    Groups,
    Anywhere,
}

fn definition(tool: usize) -> String {
    // Shapes differ from tool to tool as those of real servers do; what policies speak of is everywhere.
    let others: String = (0..tool % 7).map(|at| format!(r#","p{}":{{"type":"string"}}"#, at + tool % 40)).collect();
    format!(
        r#"{{"inputSchema":{{"type":"object","properties":{{"account":{{"type":"string"}},"amount":{{"type":"integer"}}{others}}},"required":["account","amount"]}},
            "outputSchema":{{"type":"object","properties":{{"id":{{"type":"string"}}}}}}}}"#
    )
}

fn text(policies: usize, tools: usize, mix: Mix) -> String {
    let mut text = String::new();
    for number in 0..policies {
        let tool = number % tools;
        let server = format!("server{}", tool / SERVER);
        let action = format!("AgentCore::Action::\"{server}___tool{tool}\"");
        let scope = match mix {
            Mix::Groups if number % 3 == 0 => format!("action in AgentCore::Action::\"{server}\""),
            Mix::Anywhere if number % 10 == 0 => "action".to_owned(),
            _ => format!("action == {action}"),
        };
        let (effect, limit) = if number % 10 == 3 { ("forbid", "> 9000") } else { ("permit", "< 500") };
        let back = if number % TEMPORAL == 7 {
            let other = (tool + 1) % tools;
            format!(
                " when temporal {{ formerly within 1h AgentCore::Action::\"server{}___tool{other}\"::response{{ input.account: context.input.account }} }}",
                other / SERVER
            )
        } else {
            String::new()
        };
        writeln!(
            text,
            "@id(\"p{number}\")\n{effect} (principal is AgentCore::OAuthUser, {scope}, resource)\nwhen {{ principal.hasTag(\"team\") && principal.getTag(\"team\") == \"t{}\" && context.input.amount {limit} }}{back};\n",
            number % 3
        )
        .unwrap();
    }
    text
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>().unwrap());
    let policies = numbers.next().unwrap_or(10_000);
    let count = numbers.next().unwrap_or(1_000);
    let named: Vec<(String, String, String)> = (0..count)
        .map(|tool| {
            let server = format!("server{}", tool / SERVER);
            (format!("{server}___tool{tool}"), server, definition(tool))
        })
        .collect();
    let tools: Vec<Tool<'_>> = named.iter().map(|(id, server, definition)| Tool { id, server, definition }).collect();
    println!("{policies} policies, {count} tools");
    for mix in [Mix::Each, Mix::Groups, Mix::Anywhere] {
        let file = File { path: "policies/all.dw".to_owned(), text: text(policies, count, mix), mode: Mode::Active };
        let started = Instant::now();
        let source = Arc::new(Source::read(Mode::Active, vec![file]).unwrap());
        let read = started.elapsed();
        let started = Instant::now();
        let set = PolicySet::compile(&source, &tools, "arn:aws:mcp:eu-west-1:111122223333:space/large");
        let compiled = started.elapsed();
        assert!(set.findings().is_empty(), "{:?}", set.findings().first());
        println!("{mix:?}: read {:.3} s, compiled {:.3} s", read.as_secs_f64(), compiled.as_secs_f64());
    }
}
