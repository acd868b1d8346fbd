//! The decision. [`decide()`] is total and pure: equal inputs give equal verdicts, for ever.
//!
//! - [`snapshot`]: one compiled configuration; [`catalogue`]: what servers offer, and their pins;
//! - [`definitions`]: what the scan finds in what servers offer;
//! - [`facts`]: what the shell gathered; [`decide`]: the layers in order; [`verdict`]: what comes out;
//! - [`approval`]: what waits for people, and what they said;
//! - [`policy`]: what a space's policy set is asked; [`schema`]: argument schemas, bounded;
//! - [`guardrail`]: what arguments and results hold that must not pass;
//! - [`operate`]: what the people who operate Remit may do;
//! - [`recorded`]: a call and its facts as they are kept, to be decided again;
//! - [`suspension`]: what an operator has stopped; [`trust`]: how much autonomy agents have earned;
//! - [`alarm`]: what is too much, or too little, in what was decided; [`behaviour`]: what isn't as usual;
//! - [`compare`]: what one snapshot grants and another doesn't; [`invariant`]: what no call may ever be.
//!
//! A denial is a value. What could not be found out is [`facts::Fact::Unknown`], and denies.

pub mod alarm;
pub mod approval;
pub mod assume;
pub mod behaviour;
pub mod budget;
pub mod catalogue;
pub mod compare;
mod context;
pub mod decide;
pub mod definitions;
pub mod facts;
pub mod guardrail;
pub mod invariant;
pub mod operate;
pub mod policy;
pub mod reach;
pub mod recorded;
pub mod registry;
pub mod remedy;
pub mod retention;
mod role;
mod said;
pub mod schema;
pub mod snapshot;
pub mod suspension;
mod tree;
pub mod trust;
pub mod verdict;

pub use approval::{Approval, ApprovalState, CallAsked};
pub use catalogue::{Catalogue, Listed, Pin, PinKey, PinState, ServerCatalogue, ToolFinding};
pub use context::Origin;
pub use decide::{decide, decide_in_general, enter, visible};
pub use facts::{
    Arguments, Call, Fact, Facts, Identity, PolicySession, Principal, QuotaUse, Revocations, Session, SessionOf, Target,
};
pub use guardrail::{Answers, Applied, Ask, Found, Guard, Guarded};
pub use policy::{PolicyCaller, withheld};
pub use remit_guard::Clock;
pub use snapshot::{Snapshot, SpaceView, ToolView};
pub use suspension::{Suspended, Suspension, Suspensions};
pub use verdict::{ActedAs, AppliedPolicy, Decision, Denial, Effect, Layer, LayerLine, Permit, Reason, Statement, Verdict};
