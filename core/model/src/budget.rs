//! Budgets: how much of what calls cost agents, spaces and users may use up in a day or a month.

use crate::{AgentId, SpaceId};

/// A budget: each of those that it counts apart has it for itself, anew in each period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its name.
    pub id: String,
    /// Whose use is counted together.
    pub per: BudgetPer,
    /// Only calls in this space count.
    pub space: Option<SpaceId>,
    /// Only calls of this agent count.
    pub agent: Option<AgentId>,
    /// How long it lasts, in the words of AWS Budgets.
    pub time_unit: TimeUnit,
    /// What may be used up.
    pub limits: BudgetLimits,
    /// Whether it is only told of, and denies nothing.
    pub log_only: bool,
    /// Where it stands.
    pub origin: String,
}

/// Whose use a budget counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetPer {
    /// An agent's, in all spaces and for all users.
    Agent,
    /// A space's.
    Space,
    /// A user's, whatever agents act for it. What agents do in their own name counts for nobody.
    User,
}

impl BudgetPer {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Space => "space",
            Self::User => "user",
        }
    }
}

/// How long a budget lasts: by the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// A day.
    Daily,
    /// A month.
    Monthly,
}

impl TimeUnit {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "DAILY",
            Self::Monthly => "MONTHLY",
        }
    }
}

/// What may be used up. Absent means without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Calls that are let through.
    pub calls_max: Option<u64>,
    /// Bytes of results.
    pub bytes_max: Option<u64>,
    /// Time that servers take, in seconds.
    pub upstream_secs_max: Option<u64>,
    /// Money that servers say their results cost.
    pub money_max: Option<Money>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Three capital letters (ISO 4217).
    pub currency: String,
    /// In millionths.
    pub amount_micros: u64,
}

/// Where a server's results say what they cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedCost {
    /// A JSON pointer into the result, to a number or a decimal text.
    pub pointer: String,
    /// In which currency.
    pub currency: String,
}

/// A decimal number without sign or exponent in millionths, rounded up; `None` if it isn't one, or too large.
pub fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || (text.contains('.') && part.is_empty()) || text.len() > 40 {
        return None;
    }
    let (six, rest) = part.split_at(part.len().min(6));
    let up = u64::from(rest.bytes().any(|byte| byte != b'0'));
    let part: u64 = format!("{six:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part)?.checked_add(up)
}

/// An amount in millionths as a decimal number, with as many digits as it needs and at least two after the point.
pub fn decimal(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let zeros = text.bytes().rev().take_while(|byte| *byte == b'0').count().min(4);
    text.get(..text.len() - zeros).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (text, is) in [
            ("0", Some(0)),
            ("12", Some(12_000_000)),
            ("0.0021", Some(2_100)),
            ("0.0000001", Some(1)),
            ("1.000000", Some(1_000_000)),
            ("", None),
            (".5", None),
            ("1.", None),
            ("-1", None),
            ("1e3", None),
            ("1,5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(micros(text), is, "{text}");
        }
        for (micros, text) in [(0, "0.00"), (2_100, "0.0021"), (12_500_000, "12.50"), (1, "0.000001")] {
            assert_eq!(decimal(micros), text);
            assert_eq!(super::micros(text), Some(micros));
        }
    }
}
