//! The daemon's heart: the configuration in force, the spool, the queues and the accounting, and
//! what passes between them.

mod intake;
mod notice;
mod reload;
mod state;

pub(crate) use intake::Submission;
pub(crate) use reload::StartError;
pub use state::Overrides;
pub(crate) use state::{Engine, Traffic, locked};
