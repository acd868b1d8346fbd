//! Every parser on what nobody wrote: none may panic, each value has one spelling, and nothing that was forged verifies.

mod files;
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Mode;
use crate::report::{Tally, say};

/// How many inputs the parsers of texts get, and how many journals are changed.
const TEXTS: u64 = 2_000_000;
const TEXTS_SHORT: u64 = 60_000;
const JOURNALS: u64 = 20_000;
const JOURNALS_SHORT: u64 = 400;

/// Feeds all parsers.
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let (texts, journals) = if mode.short { (TEXTS_SHORT, JOURNALS_SHORT) } else { (TEXTS, JOURNALS) };
    // A panic is counted and told with its input.
    std::panic::set_hook(Box::new(|_| {}));
    let mut tally = Tally::default();
    let result = texts::feed(texts, mode.faulty, &mut tally).and_then(|accepted| {
        say(&format!("{texts} texts and proofs, of which {accepted} were accepted"));
        files::feed(journals, &mut tally)
    });
    drop(std::panic::take_hook());
    let sound = result?;
    say(&format!("{journals} changed journals, of which {sound} could still be opened"));
    Ok(tally)
}

/// Runs a check; a panic is a breach.
fn checked<T>(check: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("of an unknown kind")))
    })
}
