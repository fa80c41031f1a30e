//! Email-Engine's coordinator: keeps the desired state of the fleet and hands it to the hosts.
//!
//! Rooms, in the order in which data flows:
//! [`api`] takes requests and turns them into [`command`]s; [`raft`] commits those and applies them to
//! the [`state`] under the rules of [`fleet`]; the [`planner`] (with the [`powermta`] language) turns
//! the state into one whole desired state per host; [`push`] hands it to the agents, whom [`pki`] let
//! in, and takes their reports back. [`dns`] is the truth in DNS, [`dnsbl`] asks lists of bad senders, [`alerts`]
//! tells people what they have to know. [`seal`] keeps secrets unreadable at rest. [`tasks`] is the leader's
//! clockwork that joins the rooms; [`run`] starts them in order.

pub mod alerts;
pub mod api;
pub mod command;
pub mod config;
pub mod dns;
pub mod dnsbl;
pub mod fleet;
pub mod mailwizz;
pub mod metrics;
pub mod pki;
pub mod planner;
pub mod powermta;
pub mod push;
pub mod raft;
pub mod run;
pub mod seal;
pub mod state;
pub mod tasks;
mod throttle;
