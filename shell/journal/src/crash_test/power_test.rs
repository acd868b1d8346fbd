//! Many power cuts, one after the other, on disks with a past; and a disk that lies, so that it is known that a loss would be seen.

use super::sim::{Fault, Left};
use super::{Broken, Case};

/// How often the power fails, unless this says otherwise.
const CUTS: u64 = 4_000;
const CUTS_VARIABLE: &str = "REMIT_FAULT_CUTS";
/// Set for disks that flush nothing.
const LYING_VARIABLE: &str = "REMIT_FAULT_LYING_DISK";
/// How many cuts a disk lives through before a new one takes its place.
const CUTS_OF_A_DISK: u64 = 25;

#[derive(Debug, Default)]
struct Figures {
    cuts: u64,
    left: Left,
    acknowledged: u64,
    lost: u64,
    /// Why a journal was refused, where no journal should have been.
    refused: Vec<String>,
}

impl Figures {
    fn broke(&mut self, broken: Broken) {
        match broken {
            Broken::Lost { durable, kept } => self.lost += (durable - kept).max(1) as u64,
            Broken::TakenForDamage(why) => self.refused.push(why),
        }
    }

    fn cut(&mut self, left: Left) {
        self.cuts += 1;
        self.left.torn += left.torn;
        self.left.dropped += left.dropped;
        self.left.reordered += left.reordered;
        self.left.stale += left.stale;
    }
}

/// Opens and commits until the power fails or there is nothing more to do; whether it failed.
fn live(case: &mut Case) -> Result<bool, Broken> {
    let Some((mut log, _)) = case.reopen()? else { return Ok(true) };
    Ok((0..9).any(|_| case.commit(&mut log).is_err()))
}

/// Cuts the power on one disk after the other, `cuts` times in all.
fn cut_power(cuts: u64, lying: bool) -> Figures {
    let mut figures = Figures::default();
    for seed in 0.. {
        let mut case = Case::new(1_000_000 + seed);
        case.sim.world().lying = lying;
        let until = cuts.min(figures.cuts + CUTS_OF_A_DISK);
        let mut sound = true;
        while sound && figures.cuts < until {
            let at = case.sim.world().operations + 1 + case.random.below(40);
            case.sim.world().fault = Some((at, Fault::PowerCut));
            match live(&mut case) {
                Ok(true) => {
                    figures.cut(case.sim.power_cycle(&mut case.random));
                    if figures.cuts.is_multiple_of((cuts / 10).max(1)) {
                        println!("\ncut {} of {cuts}", figures.cuts);
                    }
                }
                Ok(false) => case.sim.process_restart(),
                Err(broken) => {
                    figures.broke(broken);
                    sound = false;
                }
            }
        }
        if sound && let Err(broken) = case.reopen() {
            figures.broke(broken);
        }
        figures.acknowledged += case.durable.len() as u64;
        if figures.cuts >= cuts {
            break;
        }
    }
    figures
}

#[test]
fn many_power_cuts_lose_nothing_acknowledged() {
    let cuts = std::env::var(CUTS_VARIABLE).map_or(CUTS, |cuts| cuts.parse().unwrap());
    let figures = cut_power(cuts, std::env::var_os(LYING_VARIABLE).is_some());
    let Left { torn, dropped, reordered, stale } = figures.left;
    println!(
        "\npower cuts: {} done, {torn} sectors torn, {dropped} dropped, {reordered} there before an earlier one, {stale} with older frames, \
         {} entries acknowledged, {} journals refused, {} records lost",
        figures.cuts,
        figures.acknowledged,
        figures.refused.len(),
        figures.lost
    );
    assert_eq!((figures.cuts, figures.refused, figures.lost), (cuts, vec![], 0));
    assert!(torn > cuts / 50 && dropped > cuts && reordered > cuts / 10 && stale > cuts / 100, "{:?}", figures.left);
}

#[test]
fn a_disk_that_flushes_nothing_is_found_out() {
    let figures = cut_power(200, true);
    assert!(figures.lost > 0, "{figures:?}");
}
