//! Tools and conditions that are made so that something seems to hold which doesn't, or so that the analysis never ends.

use std::collections::BTreeMap;

use remit_cedar::{File, Mode, Source, read_condition};
use remit_kernel::invariant::Standing;
use serde_json::{Value, json};

use crate::{World, allowed, solver};

const ALL: &str = "permit (principal, action, resource);";

#[test]
fn a_schema_that_a_validator_reads_otherwise_proves_nothing() {
    let bounded = json!({"amount": {"type": "integer", "minimum": 0, "maximum": 1000}});
    let some = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let whole = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    let none = "permit (principal, action, resource) when { !(context.input.rec has a) };";
    let cases: [(&str, &str, Value, Value); 4] = [
        // A dialect whose vocabulary has no bounds: a validator reads over them.
        (
            ALL,
            "context.input.amount > 1000",
            json!({"$schema": "https://json-schema.org/draft/2020-12/meta/core", "type": "object", "properties": bounded, "required": ["amount"]}),
            json!({"amount": 2000}),
        ),
        // A reference within a document of its own within the document.
        (
            none,
            "true",
            json!({"type": "object", "$defs": {"r": whole}, "required": ["rec"], "properties":
                {"rec": {"$id": "urn:other", "$defs": {"r": some}, "$ref": "#/$defs/r"}}}),
            json!({"rec": {}}),
        ),
        // The same as draft 4 writes it.
        (
            "permit (principal, action, resource) when { !(context.input.rec.x has a) };",
            "true",
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "definitions": {"r": whole}, "required": ["rec"],
                "properties": {"rec": {"id": "urn:other", "definitions": {"r": some}, "type": "object", "required": ["x"],
                    "properties": {"x": {"$ref": "#/definitions/r"}}}}}),
            json!({"rec": {"x": {}}}),
        ),
        // A reference whose letters are escaped as in an address.
        (
            none,
            "true",
            json!({"type": "object", "$defs": {"a b": some, "a%20b": whole}, "required": ["rec"], "properties": {"rec": {"$ref": "#/$defs/a%20b"}}}),
            json!({"rec": {}}),
        ),
    ];
    for (policies, when, schema, arguments) in cases {
        let world = World { schema, ..World::new(policies, when) };
        assert!(allowed(&world.snapshot(), "agent-1", &arguments, &BTreeMap::new()), "{}", world.schema);
        let found = world.check(Ok(solver()));
        assert_ne!(found.standing, Standing::Holds, "{}: {found:?}", world.schema);
    }
    // A dialect that is known, with a name of its own, proves what it did.
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "urn:pay", "type": "object", "properties": bounded, "required": ["amount"]});
    let world = World { schema, ..World::new(ALL, "context.input.amount > 1000") };
    assert_eq!(world.check(Ok(solver())).standing, Standing::Holds);
}

#[test]
fn depth_ends_in_a_fault_and_not_in_the_process() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{a:", "}")] {
        let deep = format!("{}1{}", open.repeat(1000), close.repeat(1000));
        assert!(read_condition(&deep).unwrap_err().what.contains("brackets"));
        let text = format!("permit (principal, action, resource) when {{ {deep} == 1 }};");
        let faults = Source::read(Mode::Active, vec![File { path: "a.dw".into(), text, mode: Mode::Active }]).unwrap_err();
        assert!(faults[0].what.contains("brackets") && faults[0].path == "a.dw", "{faults:?}");
    }
    // What is no bracket counts for none.
    read_condition(&format!("context.input.note == \"{}\" // {}", "(".repeat(500), "[".repeat(500))).unwrap();
    read_condition(&format!("{}true{}", "(".repeat(50), ")".repeat(50))).unwrap();
}

#[test]
fn choices_within_choices_are_not_translated_for_ever() {
    let choices = |count: usize| {
        let condition = format!(
            "{}context.input.amount <= 500{}",
            "if context.input.urgent then ".repeat(count),
            " else false".repeat(count)
        );
        format!("permit (principal, action, resource) when {{ {condition} }};")
    };
    let found = World::new(&choices(8), "context.input.amount > 500").check(Ok(solver()));
    assert_eq!(found.standing, Standing::Holds, "{found:?}");
    let found = World::new(&choices(60), "context.input.amount > 500").check(Ok(solver()));
    assert_eq!(found.standing, Standing::Unknown, "{found:?}");
    assert!(found.open.iter().all(|open| open.why.contains("nested too deeply")), "{found:?}");
}
