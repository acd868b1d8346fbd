//! `guardrails` and `bedrock_policies`: what must not pass, and where in the tree that holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use remit_guard::inherit::effective;
use remit_guard::{Definition, Guardrail as Compiled};
use remit_model::{
    AccountId, BedrockGuardrail, Guardrail, GuardrailKey, GuardrailPolicy, GuardrailTarget, GuardrailVersion, Guardrails, OuId,
    Region, Risk, SpaceId,
};
use serde_json::Value;

use crate::draft::Draft;
use crate::iam::Shelf;
use crate::item::{Item, Object, shown};
use crate::secret::secret;
use crate::server::{NETWORKS, RISKS};
use crate::suggest::did_you_mean;
use crate::url::{Rules, url};

/// The most versions of guardrails.
const VERSIONS_MAX: usize = 1_000;
/// The most policies that attach them.
const POLICIES_MAX: usize = 500;
/// The longest name of a policy, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How long a request to Bedrock may take where nobody says anything, the least and the most that may be said, in milliseconds.
const TIMEOUT_MS: (u64, u64, u64) = (5_000, 100, 30_000);

/// Reads both lists; everything that they may name was read before.
pub(crate) fn guardrails<'a>(
    (versions, policies): (&[Item<'a>], &[Item<'a>]),
    account: impl Fn(&Object<'a>) -> Option<AccountId>,
    shelf: &Shelf<'_>,
    draft: &Draft<'a>,
) -> Guardrails {
    let mut found = Guardrails::default();
    for item in versions {
        let Some(guardrail) = version(item, &account, shelf) else { continue };
        let what = format!("there is already a guardrail `{}`, at {{}}", guardrail.key);
        if let Some(other) = found.versions.get(&guardrail.key) {
            item.error(what.replace("{}", &other.origin), "give it the next number, or remove it");
            continue;
        }
        found.versions.insert(guardrail.key.clone(), guardrail);
    }
    let mut names = BTreeSet::new();
    let mut places = Vec::new();
    for item in policies {
        let Some(policy) = policy(item, shelf, draft) else { continue };
        if !names.insert(policy.name.clone()) {
            item.error(format!("there is already a policy {}", shown(&policy.name)), "rename one of the two");
        }
        places.push((policy.name.clone(), item));
        found.policies.push(policy);
    }
    for (list, max, of) in [(versions, VERSIONS_MAX, "guardrails"), (policies, POLICIES_MAX, "policies")] {
        if let Some(item) = list.get(max) {
            item.error(format!("there are more than {max} {of}"), "keep fewer");
        }
    }
    attached_checked(&found, &places, draft);
    found
}

fn version<'a>(item: &Item<'a>, account: &impl Fn(&Object<'a>) -> Option<AccountId>, shelf: &Shelf<'_>) -> Option<Guardrail> {
    let object = item.object("a guardrail", &["id", "version", "account", "description", "definition", "bedrock"])?;
    if let Some(description) = object.get("description") {
        description.text();
    }
    let named = object.need("id")?;
    let id = named.text()?;
    if !GuardrailKey::is_id(id) {
        named.error(format!("{} is no guardrail's id", shown(id)), "1 to 64 lower-case letters, digits and `-`");
        return None;
    }
    let version = match object.get("version") {
        None => GuardrailVersion::Draft,
        Some(item) => version_of(&item)?,
    };
    let account = account(&object);
    let bedrock = match object.get("bedrock") {
        None => None,
        Some(said) => Some(Arc::new(bedrock(&said, version)?)),
    };
    // Where Bedrock's stands behind it, it need not say anything itself.
    let document = if bedrock.is_some() { object.get("definition") } else { Some(object.need("definition")?) };
    let definition = match document {
        None => None,
        Some(document) => Some(definition(item, &document, shelf)?.into()),
    };
    let key = GuardrailKey { id: id.to_owned(), version };
    Some(Guardrail { key, account: account?, origin: item.origin(), definition, bedrock })
}

