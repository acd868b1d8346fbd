use remit_identity::challenge::{self, Challenge, ChallengeError, insufficient_scope, unauthorized};
use remit_identity::client::{
    AuthMethod, AuthorizationRequest, ClientAuth, ClientError, Registered, Registration, ResourceMetadata, SecretMethod,
    ServerMetadata, TokenResponse, authorization_base, authorization_code, choose_issuer, choose_scope, client_credentials,
    client_metadata, origin, pkce_challenge, refresh, registration, resource_metadata_urls, same_origin, scope_covers,
    scope_union, server_metadata_urls, token_call, with_offline_access,
};
use remit_identity::metadata::{WELL_KNOWN_RESOURCE, authorization_server, well_known};
use serde_json::json;

use crate::{ENDPOINT, ISSUER};

#[test]
fn challenges_are_built_and_read() {
    let url = "https://remit.example/.well-known/oauth-protected-resource/spaces/ops/mcp";
    assert_eq!(unauthorized(url, false), format!("Bearer resource_metadata=\"{url}\""));
    let read = challenge::parse(&unauthorized(url, true)).unwrap();
    assert_eq!((read.error.as_deref(), read.resource_metadata.as_deref()), (Some("invalid_token"), Some(url)));
    let read = challenge::parse(&insufficient_scope(url, &["mcp:read", "mcp:write"])).unwrap();
    assert_eq!((read.error.as_deref(), read.scope.as_deref()), (Some("insufficient_scope"), Some("mcp:read mcp:write")));
    let table: &[(&str, Result<Option<&str>, ChallengeError>)] = &[
        ("Bearer", Ok(None)),
        ("bearer Scope=a", Ok(Some("a"))),
        ("Basic realm=\"a, Bearer scope=x\", Bearer scope = \"y\"", Ok(Some("y"))),
        ("Negotiate abc==, Bearer realm=r , scope=\"a\\\"b\"", Ok(Some("a\"b"))),
        ("Bearer scope=a, Bearer scope=b", Ok(Some("a"))),
        ("Bearer scope=a, scope=b", Err(ChallengeError::Duplicate)),
        ("Bearer scope=a, SCOPE=b", Err(ChallengeError::Duplicate)),
        ("Basic realm=x", Err(ChallengeError::NotBearer)),
        ("", Err(ChallengeError::NotBearer)),
        ("scope=a", Err(ChallengeError::Malformed)),
        ("Bearer scope=\"a", Err(ChallengeError::Malformed)),
        ("Bearer scope=\"a\"b", Err(ChallengeError::Malformed)),
        ("Bearer scope=", Err(ChallengeError::Malformed)),
        ("Bearer scope=\"a\u{e9}\"", Err(ChallengeError::Malformed)),
    ];
    for (header, expected) in table {
        let read = challenge::parse(header);
        assert_eq!(read.as_ref().map(|read| read.scope.as_deref()).map_err(|error| *error), *expected, "{header}");
    }
}

#[test]
fn where_metadata_is_looked_for() {
    let server = "https://Mcp.example:443/a/b";
    let challenge = Challenge { resource_metadata: Some("https://mcp.example/here".into()), ..Challenge::default() };
    let path = "https://mcp.example/.well-known/oauth-protected-resource/a/b";
    let root = "https://mcp.example/.well-known/oauth-protected-resource";
    assert_eq!(resource_metadata_urls(server, Some(&challenge)), ["https://mcp.example/here", path, root]);
    assert_eq!(resource_metadata_urls("https://mcp.example/", None), [root]);
    let downgrade = Challenge { resource_metadata: Some("http://mcp.example/here".into()), ..Challenge::default() };
    assert_eq!(resource_metadata_urls(server, Some(&downgrade)), [path, root]);
    assert_eq!(well_known("ftp://x/", WELL_KNOWN_RESOURCE), None);
    let plain =
        ["https://a.example/.well-known/oauth-authorization-server", "https://a.example/.well-known/openid-configuration"];
    assert_eq!(server_metadata_urls("https://a.example"), plain);
    assert_eq!(
        server_metadata_urls("https://a.example/t1"),
        [
            "https://a.example/.well-known/oauth-authorization-server/t1",
            "https://a.example/.well-known/openid-configuration/t1",
            "https://a.example/t1/.well-known/openid-configuration",
        ]
    );
}

fn resource(resource: &str) -> Result<ResourceMetadata, ClientError> {
    let body = json!({ "resource": resource, "authorization_servers": ["https://a.example"] }).to_string();
    ResourceMetadata::parse(body.as_bytes(), "https://mcp.example/a/b")
}

