//! Rows in other forms: there and back again, and every fault with its row.

use proptest::prelude::*;
use remit_config::SourceFile;
use remit_model::{AgentId, Risk};
use remit_trial::registry::{Form, Placed, Row, faults_of_rows, qualify, read, write, write_batches, yaml};

use crate::{organization, sources};

fn placed(rows: &[Row]) -> Vec<Placed> {
    rows.iter().enumerate().map(|(n, row)| Placed { row: row.clone(), number: n + 1, line: 1 }).collect()
}

fn bare(placed: Vec<Placed>) -> Vec<Row> {
    placed.into_iter().map(|placed| placed.row).collect()
}

fn told(form: Form, text: &str) -> String {
    let faults = read(form, "rows", text, &[]).map(|rows| rows.len()).unwrap_err();
    faults.iter().map(|fault| format!("{} {}\n", fault.line, fault.what)).collect()
}

/// What a configuration with a file of rows says.
fn configured(text: &str) -> Vec<Row> {
    let mut files: Vec<SourceFile> = sources().into_iter().filter(|file| file.path != "tool-policies.yaml").collect();
    files.push(SourceFile { path: "tool-policies.yaml".to_owned(), text: text.to_owned() });
    let loaded = remit_config::read(&files).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
    loaded.organization.tool_policies.iter().map(Row::from).collect()
}

#[test]
fn the_sample_organizations_registry_goes_through_every_form() {
    let rows: Vec<Row> = organization().tool_policies.iter().map(Row::from).collect();
    assert_eq!(rows.len(), 19);
    for (name, form) in Form::NAMED {
        let back = read(form, "rows", &write(form, &rows), &[]).unwrap();
        let text = yaml(&back, name, "rows").unwrap();
        assert_eq!(bare(back), rows, "{name}");
        assert_eq!(configured(&text), rows, "{name}");
    }
    let batches = write_batches("agent-governance-tool-policy", &rows.iter().cycle().take(60).cloned().collect::<Vec<_>>());
    let sizes: Vec<usize> = batches
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["agent-governance-tool-policy"].as_array().unwrap().len()
        })
        .collect();
    assert_eq!(sizes, [25, 25, 10]);
    let one = write_batches("t", &rows);
    assert_eq!(bare(read(Form::DynamodbJson, "rows", &one, &[]).unwrap()), rows);
}

