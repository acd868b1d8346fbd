//! The configuration changes: by plan, by the directory, by rollback, with reviewers, across crashes; and it never changes by half.

use std::path::{Path, PathBuf};
use std::time::Instant;

use remit_control::versions::{Candidate, Origin, Versions};
use serde_json::{Value, json};

use crate::client::json as parsed;
use crate::gateway::{Place, Remit, Said, config, remit as run, signal, until};
use crate::upstream::{Era, Upstream};

fn verdict(answer: &Value) -> String {
    crate::faults::verdict(answer).to_owned()
}

/// A directory beside the gateway's own, with one file.
fn directory(place: &Place, name: &str, config: &Value) -> PathBuf {
    let path = place.root().join(name);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("it.json"), config.to_string()).unwrap();
    path
}

/// The same configuration in which an agent may not call one tool.
fn without(good: &Value, agent: &str, tool: &str) -> Value {
    let mut other = good.clone();
    other["tool_policies"].as_array_mut().unwrap().push(json!({"agent": agent, "tool": tool, "allowed": false}));
    other
}

fn cli(remit: &Remit, args: &[&str]) -> (i32, Value) {
    let mut all = args.to_vec();
    all.push("--json");
    let said = remit.place().cli(&all);
    let value = said.out.lines().last().map_or(Value::Null, parsed);
    assert!(said.code == 0 || !said.err.is_empty() || !value.is_null(), "{said:?}");
    (said.code, value)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn version(remit: &Remit) -> u64 {
    remit.status()["configuration"]["version"].as_u64().unwrap()
}

#[test]
fn a_change_is_planned_applied_looked_back_at_and_rolled_back() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let remit = Remit::up(&good);
    let client = remit.client("agent-1", "a");
    let closed = directory(remit.place(), "closed", &without(&good, "agent-1", "a___echo"));
    // A plan tells what it denies, with the statement's place, and changes nothing.
    let (code, plan) = cli(&remit, &["plan", text(&closed)]);
    assert_eq!((code, &plan["denials_count"], &plan["grants_count"]), (0, &json!(1), &json!(0)), "{plan}");
    let denial = &plan["denials"][0];
    assert_eq!((&denial["agent"], &denial["space"], &denial["target"]), (&json!("agent-1"), &json!("a"), &json!("a___echo")));
    assert_eq!(denial["because"][0]["layer"], "TOOL_POLICY");
    assert!(denial["because"][0]["at"].as_str().unwrap().starts_with("it.json:"), "{denial}");
    let change = &plan["changes"][0];
    assert_eq!(
        (&change["verb"], &change["noun"], &change["name"]),
        (&json!("added"), &json!("tool policy"), &json!("agent-1 → a___echo"))
    );
    assert_eq!((version(&remit), verdict(&client.call("a___echo", "{}"))), (1, "ok".to_owned()));
    assert_eq!(cli(&remit, &["plans"]).1["plans"], json!([]), "without a review nothing is kept");
    // It is applied as it was planned.
    let digest = plan["plan"].as_str().unwrap();
    let apply = ["apply", text(&closed), "--plan", digest, "--reason", "nobody echoes", "--by", "alice"];
    let (code, applied) = cli(&remit, &apply);
    assert_eq!((code, &applied["version"], &applied["plan"]), (0, &json!(2), &json!(digest)), "{applied}");
    assert_eq!(verdict(&client.call("a___echo", "{}")), "tool_not_permitted");
    assert_eq!(cli(&remit, &apply).1["unchanged"], true);
    let entry = remit.place().log_of("configuration").pop().unwrap();
    assert_eq!(
        (&entry["version"], &entry["by"], &entry["reason"], &entry["plan"]),
        (&json!(2), &json!("alice"), &json!("nobody echoes"), &json!(digest))
    );
    // What was planned on version 1 is refused, with what happened since.
    let opened = directory(remit.place(), "opened", &without(&good, "agent-2", "a___echo"));
    let (_, plan) = cli(&remit, &["plan", text(&opened)]);
    assert_eq!((&plan["denials_count"], &plan["grants_count"]), (&json!(1), &json!(1)), "{plan}");
    assert_eq!((plan["grants"][0]["agent"].as_str(), plan["denials"][0]["agent"].as_str()), (Some("agent-1"), Some("agent-2")));
    let (code, rolled) = cli(&remit, &["rollback", "1", "--reason", "they do", "--by", "bob"]);
    assert_eq!((code, &rolled["version"], &rolled["again"]), (0, &json!(3), &json!(1)), "{rolled}");
    assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    let stale = plan["plan"].as_str().unwrap();
    let (code, refused) = cli(&remit, &["apply", text(&opened), "--plan", stale, "--reason", "late"]);
    assert_eq!((code, &refused["base"], &refused["current"]), (1, &json!(2), &json!(3)), "{refused}");
    assert_eq!((&refused["since"][0]["by"], &refused["changes"][0]["verb"]), (&json!("bob"), &json!("removed")), "{refused}");
    std::fs::write(opened.join("more.json"), "{\"agents\":[]}").unwrap();
    let (code, refused) = cli(&remit, &["apply", text(&opened), "--plan", stale, "--reason", "late"]);
    assert!(code == 1 && refused["detail"].as_str().unwrap().contains("the files changed"), "{refused}");
    assert_eq!(version(&remit), 3);
    // Looking back: every version, and those of one row.
    let (_, history) = cli(&remit, &["history"]);
    let all: Vec<(u64, &str)> = history["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["version"].as_u64().unwrap(), one["by"].as_str().unwrap()))
        .collect();
    assert_eq!((all.len(), all[0], all[1]), (3, (3, "bob"), (2, "alice")));
    let (_, row) = cli(&remit, &["history", "--tool-policy", "agent-1", "a___echo"]);
    let steps: Vec<(u64, usize)> = row["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["version"].as_u64().unwrap(), one["rows"].as_array().unwrap().len()))
        .collect();
    assert_eq!(steps, [(3, 0), (2, 1)], "{row}");
    assert_eq!(cli(&remit, &["history", "--count", "1"]).1["more"], true);
    let (code, diff) = cli(&remit, &["diff", "2", "3"]);
    assert_eq!((code, &diff["grants_count"], &diff["changes"][0]["verb"]), (0, &json!(1), &json!("removed")), "{diff}");
    assert_eq!(cli(&remit, &["diff", "2", "9"]).0, 3);
    for what in ["plan", "apply", "rollback", "plans", "review", "withdraw", "history", "diff"] {
        let head = format!("POST /v1/configuration/{what}");
        assert_eq!(crate::client::send(remit.control, &head, &[], b"{}").status, 401, "{what} is the operator's");
        assert!(matches!(remit.operator(&head, "[]").0, 200 | 400), "{what}");
    }
    assert_eq!(remit.operator("POST /v1/configuration/else", "{}").0, 404);
    // A bad one is refused with all its faults.
    let mut bad = good.clone();
    bad["spaces"][0]["servers"][0]["server"] = json!("nowhere");
    let bad = directory(remit.place(), "bad", &bad);
    for command in [&["plan", text(&bad)][..], &["apply", text(&bad), "--reason", "x"]] {
        let (code, said) = cli(&remit, command);
        assert!(code == 3 && said["faults"][0]["what"].as_str().unwrap().contains("nowhere"), "{said}");
    }
    // When no gateway is up, the store answers.
    let place = remit.stop();
    let offline = |args: &[&str]| {
        let said = place.cli(&[args, &["--json"]].concat());
        assert_eq!(said.code, 0, "{said:?}");
        parsed(said.out.lines().last().unwrap())
    };
    assert_eq!(offline(&["history"])["versions"].as_array().unwrap().len(), 3);
    assert_eq!(offline(&["diff", "2", "3"])["grants_count"], 1);
    let plan = offline(&["plan", text(&closed)]);
    assert_eq!(
        (&plan["offline"], &plan["denials_count"], &plan["base"]["version"]),
        (&json!(true), &json!(1), &json!(3)),
        "{plan}"
    );
    assert_eq!(place.cli(&["apply", text(&closed), "--reason", "x"]).code, 1, "only a gateway applies");
}

#[test]
fn the_directory_drives_until_something_else_is_applied() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let remit = Remit::up(&good);
    assert!(remit.status()["configuration"]["follows"].is_string());
    // What the directory says becomes a version; what says the same doesn't.
    let closed = without(&good, "agent-1", "a___echo");
    remit.configure(&closed);
    remit.configure(&closed);
    assert_eq!(version(&remit), 2);
    let entry = remit.place().log_of("configuration").pop().unwrap();
    assert_eq!((&entry["origin"], &entry["reason"]), (&json!("directory"), &json!("the directory changed")));
    // After a rollback the directory is drift, and stays so over a restart and over changes.
    assert_eq!(cli(&remit, &["rollback", "1", "--reason", "oops"]).0, 0);
    let client = remit.client("agent-1", "a");
    assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    let drift = |remit: &Remit| remit.status()["configuration"]["drift"].clone();
    assert_eq!(drift(&remit)["changes"][0]["name"], "agent-1 → a___echo");
    let shown = remit.place().cli(&["status"]).out;
    assert!(shown.contains("is not what is in effect") && shown.contains("agent-1 → a___echo"), "{shown}");
    let both = without(&closed, "agent-2", "a___echo");
    remit.place().write(&both);
    until("the change is seen", || drift(&remit)["changes_count"] == 2);
    assert_eq!((version(&remit), verdict(&client.call("a___echo", "{}"))), (3, "ok".to_owned()));
    let remit = Remit::up_at(remit.stop(), &[]);
    remit.until_said("is not what is in effect");
    assert_eq!((version(&remit), drift(&remit)["changes_count"].clone()), (3, json!(2)));
    remit.place().write_text("{");
    until("what can't be read is drift as well", || drift(&remit)["faults"].is_array());
    // Once it is applied, the directory drives again.
    remit.place().write(&both);
    until("the difference is seen", || drift(&remit)["changes_count"] == 2);
    let (code, applied) = cli(&remit, &["apply", text(&remit.place().config()), "--reason", "now for good"]);
    assert_eq!((code, &applied["version"]), (0, &json!(4)), "{applied}");
    assert!(drift(&remit).is_null());
    remit.place().write(&good);
    until("it is taken", || version(&remit) == 5);
    // What changes while the gateway is down is taken at the next start.
    let place = remit.stop();
    place.write(&closed);
    let remit = Remit::up_at(place, &[]);
    assert_eq!(version(&remit), 6);
    assert_eq!(verdict(&remit.client("agent-1", "a").call("a___echo", "{}")), "tool_not_permitted");
    remit.stop();
}

#[test]
fn nothing_is_decided_by_two_versions() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let remit = Remit::up(&without(&good, "agent-1", "a___echo"));
    let other = directory(remit.place(), "other", &without(&good, "agent-1", "a___other"));
    let echo = directory(remit.place(), "echo", &without(&good, "agent-1", "a___echo"));
    let client = remit.client("agent-1", "a");
    let done = std::sync::atomic::AtomicBool::new(false);
    // Each version hides one of two tools: a list of both, or of neither, would be of both versions.
    let seen = std::thread::scope(|scope| {
        let lists = scope.spawn(|| {
            let mut seen = [0_usize; 2];
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let names = crate::client::names(&client.modern("tools/list", "{}").message(), "tools", "name");
                let shown = ["a___echo", "a___other"].map(|tool| names.iter().any(|name| name == tool));
                assert!(shown[0] != shown[1], "{names:?}");
                seen[usize::from(shown[0])] += 1;
            }
            seen
        });
        for round in 0..20 {
            let next = if round % 2 == 0 { &other } else { &echo };
            assert_eq!(cli(&remit, &["apply", text(next), "--reason", "to and fro"]).1["version"], round + 2);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        lists.join().unwrap()
    });
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    remit.stop();
}

