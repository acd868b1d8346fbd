use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use remit_authority::system_now_secs;
use remit_identity::form;
use remit_identity::token::{GRANT_TOKEN_EXCHANGE, TYPE_ACCESS_TOKEN};
use remit_model::{Network, ToolClass};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::{SPACE, ask, authenticator, authority, directory, principal, rejection};

/// Starts npm's `oidc-provider`, installed from the lock file if it isn't yet, and waits for its ready line.
/// The reader is kept: a provider that can't write its warnings dies of it.
async fn provider() -> (Child, BufReader<ChildStdout>, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
    if !folder.join("node_modules/oidc-provider/package.json").exists() {
        let installed = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).output().await.unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    }
    let mut child = Command::new("node")
        .arg("issuer.mjs")
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut ready).await.unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    (child, output, ready["issuer"].as_str().unwrap().to_owned())
}

async fn external_token(issuer: &str, parameters: &[(&str, &str)]) -> String {
    let body = form::write(parameters.iter().copied());
    let mut request = Request::post("/").body(Full::new(Bytes::from(body))).unwrap();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic d29ya2xvYWQ6d29ya2xvYWQtc2VjcmV0"));
    let (url, tls) = (format!("{issuer}/token"), remit_egress::tls_config());
    let response = remit_egress::fetch(&url, Network::Loopback, &tls, Duration::from_secs(30), request).await.unwrap();
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn oidc_provider_is_an_external_issuer() {
    let (_child, _output, issuer) = provider().await;
    let now = system_now_secs();
    let authority = authority(directory(&issuer), Arc::default(), now);
    let authenticator = authenticator(Arc::clone(&authority));
    let workload = [("grant_type", "client_credentials"), ("resource", SPACE), ("scope", "mcp:read")];
    let token = external_token(&issuer, &workload).await;
    let found = principal(authenticator.authenticate(Some(&format!("Bearer {token}")), now).await);
    assert_eq!((found.agent.as_str(), found.user, found.class_max), ("deployer", None, Some(ToolClass::ReadOnly)));
    assert_eq!(found.audiences, [SPACE]);
    let elsewhere = [("grant_type", "client_credentials"), ("resource", "https://other.example/"), ("scope", "mcp:read")];
    let token = external_token(&issuer, &elsewhere).await;
    let refused = rejection(authenticator.authenticate(Some(&format!("Bearer {token}")), now).await);
    assert_eq!(refused, "the token is for another audience");
    // A user's token is no agent's, and is exchanged for one that names both.
    let user = external_token(&issuer, &[("grant_type", "urn:remit:test:user"), ("user", "alice"), ("resource", SPACE)]).await;
    let refused = rejection(authenticator.authenticate(Some(&format!("Bearer {user}")), now).await);
    assert_eq!(refused, "the token's claims fit no agent");
    let exchange = form::write([
        ("grant_type", GRANT_TOKEN_EXCHANGE),
        ("subject_token", user.as_str()),
        ("subject_token_type", TYPE_ACCESS_TOKEN),
        ("resource", SPACE),
    ]);
    let (status, body) = ask(&authority, &exchange, now).await;
    assert_eq!((status, body["scope"].as_str()), (200, Some("mcp:read")), "{body}");
    let delegated = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let found = principal(authenticator.authenticate(Some(&delegated), now).await);
    assert_eq!((found.agent.as_str(), found.user.as_deref()), ("deployer", Some("corp/alice")));
    assert!(found.expires_at_secs <= now + 301);
}
