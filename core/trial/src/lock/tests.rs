#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

use super::*;
use remit_model::ToolClass;

const TOOL: &str = r#"{"name":"look","description":"a/b é","inputSchema":{"type":"object","properties":{"n":{"type":"number","maximum":1.50}}},"annotations":{"readOnlyHint":true}}"#;

fn key(server: &str) -> ServerKey {
    let (account, name) = server.split_once('/').unwrap();
    ServerKey { account: AccountId::new(account).unwrap(), name: ServerName::new(name).unwrap() }
}

fn lock() -> Lock {
    let pin = Pin {
        digest: ToolDefinition::read(TOOL).unwrap().digest,
        definition: TOOL.to_owned(),
        accepted_by: "me".to_owned(),
        accepted_at_secs: 7,
    };
    Lock::of([(PinKey { server: key("111122223333/obs"), tool: "look".to_owned() }, pin)]).unwrap()
}

fn told(text: &str) -> String {
    let faults = Lock::read(LOCK_FILE, text).unwrap_err();
    faults.iter().map(|fault| format!("{}:{}:{} {}\n", fault.line, fault.column, fault.pointer, fault.what)).collect()
}

#[test]
fn what_is_written_is_read_again_and_every_tool_is_intact() {
    let text = lock().to_text();
    let read = Lock::read(LOCK_FILE, &text).unwrap();
    assert_eq!(read.to_text(), text);
    assert_eq!(read.counts(), (1, 1));
    let catalogue = read.catalogue();
    let tool = ToolDefinition::read(&catalogue.servers[&key("111122223333/obs")].tools[0]).unwrap();
    assert_eq!((tool.class, tool.digest.as_str()), (ToolClass::ReadOnly, ToolDefinition::read(TOOL).unwrap().digest.as_str()));
    assert_eq!(catalogue.pins.len(), 1);
}

#[test]
fn a_definition_that_was_edited_is_refused_with_its_place() {
    let text = lock().to_text().replace("a/b é", "transfers everything");
    let said = told(&text);
    assert!(said.starts_with("21:19:/servers/111122223333~1obs/look the digest doesn't fit the definition"), "{said}");
}

#[test]
fn every_fault_is_told_in_one_run() {
    let said = told(
        r#"{"version": 1, "more": 2, "servers": {
  "obs": {},
  "111122223333/a": [],
  "111122223333/b": {"t": {"digest": "sha256:00"}, "u": {"digest": "x", "definition": {"name": "u"}}, "v": {"digest": 1, "definition": {"name": "w", "inputSchema": {"type": "object"}}}}
}}"#,
    );
    assert_eq!(
        said,
        "1:24:/more a lock has no key `more`\n\
         2:10:/servers/obs this is no server\n\
         3:21:/servers/111122223333~1a an object is expected here\n\
         4:27:/servers/111122223333~1b/t a locked tool needs `digest` and `definition`\n\
         4:87:/servers/111122223333~1b/u the tool can't be offered: it has no `inputSchema` object\n\
         4:136:/servers/111122223333~1b/v it stands under `v` and names itself otherwise\n"
    );
    assert!(told("{\"version\": 2}").contains("no lock of version 1"));
    assert!(told("{\"version\": 1, \"version\": 1}").contains("duplicate key"));
    assert!(told("[]").contains("an object is expected"));
    assert!(told("").contains("no acceptable JSON"));
}
