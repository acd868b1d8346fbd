//! `remit inventory`: the components that a configuration brings in, each with its package, its checksum, its standing and its pins.

use std::collections::BTreeMap;

use remit_gateway::Pins as _;
use remit_kernel::catalogue::Catalogue;
use remit_kernel::definitions::INSTRUCTIONS;
use remit_model::{Server, ServerKey, Transport};
use serde_json::{Value, json};

use crate::cli::InventoryOf;
use crate::home::{Home, StoredPins};
use crate::offline::Offline;
use crate::output::{Failure, Printer};

/// The version of CycloneDX that is written.
const SPEC_VERSION: &str = "1.6";

/// Runs it.
pub(crate) fn run(options: &InventoryOf) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let offline = match Offline::read(options.directory.as_deref()) {
        Ok(offline) => offline,
        Err(refused) => return Err(refused.told(printer)?),
    };
    // What was accepted on a gateway, where one is named; else what the directory's lock says was.
    let catalogue = match &options.data {
        Some(data) => {
            let kept = StoredPins(Home::existing(data)?.store()?);
            let (pins, _) = kept.load().map_err(Failure::new)?;
            let records = kept.records().map_err(Failure::new)?.into_iter().collect();
            Catalogue { pins: pins.into_iter().collect(), records, ..Catalogue::default() }
        }
        None => offline.lock.as_ref().map(remit_trial::Lock::catalogue).unwrap_or_default(),
    };
    let organization = &offline.source.loaded.organization;
    let all: Vec<Component<'_>> =
        organization.servers.iter().map(|(key, server)| Component::of(key, server, &catalogue)).collect();
    if options.json {
        return all.iter().try_for_each(|one| printer.line(&one.json().to_string()));
    }
    let (services, components): (Vec<&Component<'_>>, Vec<&Component<'_>>) = all.iter().partition(|one| one.url.is_some());
    let written = json!({
        "bomFormat": "CycloneDX", "specVersion": SPEC_VERSION, "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": organization.id, "name": organization.name}},
        "components": components.iter().map(|one| one.component()).collect::<Vec<_>>(),
        "services": services.iter().map(|one| one.service()).collect::<Vec<_>>(),
    });
    printer.line(&serde_json::to_string_pretty(&written).map_err(|error| Failure::new(error.to_string()))?)
}

/// A server as a component.
struct Component<'a> {
    key: &'a ServerKey,
    server: &'a Server,
    status: &'static str,
    /// Where it runs, for one that isn't started from a command.
    url: Option<&'a str>,
    /// The package that its tags name: registry, name and version.
    package: Option<(&'a str, &'a str, &'a str)>,
    pins: BTreeMap<&'a str, &'a str>,
}

impl<'a> Component<'a> {
    fn of(key: &'a ServerKey, server: &'a Server, catalogue: &'a Catalogue) -> Self {
        let url = match &server.transport {
            Transport::Http { url, launch, .. } if launch.is_empty() => Some(url.as_str()),
            _ => None,
        };
        let package = server.tags.get("mcp:package").and_then(|text| {
            let (registry, rest) = text.split_once(':')?;
            let (name, version) = rest.rsplit_once('@')?;
            Some((registry, name, version))
        });
        let own = catalogue.pins.iter().filter(|(pin, _)| pin.server == *key);
        let pins = own.map(|(pin, held)| (pin.tool.as_str(), held.digest.as_str())).collect();
        Self { key, server, status: catalogue.status(server).as_str(), url, package, pins }
    }

    fn tag(&self, key: &str) -> Option<&'a str> {
        self.server.tags.get(key).map(String::as_str)
    }

    fn command(&self) -> Option<&'a [String]> {
        match &self.server.transport {
            Transport::Stdio { command, .. } => Some(command),
            Transport::Http { launch, .. } if !launch.is_empty() => Some(launch),
            Transport::Http { .. } => None,
        }
    }

    fn json(&self) -> Value {
        let package = self.package.map(|(registry, name, version)| json!({"registry": registry, "name": name, "version": version, "sha256": self.tag("mcp:package-sha256")}));
        json!({
            "server": self.key.to_string(), "status": self.status, "registration": self.server.registration, "url": self.url,
            "program": self.command().and_then(<[String]>::first), "package": package, "version": self.version(), "pins": self.pins,
        })
    }

    fn version(&self) -> Option<&'a str> {
        self.package.map(|(_, _, version)| version).or_else(|| self.tag("mcp:version"))
    }

    /// What CycloneDX has no field for.
    fn properties(&self) -> Vec<Value> {
        let property = |name: String, value: &str| json!({"name": name, "value": value});
        let mut all = vec![
            property("remit:status".to_owned(), self.status),
            property("remit:registration".to_owned(), &self.server.registration),
        ];
        all.extend(self.command().and_then(<[String]>::first).map(|program| property("remit:program".to_owned(), program)));
        all.extend(self.pins.iter().map(|(tool, digest)| {
            let name = if *tool == INSTRUCTIONS { "remit:pin:instructions".to_owned() } else { format!("remit:pin:tool:{tool}") };
            property(name, digest)
        }));
        all
    }

    fn component(&self) -> Value {
        let mut written = json!({
            "type": "application", "bom-ref": self.key.to_string(), "group": self.key.account.as_str(), "name": self.key.name.as_str(),
            "properties": self.properties(),
        });
        let mut set = |key: &str, value: Value| crate::aws::set(&mut written, key, value);
        if let Some(version) = self.version() {
            set("version", version.into());
        }
        if let Some((registry, name, version)) = self.package {
            // A scope is written with its sign encoded (purl-spec, npm).
            set("purl", format!("pkg:{registry}/{}@{version}", name.replace('@', "%40")).into());
        }
        if let Some(digest) = self.tag("mcp:package-sha256") {
            set("hashes", json!([{"alg": "SHA-256", "content": digest}]));
        }
        written
    }

    fn service(&self) -> Value {
        let mut written = json!({
            "bom-ref": self.key.to_string(), "group": self.key.account.as_str(), "name": self.key.name.as_str(), "endpoints": [self.url],
            "properties": self.properties(),
        });
        if let Some(version) = self.version() {
            crate::aws::set(&mut written, "version", version);
        }
        written
    }
}
