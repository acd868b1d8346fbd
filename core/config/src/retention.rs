//! `retention`: how long records of calls are kept.

use remit_model::{Archive, Framework, Retention, RetentionRule};

use crate::delivery;
use crate::draft::Draft;
use crate::invariant;
use crate::item::{Item, Object};
use crate::server::CLASSES;

/// The longest time, in days: a hundred years.
const DAYS_MAX: u64 = 36_525;
/// The most rules.
const RULES_MAX: usize = 256;
/// The words for frameworks.
const FRAMEWORKS: [(&str, Framework); 3] =
    [("HIPAA", Framework::Hipaa), ("PCI_DSS", Framework::PciDss), ("SOC_2", Framework::Soc2)];

/// Reads it: once in all files. Spaces are known by then.
pub(crate) fn retention(roots: &[Object<'_>], draft: &Draft<'_>) -> Retention {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("retention")).collect();
    for more in found.iter().skip(1) {
        more.error("retention is described twice", "keep one `retention`");
    }
    let Some(object) = found.first().and_then(|item| item.object("retention", &["days", "framework", "rules", "archive"])) else {
        return Retention::default();
    };
    let rules: Vec<RetentionRule> = object
        .get("rules")
        .map(|list| list.list("retention rules"))
        .unwrap_or_default()
        .iter()
        .filter_map(|item| rule(item, draft))
        .collect();
    if rules.len() > RULES_MAX
        && let Some(item) = object.get("rules")
    {
        item.error(format!("there are more than {RULES_MAX} rules"), "join some");
    }
    let archive = object.get("archive").and_then(|item| {
        let object = item.object("an archive", &["s3", "days", "framework"])?;
        let to = object.need("s3").and_then(|item| delivery::s3(&item));
        let Some(days) = days(&object) else {
            item.error("it doesn't say how long it keeps what it gets", "add `days` or `framework`");
            return None;
        };
        Some(Archive { to: to?, days })
    });
    Retention { rules, days: days(&object), archive }
}

fn rule(item: &Item<'_>, draft: &Draft<'_>) -> Option<RetentionRule> {
    let object = item.object("a retention rule", &["spaces", "classes", "days", "framework"])?;
    let spaces = object.get("spaces").map(|list| list.texts("ids of spaces")).unwrap_or_default();
    let spaces = invariant::spaces(spaces, draft);
    let classes = object.get("classes").map(|list| list.list("classes")).unwrap_or_default();
    let classes = classes.iter().filter_map(|class| class.choice(&CLASSES)).collect();
    let Some(days) = days(&object) else {
        item.error("it says no time", "add `days` or `framework`");
        return None;
    };
    Some(RetentionRule { spaces, classes, days })
}

/// `days`, or those of a `framework`; of both the longer.
fn days(object: &Object<'_>) -> Option<u32> {
    let days = object.get("days").and_then(|item| item.whole(1, DAYS_MAX)).and_then(|days| u32::try_from(days).ok());
    let item = object.get("framework");
    let framework = item.as_ref().and_then(|item| item.choice(&FRAMEWORKS));
    if let (Some(days), Some(framework), Some(item)) = (days, framework, &item)
        && days < framework.days()
    {
        let (item, least) = (item.clone(), framework.days());
        item.error(format!("{days} days are fewer than the {least} of the framework"), "leave `days` away, or write more");
    }
    days.max(framework.map(Framework::days))
}
