//! Who leads, as this node may say it: [`follow`] keeps watch of that and of the node itself,
//! [`contact`] tells which members answer the leader.

mod contact;
mod follow;

pub(super) use contact::Lead;
pub use contact::{Contacts, Hearing, NoWord, PeerContact, UNREACHABLE_AFTER};
pub(super) use follow::{follow_raft, follow_store, watch_clocks, watch_disk, watch_revocations};
