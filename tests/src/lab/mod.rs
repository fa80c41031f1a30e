//! Real hosts: bare distributions with systemd, booted from `tests/lab/base`, for what a sandbox can
//! only simulate. Needs root.
//!
//! - [`ground()`] says whether there can be any here, and if not, why not; [`databases()`] the same of
//!   hosts with database servers, [`web()`] of hosts with what an application needs.
//! - [`Guest`] is one host: booted, plugged to the scenario's network by one wire, rebooted.

mod cgroups;
mod ground;
mod guest;
mod wire;

pub use ground::{api, databases, ground, web};
pub use guest::Guest;
