//! Guardrails: what a text holds that a policy forbids, masks or distrusts.
//!
//! A [`Definition`] is written in the words of Amazon Bedrock Guardrails, [`Guardrail::compile`] checks it and makes it fast, and
//! [`Guardrail::inspect`], [`Guardrail::inspect_json`] and [`Stream`] say what a text holds and what may pass instead. [`inherit`] joins the
//! policies that attach guardrails in an organization's tree, [`response`] speaks the shape of `ApplyGuardrail`, [`bedrock`] asks Amazon's own for it, and
//! [`scan`] looks at the definitions of tools.
//!
//! Everything is pure and total: no input makes it panic, every size has a limit, and what can't be inspected is blocked. A finding is a
//! value, never an error. What finds and what doesn't, with figures: `docs/reference/guardrails.md`.

pub mod assessment;
pub mod attack;
pub mod bedrock;
mod decode;
pub mod definition;
mod grounding;
mod guardrail;
pub mod hidden;
pub mod inherit;
mod inspect;
mod json;
mod lexicon;
mod literals;
mod pii;
pub mod reasoning;
pub mod response;
pub mod scan;
mod secret;
mod signal;
mod stream;
mod token;
mod topic;

pub use assessment::{
    Assessment, Clock, Confidence, Coverage, Effort, Encoding, Finding, Kind, PromptAttack, Stage, StageRan, Verdict,
};
pub use definition::{Action, Definition, Fault, PiiType, Source, Strength};
pub use guardrail::Guardrail;
pub use inspect::{Content, TEXT_BYTES_MAX};
pub use stream::{HELD_BYTES_MAX, Release, Stream};