/// `DRAFT`, or a number.
fn version_of(item: &Item<'_>) -> Option<GuardrailVersion> {
    if item.as_text() == Some("DRAFT") {
        return Some(GuardrailVersion::Draft);
    }
    Some(GuardrailVersion::Numbered(u32::try_from(item.count(100_000)?).ok()?))
}

/// A definition, checked: JSON text.
fn definition(item: &Item<'_>, document: &Item<'_>, shelf: &Shelf<'_>) -> Option<String> {
    let (file, json) = shelf.json(document)?;
    let pointer =
        |pointer: &str| format!("at `{pointer}`{}", if file == item.file { String::new() } else { format!(" of {file}") });
    let definition: Definition = match serde_json::from_str(&json) {
        Ok(definition) => definition,
        Err(error) => {
            document.error(format!("this is no definition of a guardrail: {error}"), "see docs/reference/guardrails.md");
            return None;
        }
    };
    if let Err(faults) = Compiled::compile(definition) {
        for fault in faults {
            document.error(format!("{}: {}", pointer(&fault.pointer), fault.message), fault.hint);
        }
        return None;
    }
    Some(json)
}

/// The guardrail of Amazon Bedrock that stands behind one of this version.
fn bedrock(item: &Item<'_>, own: GuardrailVersion) -> Option<BedrockGuardrail> {
    let object = item.object(
        "a guardrail of Amazon Bedrock",
        &["identifier", "version", "region", "credentials", "endpoint", "network", "timeout_ms", "risk_min"],
    )?;
    let network = object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default();
    let identifier = object.need("identifier").and_then(|item| {
        let text = item.text()?;
        if !BedrockGuardrail::is_identifier(text) {
            let mend = "write the guardrail's id (lower-case letters and digits) or its ARN, without a version";
            item.error(format!("{} names no guardrail of Amazon Bedrock", shown(text)), mend);
            return None;
        }
        Some(text)
    });
    let of_arn = identifier.and_then(BedrockGuardrail::region_of);
    let region = match (object.get("region"), of_arn) {
        (Some(item), of_arn) => {
            let region = item.id(Region::new);
            if let (Some(said), Some(of_arn)) = (&region, of_arn)
                && said.as_str() != of_arn
            {
                item.error(format!("the guardrail's ARN is of {of_arn}"), "name the same region, or leave it out");
            }
            region
        }
        (None, Some(of_arn)) => Region::new(of_arn).ok(),
        (None, None) => object.need("region").and_then(|item| item.id(Region::new)),
    };
    let version = object.get("version").map_or(Some(GuardrailVersion::Draft), |item| version_of(&item));
    if let (GuardrailVersion::Numbered(_), Some(GuardrailVersion::Draft)) = (own, version) {
        let mend = "name a numbered version of Bedrock's, or make this one the DRAFT";
        item.error("a numbered version never changes, and the DRAFT behind it may", mend);
    }
    let credentials = object.need("credentials").and_then(|item| secret(&item));
    let endpoint = match object.get("endpoint").map(|item| url(&item, Rules { network, query: false })) {
        Some(None) => return None,
        given => given.flatten(),
    };
    let (default, min, max) = TIMEOUT_MS;
    let timeout_ms = match object.get("timeout_ms") {
        None => default,
        Some(item) => {
            let said = item.count(max)?;
            if said < min {
                item.error(format!("nothing answers within {said} ms"), format!("at least {min}"));
            }
            said
        }
    };
    let risk_min = object.get("risk_min").and_then(|item| item.choice(&RISKS)).unwrap_or(Risk::Low);
    Some(BedrockGuardrail {
        identifier: identifier?.to_owned(),
        version: version?,
        region: region?.to_string(),
        endpoint,
        credentials: credentials?,
        network,
        timeout_ms,
        risk_min,
    })
}

