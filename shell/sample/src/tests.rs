//! Every sample server, in both eras.

#![expect(clippy::needless_pass_by_value, reason = "a test writes its JSON where it needs it")]

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use remit_config::{SourceFile, is_source};
use remit_kernel::catalogue::{Catalogue, PinState, ServerCatalogue};
use remit_kernel::snapshot::Snapshot;
use remit_model::{Risk, ToolClass};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::stdio::dialogue;
use crate::{Access, HttpServer, NAMES};

const META: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({ META: "2026-07-28", CAPABILITIES: { "elicitation": { "form": {} } } });
    request(id, method, params)
}

fn initialize(capabilities: Value) -> Value {
    let client = json!({ "name": "test", "version": "1" });
    request(0, "initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": client }))
}

fn transfer() -> Value {
    json!({ "name": "transfer", "arguments": { "from": "ACC-1001", "to": "ACC-1002", "amount_cents": 100, "memo": "goodwill" } })
}

#[test]
fn every_tool_has_good_schemas_and_every_server_speaks_both_eras() {
    for name in NAMES {
        let lines = [
            initialize(json!({})),
            request(1, "tools/list", json!({})),
            modern(2, "server/discover", json!({})),
            modern(3, "tools/list", json!({})),
        ];
        let said = dialogue(name, &lines);
        assert_eq!(said[0]["result"]["protocolVersion"], "2025-06-18");
        assert!(said[1]["result"]["resultType"].is_null());
        assert!(said[2]["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
        assert_eq!((&said[3]["result"]["resultType"], &said[3]["result"]["cacheScope"]), (&json!("complete"), &json!("private")));
        assert_eq!(said[1]["result"]["tools"], said[3]["result"]["tools"]);
        for tool in said[1]["result"]["tools"].as_array().unwrap() {
            for schema in ["inputSchema", "outputSchema"] {
                assert!(jsonschema::draft202012::meta::is_valid(&tool[schema]), "{tool}");
                assert_eq!(tool[schema]["additionalProperties"], false);
            }
            assert!(tool["annotations"]["readOnlyHint"].is_boolean());
        }
    }
}

#[test]
fn the_helpdesk_really_keeps_tickets_and_its_results_fit_their_schemas() {
    let call = |id: u64, name: &str, arguments: Value| request(id, "tools/call", json!({ "name": name, "arguments": arguments }));
    let said = dialogue(
        "helpdesk",
        &[
            initialize(json!({})),
            request(1, "tools/list", json!({})),
            call(2, "search_kb", json!({ "query": "password reset" })),
            call(3, "get_ticket", json!({ "ticket_id": "TCK-1001" })),
            call(4, "close_ticket", json!({ "ticket_id": "TCK-1001", "resolution": "Sent a new link." })),
            call(5, "get_ticket", json!({ "ticket_id": "TCK-1001" })),
            call(6, "delete_ticket", json!({ "ticket_id": "TCK-1001" })),
            call(7, "get_ticket", json!({ "ticket_id": "TCK-1001" })),
            call(8, "get_ticket", json!({ "ticket_id": "1001; drop" })),
            call(9, "list_tickets", json!({ "status": "open", "more": 1 })),
            request(10, "resources/read", json!({ "uri": "kb://articles/reset-password" })),
            request(11, "prompts/get", json!({ "name": "answer_customer", "arguments": { "ticket_id": "TCK-1002" } })),
        ],
    );
    let tools = said[1]["result"]["tools"].as_array().unwrap();
    for (answer, name) in [(2, "search_kb"), (3, "get_ticket"), (4, "close_ticket"), (6, "delete_ticket")] {
        let schema = &tools.iter().find(|tool| tool["name"] == name).unwrap()["outputSchema"];
        assert!(jsonschema::is_valid(schema, &said[answer]["result"]["structuredContent"]), "{name}");
    }
    assert_eq!(said[2]["result"]["structuredContent"]["articles"][0]["uri"], "kb://articles/reset-password");
    assert_eq!(said[3]["result"]["structuredContent"]["status"], "open");
    assert_eq!(said[5]["result"]["structuredContent"]["status"], "closed");
    for failed in [7, 8, 9] {
        assert_eq!(said[failed]["result"]["isError"], true, "{}", said[failed]);
    }
    assert!(said[10]["result"]["contents"][0]["text"].as_str().unwrap().contains("30 minutes"));
    assert!(said[11]["result"]["messages"][0]["content"]["text"].as_str().unwrap().contains("Contoso"));
}

#[test]
fn a_transfer_asks_the_user_of_a_legacy_client() {
    let answer =
        |action: &str| json!({ "jsonrpc": "2.0", "id": "ask-1", "result": { "action": action, "content": { "confirm": true } } });
    let balance = request(2, "tools/call", json!({ "name": "get_account", "arguments": { "account_id": "ACC-1002" } }));
    let before = [initialize(json!({ "elicitation": {} })), request(1, "tools/call", transfer())];
    for (action, cents) in [("accept", 15_000), ("decline", 14_900)] {
        let said = dialogue("ledger", &[before[0].clone(), before[1].clone(), answer(action), balance.clone()]);
        assert_eq!(said[1]["method"], "elicitation/create");
        assert_eq!((&said[2]["id"], said[2]["result"]["isError"] == json!(action == "decline")), (&json!(1), true));
        assert_eq!(said[3]["result"]["structuredContent"]["balance_cents"], cents);
    }
    let said = dialogue("ledger", &[initialize(json!({})), before[1].clone()]);
    assert_eq!(said[1]["result"]["isError"], true);
}

/// One request over HTTP: status, headers and, if it is JSON or one event, the message.
async fn post(url: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, Value) {
    let authority = url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap();
    let stream = TcpStream::connect(authority).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post("/mcp").header("host", authority).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body.to_string()))).unwrap()).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let frame = body.frame().await.and_then(|frame| frame.unwrap().into_data().ok()).unwrap_or_default();
    let text = String::from_utf8(frame.to_vec()).unwrap();
    let text = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text).to_owned();
    (parts.status.as_u16(), parts.headers, serde_json::from_str(&text).unwrap_or_default())
}

