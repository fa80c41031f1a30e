//! The reconcile loop's one pass: observe, plan, apply, say how everything is.
//!
//! - [`order`] (pure) puts resources in the order in which they are applied and names cycles.
//! - [`guard`] (pure) refuses a state that takes too much away.
//! - [`plan`] (pure) decides from desired state, findings and inventory what is to be done.
//! - `bind` (pure) leaves the members of a transaction to it ([`crate::transaction`]).
//! - [`contest`] (pure) sees who fights with us and gives way.
//! - `halts` has stand still what shall, at once ([`crate::suspension`]).
//! - `health` reads how what runs answers, and restarts what does not ([`crate::health`]).
//! - [`UnderWay`] says what is being done, and carries the wish to stop.
//! - [`Reconciler`] holds the machine and walks through a plan.

mod apply;
mod bind;
pub mod contest;
pub mod guard;
mod halts;
mod health;
pub mod order;
mod outcome;
mod pass;
mod pending;
pub mod plan;
mod removal;
mod under_way;

pub use outcome::{Outcome, PassError};
pub use pass::{Reconciler, Scope};
pub use pending::Pending;
pub use under_way::UnderWay;
