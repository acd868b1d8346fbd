//! Laws of reading: nothing panics, the order of the files doesn't matter, and no secret is repeated.

use proptest::prelude::*;
use remit_config::{SourceFile, read};

use crate::file;

const PIECES: [&str; 34] = [
    "organization",
    "accounts",
    "servers",
    "spaces",
    "agents",
    "issuers",
    "tool_policies",
    ": ",
    "- ",
    "\n",
    "  ",
    "    ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "id",
    "name",
    "account",
    "\"111122223333\"",
    "url",
    "https://x/",
    "tools",
    "all",
    "&a ",
    "*a",
    "!!str ",
    "'",
    "\"",
    "|\n",
    "#",
    "---\n",
    "\t",
];

fn acme() -> Vec<SourceFile> {
    vec![
        file("a.yaml", "accounts: [{ id: \"111122223333\", name: ops }]\norganization: { name: A }\n"),
        file(
            "b.yaml",
            "servers: [{ name: s, url: \"https://x.example/\" }]\nspaces: [{ id: sp, region: eu, agents: [agent], servers: [{ server: s, tools: [t] }] }]\n",
        ),
        file(
            "c.yaml",
            "agents: [{ id: agent, owner: me, credentials: [client_secret] }]\ntool_policies: [{ agent: agent, tool: s___t, max_risk: low }]\n",
        ),
        file("d.json", "{\"tool_policies\": [{\"agent\": \"agent\", \"tool\": \"s___gone\", \"max_risk\": \"low\"}]}"),
        file(
            "e.yaml",
            "tool_policies: [{ agent: nobody, tool: s___t, max_risk: hihg }]\nagents: [{ id: agent, owner: twice }]\n",
        ),
        file("f.yaml", "servers: [\n"),
    ]
}

proptest! {
    #[test]
    fn nothing_panics(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..80), text in ".{0,80}") {
        let joined = pieces.concat();
        let _ = read(&[file("a.yaml", &joined), file("b.json", &text)]);
        let _ = read(&[file("a.yaml", &format!("{joined}{text}"))]);
    }

    #[test]
    fn no_part_of_a_good_text_panics_when_it_is_cut_or_changed(at in any::<prop::sample::Index>(), piece in prop::sample::select(PIECES.to_vec())) {
        let whole = include_str!("../../../../examples/acme/servers.yaml");
        let at = at.index(whole.len());
        if whole.is_char_boundary(at) {
            let _ = read(&[file("a.yaml", &whole[..at])]);
            let _ = read(&[file("a.yaml", &format!("{}{piece}{}", &whole[..at], &whole[at..]))]);
        }
    }

    #[test]
    fn the_order_of_files_does_not_matter(files in Just(acme()).prop_shuffle(), count in 0_usize..=6) {
        let some: Vec<SourceFile> = files.into_iter().take(count).collect();
        let mut sorted = some.clone();
        sorted.sort();
        let (one, other) = (read(&some), read(&sorted));
        prop_assert_eq!(one.is_ok(), other.is_ok());
        match (one, other) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
            (Err(one), Err(other)) => prop_assert_eq!(one, other),
            _ => {}
        }
    }

    #[test]
    fn no_secret_is_repeated_wherever_it_was_put(place in 0_usize..9) {
        let secret = "ghp_hunter2hunter2hunter2";
        let part = [
            format!("credential: {secret}"),
            format!("credential: {{ bearer: {secret} }}"),
            format!("credential: {{ bearer: {{ secret: {secret} }} }}"),
            format!("credential: {{ bearer: {{ value: {secret} }} }}"),
            format!("credential: {{ api_key: {{ header: x-key, value: {secret} }} }}"),
            format!("credential: {{ oauth: {{ client_id: me, client_secret: {secret} }} }}"),
            format!("credential: {{ {secret}: 1 }}"),
            format!("protocol: {secret}"),
            format!("credential: {{ api_key: {{ header: {secret}, value: {{ env: {secret} }} }} }}"),
        ][place].clone();
        let text = format!("accounts: [{{ id: \"111122223333\", name: ops }}]\nservers:\n  - name: s\n    url: https://x.example/\n    {part}\n");
        let faults = read(&[file("a.yaml", &text)]).unwrap_err();
        for fault in faults {
            let told = serde_json::to_string(&fault).unwrap();
            prop_assert!(!told.contains("hunter2"), "{}", told);
        }
    }
}

#[test]
fn limits_hold() {
    let deep = format!("accounts: {}{}", "[".repeat(100), "]".repeat(100));
    let said = |text: &str| read(&[file("a.yaml", text)]).unwrap_err()[0].what.clone();
    assert_eq!(said(&deep), "nested deeper than 32");
    assert_eq!(said(&"# \n".repeat(400_000)), "the file is larger than 1024 KiB");
    assert_eq!(said(&format!("accounts: [{}]", "1,".repeat(200_000))), "the file has more than 100000 values");
    assert_eq!(said(""), "there is no configuration here");
    let spaces: Vec<String> = (0..101).map(|n| format!("  - {{ id: s{n}, region: eu }}")).collect();
    let spaces = spaces.join("\n");
    assert_eq!(
        said(&format!("accounts: [{{ id: \"111122223333\", name: a }}]\nspaces:\n{spaces}")),
        "account 111122223333 has more than 100 spaces in eu"
    );
    let tools: Vec<String> = (0..501).map(|n| format!("t{n}")).collect();
    let many = format!(
        "accounts: [{{ id: \"111122223333\", name: a }}]\nservers: [{{ name: s, url: \"https://x/\" }}]\nspaces: [{{ id: s, region: eu, servers: [{{ server: s, tools: [{}] }}] }}]",
        tools.join(", ")
    );
    assert_eq!(said(&many), "the space lists 501 tools, and at most 500 may stand in one");
}
