//! What it costs to judge a call, and to read a result, beside hashing the same bytes once.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use remit_model::ResultLabels;
use remit_provenance::{Flow, Reading, Roles};
use serde_json::{Value, json};

fn text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    let mut number = 1_u64;
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("word{} person{}@example.com said, ", number >> 50, number >> 44));
    }
    text
}

/// Records of a server's own, such as a calendar answers with.
fn records(bytes: usize) -> Value {
    let mut number = 1_u64;
    let one = |_| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        json!({
            "id": number >> 40, "title": format!("Meeting about word{} and word{}", number >> 50, number >> 45), "all_day": false,
            "start_time": "2024-05-15 10:00:00", "location": "Meeting Room 2", "status": "confirmed",
            "participants": [format!("person{}@example.com", number >> 44), "ann@example.com"],
        })
    };
    // Each takes some 190 bytes.
    json!({"result": (0..bytes / 190).map(one).collect::<Vec<_>>()})
}

fn read(flow: &mut Flow, text: &str) {
    let labels = ResultLabels::default();
    flow.read(&Reading { tool: "mail___read", labels, changes: false, structured: None, texts: &[text] });
}

fn costs(criterion: &mut Criterion) {
    let roles = Roles::of("send_email", &json!({"properties": {"to": {}, "subject": {}, "body": {}}}), &BTreeMap::new());
    let call = json!({"to": ["person7@example.com", "ann@example.com"], "subject": "The notes of today", "body": text(600)});
    let mut group = criterion.benchmark_group("judge");
    for (name, bytes) in [("after nothing", 0), ("after 100 kB", 100_000), ("after 1 MB", 1_000_000)] {
        let mut flow = Flow::new([7; 16]);
        flow.asked("Send the notes to ann@example.com");
        read(&mut flow, &text(bytes));
        group.bench_function(name, |bencher| bencher.iter(|| flow.judge(black_box(&roles), black_box(&call))));
    }
    group.finish();
    let mut group = criterion.benchmark_group("read 100 kB");
    let text = text(100_000);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("a flow", |bencher| {
        bencher.iter_batched_ref(|| Flow::new([7; 16]), |flow| read(flow, black_box(&text)), criterion::BatchSize::LargeInput);
    });
    let records = records(100_000);
    group.bench_function("records of a server's own", |bencher| {
        let labels = ResultLabels { own_identifiers: true, ..ResultLabels::default() };
        let read = |flow: &mut Flow| {
            let structured = Some(black_box(&records));
            flow.read(&Reading { tool: "calendar___search_events", labels, changes: false, structured, texts: &[] });
        };
        bencher.iter_batched_ref(|| Flow::new([7; 16]), read, criterion::BatchSize::LargeInput);
    });
    group.bench_function("baseline: hashing the bytes once", |bencher| {
        bencher.iter(|| {
            let mut hasher = siphasher::sip::SipHasher13::new_with_keys(1, 2);
            hasher.write(black_box(text.as_bytes()));
            hasher.finish()
        });
    });
    group.finish();
}

criterion_group!(benches, costs);
criterion_main!(benches);
