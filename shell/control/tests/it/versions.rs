//! A version is there whole or not at all, whatever the store does.

use std::sync::Arc;

use remit_control::history;
use remit_control::versions::{VersionError, Versions, plan_digest};
use remit_store::{FaultyStore, MemoryStore, Store, StoreError};

use crate::{candidate, file};

fn files(round: u64) -> Vec<remit_config::SourceFile> {
    // One text changes with every version, one now and then, one never.
    vec![file("a.yaml", &format!("# {round}\n")), file("b.yaml", &format!("# {}\n", round / 3)), file("c.yaml", "agents: []\n")]
}

#[test]
fn a_store_that_fails_leaves_the_old_version_or_the_new_one() {
    let (mut kept, mut lost, mut uncertain) = (0, 0, 0);
    for seed in 0..60 {
        let inner = MemoryStore::new();
        let sound = Versions::new(Arc::new(inner.clone()));
        let faulty = Versions::new(Arc::new(FaultyStore::new(Box::new(inner.clone()), seed, 20)));
        let mut head = None;
        for round in 0..25 {
            let wanted = candidate("alice", &files(round));
            let done = faulty.keep(head, &wanted, round);
            let now = sound.head().unwrap();
            let number = now.as_ref().map(|version| version.version);
            // What is said is so: kept is kept, refused is not there, and only where nobody could look it isn't said.
            match &done {
                Ok(version) => {
                    assert_eq!(Some(version), now.as_ref(), "seed {seed}");
                    kept += 1;
                }
                Err(VersionError::Uncertain(_)) => uncertain += 1,
                Err(VersionError::Store(StoreError::Unavailable(_))) => {
                    assert_eq!(number, head, "seed {seed}: what was refused landed");
                    lost += 1;
                }
                Err(other) => panic!("seed {seed}: {other}"),
            }
            assert!(number == head || number == Some(head.unwrap_or(0) + 1));
            // Whatever is the newest is there whole.
            if let Some(version) = &now {
                let whole = sound.files(version).unwrap();
                assert_eq!(remit_control::directory::digest(&whole), version.entry.digest);
            }
            head = number;
        }
        // And no version that was kept has changed since.
        let all = sound.recent(u64::MAX, 1_000).unwrap();
        assert_eq!(all.len() as u64, head.unwrap_or(0));
        assert!(all.iter().all(|version| sound.files(version).is_ok()));
    }
    assert!(kept > 500 && lost > 50 && uncertain > 0, "{kept} {lost} {uncertain}: nothing was tried");
}

#[test]
fn of_two_changes_of_one_version_one_is_refused() {
    let versions = Versions::new(Arc::new(MemoryStore::new()));
    let first = versions.keep(None, &candidate("alice", &files(0)), 1).unwrap();
    let won = versions.keep(Some(first.version), &candidate("bob", &files(1)), 2).unwrap();
    let lost = versions.keep(Some(first.version), &candidate("carol", &files(2)), 2);
    assert!(matches!(lost, Err(VersionError::Store(StoreError::Conflict { actual: Some(2), .. }))), "{lost:?}");
    assert_eq!(versions.head().unwrap(), Some(won));
    assert!(versions.version(3).unwrap().is_none() && versions.version(0).unwrap().is_none());
}

#[test]
fn a_text_is_kept_once() {
    let store = MemoryStore::new();
    let versions = Versions::new(Arc::new(store.clone()));
    let mut head = None;
    for round in 0..300 {
        head = Some(versions.keep(head, &candidate("alice", &files(round)), round).unwrap().version);
    }
    // 300 of the first file, one of the third, and 300 lists; what the second says the first has said before.
    assert_eq!(store.list("configuration_text").unwrap().len(), 601);
    assert_eq!(store.list("configuration_parts").unwrap().len(), 0);
    let old = versions.version(7).unwrap().unwrap();
    assert_eq!(versions.files(&old).unwrap(), files(6));
}