/// A reviewer's key: the file, and the public half.
fn key(place: &Place, name: &str) -> (PathBuf, String) {
    let file = place.root().join(format!("{name}.key"));
    let said: Said = run(&["review-key", name, "--out", text(&file), "--json"], None);
    assert_eq!(said.code, 0, "{said:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(run(&["review-key", name, "--out", text(&file)], None).code, 1, "a key is never overwritten");
    (file, parsed(&said.out)["public_key"].as_str().unwrap().to_owned())
}

#[test]
fn a_change_that_needs_a_review_waits_for_it() {
    let a = Upstream::start(Era::Modern);
    let place = Place::new();
    let (alice, alice_public) = key(&place, "alice");
    let (bob, bob_public) = key(&place, "bob");
    let (mallory, _) = key(&place, "mallory");
    let mut good = config(&[a.server("a")]);
    good["change_review"] = json!({"approvals": 1, "reviewers": [alice_public, bob_public]});
    place.write(&good);
    let remit = Remit::up_at(place, &[]);
    let client = remit.client("agent-1", "a");
    // The directory changes nothing by itself.
    let closed = without(&good, "agent-1", "a___echo");
    remit.configure(&closed);
    assert_eq!((version(&remit), verdict(&client.call("a___echo", "{}"))), (1, "ok".to_owned()));
    assert_eq!(remit.status()["configuration"]["drift"]["changes_count"], 1);
    let config_dir = remit.place().config();
    let apply = ["apply", text(&config_dir), "--reason", "nobody echoes", "--by", "alice"];
    let (code, held) = cli(&remit, &apply);
    assert_eq!((code, &held["held"]), (4, &json!(true)), "{held}");
    let plan = held["plan"].as_str().unwrap().to_owned();
    assert_eq!(cli(&remit, &["plans"]).1["plans"][0]["plan"], plan.as_str());
    // Nobody's key, the author's own, another plan's note: none of them counts.
    let review =
        |file: &Path, answer: &str| cli(&remit, &["review", &plan, "--key", text(file), answer, "--comment", "I looked"]);
    assert_eq!(review(&mallory, "--approve").0, 2);
    let (code, own) = review(&alice, "--approve");
    assert!(code == 2 && own["detail"].as_str().unwrap().contains("author"), "{own}");
    let (status, said) = remit
        .operator("POST /v1/configuration/review", &json!({"plan": plan, "note": "remit plan review\n\n— bob x\n"}).to_string());
    assert_eq!(status, 403, "{said}");
    assert_eq!(cli(&remit, &apply).0, 4);
    // A rejection holds it until its reviewer thinks again.
    assert_eq!(review(&bob, "--reject").0, 0);
    assert_eq!(cli(&remit, &["apply", "--plan", &plan]).0, 2);
    let (code, said) = review(&bob, "--approve");
    assert_eq!((code, &said["review"]["approved"]), (0, &json!(true)), "{said}");
    let note = said["note"].as_str().unwrap();
    assert!(note.contains(&plan) && note.contains("\napprove\n") && note.contains("comment I looked"), "{note}");
    // It is good for this plan alone.
    let more = directory(remit.place(), "more", &without(&closed, "agent-2", "a___echo"));
    assert_eq!(cli(&remit, &["apply", text(&more), "--reason", "x", "--by", "alice"]).0, 4);
    let other =
        cli(&remit, &["plans"]).1["plans"].as_array().unwrap().iter().find(|one| one["plan"] != plan.as_str()).unwrap()["plan"]
            .clone();
    let (status, said) = remit.operator("POST /v1/configuration/review", &json!({"plan": other, "note": note}).to_string());
    assert_eq!(status, 403, "{said}");
    let (code, applied) = cli(&remit, &["apply", "--plan", &plan[..20], "--by", "carol"]);
    assert_eq!(
        (code, &applied["version"], &applied["reviewers"], &applied["by"]),
        (0, &json!(2), &json!(["bob"]), &json!("alice")),
        "{applied}"
    );
    assert_eq!(applied["applied_by"], "carol");
    assert_eq!(verdict(&client.call("a___echo", "{}")), "tool_not_permitted");
    assert!(remit.status()["configuration"]["drift"].is_null());
    // The other plan was made from version 1, and is overtaken; an approval is not good a second time.
    let (code, said) = cli(&remit, &["apply", "--plan", other.as_str().unwrap()]);
    assert_eq!((code, &said["current"]), (1, &json!(2)), "{said}");
    // A rollback is a change as any, and so is the end of reviewing.
    assert_eq!(cli(&remit, &["rollback", "1", "--reason", "back", "--by", "alice"]).0, 4);
    let mut free = good.clone();
    free["change_review"] = json!({"required": false, "reviewers": good["change_review"]["reviewers"]});
    let free = directory(remit.place(), "free", &free);
    let (code, held) = cli(&remit, &["apply", text(&free), "--reason", "trust us", "--by", "mallory"]);
    assert_eq!(code, 4, "{held}");
    let place = remit.stop();
    // A restart doesn't put the directory into effect either.
    place.write(&good);
    let remit = Remit::up_at(place, &[]);
    assert_eq!(
        (version(&remit), verdict(&remit.client("agent-1", "a").call("a___echo", "{}"))),
        (2, "tool_not_permitted".to_owned())
    );
    let plan = held["plan"].as_str().unwrap();
    let (code, said) = cli(&remit, &["plans", plan]);
    assert!(code == 0 && said["changes"][0]["noun"] == "change review" && said["reviewers_change"] == true, "{said}");
    assert_eq!(cli(&remit, &["review", plan, "--key", text(&alice), "--approve"]).0, 0);
    assert_eq!(cli(&remit, &["apply", "--plan", plan]).1["version"], 3);
    assert!(remit.status()["configuration"]["approvals_needed"].is_null());
    assert_eq!(
        cli(&remit, &["apply", text(&remit.place().config()), "--reason", "free"]).1["version"],
        4,
        "but now they need none"
    );
    let place = remit.stop();
    let kinds: Vec<usize> = ["plan_submitted", "plan_reviewed"].iter().map(|kind| place.log_of(kind).len()).collect();
    assert_eq!(kinds, [4, 3], "every plan and every review is in the journal");
    let entry = place.log_of("configuration").into_iter().find(|entry| entry["version"] == 2).unwrap();
    assert_eq!((&entry["reviewers"], &entry["applied_by"]), (&json!(["bob"]), &json!("carol")));
}

#[test]
fn what_the_journal_refuses_is_taken_back() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let remit = Remit::up(&good);
    for file in std::fs::read_dir(remit.place().data().join("journal")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap() != "lock" {
            std::fs::remove_file(path).unwrap();
        }
    }
    until("the journal stops", || crate::client::send(remit.control, "GET /readyz", &[], b"").status == 503);
    let closed = directory(remit.place(), "closed", &without(&good, "agent-1", "a___echo"));
    let (code, said) = cli(&remit, &["apply", text(&closed), "--reason", "in vain"]);
    assert!(code == 1 && said["detail"].as_str().unwrap().contains("nothing was changed"), "{said}");
    let (_, history) = cli(&remit, &["history"]);
    let all = history["versions"].as_array().unwrap();
    let digest = |version: &Value| version["digest"].clone();
    assert_eq!(
        (all.len(), digest(&all[0]) == digest(&all[2]), digest(&all[1]) == digest(&all[2])),
        (3, true, false),
        "{history}"
    );
    assert_eq!((&all[0]["by"], &all[0]["again"], version(&remit)), (&json!("remit"), &json!(1), 3));
}