fn policy(item: &Item<'_>, shelf: &Shelf<'_>, draft: &Draft<'_>) -> Option<GuardrailPolicy> {
    let object = item.object("a policy that attaches guardrails", &["name", "targets", "document"])?;
    let named = object.need("name")?;
    let name = named.text()?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        named.error(format!("{} is no name", shown(name)), format!("1 to {NAME_BYTES_MAX} bytes"));
        return None;
    }
    let targets = object.need("targets")?;
    let targets = targets.texts("targets").into_iter().filter_map(|(_, item)| target(&item, draft)).collect();
    let (_, document) = shelf.json(&object.need("document")?)?;
    Some(GuardrailPolicy { name: name.to_owned(), origin: item.origin(), targets, document: document.into() })
}

/// The root, a unit, an account or a space, by its id.
fn target(item: &Item<'_>, draft: &Draft<'_>) -> Option<GuardrailTarget> {
    let text = item.text()?;
    if text == draft.organization.root {
        return Some(GuardrailTarget::Root);
    }
    let unit = || OuId::new(text).ok().filter(|id| draft.units.contains_key(id)).map(GuardrailTarget::Unit);
    let account = || {
        let id = AccountId::new(text).ok()?;
        draft.organization.accounts.contains_key(&id).then_some(GuardrailTarget::Account(id))
    };
    let space = || SpaceId::new(text).ok().filter(|id| draft.spaces.contains_key(id)).map(GuardrailTarget::Space);
    let found = unit().or_else(account).or_else(space);
    if found.is_none() && draft.complete {
        let known = std::iter::once(draft.organization.root.as_str())
            .chain(draft.units.keys().map(OuId::as_str))
            .chain(draft.organization.accounts.keys().map(AccountId::as_str))
            .chain(draft.spaces.keys().map(SpaceId::as_str));
        let what = format!("there is no root, unit, account or space {}{}", shown(text), did_you_mean(text, known));
        item.error(what, "write the id of one");
    }
    found
}

/// Whether the documents of every space can be joined, and name guardrails that there are.
fn attached_checked(guardrails: &Guardrails, places: &[(String, &Item<'_>)], draft: &Draft<'_>) {
    let mut told: BTreeSet<String> = BTreeSet::new();
    for space in draft.spaces.values().map(|draft| &draft.space) {
        // Units are still drafts: the path is read of an organization that has them.
        let mut organization = draft.organization.clone();
        organization.units = draft.units.iter().map(|(id, unit)| (id.clone(), unit.unit.clone())).collect();
        let documents = guardrails.documents(&organization.guardrail_path(space));
        let Some(last) = documents.last() else { continue };
        let Some((_, item)) = places.iter().find(|(name, _)| *name == last.name) else { continue };
        let read = |policy: &&GuardrailPolicy| serde_json::from_str(&policy.document).unwrap_or(Value::Null);
        let mut tell = |what: String, mend: String| {
            if told.insert(what.clone()) {
                item.error(what, mend);
            }
        };
        match effective(&documents.iter().map(read).collect::<Vec<_>>()) {
            Err(fault) => {
                tell(
                    format!(
                        "what is attached to space `{}` can't be joined, at `{}`: {}",
                        space.id, fault.pointer, fault.message
                    ),
                    fault.hint,
                );
            }
            Ok(policy) => {
                for attachment in policy.attachments() {
                    let key = GuardrailKey::parse(&attachment.identifier);
                    if key.is_none_or(|key| !guardrails.versions.contains_key(&key)) && draft.complete {
                        let known: Vec<String> = guardrails.versions.keys().map(ToString::to_string).collect();
                        let near = did_you_mean(&attachment.identifier, known.iter().map(String::as_str));
                        let what = format!("there is no guardrail {}{near}", shown(&attachment.identifier));
                        tell(what, "write `<id>:<version>`, or its ARN with `:` and the version".to_owned());
                    }
                }
            }
        }
    }
}
