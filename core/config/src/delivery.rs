//! `deliveries`: where records of decisions go, and in whose words.

use std::collections::BTreeSet;

use remit_model::{Delivery, DeliveryFormat, Destination, Network, S3Bucket};

use crate::draft::Draft;
use crate::invariant::{agent_ids, spaces, tool_named};
use crate::item::{Item, Object, shown};
use crate::secret::secret;
use crate::server::{NETWORKS, header_name};
use crate::url::{Rules, url};

/// The most deliveries: each has a thread of its own.
pub(crate) const DELIVERIES_MAX: usize = 16;
/// The longest that records gather, in seconds: a day.
pub(crate) const GATHER_SECS_MAX: u64 = 24 * 3600;
/// How long records gather for a receiver of single ones, in seconds.
const GATHER_SECS: u64 = 1;
/// How long they gather for a bucket, in seconds: Security Lake wants no more than one object each five minutes.
const GATHER_SECS_S3: u64 = 300;
/// The longest prefix of keys, in bytes.
const PREFIX_BYTES_MAX: usize = 512;

const FORMATS: [(&str, DeliveryFormat); 3] =
    [("ocsf", DeliveryFormat::Ocsf), ("cloudtrail", DeliveryFormat::CloudTrail), ("parquet", DeliveryFormat::Parquet)];
const VERDICTS: [(&str, &str); 3] = [("ALLOW", "ALLOW"), ("DENY", "DENY"), ("HOLD", "HOLD")];
const KINDS: [&str; 3] = ["syslog", "https", "s3"];

/// Reads the list; agents, spaces and servers that it may name were read before.
pub(crate) fn deliveries(items: &[Item<'_>], draft: &Draft<'_>) -> Vec<Delivery> {
    let (mut found, mut names): (Vec<Delivery>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    for item in items {
        let Some(delivery) = delivery(item, draft) else { continue };
        if !names.insert(delivery.name.clone()) {
            item.error(format!("there is already a delivery {}", shown(&delivery.name)), "rename one of the two");
            continue;
        }
        found.push(delivery);
    }
    if let Some(item) = items.get(DELIVERIES_MAX) {
        item.error(format!("there are more than {DELIVERIES_MAX} deliveries"), "keep fewer");
    }
    found
}

const KEYS: &[&str] = &["name", "syslog", "https", "s3", "format", "gather_secs", "agents", "spaces", "tools", "verdicts"];

fn delivery(item: &Item<'_>, draft: &Draft<'_>) -> Option<Delivery> {
    let object = item.object("a delivery", KEYS)?;
    let name = object.need("name").and_then(|name| file_name(&name));
    let present = object.present(&KINDS);
    let [kind] = present.as_slice() else {
        item.error("a delivery is exactly one of `syslog`, `https` and `s3`", "write one of the three");
        return None;
    };
    let inner = object.get(kind)?;
    let to = match *kind {
        "syslog" => syslog(&inner),
        "https" => https(&inner),
        _ => s3(&inner).map(Destination::S3),
    };
    let format = object.get("format").and_then(|format| {
        let choice = format.choice(&FORMATS)?;
        if choice == DeliveryFormat::Parquet && *kind != "s3" {
            format.error("`parquet` is for `s3`", "write `ocsf` or `cloudtrail`");
        }
        Some(choice)
    });
    let gather_default = if *kind == "s3" { GATHER_SECS_S3 } else { GATHER_SECS };
    let texts = |key: &str, of: &str| object.get(key).map(|list| list.texts(of)).unwrap_or_default();
    let tools = texts("tools", "tools").into_iter().filter(|(text, item)| tool_named(text, item, draft));
    let verdicts = texts("verdicts", "verdicts").into_iter().filter_map(|(_, item)| item.choice(&VERDICTS));
    let verdicts = verdicts.map(str::to_owned).collect();
    let tools = tools.map(|(text, _)| text.to_owned()).collect();
    let agents = agent_ids(texts("agents", "agents"), draft).into_iter().map(|id| id.to_string()).collect();
    let spaces = spaces(texts("spaces", "spaces"), draft).into_iter().map(|id| id.to_string()).collect();
    let gather_secs = object.get("gather_secs").and_then(|item| item.count(GATHER_SECS_MAX)).unwrap_or(gather_default);
    let format = format.unwrap_or_default();
    Some(Delivery { name: name?, to: to?, format, gather_secs, agents, spaces, tools, verdicts })
}

/// A name that can be a file's: how far a delivery is stands in one.
fn file_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        item.error(format!("{} is no name of a delivery", shown(text)), "1 to 64 lower-case letters, digits and `-`");
        return None;
    }
    Some(text.to_owned())
}

