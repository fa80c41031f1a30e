//! What a node is started with.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;

use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::time::Timestamp;

use crate::pki::NodeIdentity;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
    })
}

/// What a node is started with.
pub struct RaftConfig {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// The bound UDP socket of the Raft end point.
    pub socket: UdpSocket,
    /// Its certificate; a renewed one is used for new connections.
    pub identity: watch::Receiver<Arc<NodeIdentity>>,
    /// How patient it is.
    pub timings: Timings,
    /// Log entries between two snapshots.
    pub snapshot_after_logs: u64,
    /// Log entries that are kept although a snapshot has them, for peers that lag a little.
    pub keep_logs: u64,
    /// Below this much free disk space the leader refuses proposals.
    pub min_free_bytes: u64,
    /// Size of a file that an operator can delete to make room on a full disk; 0 for none.
    pub ballast_bytes: u64,
    /// Tells the time to the clock gate.
    pub clock: Clock,
}

impl std::fmt::Debug for RaftConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftConfig")
            .field("node", &self.node)
            .field("cluster", &self.cluster)
            .field("data_dir", &self.data_dir)
            .field("timings", &self.timings)
            .finish_non_exhaustive()
    }
}

impl RaftConfig {
    /// A configuration with the usual figures.
    #[must_use]
    pub fn new(
        node: NodeId,
        cluster: ClusterId,
        data_dir: PathBuf,
        socket: UdpSocket,
        identity: watch::Receiver<Arc<NodeIdentity>>,
    ) -> Self {
        Self {
            node,
            cluster,
            data_dir,
            socket,
            identity,
            timings: Timings::default(),
            snapshot_after_logs: 5000,
            keep_logs: 1000,
            min_free_bytes: 256 * 1024 * 1024,
            ballast_bytes: 64 * 1024 * 1024,
            clock: system_clock(),
        }
    }
}

/// How patient a node is.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Silence after which the first follower stands for election.
    pub election_min: Duration,
    /// Silence after which the last follower does.
    pub election_max: Duration,
    /// How long a proposal or read looks for a majority.
    pub request_deadline: Duration,
    /// How long a change of the membership may take, a learner's catching up included.
    pub change_within: Duration,
    /// Silence after which a leader is no longer named.
    pub leader_contact: Duration,
    /// Between two looks at the clocks of the other nodes.
    pub clock_samples: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(1200),
            request_deadline: Duration::from_secs(10),
            change_within: Duration::from_secs(60),
            leader_contact: Duration::from_secs(10),
            clock_samples: Duration::from_secs(5),
        }
    }
}

impl Timings {
    /// Longest wait for a peer to flush one batch of entries.
    pub(super) fn append_answer(&self) -> Duration {
        (self.election_max * 2).max(Duration::from_secs(1))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// openraft's configuration: its silent defaults (no pre-vote, no step-down without a quorum) are
/// replaced by name.
pub(super) fn openraft_config(config: &RaftConfig) -> Result<Config, openraft::ConfigError> {
    let timings = &config.timings;
    let election_max = millis(timings.election_max);
    Config {
        cluster_name: config.cluster.to_string(),
        heartbeat_interval: millis(timings.heartbeat),
        election_timeout_min: millis(timings.election_min),
        election_timeout_max: election_max,
        enable_pre_vote: Some(true),
        // At least the leader's lease and the longest election time, or the probe starves elections.
        quorum_loss_probe_interval: Some(3 * election_max),
        // The transfer watches its own progress; a limit for the whole would loop on large states.
        install_snapshot_timeout: 600_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_after_logs),
        max_in_snapshot_log_to_keep: config.keep_logs,
        replication_lag_threshold: config.snapshot_after_logs.saturating_mul(2).max(1),
        ..Config::default()
    }
    .validate()
}