#[test]
fn what_the_store_refuses_changes_nothing() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let remit = Remit::up(&good);
    let client = remit.client("agent-1", "a");
    let closed = directory(remit.place(), "closed", &without(&good, "agent-1", "a___echo"));
    let apply = ["apply", text(&closed), "--reason", "nobody echoes"];
    // A store that keeps the texts and then fails at the version itself keeps none of them.
    let store = rusqlite::Connection::open(remit.place().data().join("remit.db")).unwrap();
    let fails =
        "CREATE TRIGGER fails BEFORE INSERT ON record WHEN NEW.kind = 'configuration' BEGIN SELECT RAISE(ABORT, 'no room'); END";
    store.execute_batch(fails).unwrap();
    let rows = || store.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, i64>(0)).unwrap();
    let (before, recorded) = (rows(), remit.place().log_of("configuration").len());
    let (code, said) = cli(&remit, &apply);
    assert!(code == 1 && said["detail"].as_str().unwrap().contains("no room"), "{said}");
    assert_eq!((rows(), remit.place().log_of("configuration").len()), (before, recorded), "neither has it");
    assert_eq!((version(&remit), verdict(&client.call("a___echo", "{}"))), (1, "ok".to_owned()));
    // So with the directory, which says it.
    remit.place().write(&without(&good, "agent-1", "a___echo"));
    let (status, said) = remit.operator("POST /v1/reload", "");
    assert_eq!((status, verdict(&client.call("a___echo", "{}"))), (422, "ok".to_owned()), "{said}");
    store.execute_batch("DROP TRIGGER fails").unwrap();
    assert_eq!(cli(&remit, &apply).1["version"], 2);
    assert_eq!(verdict(&client.call("a___echo", "{}")), "tool_not_permitted");
    remit.stop();
}