#[test]
fn metadata_must_be_about_what_was_asked() {
    for fits in ["https://mcp.example/a/b", "https://MCP.example:443/a", "https://mcp.example", "https://mcp.example/"] {
        assert!(resource(fits).is_ok(), "{fits}");
    }
    for other in [
        "https://evil.example/a/b",
        "http://mcp.example/a/b",
        "https://mcp.example/a/bc",
        "https://mcp.example:8443/a/b",
        "https://mcp.example/a/b/c",
        "https://mcp.example/a/b#c",
        "x",
    ] {
        assert_eq!(resource(other), Err(ClientError::Resource(other.into())));
    }
    let own = authorization_server(ISSUER, ENDPOINT, "https://remit.example/oauth/jwks").to_string();
    assert_eq!(ServerMetadata::parse(own.as_bytes(), ISSUER).unwrap().token_endpoint, ENDPOINT);
    let slash = ServerMetadata::parse(own.as_bytes(), "https://remit.example/");
    assert_eq!(slash, Err(ClientError::Issuer(ISSUER.into())));
    let plain = json!({ "issuer": ISSUER, "token_endpoint": "http://remit.example/t" }).to_string();
    assert_eq!(ServerMetadata::parse(plain.as_bytes(), ISSUER), Err(ClientError::Endpoint("http://remit.example/t".into())));
    let doubled = format!("{{\"issuer\":\"{ISSUER}\",\"issuer\":\"{ISSUER}\",\"token_endpoint\":\"{ENDPOINT}\"}}");
    assert!(ServerMetadata::parse(doubled.as_bytes(), ISSUER).is_err());
}

#[test]
fn scopes_are_chosen_in_order() {
    let resource = ResourceMetadata { scopes_supported: Some(vec!["s".into()]), ..resource("https://mcp.example").unwrap() };
    let challenge = Challenge { scope: Some("c d".into()), ..Challenge::default() };
    assert_eq!(choose_scope(&[], Some(&challenge), Some(&resource)).as_deref(), Some("c d"));
    assert_eq!(choose_scope(&[], None, Some(&resource)).as_deref(), Some("s"));
    assert_eq!(choose_scope(&[], None, None), None);
    assert_eq!(choose_scope(&["d".into(), "e".into()], Some(&challenge), Some(&resource)).as_deref(), Some("d e c"));
    let server = ServerMetadata { scopes_supported: vec!["offline_access".into()], ..ServerMetadata::default() };
    assert_eq!(with_offline_access(Some("a".into()), &server).as_deref(), Some("a offline_access"));
    assert_eq!(with_offline_access(Some("a".into()), &ServerMetadata::default()).as_deref(), Some("a"));
}

