use std::sync::Arc;

use remit_authority::KEY_ROTATION_SECS;
use remit_model::SpaceId;
use serde_json::json;

use crate::{ISSUER, MemoryKeys, NOW, SPACE, ask, authenticator, authority, directory, form_headers, principal, rejection};

const FORM: &str = "grant_type=client_credentials&resource=https%3A%2F%2Fremit.example%2Fspaces%2Fops%2Fmcp";

#[tokio::test]
async fn a_token_of_ours_authenticates_until_it_is_dead() {
    let authority = authority(directory("http://127.0.0.1:1"), Arc::default(), NOW);
    let (status, body) = ask(&authority, &format!("{FORM}&scope=mcp:read"), NOW).await;
    assert_eq!((status, &body["expires_in"], &body["scope"]), (200, &json!(900), &json!("mcp:read")));
    let shown = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let authenticator = authenticator(Arc::clone(&authority));
    let first = principal(authenticator.authenticate(Some(&shown), NOW).await);
    assert_eq!((first.agent.as_str(), first.audiences.as_slice()), ("deployer", [SPACE.to_owned()].as_slice()));
    assert_eq!(principal(authenticator.authenticate(Some(&shown), NOW + 899).await), first);
    assert_eq!(rejection(authenticator.authenticate(Some(&shown), NOW + 930).await), "the token has expired");
    for (header, expected) in [
        (None, "no credential was shown"),
        (Some("Basic eA=="), "the credential is no bearer token"),
        (Some("Bearer "), "the credential is no bearer token"),
        (Some("Bearer opaque"), "the token is no signed JWT"),
    ] {
        assert_eq!(rejection(authenticator.authenticate(header, NOW).await), expected);
    }
}

#[tokio::test]
async fn keys_rotate_with_overlap_and_nodes_learn_of_each_other() {
    let (directory, store) = (directory("http://127.0.0.1:1"), Arc::<MemoryKeys>::default());
    let one = authority(Arc::clone(&directory), Arc::clone(&store), NOW);
    let two = authority(directory, store, NOW);
    assert_eq!(one.jwks(), two.jwks());
    let later = NOW + KEY_ROTATION_SECS;
    let (_, old) = ask(&one, FORM, later - 1).await;
    let (_, new) = ask(&one, FORM, later).await;
    assert_eq!(one.jwks()["keys"].as_array().unwrap().len(), 2);
    let (ones, twos) = (authenticator(Arc::clone(&one)), authenticator(two));
    for token in [&old, &new] {
        let shown = format!("Bearer {}", token["access_token"].as_str().unwrap());
        principal(ones.authenticate(Some(&shown), later + 30).await);
        principal(twos.authenticate(Some(&shown), later + 30).await);
    }
    // The next key finds the first one long dead.
    assert!(one.rotate_if_due(later + KEY_ROTATION_SECS).unwrap());
    assert_eq!(one.jwks()["keys"].as_array().unwrap().len(), 2);
    assert!(!one.rotate_if_due(later + KEY_ROTATION_SECS + 1).unwrap());
    assert!(!one.jwks().to_string().contains("\"d\""));
}

#[tokio::test]
async fn documents_and_refusals() {
    let authority = authority(directory("http://127.0.0.1:1"), Arc::default(), NOW);
    assert_eq!(authority.metadata()["token_endpoint"], format!("{ISSUER}/oauth/token"));
    let space = SpaceId::new("ops").unwrap();
    let metadata = authority.protected_resource(&space).unwrap();
    assert_eq!((&metadata["resource"], &metadata["authorization_servers"][0]), (&json!(SPACE), &json!(ISSUER)));
    let url = "https://remit.example/.well-known/oauth-protected-resource/spaces/ops/mcp";
    assert_eq!(authority.protected_resource_url(&space).as_deref(), Some(url));
    let response = authority.token(&form_headers(None), FORM.as_bytes(), NOW).await;
    let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!((response.status().as_u16(), header("cache-control").as_str()), (401, "no-store"));
    assert!(header("www-authenticate").starts_with("Basic "));
    let mut twice = form_headers(Some("Basic ZGVwbG95ZXI6cHc="));
    twice.append("authorization", "Basic eA==".parse().unwrap());
    assert_eq!(authority.token(&twice, FORM.as_bytes(), NOW).await.status().as_u16(), 400);
    let mut json = form_headers(None);
    json.insert("content-type", "application/json".parse().unwrap());
    assert_eq!(authority.token(&json, b"{}", NOW).await.status().as_u16(), 400);
}
