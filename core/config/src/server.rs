//! Servers and what an operator says of their tools.

use std::collections::BTreeMap;

use remit_model::{
    AccountId, AuthorizationCodeClient, Credential, Network, OAuthClient, ProtocolChoice, RegisteredClient, RegistryStatus,
    ResultWord, Risk, Sandbox, SecretRef, Server, ServerLimits, ServerName, ToolClass, ToolName, ToolOverride, Transport,
};

use crate::iam::Shelf;
use crate::item::{Item, Object, shown};
use crate::label;
use crate::registry::DECLARED;
use crate::secret::{secret, variable_value, word_checked};
use crate::url::{Rules, url};
use crate::zone::Zones;

/// The words for a tool's class.
pub(crate) const CLASSES: [(&str, ToolClass); 3] =
    [("READ_ONLY", ToolClass::ReadOnly), ("MUTATIVE", ToolClass::Mutative), ("DESTRUCTIVE", ToolClass::Destructive)];
/// The words for a risk.
pub(crate) const RISKS: [(&str, Risk); 4] =
    [("low", Risk::Low), ("medium", Risk::Medium), ("high", Risk::High), ("critical", Risk::Critical)];
/// The words for a network.
pub(crate) const NETWORKS: [(&str, Network); 3] =
    [("public", Network::Public), ("private", Network::Private), ("loopback", Network::Loopback)];
const PROTOCOLS: [(&str, ProtocolChoice); 3] =
    [("auto", ProtocolChoice::Auto), ("2026-07-28", ProtocolChoice::Modern), ("legacy", ProtocolChoice::Legacy)];
const ALGORITHMS: [(&str, &str); 7] = [
    ("ES256", "ES256"),
    ("ES384", "ES384"),
    ("RS256", "RS256"),
    ("RS384", "RS384"),
    ("RS512", "RS512"),
    ("PS256", "PS256"),
    ("EdDSA", "EdDSA"),
];

const KEYS: &[&str] = &[
    "name",
    "account",
    "url",
    "command",
    "launch",
    "env",
    "network",
    "protocol",
    "credential",
    "limits",
    "sandbox",
    "results",
    "tools",
    "cost",
    "tags",
    "resource_policy",
    "service_principal",
    "zone",
    "status",
];

