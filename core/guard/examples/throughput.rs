//! How fast the always-on stage is on clean text, beside `memchr` over the same bytes in the same run.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, reason = "an example that measures")]

use std::{hint::black_box, time::Instant};

fn main() {
    let guardrail = remit_guard::Guardrail::compile(serde_json::from_str(include_str!("always_on.json")).unwrap()).unwrap();
    for (name, text) in samples() {
        let content = remit_guard::Content::new(remit_guard::Source::Output, &text);
        let found = guardrail.inspect(&content).findings.len();
        let inspected = fastest(|| {
            black_box(guardrail.inspect(&content));
        });
        let json = serde_json::to_string(&serde_json::json!({ "text": text })).unwrap();
        let walked = fastest(|| {
            black_box(guardrail.inspect_json(remit_guard::Source::Output, &json, false));
        });
        let heavy = fastest(|| {
            black_box(guardrail.inspect(&content.heavy(true)));
        });
        let base = fastest(|| {
            black_box(memchr::memchr3_iter(b'@', b'\x1b', 0xe2, black_box(text.as_bytes())).count());
        });
        let rate = |seconds: f64, length: usize| length as f64 / seconds / 1e6;
        println!(
            "{name}: {} bytes, {found} findings; text {:.0} MB/s, JSON {:.0} MB/s, heavy {:.0} MB/s, memchr3 {:.0} MB/s; 100 kB in {:.3} ms",
            text.len(),
            rate(inspected, text.len()),
            rate(walked, json.len()),
            rate(heavy, text.len()),
            rate(base, text.len()),
            inspected * 1e5 / text.len() as f64 * 1e3,
        );
    }
}

/// The fastest of several runs, in seconds: the others are the machine's noise.
fn fastest(mut run: impl FnMut()) -> f64 {
    (0..30)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Clean results: prose, records and a log, half a megabyte each.
fn samples() -> Vec<(&'static str, String)> {
    let repeat = |part: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        let mut i = 0;
        while text.len() < 512 << 10 {
            text.push_str(&part(i));
            i += 1;
        }
        text
    };
    vec![
        (
            "prose",
            repeat(&|i| {
                format!(
                    "The committee met in the small hall and heard the report of year {}. Members spoke about the harvest, the roof of the school and the road to the mill; nobody objected. Afterwards there was soup, bread and a long talk by the river. ",
                    i % 90
                )
            }),
        ),
        (
            "records",
            repeat(&|i| {
                format!(
                    "{{\"id\": {i}, \"title\": \"Quarterly plan {}\", \"state\": \"open\", \"labels\": [\"docs\", \"backend\"], \"comments\": {}, \"merged\": false}},\n",
                    i % 17,
                    i % 40
                )
            }),
        ),
        (
            "log",
            repeat(&|i| {
                format!(
                    "2026-03-{:02}T{:02}:{:02}:{:02}Z INFO worker-{} finished batch {} in {} ms\n",
                    i % 28 + 1,
                    i % 24,
                    i % 60,
                    (i * 7) % 60,
                    i % 8,
                    i,
                    i % 977
                )
            }),
        ),
    ]
}
