//! Where the values of a call come from.
//!
//! A [`Flow`] remembers what one session has touched: the user's request, the results that were read, the values that were passed on. It
//! answers for each value of a new call what stands behind it ([`remit_model::Provenance`]): the request, a trusted result, an untrusted
//! one, or nothing. It keeps no text, only keyed hashes of words, and is bounded: what falls out of it counts as untrusted.
//!
//! No model reads anything here, so the wording of an attack can't matter: a value that only an attacker's text holds is a value that
//! only an attacker's text holds, whatever that text says. The idea is taint tracking as in FIDES (arXiv:2505.23643) and CaMeL
//! (arXiv:2503.18813), at the place where a gateway stands: it sees results and calls, but not what a model makes of them.

mod day;
mod flow;
mod index;
mod link;
mod record;
mod role;
mod word;

pub use flow::{Flow, Reading};
pub use role::Roles;
