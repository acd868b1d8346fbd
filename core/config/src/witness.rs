//! `witnessing`: who cosigns the log's checkpoints.

use remit_model::{Network, Witness, Witnessing};
use remit_tlog::WitnessKey;

use crate::item::{Item, Object};
use crate::server::NETWORKS;
use crate::url::{Rules, url};

/// The most witnesses.
const WITNESSES_MAX: usize = 32;
/// How often a checkpoint is brought to them unless the configuration says otherwise.
const INTERVAL_SECS: u64 = 60;
/// The longest time between two.
const INTERVAL_SECS_MAX: u64 = 86_400;

/// Reads it: once in all files.
pub(crate) fn witnessing(roots: &[Object<'_>]) -> Option<Witnessing> {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("witnessing")).collect();
    for more in found.iter().skip(1) {
        more.error("witnessing is described twice", "keep one `witnessing`");
    }
    let object = found.first()?.object("witnessing", &["witnesses", "quorum", "interval_secs"])?;
    let items = object.need("witnesses").map(|list| list.list("witnesses")).unwrap_or_default();
    let mut witnesses: Vec<Witness> = Vec::new();
    for item in &items {
        let Some(read) = witness(item) else { continue };
        if witnesses.iter().any(|known| known.key == read.key) {
            item.error("there is already a witness with this key", "name each witness once: two of one key are one");
        }
        witnesses.push(read);
    }
    if items.len() > WITNESSES_MAX
        && let Some(item) = object.get("witnesses")
    {
        item.error(format!("there are more than {WITNESSES_MAX} witnesses"), "name fewer");
    }
    let most = u64::try_from(items.len()).unwrap_or_default().max(1);
    let quorum = object.get("quorum").and_then(|item| item.whole(1, most));
    let interval_secs = object.get("interval_secs").and_then(|item| item.whole(1, INTERVAL_SECS_MAX));
    Some(Witnessing {
        witnesses,
        quorum: usize::try_from(quorum.unwrap_or(most)).unwrap_or(usize::MAX),
        interval_secs: interval_secs.unwrap_or(INTERVAL_SECS),
    })
}

fn witness(item: &Item<'_>) -> Option<Witness> {
    let object = item.object("a witness", &["url", "network", "key"])?;
    let network = object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or(Network::Public);
    let address = object.need("url").and_then(|address| url(&address, Rules { network, query: false }))?;
    let key = object.need("key")?;
    let text = key.text()?;
    if let Err(error) = WitnessKey::parse(text) {
        key.error(
            format!("it is no key of a witness: {error}"),
            "write the key that `remit witness` prints: `<name>+<id>+<base64>`",
        );
        return None;
    }
    Some(Witness { url: address, network, key: text.to_owned() })
}
