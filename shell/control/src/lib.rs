//! The control plane: what an operator changes and sees.
//!
//! - [`directory`]: a configuration directory, read whole;
//! - [`versions`]: what a configuration was and is, whole and immutable; [`plan`]: what a change would do; [`review`]: who agreed to it;
//! - [`approval`]: approvals as they are shown and signed;
//! - [`history`]: what a noun was in each version;
//! - [`operator`]: the operator's HTTP interface, over the data plane's narrow face [`Plane`]; [`endpoints`]: all that it can be asked, and
//!   by whom; [`openapi`]: the same as a document; `console`: the same as pages for people; `asked` and `told`: what each
//!   is asked with, and what it answers; `repeat`: what is asked twice and done once; `wiped`: what may bear a secret.
//!
//! It never reaches into the data plane, and the data plane goes on without it.

pub mod approval;
mod asked;
mod caller;
mod console;
pub mod directory;
mod edge;
pub mod endpoints;
pub mod history;
pub mod openapi;
pub mod operator;
mod organization;
mod parts;
pub mod plan;
mod repeat;
mod reply;
pub mod review;
mod signed;
mod told;
pub mod versions;
mod wiped;

pub use console::ANSWER_PATH;
pub use directory::{DirectoryError, Source, read};
pub use operator::{CALLBACK_PATH, Operator, Options, Plane, SignedIn};
pub use reply::Reply;
