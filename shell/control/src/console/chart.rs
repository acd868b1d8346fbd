//! Pictures of counts, drawn on the server: SVG with classes, so that the style colours them in light and in dark.

use maud::{Markup, html};
use remit_identity::sigv4::date_time;

/// What was counted in one step of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) at_secs: u64,
    pub(super) allow: u64,
    pub(super) deny: u64,
    pub(super) hold: u64,
}

impl Count {
    pub(super) fn total(&self) -> u64 {
        self.allow.saturating_add(self.deny).saturating_add(self.hold)
    }
}

const WIDTH: u64 = 960;
const HEIGHT: u64 = 150;
const BOTTOM: u64 = 18;

/// A part of a whole, in the units of a height.
fn part(count: u64, of: u64, height: u64) -> u64 {
    let scaled = u128::from(count) * u128::from(height) / u128::from(of.max(1));
    let scaled = u64::try_from(scaled).unwrap_or(height).min(height);
    // What happened is seen, however little it is beside the rest.
    if count > 0 { scaled.max(1) } else { 0 }
}

/// Bars over time: what was allowed, held and denied, each upon the other.
pub(super) fn bars(counts: &[Count], step_secs: u64) -> Markup {
    let most = counts.iter().map(Count::total).max().unwrap_or(0);
    let slots = u64::try_from(counts.len()).unwrap_or(1).max(1);
    let (slot, height) = (WIDTH / slots, HEIGHT - BOTTOM);
    let sum = |of: fn(&Count) -> u64| counts.iter().map(of).sum::<u64>();
    let (allowed, denied, held) = (sum(|count| count.allow), sum(|count| count.deny), sum(|count| count.hold));
    let label = format!(
        "Calls over time: {allowed} allowed, {held} held, {denied} denied. At most {most} in {} minutes.",
        step_secs / 60
    );
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) preserveAspectRatio="none" {
            line.axis x1="0" x2=(WIDTH) y1=(height) y2=(height) {}
            @for (n, count) in (0_u64..).zip(counts) {
                @let x = n * slot + 1;
                @let wide = slot.saturating_sub(2).max(1);
                @let (allowed, held, denied) = (part(count.allow, most, height), part(count.hold, most, height), part(count.deny, most, height));
                @if count.total() > 0 {
                    g {
                        title { (date_time(count.at_secs)) ": " (count.allow) " allowed, " (count.hold) " held, " (count.deny) " denied" }
                        rect.good x=(x) width=(wide) y=(height.saturating_sub(allowed)) height=(allowed) {}
                        rect.hold x=(x) width=(wide) y=(height.saturating_sub(allowed + held)) height=(held) {}
                        rect.bad x=(x) width=(wide) y=(height.saturating_sub(allowed + held + denied)) height=(denied) {}
                    }
                }
            }
            @for (n, count) in (0_u64..).zip(counts).step_by(usize::try_from(slots / 8).unwrap_or(1).max(1)) {
                text x=(n * slot + 1) y=(HEIGHT - 4) { (date_time(count.at_secs).get(11..16).unwrap_or_default().to_owned()) }
            }
        }
    }
}

/// A small picture of one row's counts.
pub(super) fn spark(counts: &[Count]) -> Markup {
    let most = counts.iter().map(Count::total).max().unwrap_or(0);
    let slots = u64::try_from(counts.len()).unwrap_or(1).max(1);
    html! {
        svg.spark viewBox={ "0 0 " (slots * 4) " 20" } aria-hidden="true" preserveAspectRatio="none" {
            @for (n, count) in (0_u64..).zip(counts) {
                @let bad = part(count.deny.saturating_add(count.hold), most, 20);
                @let all = part(count.total(), most, 20).max(bad);
                rect.good x=(n * 4) width="3" y=(20 - all) height=(all) {}
                rect.bad x=(n * 4) width="3" y=(20 - bad) height=(bad) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_seen_and_fits() {
        assert_eq!((part(0, 10, 100), part(1, u64::MAX, 100), part(u64::MAX, u64::MAX, 100), part(3, 0, 100)), (0, 1, 100, 100));
        let drawn = bars(&[Count { at_secs: 0, allow: 3, deny: 1, hold: 0 }, Count::default()], 600).into_string();
        assert!(drawn.contains("3 allowed, 0 held, 1 denied") && !drawn.contains("style="), "{drawn}");
    }
}