async fn start(name: &str, access: Access) -> String {
    let server = HttpServer::bind(name, 0, access).await.unwrap();
    let url = server.url().unwrap();
    tokio::spawn(server.serve());
    url
}

#[tokio::test]
async fn a_transfer_asks_the_user_of_a_modern_client_and_a_state_is_good_once() {
    let url = start("ledger", Access::Open).await;
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "transfer")];
    let (status, _, asked) = post(&url, &modern(1, "tools/call", transfer()), &headers).await;
    assert_eq!((status, &asked["result"]["resultType"]), (200, &json!("input_required")), "{asked}");
    assert_eq!(asked["result"]["inputRequests"]["confirm"]["method"], "elicitation/create");
    let mut again = transfer();
    again["inputResponses"] = json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
    let (_, _, unsealed) = post(&url, &modern(2, "tools/call", again.clone()), &headers).await;
    assert_eq!(unsealed["error"]["code"], -32602);
    again["requestState"] = asked["result"]["requestState"].clone();
    let mut more = again.clone();
    more["arguments"]["amount_cents"] = json!(1_000_000);
    let (_, _, changed) = post(&url, &modern(3, "tools/call", more), &headers).await;
    assert_eq!(changed["error"]["code"], -32602);
    let (_, _, done) = post(&url, &modern(4, "tools/call", again.clone()), &headers).await;
    assert_eq!(done["result"]["structuredContent"]["transaction_id"], "TXN-5003", "{done}");
    assert_eq!(done["result"]["resultType"], "complete");
    let (_, _, replayed) = post(&url, &modern(5, "tools/call", again), &headers).await;
    assert_eq!(replayed["error"]["code"], -32602);
    let (status, _, mismatch) =
        post(&url, &modern(6, "tools/call", transfer()), &[headers[0], headers[1], ("mcp-name", "get_account")]).await;
    assert_eq!((status, &mismatch["error"]["code"]), (400, &json!(-32020)));
}

