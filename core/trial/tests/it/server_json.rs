//! What the official MCP registry publishes, as registrations: each is read by the configuration's reader, or refused with its place.

use std::collections::BTreeMap;

use remit_config::{SourceFile, read};
use remit_model::{Credential, RegistryStatus, Sandbox, SandboxNetwork, SecretRef, Server, Transport};
use remit_trial::server_json::{Imported, Wanted, import};
use serde_json::{Value, json};

const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn npm() -> Value {
    json!({
        "$schema": SCHEMA, "name": "io.github.acme/weather.mcp", "description": "The weather.\n# not a key", "version": "1.0.2",
        "packages": [{
            "registryType": "npm", "identifier": "@acme/weather", "version": "1.0.2", "fileSha256": "ab".repeat(32), "runtimeHint": "npx",
            "transport": {"type": "stdio"},
            "packageArguments": [
                {"type": "named", "name": "--units", "default": "metric"},
                {"type": "named", "name": "--verbose", "isRequired": true},
                {"type": "named", "name": "--unused"},
                {"type": "positional", "valueHint": "city", "isRequired": true},
                {"type": "positional", "value": "{region}/x", "variables": {"region": {"default": "eu"}}},
            ],
            "environmentVariables": [
                {"name": "API_KEY", "isRequired": true, "isSecret": true}, {"name": "MODE", "default": "plain: {x}"}, {"name": "UNUSED"},
            ],
        }],
        "_meta": {"anything": {"at": "all"}},
    })
}