prop_compose! {
    fn row()(
        agent in "[A-Za-z0-9_.-]{3,20}",
        tool in "[^\\x00-\\x1f\\x7f-\\x9f*]{0,20}[^\\x00-\\x20\\x7f-\\xa0*\\s][*]?",
        allowed in any::<bool>(),
        risk in 0_usize..4,
    ) -> Row {
        Row { agent: AgentId::new(&agent).unwrap(), tool, allowed, risk_max: Risk::ALL[risk] }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    /// The law: what is written is read back as it was, whatever stands in it, in every form.
    #[test]
    fn what_is_written_is_read_back(rows in prop::collection::vec(row(), 1..20)) {
        let mut seen = std::collections::HashSet::new();
        let rows: Vec<Row> = rows.into_iter().filter(|row| seen.insert((row.agent.clone(), row.tool.clone()))).collect();
        for (_, form) in Form::NAMED {
            let text = write(form, &rows);
            let back = read(form, "rows", &text, &[]);
            prop_assert_eq!(back.map(bare).map_err(|faults| format!("{faults:?}")), Ok(rows.clone()), "{}", text);
        }
        let back = read(Form::DynamodbJson, "rows", &write_batches("t", &rows), &[]);
        prop_assert_eq!(back.map(bare).map_err(|faults| format!("{faults:?}")), Ok(rows));
    }

    /// A configuration reads the written YAML as the same rows: agents and tools as they are, however odd.
    #[test]
    fn yaml_says_the_same(rows in prop::collection::vec(row(), 1..20)) {
        let text = yaml(&placed(&rows), "a\nb", "rows").unwrap();
        let sink = remit_config::item::Sink::default();
        let parsed = remit_config::yaml::parse("rows.yaml", &text, &sink);
        prop_assert_eq!(sink.into_faults(), Vec::new());
        let list = parsed.documents[0].get("tool_policies").unwrap().nodes();
        let said = |node: &remit_config::yaml::Node, key: &str| match node.get(key).map(|node| &node.value) {
            Some(remit_config::yaml::Value::Text(text)) => text.clone(),
            Some(remit_config::yaml::Value::Bool(flag)) => flag.to_string(),
            None => "true".to_owned(),
            other => format!("{other:?}"),
        };
        prop_assert_eq!(list.len(), rows.len());
        for ((n, node), row) in list.iter().enumerate().zip(&rows) {
            prop_assert_eq!(node.at.line, n + 3);
            prop_assert_eq!(said(node, "agent"), row.agent.as_str());
            prop_assert_eq!(said(node, "tool"), row.tool.as_str());
            prop_assert_eq!(said(node, "allowed"), row.allowed.to_string());
            prop_assert_eq!(said(node, "max_risk"), row.risk_max.as_str());
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,200}", cut in 0_usize..400) {
        let row = |tool: &str| Row { agent: AgentId::new("agent").unwrap(), tool: tool.to_owned(), allowed: true, risk_max: Risk::Low };
        let rows = [row("a___\"b,c\""), row("é\u{1f600}"), row("a\nb")];
        for (_, form) in Form::NAMED {
            let _ = read(form, "rows", &text, &[]);
            let mut whole = write(form, &rows);
            whole.truncate(whole.floor_char_boundary(cut));
            let _ = read(form, "rows", &whole, &[]);
        }
    }
}

#[test]
fn every_shape_that_awss_tools_print_is_read() {
    let item = r#"{"agent_id":{"S":"agent-ops-1"},"tool_id":{"S":"a___b"},"allowed":{"BOOL":true},"max_risk":{"S":"high"}}"#;
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(item).unwrap()).unwrap();
    for text in [
        format!(r#"{{"Items":[{item}],"Count":1,"ScannedCount":1,"ConsumedCapacity":null}}"#),
        format!("{{\"Items\":[{pretty}],\n\"Count\":1}}\n"),
        format!(r#"{{"Item":{item}}}"#),
        item.to_owned(),
        pretty.clone(),
        format!("[{item}]"),
        format!(r#"[{{"Item":{item}}}]"#),
        format!(r#"{{"agent-governance-tool-policy":[{{"PutRequest":{{"Item":{item}}}}}]}}"#),
        format!("\u{feff}{item}\n"),
    ] {
        let rows = read(Form::DynamodbJson, "rows", &text, &[]).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!(rows.len(), 1, "{text}");
        let row = &rows[0].row;
        assert_eq!(
            (row.agent.as_str(), row.tool.as_str(), row.allowed, row.risk_max),
            ("agent-ops-1", "a___b", true, Risk::High)
        );
    }
    // Without `allowed` a row allows, as in a configuration; with NULL it says nothing of it.
    let text = r#"{"agent_id":{"S":"abc"},"tool_id":{"S":"a___b"},"allowed":{"NULL":true},"max_risk":{"S":"LOW"}}"#;
    assert_eq!(read(Form::DynamodbJson, "rows", text, &[]).unwrap()[0].row.risk_max, Risk::Low);
}

#[test]
fn csv_is_read_as_people_export_it() {
    for text in [
        "agent_id,tool_id,allowed,max_risk\nagent-ops-1,a___b,true,high\n",
        "\u{feff}\"agent_id\",\"tool_id\",\"allowed\",\"max_risk\"\r\n\"agent-ops-1\",\"a___b\",\"true\",\"high\"\r\n",
        "tool_id;max_risk;agent_id\na___b;HIGH;agent-ops-1",
        "Agent_ID\tTool_ID\tMax_Risk\tAllowed\nagent-ops-1\ta___b\thigh\tTRUE\n\n",
        "agent_id,tool_id,allowed,max_risk\n\nagent-ops-1,a___b,,high\n",
    ] {
        let rows = read(Form::Csv, "rows", text, &[]).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        let row = &rows[0].row;
        assert_eq!(rows.len(), 1, "{text}");
        assert_eq!(
            (row.agent.as_str(), row.tool.as_str(), row.allowed, row.risk_max),
            ("agent-ops-1", "a___b", true, Risk::High)
        );
    }
    let text = "agent_id,tool_id,allowed,max_risk\nabc,\"a___resources/x,\"\"y\"\"\",false,\n";
    let row = &read(Form::Csv, "rows", text, &[]).unwrap()[0].row;
    assert_eq!((row.tool.as_str(), row.allowed), ("a___resources/x,\"y\"", false));
}

#[test]
fn every_fault_is_told_with_its_row() {
    let text = "agent_id,tool_id,allowed,max_risk\nab,a___b,true,high\nabc,,true,high\nabc,a___*b,true,high\nabc,a___b,maybe,high\nabc,a___b,true,severe\nabc,a___c,true,\nabc,a___d,true\nabc,a___e,true,low\nabc,a___e,false,low\n";
    assert_eq!(
        told(Form::Csv, text),
        "2 row 1: `ab` is not an agent id: 3 to 255 of letters, digits, `_`, `.` and `-`\n\
         3 row 2: it has no `tool_id`\n\
         4 row 3: `a___*b` is no tool\n\
         5 row 4: `allowed` is `maybe`\n\
         6 row 5: `max_risk` is `severe`\n\
         7 row 6: it allows, and has no `max_risk`\n\
         8 row 7: it has 3 values, and the first line 4 names\n\
         10 row 9: row 8 is for abc and `a___e` already\n"
    );
    for (text, fault) in [
        ("", "the first line doesn't name the attributes"),
        ("agent,tool\n", "the first line doesn't name the attributes"),
        ("agent_id,tool_id\n", "there is no row in it"),
        ("agent_id,tool_id,max_rsik\nabc,a,low\n", "an attribute `max_rsik` that a row doesn't have; did you mean `max_risk`?"),
        ("agent_id,tool_id,tool_id\nabc,a,low\n", "`tool_id` stands twice"),
        ("agent_id,tool_id,max_risk\nabc,\"a,low\n", "a quote isn't closed"),
        ("agent_id,tool_id,max_risk\nabc,\"a\"b,low\n", "something follows a closing quote"),
        ("agent_id,tool_id,max_risk\nabc,a\"b,low\n", "a quote stands inside a value"),
    ] {
        assert!(told(Form::Csv, text).contains(fault), "{text}: {}", told(Form::Csv, text));
    }
    let good = r#"{"agent_id":{"S":"abc"},"tool_id":{"S":"a___b"},"max_risk":{"S":"low"}}"#;
    for (text, fault) in [
        (String::new(), "1 there is no row in it"),
        ("{".to_owned(), "1 this is no JSON"),
        (format!("{good}\n7\n"), "2 this is neither an item nor a list of them"),
        (
            format!("{{\"Items\":[{good}],\"LastEvaluatedKey\":{{}}}}"),
            "`LastEvaluatedKey` says that there are more rows than these",
        ),
        (format!("{{\"Items\":[{good}],\"NextToken\":\"x\"}}"), "`NextToken` says that there are more rows than these"),
        ("{\"Items\":{}}".to_owned(), "`Items` is no list"),
        (format!("{good}\n{}", good.replace("\"S\":\"low\"", "\"N\":\"1\"")), "2 row 2: `max_risk` has the type `N`"),
        (good.replace("{\"S\":\"low\"}", "\"low\""), "`max_risk` doesn't say which type it is"),
        (good.replace("{\"S\":\"low\"}", "{\"S\":\"low\",\"S\":\"high\"}"), "this is no acceptable JSON"),
        (good.replacen("\"max_risk\"", "\"Max_Risk\":{\"S\":\"high\"},\"max_risk\"", 1), "row 1: it says `max_risk` twice"),
        (good.replace("max_risk", "expires_at"), "row 1: it has an attribute `expires_at` that a row doesn't have"),
        (format!("[{good},\n 7]"), "2 row 2: it is no object"),
        ("{\"t\":[{\"DeleteRequest\":{\"Key\":{}}}]}".to_owned(), "`DeleteRequest` takes a row away"),
        ("{\"t\":[{\"PutRequest\":{}}]}".to_owned(), "`PutRequest` holds one `Item`"),
        ("{\"UnprocessedItems\":{}}".to_owned(), "this is no item, no page and no request"),
        (format!("{good}{good}"), "row 2: row 1 is for abc and `a___b` already"),
    ] {
        assert!(told(Form::DynamodbJson, &text).contains(fault), "{text}: {}", told(Form::DynamodbJson, &text));
    }
    // A secret that strayed into a column is not repeated.
    let said = told(Form::Csv, "agent_id,tool_id,max_risk\nabc,a___b,ghp_0123456789abcdef0123456789abcdef0123\n");
    assert_eq!(said, "2 row 1: `max_risk` is (a text that looks like a secret)\n");
    // An attribute that is left out by name says nothing.
    let text = "agent_id,tool_id,max_risk,owner\nabc,a___b,low,me\n";
    assert!(read(Form::Csv, "rows", text, &[]).is_err());
    assert_eq!(read(Form::Csv, "rows", text, &["owner".to_owned()]).unwrap().len(), 1);
}

#[test]
fn what_a_configuration_finds_wrong_is_told_of_the_row() {
    let text = "agent_id,tool_id,max_risk\nagent-ops-1,observability___search_logs,low\nagent-nobody,observability___search_logs,low\nagent-ops-1,search_logs,low\n";
    let mut rows = read(Form::Csv, "rows.csv", text, &[]).unwrap();
    let made = yaml(&rows, "rows.csv", "rows.csv").unwrap();
    let mut files: Vec<SourceFile> = sources().into_iter().filter(|file| file.path != "tool-policies.yaml").collect();
    files.push(SourceFile { path: "rows.yaml".to_owned(), text: made });
    let faults = faults_of_rows(remit_config::read(&files).unwrap_err(), "rows.yaml", "rows.csv", &rows);
    let told: Vec<String> = faults.iter().map(|fault| format!("{}:{} {}", fault.file, fault.line, fault.what)).collect();
    assert_eq!(
        told,
        [
            "rows.csv:3 row 2: there is no agent `agent-nobody`",
            "rows.csv:4 row 3: `search_logs` doesn't say which server's tool it is"
        ]
    );
    let organization = organization();
    qualify(&organization, "rows.csv", &mut rows).unwrap();
    assert_eq!(rows[2].row.tool, "observability___search_logs");
    let text = "agent_id,tool_id,max_risk\nagent-ops-1,open,low\nagent-support-1,search_logs,low\n";
    let faults = qualify(&organization, "rows.csv", &mut read(Form::Csv, "rows.csv", text, &[]).unwrap()).unwrap_err();
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[1].what, "row 2: no server list `search_logs` in the spaces of agent-support-1");
}

#[test]
fn more_rows_than_a_file_holds_are_refused() {
    let row =
        |n: usize| Row { agent: AgentId::new("abc").unwrap(), tool: format!("a___{n}"), allowed: true, risk_max: Risk::Low };
    let rows: Vec<Row> = (0..10_001).map(row).collect();
    assert!(yaml(&placed(&rows[..10_000]), "a", "b").is_ok());
    assert!(yaml(&placed(&rows), "a", "b").unwrap_err().what.contains("10001 rows"));
}