#[test]
fn a_version_that_only_the_store_has_takes_effect_with_the_next_start() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let place = Remit::up(&good).stop();
    // What a crash between the store and the journal leaves.
    let db = place.data().join("remit.db");
    let store = remit_store::SqliteStore::open_with_key_file(&db, &place.data().join("master.key")).unwrap();
    let versions = Versions::new(std::sync::Arc::new(store));
    let head = versions.head().unwrap().unwrap();
    let closed = without(&good, "agent-1", "a___echo").to_string();
    let candidate = Candidate {
        files: vec![remit_config::SourceFile { path: "it.json".to_owned(), text: closed }],
        review: None,
        origin: Origin::Apply,
        source: "elsewhere".to_owned(),
        again: None,
        by: "alice".to_owned(),
        reason: "nobody echoes".to_owned(),
        plan: None,
    };
    let kept = versions.keep(Some(head.version), &candidate, 1).unwrap();
    drop(versions);
    assert!(place.log_of("configuration").iter().all(|entry| entry["version"] == 1));
    let remit = Remit::up_at(place, &[]);
    assert_eq!(version(&remit), kept.version);
    let entry = remit.place().log_of("configuration").pop().unwrap();
    assert_eq!((&entry["version"], &entry["by"], &entry["digest"]), (&json!(2), &json!("alice"), &json!(kept.entry.digest)));
    assert_eq!(verdict(&remit.client("agent-1", "a").call("a___echo", "{}")), "tool_not_permitted");
    remit.stop();
}