#[test]
fn token_calls_and_answers() {
    let parameters = client_credentials(Some("a b"), "https://mcp.example/a");
    let call = token_call(ENDPOINT, "id:1", ClientAuth::Secret(SecretMethod::Basic, "p w"), &parameters).unwrap();
    // `id%3A1:p%20w`, each part encoded before they are joined.
    assert_eq!(call.authorization.as_ref().unwrap().as_str(), "Basic aWQlM0ExOnAlMjB3");
    assert_eq!(call.body.as_str(), "grant_type=client_credentials&resource=https%3A%2F%2Fmcp.example%2Fa&scope=a%20b");
    let call = token_call(ENDPOINT, "id", ClientAuth::Secret(SecretMethod::Post, "pw"), &[]).unwrap();
    assert_eq!((call.authorization.is_none(), call.body.as_str()), (true, "client_id=id&client_secret=pw"));
    assert!(!format!("{call:?}").contains("pw"));
    let read = |status, body: &str| TokenResponse::parse(status, body.as_bytes());
    let good = read(200, r#"{"access_token":"t","token_type":"bearer","expires_in":60}"#).unwrap();
    assert_eq!((good.access_token.as_str(), good.expires_in_secs), ("t", Some(60)));
    assert!(!format!("{good:?}").contains("\"t\""));
    for (status, body, expected) in [
        (200, r#"{"access_token":"t","token_type":"DPoP"}"#, "the token response is malformed"),
        (200, r#"{"access_token":"t\r\nx: y","token_type":"Bearer"}"#, "the token response is malformed"),
        (200, r#"{"access_token":"","token_type":"Bearer"}"#, "the token response is malformed"),
        (200, r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#, "the token response is malformed"),
        (400, r#"{"error":"invalid_scope","error_description":"s3cret"}"#, "the authorization server refused: `invalid_scope`"),
        (400, r#"{"error":"<script>"}"#, "the authorization server refused: `status 400`"),
        (502, "<html>", "the authorization server refused: `status 502`"),
    ] {
        assert_eq!(read(status, body).unwrap_err().to_string(), expected);
    }
}

#[test]
fn authorization_code_with_pkce_and_iss() {
    // RFC 7636 appendix B.
    assert_eq!(pkce_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let mut server = ServerMetadata {
        issuer: "https://a.example".into(),
        authorization_endpoint: Some("https://a.example/authorize".into()),
        code_challenge_methods: vec!["S256".into()],
        ..ServerMetadata::default()
    };
    let request = AuthorizationRequest {
        client_id: "c",
        redirect_uri: "https://remit.example/cb",
        scope: Some("a"),
        resource: "https://mcp.example",
        state: "st",
        code_challenge: "ch",
    };
    assert!(request.url(&server).unwrap().starts_with("https://a.example/authorize?response_type=code&client_id=c&"));
    let code = |query: &str, server: &ServerMetadata| {
        authorization_code(query, "st", server).map(|code| code.to_string()).map_err(|error| error.to_string())
    };
    let refused = |what: &str| Err(format!("the authorization response is refused: {what}"));
    assert_eq!(code("code=x&state=st", &server), Ok("x".into()));
    assert_eq!(code("code=x&state=other", &server), refused("another `state`"));
    assert_eq!(code("code=x&state=st&iss=https%3A%2F%2Fa.example%2F", &server), refused("another `iss`"));
    assert_eq!(code("error=access_denied&state=st&iss=https%3A%2F%2Fevil.example", &server), refused("another `iss`"));
    assert_eq!(code("error=access_denied&state=st", &server), refused("access was denied"));
    server.iss_in_responses = true;
    assert_eq!(code("code=x&state=st", &server), refused("no `iss`"));
    assert_eq!(code("code=x&state=st&iss=https%3A%2F%2Fa.example", &server), Ok("x".into()));
    server.code_challenge_methods.clear();
    assert!(request.url(&server).is_err());
    assert!(registration(&server, Some("https://remit.example/client.json")).is_err());
    server.registration_endpoint = Some("https://a.example/register".into());
    assert_eq!(registration(&server, None), Ok(Registration::Dynamic("https://a.example/register".into())));
    server.client_id_documents = true;
    let url = "https://remit.example/client.json";
    assert_eq!(registration(&server, Some(url)), Ok(Registration::Document(url.into())));
}

#[test]
fn codes_go_to_the_origin_that_gives_them_or_bear_an_issuer() {
    let server = |authorization: &str, token: &str, iss: bool| ServerMetadata {
        authorization_endpoint: Some(authorization.into()),
        token_endpoint: token.into(),
        iss_in_responses: iss,
        ..ServerMetadata::default()
    };
    let honest = "https://Honest.example/authorize?tenant=1";
    for token in ["https://honest.example/token", "https://HONEST.example:443/other/token"] {
        assert_eq!(server(honest, token, false).require_one_origin(), Ok(()), "{token}");
    }
    for (token, shown) in [
        ("https://evil.example/token", "https://evil.example"),
        ("https://honest.example:8443/token", "https://honest.example:8443"),
        ("http://honest.example/token", "http://honest.example"),
        ("https://honest.example.evil.example/token", "https://honest.example.evil.example"),
        ("https://honest.example@evil.example/token", ""),
    ] {
        let apart = ClientError::Apart("https://honest.example".into(), shown.into());
        assert_eq!(server(honest, token, false).require_one_origin(), Err(apart), "{token}");
        // Then an answer without `iss` is refused: see `authorization_code_with_pkce_and_iss`.
        assert_eq!(server(honest, token, true).require_one_origin(), Ok(()), "{token}");
    }
    let none = ServerMetadata { iss_in_responses: true, ..ServerMetadata::default() };
    assert_eq!(none.require_one_origin(), Err(ClientError::Unsupported("an authorization endpoint")));
    assert_eq!(origin("http://[::1]:80/a?b#c").as_deref(), Some("http://[::1]"));
    assert!(!same_origin("file:///a", "file:///a"));
}

#[test]
fn issuers_are_chosen_among_those_that_are_named() {
    let resource = ResourceMetadata {
        resource: "https://mcp.example".into(),
        authorization_servers: vec!["https://a.example".into(), "https://b.example".into()],
        scopes_supported: None,
    };
    let choose = |required, before| choose_issuer(&resource, required, before).map_err(|error| error.to_string());
    assert_eq!(choose(None, None), Ok("https://a.example"));
    assert_eq!(choose(None, Some("https://b.example")), Ok("https://b.example"));
    assert_eq!(choose(None, Some("https://gone.example")), Ok("https://a.example"));
    assert_eq!(choose(Some("https://b.example"), Some("https://a.example")), Ok("https://b.example"));
    // Character by character: one with a slash is another.
    let other = "the authorization server metadata is of issuer `https://a.example`";
    assert_eq!(choose(Some("https://b.example/"), None), Err(other.into()));
    assert_eq!(authorization_base("https://Mcp.example:443/a/mcp?x=1").as_deref(), Some("https://mcp.example"));
    assert_eq!(authorization_base("file:///mcp"), None);
}

#[test]
fn scopes_are_joined_and_compared_as_sets() {
    assert_eq!(scope_union(Some("a b"), Some("b  c")).as_deref(), Some("a b c"));
    assert_eq!(scope_union(None, Some(" ")), None);
    let many: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(scope_union(None, Some(&many.join(" "))).unwrap().split(' ').count(), 256);
    assert!(scope_covers(Some("b a"), "a b") && scope_covers(None, ""));
    assert!(!scope_covers(Some("ab"), "a") && !scope_covers(None, "a"));
}

#[test]
fn clients_register_and_renew() {
    let offers = |methods: &[&str]| ServerMetadata {
        auth_methods: Some(methods.iter().map(|method| (*method).to_owned()).collect()),
        ..ServerMetadata::default()
    };
    for (methods, expected) in [
        (&["none", "client_secret_post", "client_secret_basic"][..], Some("client_secret_basic")),
        (&["none", "client_secret_post"], Some("client_secret_post")),
        (&["none", "private_key_jwt"], Some("none")),
        (&["tls_client_auth"], None),
        (&[], None),
    ] {
        assert_eq!(offers(methods).method_to_register().ok().map(AuthMethod::as_str), expected);
    }
    assert_eq!(ServerMetadata::default().method_to_register().unwrap(), AuthMethod::Secret(SecretMethod::Basic));
    for name in ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] {
        assert_eq!(AuthMethod::parse(name).unwrap().as_str(), name);
    }
    let kind = |redirect: &str| client_metadata(None, redirect, "none", None)["application_type"].clone();
    assert_eq!((kind("http://127.0.0.1:1/cb"), kind("https://remit.example/cb")), (json!("native"), json!("web")));
    let renewal = refresh("rt", "https://mcp.example");
    assert_eq!(renewal, [("grant_type", "refresh_token"), ("refresh_token", "rt"), ("resource", "https://mcp.example")]);
    let read = |status, body: &str| Registered::parse(status, body.as_bytes());
    let known = read(201, r#"{"client_id":"c","client_secret":"s3cret","client_secret_expires_at":0}"#).unwrap();
    assert_eq!((known.client_id.as_str(), known.secret_ends_secs, known.auth_method.as_deref()), ("c", None, None));
    assert!(!format!("{known:?}").contains("s3cret"));
    assert_eq!(read(200, r#"{"client_id":"c","client_secret_expires_at":9}"#).unwrap().secret_ends_secs, Some(9));
    for (status, body) in [
        (400, r#"{"error":"invalid_redirect_uri"}"#),
        (201, "{}"),
        (201, r#"{"client_id":""}"#),
        (201, r#"{"client_id":"a\u0000"}"#),
        (201, r#"{"client_id":"a","client_secret":"\r\n"}"#),
        (201, r#"{"client_id":"a","client_id":"b"}"#),
    ] {
        assert!(read(status, body).is_err(), "{body}");
    }
}

#[test]
fn a_refresh_token_or_scope_that_is_unfit_spoils_the_answer() {
    let read =
        |more: &str| TokenResponse::parse(200, format!(r#"{{"access_token":"a","token_type":"Bearer"{more}}}"#).as_bytes());
    assert!(read("").unwrap().refresh_token.is_none());
    assert_eq!(read(r#","refresh_token":"r t","scope":"a b""#).unwrap().refresh_token.unwrap().as_str(), "r t");
    assert_eq!(read(r#","scope":" ""#).unwrap().scope, None);
    for more in [r#","refresh_token":"""#, r#","refresh_token":"a\nb""#, r#","scope":"a\u00e9""#] {
        assert!(read(more).is_err(), "{more}");
    }
    assert!(read(&format!(r#","refresh_token":"{}""#, "r".repeat(17_000))).is_err());
}
