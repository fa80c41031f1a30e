//! What would be changed in a zone that has records of others beside the fleet's.
//!
//! The fleet owns what it made and nothing else. A record is its own when three things say so: the replicated
//! inventory (written before the record was made), the zone, which shows the record exactly so, and a mark
//! beside it: a text at `_ee-owner.NAME` that names the cluster, the type and a hash of the data, made and
//! removed with the record in one change. Whatever else stands at a name is nobody's to touch; where it would
//! make ours wrong, nothing is done and that is said.
//!
//! - [`Draft`] is what the state wants of a zone: records, what waits, what was made, keys that still count.
//! - [`SeenZone`] is what the zone's primary server shows. A name that it was not asked for is not an empty
//!   one: nothing is planned of it.
//! - [`plan()`] compares both. A plan carries its [`Condition`]s: the sets of records that it goes by, which the
//!   server itself compares in the moment of the change (RFC 2136 section 2.4).
//! - [`Guard`] holds a plan that would take much away, or that was made of a zone which lost much.

mod draft;
mod guard;
mod order;
mod plan;
mod record;
mod seen;
#[cfg(test)]
mod tests;
mod unit;

pub use draft::Draft;
pub use guard::{Guard, KeyRecord, living_keys};
pub use plan::{Blocked, ZonePlan, plan};
pub use record::{Stands, mark_text, owner_name};
pub use seen::{SeenZone, SetName, questions};
pub use unit::{Condition, Op};
