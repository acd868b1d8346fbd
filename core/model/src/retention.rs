//! How long records of calls are kept.

use crate::{S3Bucket, SpaceId, ToolClass};

/// A framework that says how long records are to be kept, or in which a usual time has come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// HIPAA, 45 CFR 164.316(b)(2)(i): six years.
    Hipaa,
    /// PCI DSS v4.0.1, requirement 10.5.1: twelve months, the last three at hand; here all of them are.
    PciDss,
    /// SOC 2 names no time; an audit of the second kind usually looks at twelve months.
    Soc2,
}

impl Framework {
    /// How many days.
    pub fn days(self) -> u32 {
        match self {
            Self::Hipaa => 2_192,
            Self::PciDss | Self::Soc2 => 366,
        }
    }
}

/// An archive of the journal's segments, which nobody can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The bucket.
    pub to: S3Bucket,
    /// For how many days Object Lock keeps what is put there, in mode `COMPLIANCE`.
    pub days: u32,
}

/// For how long records of some calls are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// Of which spaces; empty: of all.
    pub spaces: Vec<SpaceId>,
    /// Of tools of which classes; empty: of all.
    pub classes: Vec<ToolClass>,
    /// For how many days.
    pub days: u32,
}

/// For how long records of calls are kept. Records of anything else (configurations, approvals, promotions, incidents) are kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// The first that fits counts.
    pub rules: Vec<RetentionRule>,
    /// Where none fits; `None`: for ever.
    pub days: Option<u32>,
    /// Where full segments of the journal go before anything of them is erased.
    pub archive: Option<Archive>,
}

impl Retention {
    /// How many days records of a call are kept; `None`: for ever. Without a class: the longest that any class could ask for.
    pub fn days(&self, space: &str, class: Option<ToolClass>) -> Option<u32> {
        let of_space = |rule: &&RetentionRule| rule.spaces.is_empty() || rule.spaces.iter().any(|id| id.as_str() == space);
        let mut longest = Some(0);
        for rule in self.rules.iter().filter(of_space) {
            let for_all = rule.classes.is_empty();
            match class {
                Some(class) if for_all || rule.classes.contains(&class) => return Some(rule.days),
                Some(_) => {}
                None => {
                    longest = longest.max(Some(rule.days));
                    if for_all {
                        return longest;
                    }
                }
            }
        }
        match class {
            Some(_) => self.days,
            None => self.days.and_then(|days| longest.map(|longest| longest.max(days))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts_and_what_has_no_class_is_kept_longest() {
        let rule = |spaces: &[&str], classes: &[ToolClass], days| RetentionRule {
            spaces: spaces.iter().map(|id| SpaceId::new(id).unwrap()).collect(),
            classes: classes.to_vec(),
            days,
        };
        let rules = vec![rule(&["pay"], &[], 366), rule(&[], &[ToolClass::ReadOnly], 30), rule(&["lab"], &[], 7)];
        let all = Retention { rules: rules.clone(), days: Some(2_192), archive: None };
        assert_eq!(all.days("pay", Some(ToolClass::ReadOnly)), Some(366));
        assert_eq!(all.days("x", Some(ToolClass::ReadOnly)), Some(30));
        assert_eq!(all.days("x", Some(ToolClass::Mutative)), Some(2_192));
        assert_eq!((all.days("lab", Some(ToolClass::Mutative)), all.days("lab", None)), (Some(7), Some(30)));
        assert_eq!((all.days("x", None), all.days("pay", None)), (Some(2_192), Some(366)));
        let open = Retention { rules, days: None, archive: None };
        assert_eq!((open.days("x", Some(ToolClass::Mutative)), open.days("x", None)), (None, None));
        assert_eq!(Retention::default().days("x", None), None);
    }
}
