//! Real hosts: bare distributions with systemd, booted from `tests/lab/base`, for what a sandbox can
//! only simulate. Needs root.
//!
//! - [`ground()`] says whether there can be any here, and if not, why not; [`databases()`] the same of
//!   hosts with database servers, [`web()`] of hosts with what an application needs.
//! - [`Guest`] is one host: booted, plugged to the scenario's switch by one wire, cut off, rebooted.
//! - [`World`] is the whole lab: six bare machines, a seventh with the [`Authorities`] of the world (names, a
//!   list of bad senders, certificates), and the receiver of all mail.

mod authorities;
mod cgroups;
mod ground;
mod guest;
mod release;
mod wire;
mod world;

pub use authorities::{Authorities, LIST, NAMES};
pub use ground::{api, databases, ground, names, sender, web};
pub use guest::Guest;
pub use world::{API, IDENTITIES, MAILWIZZ, NODES, POWERMTA, WORLD, World};
