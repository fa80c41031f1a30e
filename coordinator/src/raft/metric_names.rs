//! Names of this room's metrics.

/// Gauge: last log index in this node's newest snapshot.
pub const SNAPSHOT_INDEX: &str = "email_engine_raft_snapshot_index";
/// Gauge: last log index that this node has no entry of any more.
pub const PURGED_INDEX: &str = "email_engine_raft_purged_index";
/// Counter: snapshots that this node sent to nodes that lacked more than the log keeps.
pub const SNAPSHOTS_SENT: &str = "email_engine_raft_snapshots_sent_total";
/// Counter: snapshots that this node was sent and took over.
pub const SNAPSHOTS_INSTALLED: &str = "email_engine_raft_snapshots_installed_total";
/// Counter: snapshots of this node that rotted on its disk and were built anew.
pub const SNAPSHOTS_ROTTEN: &str = "email_engine_raft_snapshots_rotten_total";
/// Counter: stored bodies that were found damaged.
pub const BODIES_DAMAGED: &str = "email_engine_bodies_damaged_total";
/// Counter: damaged bodies that were stored again from another node.
pub const BODIES_MENDED: &str = "email_engine_bodies_mended_total";
/// Histogram: time from a proposal on this node until its effect is readable here.
pub const COMMIT_SECONDS: &str = "email_engine_commit_seconds";
/// Histogram by `query_type`: time that the database takes.
pub const QUERY_SECONDS: &str = "email_engine_db_query_duration_seconds";
