//! The harness of the scenarios: real coordinators and agents as processes on the loopback, in a
//! folder of their own, so that a scenario can read as prose.
//!
//! - [`Fleet`] founds a cluster, lets agents in, applies documents and answers questions.
//! - [`Api`] is a plain HTTP client of the cluster, for what the fleet has no word for.
//! - [`lab`] boots real hosts.
//! - [`zones`] are DNS servers whose zones a scenario writes.
//! - [`mail`] lets mail flow through what the cluster planned.
//! - [`wait_for`] is the only way to wait: for a condition, with a stated reason and a deadline.
//!
//! Every process that is started here is ended here, by its own id.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a harness that cannot go on has failed its test"
)]

mod agent;
mod api;
mod clock;
mod fleet;
mod haystack;
mod hosts;
pub mod lab;
pub mod lying;
pub mod mail;
mod node;
mod operator;
mod process;
pub mod samples;
pub mod trouble;
mod wait;
pub mod zones;

pub use agent::AgentProcess;
pub use api::{Answer, Api};
pub use clock::Clock;
pub use fleet::{Fleet, has_converged};
pub use haystack::{Haystack, every_file};
pub use node::{DKIM_STOCK, Endpoints, NodeProcess};
pub use operator::Operator;
pub use process::{Daemon, binary};
pub use wait::{DEADLINE, wait_for, wait_until};