fn imported(document: &Value, wanted: &Wanted<'_>) -> Imported {
    import("server.json", &document.to_string(), wanted).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The server that a configuration with the fragment has.
fn registered(yaml: &str) -> Server {
    let accounts = "accounts: [{ id: \"111122223333\", name: a }]\n".to_owned();
    let files =
        [("a.yaml", accounts), ("b.yaml", yaml.to_owned())].map(|(path, text)| SourceFile { path: path.to_owned(), text });
    let loaded = read(&files).unwrap_or_else(|faults| panic!("{faults:?}\n{yaml}"));
    loaded.organization.servers.into_values().next().unwrap()
}

fn refused(document: &Value, wanted: &Wanted<'_>) -> Vec<(String, String)> {
    let faults = import("server.json", &document.to_string(), wanted).unwrap_err();
    assert!(faults.iter().all(|fault| fault.line > 0 && !fault.mend.is_empty()), "{faults:?}");
    faults.into_iter().map(|fault| (fault.pointer, fault.what)).collect()
}

#[test]
fn a_package_becomes_a_draft_in_a_sandbox_without_a_network() {
    let city = set(&[("city", "Oslo: \"#1\"")]);
    let wanted = Wanted { set: Some(&city), ..Wanted::default() };
    let imported = imported(&npm(), &wanted);
    let server = registered(&imported.yaml);
    assert_eq!((server.name.as_str(), server.status), ("weather-mcp", RegistryStatus::Draft));
    let Transport::Stdio { command, env, sandbox: Sandbox::Profile(profile), .. } = &server.transport else {
        panic!("{server:?}")
    };
    let words = ["/opt/mcp/weather-mcp/node_modules/.bin/weather", "--units", "metric", "--verbose", "Oslo: \"#1\"", "eu/x"];
    assert_eq!(command, &words.map(str::to_owned));
    assert_eq!(env["API_KEY"], SecretRef::Stored("weather-mcp-api-key".to_owned()));
    assert_eq!(env["MODE"], SecretRef::Plain("plain: {x}".to_owned()));
    assert_eq!((env.len(), &profile.network), (2, &SandboxNetwork::None));
    assert_eq!(imported.secrets, ["weather-mcp-api-key"]);
    assert_eq!(server.tags["mcp:package"], "npm:@acme/weather@1.0.2");
    assert_eq!(server.tags["mcp:package-sha256"], "ab".repeat(32));
    assert_eq!(
        imported.install.as_deref(),
        Some("npm install --ignore-scripts --prefix /opt/mcp/weather-mcp @acme/weather@1.0.2")
    );
    // Another package's digest is another registration: nobody approves it with this one.
    let mut other = npm();
    other["packages"][0]["fileSha256"] = json!("cd".repeat(32));
    assert_ne!(registered(&self::imported(&other, &wanted).yaml).registration, server.registration);
}

#[test]
fn the_repository_that_is_declared_is_a_tag_where_it_can_be_one() {
    let city = set(&[("city", "Oslo")]);
    let wanted = Wanted { set: Some(&city), ..Wanted::default() };
    let tag = |url: &str| {
        let mut document = npm();
        document["repository"] = json!({"url": url, "source": "github"});
        registered(&imported(&document, &wanted).yaml).tags.get("mcp:repository").cloned()
    };
    assert_eq!(tag("https://github.com/acme/weather").as_deref(), Some("https://github.com/acme/weather"));
    let long = format!("https://github.com/acme/{}", "w".repeat(256));
    for none in ["", "https://github.com/acme/weather?a", "https://github.com/acme/w\"\n- x", long.as_str()] {
        assert_eq!(tag(none), None, "{none}");
    }
}

#[test]
fn every_version_of_the_schema_is_read() {
    // The first one wrote its names otherwise.
    let old = json!({
        "$schema": SCHEMA.replace("2025-12-11", "2025-07-09"), "name": "io.github.acme/clock", "description": "d", "version": "2.0.0",
        "packages": [{"registry_type": "pypi", "identifier": "acme-clock", "version": "2.0.0", "file_sha256": "0".repeat(64),
            "transport": {"type": "stdio"}, "environment_variables": [{"name": "TOKEN", "is_required": true, "is_secret": true}]}],
    });
    for year in ["2025-07-09", "2025-09-16", "2025-09-29", "2025-10-11", "2025-10-17", "2025-12-11"] {
        let mut document = old.clone();
        document["$schema"] = json!(SCHEMA.replace("2025-12-11", year));
        let found = imported(&document, &Wanted::default());
        assert_eq!(found.package.unwrap().file_sha256.unwrap(), "0".repeat(64));
        let Transport::Stdio { command, env, .. } = registered(&found.yaml).transport else { panic!("{year}") };
        assert_eq!((command, env.len()), (vec!["/opt/mcp/clock/bin/acme-clock".to_owned()], 1));
    }
    // As the registry's interface answers it; and none that isn't known.
    let wrapped = json!({"server": old, "_meta": {"io.modelcontextprotocol.registry/official": {"status": "active"}}});
    assert_eq!(imported(&wrapped, &Wanted::default()).name, "clock");
    let mut newer = old.clone();
    newer["$schema"] = json!(SCHEMA.replace("2025-12-11", "2031-01-01"));
    assert_eq!(refused(&newer, &Wanted::default())[0].0, "/$schema");
}

#[test]
fn a_remote_becomes_a_draft_with_the_credential_that_it_wants() {
    let document = json!({
        "name": "com.example/tickets", "description": "d", "version": "1.0.0",
        "remotes": [
            {"type": "sse", "url": "https://mcp.example.com/sse"},
            {"type": "streamable-http", "url": "https://{tenant}.example.com/mcp", "variables": {"tenant": {"isRequired": true}},
             "headers": [{"name": "Authorization", "isRequired": true, "isSecret": true}, {"name": "X-Trace", "description": "optional"}]},
            {"type": "streamable-http", "url": "https://b.example.com/mcp", "headers": [{"name": "X-API-Key", "isSecret": true}]},
        ],
    });
    let tenant = set(&[("tenant", "acme")]);
    let take = |n: usize| Wanted { remote: Some(n), set: Some(&tenant), ..Wanted::default() };
    let Transport::Http { url, credential, .. } = registered(&imported(&document, &take(1)).yaml).transport else { panic!() };
    assert_eq!(
        (url.as_str(), credential),
        ("https://acme.example.com/mcp", Credential::Bearer(SecretRef::Stored("tickets-token".to_owned())))
    );
    let Transport::Http { credential: Credential::ApiKey { header, .. }, .. } =
        registered(&imported(&document, &take(2)).yaml).transport
    else {
        panic!("another header is an API key")
    };
    assert_eq!(header, "x-api-key");
    assert_eq!(refused(&document, &take(0))[0].0, "/remotes/0/type");
    assert!(refused(&document, &Wanted::default())[0].1.contains("0 packages and 3 remotes"));
    assert!(refused(&document, &take(7))[0].1.contains("one of them"));
    let nothing = Wanted { remote: Some(1), ..Wanted::default() };
    assert!(refused(&document, &nothing)[0].1.contains("`tenant`"));
}

#[test]
fn what_cannot_be_registered_faithfully_is_refused_with_its_place() {
    let city = set(&[("city", "Oslo")]);
    let wanted = Wanted { set: Some(&city), ..Wanted::default() };
    let with = |pointer: &str, value: Value| {
        let mut document = npm();
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    for (pointer, value) in [
        ("/version", Value::Null),
        ("/packages/0/version", json!("latest")),
        ("/packages/0/version", json!("^1.0.0")),
        ("/packages/0/version", json!("1.x")),
        ("/packages/0/version", json!("1.0.2 || sh")),
        ("/packages/0/identifier", json!("../../etc/passwd")),
        ("/packages/0/identifier", json!("weather; sh")),
        ("/packages/0/fileSha256", json!("abc")),
        ("/packages/0/registryType", json!("oci")),
        ("/packages/0/registryType", json!("mcpb")),
        ("/packages/0/registryType", json!("nuget")),
        ("/packages/0/transport/type", json!("streamable-http")),
        ("/packages", json!([])),
        ("/packages", json!("none")),
    ] {
        let place = refused(&with(pointer, value.clone()), &wanted);
        let expected = if pointer == "/version" || value == json!([]) { "" } else { pointer };
        assert!(place.iter().any(|(found, _)| found == expected), "{pointer} {value}: {place:?}");
    }
    let unsaid = refused(&npm(), &Wanted::default());
    assert_eq!(unsaid[0].0, "/packages/0/packageArguments/3", "{unsaid:?}");
    let name = Wanted { name: Some("not a name"), ..wanted };
    assert_eq!(refused(&npm(), &name)[0].0, "/name");
    for text in ["", "[]", "7", "{", "{\"name\": 1, \"name\": 2}"] {
        assert!(import("server.json", text, &wanted).is_err(), "{text}");
    }
}
