//! Definitions with a fault and their harmless twins, in `tests/definitions`: one file a kind, and what is found in each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use remit_kernel::definitions::{FIRST_REGISTRATION, INSTRUCTIONS, Severity, findings, instructions_pin};
use remit_kernel::{Catalogue, PinKey, PinState, ServerCatalogue};
use remit_model::{
    AccountId, FindingsAdmitted, ProtocolChoice, ResultWord, Sandbox, Server, ServerKey, ServerLimits, ServerName, Transport,
};
use serde_json::Value;

/// What is found in servers that are offered together: the rule, and in one line what and where.
pub(crate) type Found = BTreeSet<(String, String)>;

/// The kind that was written when the rules were done: nothing is tuned on it.
pub(crate) const HELD_OUT: &str = "held-out";

/// The kinds, each with its pairs: `name`, `finds`, `poisoned`, `twin`.
pub(crate) fn kinds() -> Vec<(String, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let pairs = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), pairs)
    };
    files.iter().map(read).collect()
}

/// Whether what a pair is about is found in its poisoned side.
pub(crate) fn is_found(pair: &Value, found: &Found) -> bool {
    let finds = pair["finds"].as_array().unwrap();
    found.iter().any(|(rule, _)| finds.iter().any(|one| one == rule.as_str()))
}

/// What is found in one side: `servers` as they are offered, after `accepted` was accepted at first sight.
pub(crate) fn found(side: &Value) -> Found {
    let offered = |servers: &Value| -> Vec<(ServerKey, Arc<ServerCatalogue>)> {
        servers.as_array().into_iter().flatten().map(|server| (key(server["name"].as_str().unwrap()), live(server))).collect()
    };
    let mut catalogue = Catalogue::default();
    let accepted = offered(&side["accepted"]);
    for (key, live) in &accepted {
        catalogue.pins.extend(Catalogue::first_pins(key, live, &|_| true, 0));
        let own = PinKey { server: key.clone(), tool: INSTRUCTIONS.to_owned() };
        catalogue.pins.insert(own, instructions_pin(live.instructions.as_deref(), FIRST_REGISTRATION, 0));
    }
    catalogue.servers = offered(&side["servers"]).into_iter().collect();
    let mut all: Found = findings(&catalogue)
        .into_iter()
        .filter(|finding| finding.severity >= Severity::Medium)
        .map(|finding| (finding.rule.to_owned(), finding.told()))
        .collect();
    for (key, _) in &accepted {
        let tools = catalogue.tools(&registered(key), FindingsAdmitted::Medium).0;
        let drifted = tools.iter().filter(|tool| tool.state != PinState::Intact);
        all.extend(drifted.map(|tool| ("DRIFT".to_owned(), format!("{key} {}", tool.definition.name))));
        let own = catalogue.instructions(key, FindingsAdmitted::Medium).unwrap();
        if own.state != PinState::Intact {
            all.insert(("DRIFT".to_owned(), format!("{key} {INSTRUCTIONS}")));
        }
    }
    all
}

/// A server's place.
pub(crate) fn key(name: &str) -> ServerKey {
    ServerKey { account: AccountId::new("111122223333").unwrap(), name: ServerName::new(name).unwrap() }
}

/// What a server offers.
pub(crate) fn live(server: &Value) -> Arc<ServerCatalogue> {
    Arc::new(ServerCatalogue {
        tools: server["tools"].as_array().unwrap().iter().map(|tool| tool.to_string().into()).collect(),
        instructions: server["instructions"].as_str().map(str::to_owned),
        ..ServerCatalogue::default()
    })
}

/// A registration of it.
pub(crate) fn registered(key: &ServerKey) -> Server {
    let (protocol, sandbox) = (ProtocolChoice::Auto, Sandbox::default());
    Server {
        account: key.account.clone(),
        name: key.name.clone(),
        transport: Transport::Stdio { command: Vec::new(), env: BTreeMap::default(), protocol, sandbox },
        limits: ServerLimits::default(),
        tools: BTreeMap::default(),
        results: ResultWord::default(),
        tags: BTreeMap::default(),
        resource_policy: None,
        service_principal: None,
        zone: None,
        status: remit_model::RegistryStatus::Approved,
        registration: String::new(),
        cost: None,
    }
}
