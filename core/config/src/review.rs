//! `change_review`: who has to agree to a change.

use std::collections::BTreeMap;

use remit_model::ChangeReview;
use remit_tlog::Verifier;

use crate::item::Object;

/// The most approvals that can be asked for.
const APPROVALS_MAX: u64 = 5;
/// The most reviewers.
const REVIEWERS_MAX: usize = 100;
/// The longest name of a reviewer, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Reads it: once in all files.
pub(crate) fn change_review(roots: &[Object<'_>]) -> Option<ChangeReview> {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("change_review")).collect();
    for more in found.iter().skip(1) {
        more.error("the review of changes is described twice", "keep one `change_review`");
    }
    let item = found.first()?;
    let object = item.object("a review of changes", &["required", "approvals", "reviewers"])?;
    let required = object.get("required").and_then(|flag| flag.flag()).unwrap_or(true);
    let approvals = object.get("approvals").and_then(|count| count.count(APPROVALS_MAX)).unwrap_or(1);
    let list = object.need("reviewers")?;
    let (mut names, mut reviewers): (BTreeMap<String, [u8; 32]>, Vec<String>) = Default::default();
    for (text, item) in list.texts("reviewers' public keys") {
        match Verifier::parse(text) {
            Ok(key) if key.name().len() > NAME_BYTES_MAX => {
                item.error(format!("a reviewer's name has at most {NAME_BYTES_MAX} bytes"), "shorten it");
            }
            Ok(key) => {
                // Names are told apart as people do, since an author is known by name alone.
                if names.insert(key.name().to_lowercase(), *key.key()).is_some() {
                    item.error(format!("there is already a reviewer `{}`", key.name()), "a reviewer has one key: keep one");
                } else if let Some(other) =
                    names.iter().find(|(name, own)| *own == key.key() && **name != key.name().to_lowercase())
                {
                    item.error(
                        format!("this is the key of `{}` under another name", other.0),
                        "a key is one reviewer's: keep one",
                    );
                }
                reviewers.push(text.to_owned());
            }
            Err(_) => item.error(
                "this is no reviewer's public key",
                "let the reviewer run `remit review-key NAME`, and write here what it prints",
            ),
        }
    }
    if reviewers.len() > REVIEWERS_MAX {
        list.error(format!("there are more than {REVIEWERS_MAX} reviewers"), "name fewer");
    }
    if required && u64::try_from(names.len()).unwrap_or(u64::MAX) < approvals {
        list.error(
            format!(
                "{approvals} approvals are asked for, and there are {} reviewers: no change could ever be approved",
                names.len()
            ),
            "name more reviewers, or ask for fewer approvals",
        );
    } else if required && u64::try_from(names.len()).unwrap_or(u64::MAX) == approvals {
        list.warn(
            "every reviewer is needed: a change that one of them is the author of can't be approved",
            "name one reviewer more",
        );
    }
    Some(ChangeReview { required, approvals: u32::try_from(approvals).unwrap_or(1), reviewers })
}