#[test]
fn a_crash_leaves_the_old_version_or_the_new_one() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let mut remit = Remit::up(&good);
    let directories =
        [directory(remit.place(), "open", &good), directory(remit.place(), "closed", &without(&good, "agent-1", "a___echo"))];
    let (mut landed, mut is_closed) = ([0, 0], false);
    for round in 0_u32..12 {
        let before = version(&remit);
        let next = &directories[usize::from(!is_closed)];
        let (path, data, pid) = (text(next).to_owned(), remit.place().data(), remit.pid());
        let started = Instant::now();
        let change =
            std::thread::spawn(move || run(&["apply", &path, "--reason", "x", "--json", "--data", text(&data)], None).code);
        // At another moment each time: from before the request comes to after it was answered.
        while started.elapsed().as_millis() < u128::from(round) * 12 {
            std::thread::yield_now();
        }
        signal("KILL", pid);
        let answered = change.join().unwrap() == 0;
        let place = remit.wait().0;
        place.verify();
        remit = Remit::up_at(place, &[]);
        let now = version(&remit);
        assert!(now == before || now == before + 1, "{before} {now}");
        assert!(!answered || now == before + 1, "what was answered is kept");
        landed[usize::from(now > before)] += 1;
        is_closed ^= now > before;
        // The newest version, the journal's last word and what is decided are one.
        let (_, history) = cli(&remit, &["history"]);
        let head = &history["versions"][0];
        assert_eq!(head["version"], now);
        let recorded = remit.place().log_of("configuration").pop().unwrap();
        assert_eq!((&recorded["version"], &recorded["digest"]), (&head["version"], &head["digest"]));
        let (_, same) = cli(&remit, &["plan", text(&directories[usize::from(is_closed)])]);
        assert_eq!(same["unchanged"], true, "{same}");
        let open = verdict(&remit.client("agent-1", "a").call("a___echo", "{}")) == "ok";
        assert_eq!(open, !is_closed, "round {round}");
    }
    eprintln!("killed before the change landed {} times, after it {} times", landed[0], landed[1]);
    remit.stop();
}
