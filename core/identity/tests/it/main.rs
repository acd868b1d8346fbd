//! Tests of the identity core: a table of hostile tokens, a table of token requests, and what must hold for every input.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod client;
mod endpoint;
mod openid;
mod property;
mod sigv4;
mod tokens;
mod user_request;

use std::collections::BTreeMap;

use aws_lc_rs::signature::Ed25519KeyPair;
use remit_identity::base64url_encode;
use remit_identity::jwk::{JwkSet, SigningKey};
use remit_model::{
    AccountId, Agent, AgentCredential, AgentId, ClaimRule, ClaimTest, Issuer, Network, Organization, Quotas, Region, Space,
    SpaceId, ToolClass,
};
use serde_json::{Value, json};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://remit.example";
pub(crate) const ENDPOINT: &str = "https://remit.example/oauth/token";
pub(crate) const SPACE: &str = "https://remit.example/spaces/ops/mcp";
pub(crate) const OTHER_SPACE: &str = "https://remit.example/spaces/other/mcp";
pub(crate) const IDP: &str = "https://idp.example";
pub(crate) const OWN_SEED: [u8; 32] = [1; 32];
pub(crate) const IDP_SEED: [u8; 32] = [2; 32];
pub(crate) const AGENT_SEED: [u8; 32] = [3; 32];

pub(crate) fn key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(&seed).unwrap()
}

pub(crate) fn set(seed: [u8; 32]) -> JwkSet {
    let mut set = JwkSet::default();
    set.add(&key(seed));
    set
}

/// A token of these very texts, signed properly.
pub(crate) fn raw(seed: [u8; 32], header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", base64url_encode(header.as_bytes()), base64url_encode(payload.as_bytes()));
    let signature = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().sign(signed.as_bytes());
    format!("{signed}.{}", base64url_encode(signature.as_ref()))
}

/// A token with these claims and the key's own id.
pub(crate) fn token(seed: [u8; 32], typ: &str, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": key(seed).kid(), "typ": typ });
    raw(seed, &header.to_string(), &claims.to_string())
}

/// The claims with changes: `null` takes one out.
pub(crate) fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

pub(crate) fn agent(id: &str, credentials: Vec<AgentCredential>) -> Agent {
    Agent {
        id: AgentId::new(id).unwrap(),
        account: AccountId::new("111122223333").unwrap(),
        owner: "ops@example.com".into(),
        credentials,
        suspended: false,
        tags: BTreeMap::new(),
        request_keys: None,
        signed_requests_required: false,
    }
}

pub(crate) fn rule(claim: &str, test: ClaimTest) -> ClaimRule {
    ClaimRule { claim: claim.into(), test }
}

pub(crate) fn external(rules: Vec<ClaimRule>) -> AgentCredential {
    AgentCredential::External { issuer: "corp".into(), rules }
}

fn space(id: &str, agents: &[&str]) -> (SpaceId, Space) {
    let id = SpaceId::new(id).unwrap();
    let space = Space {
        id: id.clone(),
        account: AccountId::new("111122223333").unwrap(),
        region: Region::new("us-east-1").unwrap(),
        agents: agents.iter().map(|id| AgentId::new(id).unwrap()).collect(),
        servers: Vec::new(),
        class_max: ToolClass::Destructive,
        quotas: Quotas::default(),
        role: None,
        operator_role: None,
        policy_set: None,
        keep_results: false,
        signed_requests_required: false,
    };
    (id, space)
}

pub(crate) fn spaces() -> BTreeMap<SpaceId, String> {
    [("ops", SPACE), ("other", OTHER_SPACE)]
        .into_iter()
        .map(|(id, address)| (SpaceId::new(id).unwrap(), address.to_owned()))
        .collect()
}

/// `deployer` has a secret, a key and an external login; `reader` has an external login; `asleep` is suspended.
pub(crate) fn organization() -> Organization {
    let jwks = json!({ "keys": [key(AGENT_SEED).public_jwk()] }).to_string();
    let deployer = agent(
        "deployer",
        vec![
            AgentCredential::ClientSecret,
            AgentCredential::Jwks(jwks),
            external(vec![rule("sub", ClaimTest::Equals("workload-d".into()))]),
        ],
    );
    let reader = agent("reader", vec![external(vec![rule("realm.roles", ClaimTest::Contains("reader".into()))])]);
    let mut asleep = agent("asleep", vec![AgentCredential::ClientSecret]);
    asleep.suspended = true;
    let issuer = |name: &str, url: &str, users| {
        let audiences = vec!["api://remit".to_owned()];
        (name.to_owned(), Issuer { name: name.into(), url: url.into(), audiences, network: Network::Public, users })
    };
    Organization {
        agents: [deployer, reader, asleep].into_iter().map(|agent| (agent.id.clone(), agent)).collect(),
        spaces: [space("ops", &["deployer", "reader", "asleep"]), space("other", &["reader"])].into(),
        issuers: [issuer("corp", IDP, true), issuer("machines", "https://machines.example", false)].into(),
        ..Organization::default()
    }
}
