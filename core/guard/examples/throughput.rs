//! How fast the always-on stage is on clean text, beside `memchr` over the same bytes in the same run.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, reason = "an example that measures")]

use std::{hint::black_box, time::Instant};

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let guardrail = remit_guard::Guardrail::compile(serde_json::from_str(include_str!("always_on.json")).unwrap()).unwrap();
    let mut report = serde_json::Map::new();
    for (name, text) in samples() {
        let content = remit_guard::Content::new(remit_guard::Source::Output, &text);
        let found = guardrail.inspect(&content).findings.len();
        let document = serde_json::to_string(&serde_json::json!({ "text": text })).unwrap();
        let values = values(&text);
        let source = remit_guard::Source::Output;
        let rate = |length: usize, run: &dyn Fn()| length as f64 / fastest(run) / 1e6;
        let inspected = rate(text.len(), &|| drop(black_box(guardrail.inspect(&content))));
        let row = serde_json::json!({
            "bytes": text.len(),
            "findings": found,
            "text": inspected,
            "json": rate(document.len(), &|| drop(black_box(guardrail.inspect_json(source, &document, false)))),
            "values": rate(values.len(), &|| drop(black_box(guardrail.inspect_json(source, &values, false)))),
            "heavy": rate(text.len(), &|| drop(black_box(guardrail.inspect(&content.effort(true))))),
            "memchr3": rate(text.len(), &|| {
                black_box(memchr::memchr3_iter(b'@', 0x1b, 0xe2, black_box(text.as_bytes())).count());
            }),
            "ms_per_100_kb": 100.0 / inspected,
        });
        if !json {
            println!("{name}: {row}");
        }
        report.insert(name.to_owned(), row);
    }
    if json {
        println!("{}", serde_json::Value::Object(report));
    }
}

/// A text as JSON of many values: records as they are, of anything else each line or sentence.
fn values(text: &str) -> String {
    if text.starts_with('{') {
        return format!("[{}]", text.trim_end().trim_end_matches(','));
    }
    serde_json::to_string(&text.split_inclusive(['\n', '.']).collect::<Vec<_>>()).unwrap()
}

/// The fastest of several runs, in seconds: the others are the machine's noise.
fn fastest(run: &dyn Fn()) -> f64 {
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