/// Reads one server. `account` finds the account of an object; `sandbox` reads what it says of its sandbox.
pub(crate) fn server(
    item: &Item<'_>,
    account: impl Fn(&Object<'_>) -> Option<AccountId>,
    shelf: &Shelf<'_>,
    sandbox: impl Fn(Option<&Item<'_>>) -> Sandbox,
    zones: &Zones,
) -> Option<Server> {
    let object = item.object("a server", KEYS)?;
    let name = object.need("name").and_then(|name| name.id(ServerName::new));
    let account = account(&object);
    let transport = transport(&object, sandbox);
    let limits = object.get("limits").map_or_else(ServerLimits::default, |limits| self::limits(&limits));
    let tools = object.get("tools").map(|tools| overrides(&tools)).unwrap_or_default();
    let results = object.get("results").map(|results| label::results(&results)).unwrap_or_default();
    let cost = object.get("cost").and_then(|cost| crate::budget::stated(&cost));
    let tags = crate::iam::tags(&object);
    let title = name.as_ref().map_or("resource policy", ServerName::as_str);
    let resource_policy = object
        .get("resource_policy")
        .and_then(|policy| shelf.document(&policy, remit_iam::PolicyKind::Resource, title))
        .map(|(policy, _)| policy);
    let service_principal = object.get("service_principal").and_then(|item| {
        let text = item.text()?;
        let fits = text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if !fits {
            item.error(format!("{} is no service principal", shown(text)), "such as `eks-mcp.amazonaws.com`");
        }
        fits.then(|| text.to_owned())
    });
    let (status, registration) = (declared(&object), String::new());
    let mut server = Server {
        zone: crate::zone::named(&object),
        status,
        registration,
        account: account?,
        name: name?,
        transport,
        limits,
        tools,
        results,
        cost,
        tags,
        resource_policy,
        service_principal,
    };
    crate::zone::entered(&mut server, &object, zones);
    Some(server)
}

/// How it stands where nobody has said anything else.
fn declared(object: &Object<'_>) -> RegistryStatus {
    let Some(item) = object.get("status") else { return RegistryStatus::default() };
    let status = item.choice(&DECLARED).unwrap_or(RegistryStatus::Draft);
    if status == RegistryStatus::Draft && object.has("launch") {
        item.error(
            "what Remit launches is started with it, before anybody has approved it",
            "start it yourself and give its `url`, or let it speak on standard input and output (`command`)",
        );
    }
    if status == RegistryStatus::Deprecated {
        item.warn("this server is deprecated, and serves still", "move its agents to another one, then take it away");
    }
    status
}

fn transport(object: &Object<'_>, sandbox: impl Fn(Option<&Item<'_>>) -> Sandbox) -> Transport {
    let protocol = object.get("protocol").and_then(|protocol| protocol.choice(&PROTOCOLS)).unwrap_or_default();
    let present = object.present(&["url", "command", "launch"]);
    match present.as_slice() {
        ["command"] => {
            for key in object.present(&["network", "credential"]) {
                if let Some(item) = object.get(key) {
                    item.error(
                        format!("`{key}` is for servers over HTTP"),
                        "leave it out; a child process gets its secrets in `env`",
                    );
                }
            }
            let sandbox = sandbox(object.get("sandbox").as_ref());
            Transport::Stdio { command: command(object, "command"), env: env(object), protocol, sandbox }
        }
        [way @ ("url" | "launch")] => {
            if let Some(item) = object.get("env") {
                item.error("`env` is for servers with a `command`", "leave it out, or use `credential`");
            }
            if let Some(item) = object.get("sandbox") {
                item.error("`sandbox` is for servers with a `command`", "leave it out: Remit confines no server over HTTP");
            }
            http(object, way, protocol)
        }
        _ => {
            let what = "a server has exactly one of `url`, `launch` and `command`";
            object.item.error(what, "`url` for one that runs elsewhere, `launch` or `command` for one that Remit starts");
            Transport::Stdio { command: Vec::new(), env: BTreeMap::new(), protocol, sandbox: Sandbox::default() }
        }
    }
}

fn http(object: &Object<'_>, way: &str, protocol: ProtocolChoice) -> Transport {
    let launched = way == "launch";
    let named = object.get("network");
    let chosen = named.as_ref().and_then(|network| network.choice(&NETWORKS));
    if let (true, Some(item), Some(Network::Public | Network::Private)) = (launched, &named, chosen) {
        item.error("a server that Remit launches is on this machine", "leave `network` out");
    }
    let network = if launched { Network::Loopback } else { chosen.unwrap_or_default() };
    let address = object.get("url").and_then(|address| url(&address, Rules { network, query: true }));
    let credential = object.get("credential").and_then(|item| credential(&item, network)).unwrap_or_default();
    let launch = if launched { command(object, "launch") } else { Vec::new() };
    Transport::Http { url: address.unwrap_or_default(), credential, network, protocol, launch }
}

fn command(object: &Object<'_>, key: &str) -> Vec<String> {
    let Some(item) = object.get(key) else { return Vec::new() };
    let mut words = Vec::new();
    for word in item.list("words, the program first") {
        let Some(text) = word.text() else { continue };
        word_checked(text, &word);
        words.push(text.to_owned());
    }
    if words.is_empty() && item.node.nodes().is_empty() {
        item.error("there is no program to start", "write `[program, argument, …]`");
    }
    words
}

fn env(object: &Object<'_>) -> BTreeMap<String, remit_model::SecretRef> {
    let Some(item) = object.get("env") else { return BTreeMap::new() };
    let pairs = item.pairs("a mapping of variables").into_iter();
    pairs.filter_map(|(name, value)| Some((name.to_owned(), variable_value(name, &value)?))).collect()
}

fn credential(item: &Item<'_>, network: Network) -> Option<Credential> {
    const KINDS: &[&str] = &["bearer", "api_key", "oauth"];
    if item.as_text().is_some() {
        item.error(
            "a secret never stands in a configuration",
            "write `{ bearer: { secret: name } }`, `{ api_key: … }` or `{ oauth: … }`",
        );
        return None;
    }
    let object = item.object("a credential", KINDS)?;
    let present = object.present(&["bearer", "api_key", "oauth"]);
    let [kind] = present.as_slice() else {
        item.error(
            "a credential has exactly one of `bearer`, `api_key` and `oauth`",
            "write `{ bearer: { secret: name } }`, for example",
        );
        return None;
    };
    let value = object.get(kind)?;
    match *kind {
        "bearer" => secret(&value).map(Credential::Bearer),
        "api_key" => api_key(&value),
        _ => oauth(&value, network),
    }
}

fn api_key(item: &Item<'_>) -> Option<Credential> {
    if item.as_text().is_some() {
        item.error("a secret never stands in a configuration", "write `{ header: x-api-key, value: { secret: name } }`");
        return None;
    }
    let object = item.object("an API key", &["header", "value"])?;
    let value = object.need("value").and_then(|value| secret(&value));
    Some(Credential::ApiKey { header: header_name(&object.need("header")?)?, value: value? })
}

/// The name of a header that may carry a key, in lower case.
pub(crate) fn header_name(header: &Item<'_>) -> Option<String> {
    const RESERVED: &[&str] = &[
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "accept",
        "te",
        "trailer",
        "upgrade",
        "cookie",
    ];
    let name = header.text()?;
    let token = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let lower = name.to_ascii_lowercase();
    if !token || RESERVED.contains(&lower.as_str()) || lower.starts_with("mcp-") {
        header.error(format!("{} is no header that may carry a key", shown(name)), "write its name, such as `x-api-key`");
        return None;
    }
    Some(lower)
}

/// The words for a grant: whether a person consents.
const GRANTS: [(&str, bool); 2] = [("client_credentials", false), ("authorization_code", true)];

fn oauth(item: &Item<'_>, network: Network) -> Option<Credential> {
    let keys = &[
        "grant",
        "client_id",
        "client_secret",
        "private_key",
        "algorithm",
        "token_endpoint",
        "issuer",
        "client_metadata_url",
        "scopes",
    ];
    let object = item.object("an OAuth client", keys)?;
    let scopes = scopes(&object);
    let by_person = match object.get("grant") {
        Some(grant) => grant.choice(&GRANTS)?,
        None => false,
    };
    if by_person { authorization_code(&object, network, scopes) } else { client_credentials(&object, network, scopes) }
}

fn scopes(object: &Object<'_>) -> Vec<String> {
    let scopes = object.get("scopes").map(|scopes| scopes.texts("scopes")).unwrap_or_default();
    for (scope, item) in &scopes {
        if scope.contains(char::is_whitespace) || scope.contains(['"', '\\']) {
            item.error(format!("{} is no scope", shown(scope)), "write each scope as a member of its own");
        }
    }
    scopes.into_iter().map(|(scope, _)| scope.to_owned()).collect()
}

/// What a client proves itself with: a secret, or a key and its algorithm.
fn proof(object: &Object<'_>) -> Option<(SecretRef, Option<String>)> {
    let algorithm = object.get("algorithm").and_then(|algorithm| algorithm.choice(&ALGORITHMS));
    match object.present(&["client_secret", "private_key"]).as_slice() {
        ["client_secret"] => {
            if let Some(item) = object.get("algorithm") {
                item.error("`algorithm` is for a `private_key`", "leave it out");
            }
            Some((object.get("client_secret").and_then(|item| secret(&item))?, None))
        }
        ["private_key"] => {
            let key = object.get("private_key").and_then(|item| secret(&item))?;
            Some((key, Some(algorithm.unwrap_or("ES256").to_owned())))
        }
        _ => {
            object.item.error(
                "an OAuth client has exactly one of `client_secret` and `private_key`",
                "say where it is kept: `client_secret: { secret: name }`",
            );
            None
        }
    }
}

fn client_credentials(object: &Object<'_>, network: Network, scopes: Vec<String>) -> Option<Credential> {
    for key in object.present(&["issuer", "client_metadata_url"]) {
        if let Some(item) = object.get(key) {
            item.error(format!("`{key}` is for `grant: authorization_code`"), "leave it out");
        }
    }
    let client_id = object.need("client_id").and_then(|id| id.text().map(str::to_owned));
    let token_endpoint = object.get("token_endpoint").and_then(|endpoint| url(&endpoint, Rules { network, query: false }));
    let (secret, private_key_alg) = proof(object)?;
    Some(Credential::OAuth(OAuthClient { client_id: client_id?, secret, private_key_alg, token_endpoint, scopes }))
}

fn authorization_code(object: &Object<'_>, network: Network, scopes: Vec<String>) -> Option<Credential> {
    if let Some(item) = object.get("token_endpoint") {
        item.error("`token_endpoint` is for `grant: client_credentials`", "leave it out; `issuer` may stand here");
    }
    let issuer = object.get("issuer").and_then(|issuer| url(&issuer, Rules { network, query: false }));
    let document = object.get("client_metadata_url");
    let client_metadata_url = document.as_ref().and_then(|item| url(item, Rules { network: Network::Public, query: false }));
    if let (Some(item), Some(address)) = (&document, &client_metadata_url)
        && address.split_once("://").is_none_or(|(scheme, rest)| scheme != "https" || !rest.contains('/'))
    {
        // draft-ietf-oauth-client-id-metadata-document section 3: `https`, and a path.
        item.error("a client metadata document is at an `https` address with a path", "write `https://host/path`");
    }
    let proofs = object.present(&["client_secret", "private_key"]);
    let registered = match object.get("client_id") {
        None => {
            for key in proofs.iter().copied().chain(object.present(&["algorithm"])) {
                if let Some(item) = object.get(key) {
                    item.error(format!("`{key}` belongs to a `client_id`"), "write the `client_id`, or leave both out");
                }
            }
            None
        }
        Some(id) => {
            if let Some(item) = &document {
                item.error("`client_metadata_url` stands in for a `client_id`", "leave one of them out");
            }
            let (secret, private_key_alg) = match proofs.as_slice() {
                [] => {
                    if let Some(item) = object.get("algorithm") {
                        item.error("`algorithm` is for a `private_key`", "leave it out");
                    }
                    (None, None)
                }
                _ => proof(object).map(|(secret, algorithm)| (Some(secret), algorithm))?,
            };
            Some(RegisteredClient { client_id: id.text()?.to_owned(), secret, private_key_alg })
        }
    };
    Some(Credential::AuthorizationCode(AuthorizationCodeClient { registered, issuer, client_metadata_url, scopes }))
}

fn limits(item: &Item<'_>) -> ServerLimits {
    let keys = &["connect_timeout_ms", "call_timeout_ms", "result_bytes_max", "calls_max"];
    let default = ServerLimits::default();
    let Some(object) = item.object("limits", keys) else { return default };
    let count = |key: &str, max: u64| object.get(key).and_then(|item| item.count(max));
    let size = |key: &str, max: u64| count(key, max).and_then(|count| usize::try_from(count).ok());
    ServerLimits {
        connect_timeout_ms: count("connect_timeout_ms", 60_000).unwrap_or(default.connect_timeout_ms),
        call_timeout_ms: count("call_timeout_ms", 3_600_000).unwrap_or(default.call_timeout_ms),
        result_bytes_max: size("result_bytes_max", 256 * 1024 * 1024).unwrap_or(default.result_bytes_max),
        calls_max: size("calls_max", 100_000).unwrap_or(default.calls_max),
    }
}

fn overrides(item: &Item<'_>) -> BTreeMap<String, ToolOverride> {
    let mut tools = BTreeMap::new();
    let mut exposed: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in item.pairs("a mapping of tools") {
        if name.is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
            value.error(format!("{} is no tool's name", shown(name)), "write the name that the server itself uses");
        }
        let Some(object) = value.object("a tool", &["class", "risk", "categories", "expose_as", "results", "arguments"]) else {
            continue;
        };
        let categories = object.get("categories").map(|categories| self::categories(&categories)).unwrap_or_default();
        let expose_as = object.get("expose_as").and_then(|name| name.id(ToolName::new));
        if let Some(other) = expose_as.as_ref().and_then(|new| exposed.insert(new.as_str().to_owned(), name.to_owned())) {
            value.error(format!("`{other}` is exposed under the same name"), "choose another `expose_as`");
        }
        let class = object.get("class").and_then(|class| class.choice(&CLASSES));
        let risk = object.get("risk").and_then(|risk| risk.choice(&RISKS));
        let results = object.get("results").map_or(ResultWord::default(), |results| label::results(&results));
        let arguments = object.get("arguments").map(|arguments| label::arguments(&arguments)).unwrap_or_default();
        tools.insert(name.to_owned(), ToolOverride { class, risk, categories, expose_as, results, arguments });
    }
    tools
}

fn categories(item: &Item<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (category, item) in item.texts("categories") {
        let fits = category.len() <= 32
            && category.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            item.error(
                format!("{} is no category", shown(category)),
                "1 to 32 lower-case letters, digits and `-`, such as `delete`",
            );
        }
        found.push(category.to_owned());
    }
    found
}