#[tokio::test]
async fn sessions_elicit_on_the_stream_of_the_call() {
    let url = start("ledger", Access::Open).await;
    let (_, headers, _) = post(&url, &initialize(json!({ "elicitation": {} })), &[]).await;
    let session = headers["mcp-session-id"].to_str().unwrap().to_owned();
    let with = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-06-18")];
    let (_, headers, asked) = post(&url, &request(1, "tools/call", transfer()), &with).await;
    assert_eq!(
        (headers["content-type"].to_str().unwrap(), &asked["method"]),
        ("text/event-stream", &json!("elicitation/create"))
    );
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "accept", "content": { "confirm": true } } });
    assert_eq!(post(&url, &answer, &with).await.0, 202);
    let account = json!({ "name": "get_account", "arguments": { "account_id": "ACC-1002" } });
    let (_, _, balance) = post(&url, &request(2, "tools/call", account), &with).await;
    assert_eq!(balance["result"]["structuredContent"]["balance_cents"], 15_000);
    assert_eq!(post(&url, &request(3, "tools/list", json!({})), &[("mcp-session-id", "other")]).await.0, 404);
    assert_eq!(post(&url, &request(3, "tools/list", json!({})), &[]).await.0, 400);
}

#[tokio::test]
async fn keys_and_origins_are_checked() {
    let url = start("helpdesk", Access::Key("right".to_owned())).await;
    let hello = initialize(json!({}));
    assert_eq!(post(&url, &hello, &[]).await.0, 401);
    assert_eq!(post(&url, &hello, &[("authorization", "Bearer wrong")]).await.0, 401);
    assert_eq!(post(&url, &hello, &[("authorization", "Bearer right")]).await.0, 200);
    assert_eq!(post(&url, &hello, &[("x-api-key", "right")]).await.0, 200);
    assert_eq!(post(&url, &hello, &[("x-api-key", "right"), ("origin", "https://evil.example")]).await.0, 403);
    let first = start("helpdesk", Access::FirstKey).await;
    assert_eq!(post(&first, &hello, &[]).await.0, 401);
    assert_eq!(post(&first, &hello, &[("x-api-key", "a")]).await.0, 200);
    assert_eq!(post(&first, &hello, &[("x-api-key", "b")]).await.0, 401);
}

/// The organization of `examples/acme`.
fn acme() -> remit_model::Organization {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme");
    let (mut files, mut directories) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap().path();
            let path = entry.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                directories.push(entry);
            } else if is_source(&path) {
                files.push(SourceFile { text: std::fs::read_to_string(entry).unwrap(), path });
            }
        }
    }
    remit_config::read(&files).unwrap().organization
}

/// The example and the servers agree: every listed tool is there, within its space's mandate, and of the risk that the tour
/// speaks of.
#[test]
fn acme_meets_its_servers() {
    let organization = Arc::new(acme());
    let mut catalogue = Catalogue::default();
    for key in organization.servers.keys() {
        let said = dialogue(key.name.as_str(), &[modern(1, "tools/list", json!({}))]);
        let tools = said[0]["result"]["tools"].as_array().unwrap().iter().map(|tool| tool.to_string().into()).collect();
        let live = ServerCatalogue { tools, ..ServerCatalogue::default() };
        catalogue.pins.extend(Catalogue::first_pins(key, &live, &|_| true, 0));
        catalogue.servers.insert(key.clone(), Arc::new(live));
    }
    let snapshot = Snapshot::compile(1, organization, &catalogue);
    assert_eq!(snapshot.findings, Vec::new());
    let tool = |space: &str, name: &str| {
        snapshot.spaces[space].tools.get(name).map(|tool| (tool.class, tool.risk, tool.pin == PinState::Intact))
    };
    assert_eq!(tool("support", "helpdesk___search_kb"), Some((ToolClass::ReadOnly, Risk::Low, true)));
    assert_eq!(tool("support", "helpdesk___close_ticket"), Some((ToolClass::Mutative, Risk::High, true)));
    assert_eq!(tool("support", "helpdesk___delete_ticket"), None);
    assert_eq!(tool("finance", "ledger___transfer"), Some((ToolClass::Destructive, Risk::Critical, true)));
    assert_eq!(tool("incident-review", "observability___open_incident"), None);
    let schema = &snapshot.spaces["support"].tools["helpdesk___get_ticket"].schema;
    assert!(schema.faults(&json!({ "ticket_id": "TCK-1001" })).is_empty());
    assert!(!schema.faults(&json!({ "ticket_id": "1001; drop" })).is_empty());
}
