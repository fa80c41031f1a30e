//! Email-Engine's agent: keeps one host at the state that the cluster signed for it.
//!
//! It has two halves that speak only in the messages of [`halves`]. The *network half* ([`link`],
//! [`identity`]) speaks QUIC to the coordinators and relays. The *executor half* ([`executor`]) owns
//! the machine: it alone holds the floor, the ledger, the inventory and the keys for reports and
//! secrets, judges every offered state itself, and goes on enforcing the last good one when nobody
//! is there to talk to. On a host each is a process of its own, and [`socket`] is between them; in a
//! sandbox both live in one, and a channel is.

pub mod accounting;
pub mod allow;
pub(crate) mod certificate;
pub mod config;
pub mod drift;
pub mod executor;
pub mod halves;
pub mod health;
pub mod host;
pub mod identity;
pub mod inventory;
pub mod ledger;
pub mod link;
pub mod reconciler;
pub mod resources;
pub mod run;
pub mod socket;
pub mod status;
pub mod suspension;
pub mod transaction;
pub mod visit;
