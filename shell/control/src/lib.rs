//! The control plane: what an operator changes and sees.
//!
//! - [`directory`]: a configuration directory, read whole;
//! - [`operator`]: the operator's HTTP interface, over the data plane's narrow face [`Plane`].
//!
//! It never reaches into the data plane, and the data plane goes on without it.

pub mod directory;
pub mod operator;

pub use directory::{DirectoryError, Source, read};
pub use operator::{CALLBACK_PATH, Operator, Plane};
