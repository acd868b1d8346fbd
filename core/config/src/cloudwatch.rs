//! `cloudwatch`: where metrics of decisions are put.

use remit_model::{CloudWatch, Region};

use crate::item::Object;
use crate::secret::secret;
use crate::server::NETWORKS;
use crate::url::{Rules, url};

/// Reads it: once in all files.
pub(crate) fn cloudwatch(roots: &[Object<'_>]) -> Option<CloudWatch> {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("cloudwatch")).collect();
    for more in found.iter().skip(1) {
        more.error("CloudWatch is described twice", "keep one `cloudwatch`");
    }
    let object = found.first()?.object("CloudWatch", &["region", "credentials", "endpoint", "network"])?;
    let network = object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default();
    let region = object.need("region").and_then(|item| item.id(Region::new));
    let credentials = object.need("credentials").and_then(|item| secret(&item));
    let endpoint = match object.get("endpoint").map(|item| url(&item, Rules { network, query: false })) {
        Some(None) => return None,
        given => given.flatten(),
    };
    Some(CloudWatch { region: region?.to_string(), endpoint, credentials: credentials?, network })
}