#[test]
fn of_a_long_text_only_what_is_new_is_kept() {
    let store = MemoryStore::new();
    let versions = Versions::new(Arc::new(store.clone()));
    let mut rows: Vec<String> =
        (0..10_000).map(|n| format!("  - {{ agent: agent-{n}, tool: s___t, max_risk: low }}\n")).collect();
    let mut head = None;
    let bytes = || {
        store
            .list("configuration_text")
            .unwrap()
            .iter()
            .chain(&store.list("configuration_parts").unwrap())
            .map(|record| record.body.len())
            .sum::<usize>()
    };
    let (mut first, mut kept) = (0, Vec::new());
    for round in 0..200 {
        // Rows change, come and go anywhere.
        rows[(round * 7_919) % 9_000] = format!("  - {{ agent: agent-{round}, tool: s___t, max_risk: high }}\n");
        if round % 3 == 0 {
            rows.insert((round * 104_729) % 9_000, format!("  # {round}\n"));
        }
        let files =
            [file("rows.yaml", &format!("tool_policies:\n{}", rows.concat())), file("one-line.json", &"x".repeat(200_000))];
        kept.push(files.clone());
        head = Some(versions.keep(head, &candidate("alice", &files), 1).unwrap().version);
        if round == 0 {
            first = bytes();
        }
    }
    let more = (bytes() - first) / 199;
    eprintln!("{more} bytes for each version after the first, which has {first}");
    assert!(more < 40_000);
    for round in [0, 1, 57, 199] {
        let version = versions.version(round + 1).unwrap().unwrap();
        let mut expected = kept[usize::try_from(round).unwrap()].to_vec();
        expected.sort();
        let mut read = versions.files(&version).unwrap();
        read.sort();
        assert_eq!(read, expected);
    }
    // Parts that don't make the text any more make none.
    let part = store.list("configuration_text").unwrap().into_iter().find(|record| record.body.starts_with(b"  - ")).unwrap();
    let note = remit_store::Note { author: "mallory", reason: "", now_secs: 1 };
    store.put(&part.kind, &part.key, Some(part.version), b"something else", note).unwrap();
    assert!((1..=200).any(|number| versions.files(&versions.version(number).unwrap().unwrap()).is_err()));
}

#[test]
fn a_text_that_was_changed_in_the_store_is_no_version() {
    let store = MemoryStore::new();
    let versions = Versions::new(Arc::new(store.clone()));
    let kept = versions.keep(None, &candidate("alice", &files(0)), 1).unwrap();
    let text = store.list("configuration_text").unwrap().remove(0);
    let note = remit_store::Note { author: "mallory", reason: "", now_secs: 1 };
    store.put(&text.kind, &text.key, Some(text.version), b"something else", note).unwrap();
    assert!(matches!(versions.files(&kept), Err(VersionError::Unreadable(_))));
}

#[test]
fn a_row_is_followed_through_the_versions() {
    let versions = Versions::new(Arc::new(MemoryStore::new()));
    let row = |risk: &str| format!("tool_policies:\n  - {{ agent: agent-1, tool: s___t, max_risk: {risk} }}\n");
    let other = "tool_policies:\n  - { agent: agent-2, tool: s___t, max_risk: low }\n";
    let texts = ["agents: []\n".to_owned(), row("low"), format!("# moved\n{}", row("low")), row("high"), other.to_owned()];
    let mut head = None;
    for text in &texts {
        head = Some(versions.keep(head, &candidate("alice", &[file("x.yaml", text)]), 1).unwrap().version);
    }
    let (steps, more) = history::tool_policy(&versions, "agent-1", "s___t", 10).unwrap();
    let told: Vec<(u64, Vec<String>)> = steps
        .iter()
        .map(|step| (step.version.version, step.rows.iter().map(|row| row.fields[1].1.join(" ")).collect()))
        .collect();
    assert_eq!(told, [(5, vec![]), (4, vec!["high".to_owned()]), (2, vec!["low".to_owned()])], "a row that moves hasn't changed");
    assert!(!more && history::tool_policy(&versions, "agent-1", "s___t", 1).unwrap().1);
}

#[test]
fn plans_wait_until_they_are_overtaken() {
    let versions = Versions::new(Arc::new(MemoryStore::new()));
    let head = versions.keep(None, &candidate("alice", &files(0)), 1).unwrap();
    let plan = versions.submit(&head, "gate", &candidate("alice", &files(1)), 2).unwrap();
    assert_eq!(plan.plan, plan_digest("gate", 1, &head.entry.digest, &remit_control::directory::digest(&files(1))));
    assert_ne!(plan.plan, plan_digest("another", 1, &head.entry.digest, &plan.digest), "it is one gateway's");
    assert_ne!(plan.plan, plan_digest("gate", 2, &head.entry.digest, &plan.digest), "and one version's");
    // Whoever submits it again doesn't become its author.
    assert_eq!(versions.submit(&head, "gate", &candidate("bob", &files(1)), 3).unwrap(), plan);
    assert_eq!(versions.plan_files(&plan).unwrap(), files(1));
    for round in 2..101 {
        versions.submit(&head, "gate", &candidate("alice", &files(round)), round).unwrap();
    }
    let full = versions.submit(&head, "gate", &candidate("alice", &files(500)), 500);
    assert!(matches!(full, Err(VersionError::Limit(_))), "{full:?}");
    let head = versions.keep(Some(1), &candidate("alice", &files(1)), 600).unwrap();
    let next = versions.submit(&head, "gate", &candidate("alice", &files(2)), 700).unwrap();
    assert_eq!(versions.plans().unwrap(), [next]);
    assert_eq!(versions.closed(&plan.plan).unwrap(), Some(plan));
}
