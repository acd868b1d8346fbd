//! Tests of the authority over real sockets: an issuer of our own on loopback, and npm's `oidc-provider`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod connection;
mod issuer;
mod keypair;
mod oidc;
mod own;
mod upstream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use remit_authority::{AccessKey, AccessKeyStore, Authenticator, Authority, Directory, KeyPairs, KeyStore, PortError};
use remit_identity::jwk::SigningKey;
use remit_identity::jwt;
use remit_identity::secret::SecretDigest;
use remit_kernel::{Fact, Identity, Principal};
use remit_model::{
    AccountId, Agent, AgentCredential, AgentId, ClaimRule, ClaimTest, Issuer, Network, Organization, Quotas, Region, Space,
    SpaceId, ToolClass,
};
use serde_json::Value;
use zeroize::Zeroizing;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://remit.example";
pub(crate) const SPACE: &str = "https://remit.example/spaces/ops/mcp";

#[derive(Default)]
pub(crate) struct MemoryKeys(Mutex<Option<Vec<u8>>>);

impl KeyStore for MemoryKeys {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
        Ok(self.0.lock().unwrap().clone().map(Zeroizing::new))
    }

    fn save(&self, old: Option<&[u8]>, new: &[u8]) -> Result<bool, PortError> {
        let mut stored = self.0.lock().unwrap();
        let same = stored.as_deref() == old;
        if same {
            *stored = Some(new.to_vec());
        }
        Ok(same)
    }
}

/// No user has a key of its own here.
pub(crate) struct NoAccessKeys;

impl AccessKeyStore for NoAccessKeys {
    fn get(&self, _: &str) -> Result<Option<AccessKey>, PortError> {
        Ok(None)
    }

    fn put(&self, _: &str, _: &AccessKey) -> Result<(), PortError> {
        Err(PortError("there is no room".into()))
    }
}

pub(crate) fn authenticator(authority: Arc<Authority>) -> Authenticator {
    let keys = KeyPairs::new(&MemoryKeys::default(), Arc::new(NoAccessKeys)).unwrap();
    Authenticator::new(authority, Arc::new(keys))
}

pub(crate) struct Fixed {
    pub(crate) organization: Mutex<Arc<Organization>>,
    spaces: Arc<BTreeMap<SpaceId, String>>,
}

impl Directory for Fixed {
    fn organization(&self) -> Arc<Organization> {
        Arc::clone(&self.organization.lock().unwrap())
    }

    fn space_addresses(&self) -> Arc<BTreeMap<SpaceId, String>> {
        Arc::clone(&self.spaces)
    }

    fn client_secret_digests(&self, _: &AgentId) -> Vec<SecretDigest> {
        vec![SecretDigest::new("pw", [1; 16])]
    }
}

/// An organization with one agent, `deployer`, and the issuer `corp` at this URL.
pub(crate) fn directory(issuer_url: &str) -> Arc<Fixed> {
    let id = AgentId::new("deployer").unwrap();
    let account = AccountId::new("111122223333").unwrap();
    let rules = vec![ClaimRule { claim: "sub".into(), test: ClaimTest::Equals("workload".into()) }];
    let credentials = vec![AgentCredential::ClientSecret, AgentCredential::External { issuer: "corp".into(), rules }];
    let agent = Agent {
        id: id.clone(),
        account: account.clone(),
        owner: "ops".into(),
        credentials,
        suspended: false,
        tags: BTreeMap::new(),
        request_keys: None,
        signed_requests_required: false,
    };
    let space = Space {
        id: SpaceId::new("ops").unwrap(),
        account,
        region: Region::new("us-east-1").unwrap(),
        agents: vec![id.clone()],
        servers: Vec::new(),
        class_max: ToolClass::Destructive,
        quotas: Quotas::default(),
        role: None,
        operator_role: None,
        policy_set: None,
        keep_results: false,
        signed_requests_required: false,
    };
    let issuer = Issuer {
        name: "corp".into(),
        url: issuer_url.into(),
        audiences: vec!["api://remit".into()],
        network: Network::Loopback,
        users: true,
    };
    let spaces = [(space.id.clone(), SPACE.to_owned())].into();
    let organization = Organization {
        agents: [(id, agent)].into(),
        spaces: [(space.id.clone(), space)].into(),
        issuers: [("corp".to_owned(), issuer)].into(),
        ..Organization::default()
    };
    Arc::new(Fixed { organization: Mutex::new(Arc::new(organization)), spaces: Arc::new(spaces) })
}

pub(crate) fn authority(directory: Arc<Fixed>, keys: Arc<MemoryKeys>, now_secs: u64) -> Arc<Authority> {
    Arc::new(Authority::new(ISSUER, keys, directory, remit_egress::tls_config(), now_secs).unwrap())
}

pub(crate) fn form_headers(authorization: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8"));
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
    }
    headers
}

/// The token endpoint's answer to `deployer`, who shows its secret.
pub(crate) async fn ask(authority: &Authority, form: &str, now_secs: u64) -> (u16, Value) {
    let response = authority.token(&form_headers(Some("Basic ZGVwbG95ZXI6cHc=")), form.as_bytes(), now_secs).await;
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

pub(crate) fn principal(fact: Fact<Identity>) -> Principal {
    match fact {
        Fact::Known(Identity::Authenticated(principal)) => (*principal).clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn rejection(fact: Fact<Identity>) -> String {
    match fact {
        Fact::Known(Identity::Rejected(what)) => what,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn signed(seed: u8, claims: &Value) -> String {
    jwt::sign(&SigningKey::from_seed(&[seed; 32]).unwrap(), "JWT", claims.as_object().unwrap()).unwrap()
}

/// What a server answers to a request's path, `Authorization` header and body.
pub(crate) type Answer = dyn Fn(&str, Option<&str>, &str) -> (u16, String) + Send + Sync;

/// A real server on loopback that counts what it is asked.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) asked: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl FnOnce(String) -> Box<Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Answer> = Arc::from(answer(url.clone()));
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                    async move {
                        count.fetch_add(1, Ordering::SeqCst);
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                        let (status, text) = answer(parts.uri.path(), authorization, std::str::from_utf8(&body).unwrap());
                        let mut response = Response::new(Full::new(Bytes::from(text)));
                        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                        Ok::<_, hyper::Error>(response)
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, asked, task }
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
