//! Raft: one log, committed by a majority, applied in order on every node.
//!
//! Everything of openraft stays in this room. The other rooms hold a [`Cluster`]: they propose, read
//! and watch through it, and never learn whether this node leads.
//!
//! `start` opens a node's folder (`store`, `machine`) and its QUIC end point (`net`), and joins them;
//! `propose`, `membership` and `leadership` are what the handle can do, `told` what nodes ask
//! each other beside the log, `guard` what a node refuses.
//! `mend` fetches damaged bodies from other nodes; `backup` seals a snapshot for keeping and makes a
//! new cluster of it.

mod backup;
mod config;
mod core;
mod guard;
mod handle;
mod leadership;
mod machine;
mod membership;
mod mend;
pub mod metric_names;
mod net;
mod propose;
mod start;
mod store;
#[cfg(test)]
mod tests;
mod told;
mod types;

pub use backup::{BackupError, BackupSummary, RestoreError, Restored, check_backup, restore};
pub use config::{Clock, RaftConfig, Timings, system_clock};
pub use guard::BALLAST;
pub use handle::{
    Applied, Cluster, Leadership, MembershipError, ProposeError, RaftStatus, ReadError, StoreError,
};
pub use leadership::{Contacts, Hearing, NoWord, PeerContact, UNREACHABLE_AFTER};
pub use machine::SpanCounts;
pub use start::{StartError, start};
pub use told::{
    Announced, PlanErrors, Planned, PlannedSource, SessionHearing, SessionNotice, SessionRow,
    Sessions, TELL_WITHIN,
};