fn network(object: &Object<'_>) -> Network {
    object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default()
}

fn syslog(item: &Item<'_>) -> Option<Destination> {
    let object = item.object("a syslog receiver", &["address", "network"])?;
    let (network, address) = (network(&object), object.need("address")?);
    let text = address.text()?;
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    // What an https address of the same host would have to be.
    if port.parse::<u16>().is_err() || crate::url::checked(&format!("https://{text}"), Rules { network, query: false }).is_err() {
        let mend = format!("write `host:6514`, and `network` as it is: {} must be such an address", shown(host));
        address.error(format!("{} is no host with a port on this network", shown(text)), mend);
        return None;
    }
    Some(Destination::Syslog { address: text.to_owned(), network })
}

fn https(item: &Item<'_>) -> Option<Destination> {
    let object = item.object("a collector", &["url", "network", "bearer", "header", "body"])?;
    let network = network(&object);
    let address = object.need("url").and_then(|item| url(&item, Rules { network, query: true }));
    let body = object.get("body").and_then(|body| body.choice(&[("lines", false), ("array", true)]));
    if object.present(&["bearer", "header"]).len() > 1 {
        item.error("a collector has one of `bearer` and `header`", "keep one");
    }
    let bearer = object.get("bearer").and_then(|value| Some(("authorization".to_owned(), secret(&value)?)));
    let header = object.get("header").and_then(|header| {
        let object = header.object("a header", &["name", "value"])?;
        let value = object.need("value").and_then(|value| secret(&value));
        Some((header_name(&object.need("name")?)?, value?))
    });
    Some(Destination::Https { url: address?, network, header: bearer.or(header), array: body.unwrap_or_default() })
}

pub(crate) fn s3(item: &Item<'_>) -> Option<S3Bucket> {
    let object = item.object("a bucket", &["bucket", "region", "prefix", "endpoint", "credentials", "network"])?;
    let network = network(&object);
    let endpoint = object.get("endpoint").map(|item| url(&item, Rules { network, query: false }));
    let credentials = object.need("credentials").and_then(|item| secret(&item));
    let bucket = object.need("bucket").and_then(|item| {
        let text = item.text()?;
        let fits = (3..=63).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
        if !fits {
            item.error(format!("{} is no name of a bucket", shown(text)), "3 to 63 lower-case letters, digits, `.` and `-`");
        }
        fits.then(|| text.to_owned())
    });
    let region = object.need("region").and_then(|item| item.id(remit_model::Region::new));
    let prefix = object.get("prefix").and_then(|item| prefix(&item)).unwrap_or_default();
    let endpoint = match endpoint {
        Some(None) => return None,
        given => given.flatten(),
    };
    Some(S3Bucket { bucket: bucket?, region: region?.to_string(), prefix, endpoint, credentials: credentials?, network })
}

/// What stands before keys: it ends with `/`.
fn prefix(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let fits = text.len() <= PREFIX_BYTES_MAX
        && !text.starts_with('/')
        && !text.trim_end_matches('/').split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if !fits {
        item.error(format!("{} is no prefix of keys", shown(text)), "write folders such as `ext/remit/`");
        return None;
    }
    Some(format!("{}/", text.trim_end_matches('/')))
}
