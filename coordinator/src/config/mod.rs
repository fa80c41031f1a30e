//! Configuration of a coordinator node: a TOML file, then environment, then flags.
//!
//! Every key has a default and is documented by [`documented`], which `show-config` prints; a test
//! keeps that text and the defaults the same. A mistyped key is an error with line and column, never
//! ignored.

mod check;
pub mod dns;
mod dnsbl;
mod endpoint;
mod set;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use email_engine_protocol::join::Endpoint;
use email_engine_protocol::observed::Mode;

use self::dns::DnsConfig;

use crate::pki::Life;

pub use dnsbl::DnsblConfig;
pub use endpoint::{advertised, resolve};

/// Prefix of the environment variables: `EMAIL_ENGINE_COORDINATOR_DATA_DIR` and so on.
pub const ENVIRONMENT: &str = "EMAIL_ENGINE_COORDINATOR_";

/// The default configuration, with every key explained.
#[must_use]
pub const fn documented() -> &'static str {
    include_str!("../coordinator.default.toml")
}

/// Configuration of one node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Where the node keeps everything.
    pub data_dir: PathBuf,
    /// Whether hosts are real machines or sandboxes; read by `init` alone.
    pub mode: ClusterMode,
    /// UDP address for agents.
    pub agent_listen: SocketAddr,
    /// UDP address for the other nodes.
    pub raft_listen: SocketAddr,
    /// TCP address for HTTPS.
    pub api_listen: SocketAddr,
    /// What others are told instead of the addresses that are listened on.
    pub advertise: Advertise,
    /// Timings of Raft.
    pub raft: RaftTimings,
    /// Below this much free disk, in bytes, the leader refuses writes.
    pub min_free_bytes: u64,
    /// DKIM keys that are made ahead of need.
    pub dkim_stock: u32,
    /// How long certificates live that this node issues, in seconds.
    pub certificate_life_seconds: u64,
    /// How long certificates live under which PowerMTA hosts take mail from the fleet, in seconds.
    pub submission_certificate_life_seconds: u64,
    /// How much room files of operators may take.
    pub artifacts: ArtifactBounds,
    /// Whom to ask about DNS.
    pub dns: DnsConfig,
    /// How lists of bad senders are asked.
    pub dnsbl: DnsblConfig,
    /// How this node tells that it lost its majority.
    pub alarm: AlarmConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Real machines or sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterMode {
    /// Real machines.
    Real,
    /// Sandbox roots, for trials and tests.
    Sandbox,
}

impl ClusterMode {
    /// As agents tell it.
    #[must_use]
    pub const fn to_mode(self) -> Mode {
        match self {
            Self::Real => Mode::Real,
            Self::Sandbox => Mode::Sandbox,
        }
    }
}

/// End points as others reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advertise {
    /// For agents.
    pub agent: Option<Endpoint>,
    /// For the other nodes.
    pub raft: Option<Endpoint>,
    /// For operators.
    pub api: Option<Endpoint>,
}

/// Timings of Raft, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftTimings {
    /// Between two heartbeats of the leader.
    pub heartbeat_millis: u64,
    /// Shortest silence after which a follower stands for election.
    pub election_min_millis: u64,
    /// Longest.
    pub election_max_millis: u64,
    /// Log entries between two snapshots.
    pub snapshot_after_logs: u64,
    /// Log entries that are kept although a snapshot has them.
    pub keep_logs: u64,
}

/// How much room files of operators may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactBounds {
    /// The largest that is taken.
    pub largest_bytes: u64,
    /// All of them together.
    pub total_bytes: u64,
}

impl Default for ArtifactBounds {
    fn default() -> Self {
        Self {
            largest_bytes: 512 * 1024 * 1024,
            total_bytes: 2 * 1024 * 1024 * 1024,
        }
    }
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Filter, such as `info,openraft=warn` or `info,email_engine_coordinator::push=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/email-engine/coordinator"),
            mode: ClusterMode::Real,
            agent_listen: SocketAddr::from(([0, 0, 0, 0], 7443)),
            raft_listen: SocketAddr::from(([0, 0, 0, 0], 7444)),
            api_listen: SocketAddr::from(([0, 0, 0, 0], 7443)),
            advertise: Advertise::default(),
            raft: RaftTimings::default(),
            min_free_bytes: 1024 * 1024 * 1024,
            dkim_stock: 20,
            certificate_life_seconds: 7 * 24 * 3600,
            submission_certificate_life_seconds: 90 * 24 * 3600,
            artifacts: ArtifactBounds::default(),
            dns: DnsConfig::default(),
            dnsbl: DnsblConfig::default(),
            alarm: AlarmConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// How a node tells for itself that it lost its majority.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmConfig {
    /// Its own channels, in a private file; none: only its log tells it.
    pub file: Option<PathBuf>,
    /// How long a loss lasts before it is told, in seconds.
    pub after_seconds: u64,
}

impl Default for AlarmConfig {
    fn default() -> Self {
        Self {
            file: None,
            after_seconds: 30,
        }
    }
}

impl Default for RaftTimings {
    fn default() -> Self {
        Self {
            heartbeat_millis: 150,
            election_min_millis: 750,
            election_max_millis: 1_500,
            snapshot_after_logs: 5_000,
            keep_logs: 1_000,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info,openraft=warn".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {path} cannot be read: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be. The text has line, column and the line itself.
    #[error("configuration {path}: {detail}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        detail: String,
    },
    /// A value from the environment, a flag or the file is not accepted.
    #[error("{key} = {value:?} is not accepted: {accepted}")]
    Value {
        /// Which key, as the operator wrote it.
        key: String,
        /// What it was set to.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
}

impl NodeConfig {
    /// Reads a file. The default place may be empty; a file that was asked for must exist.
    ///
    /// # Errors
    /// When it cannot be read or is not a configuration.
    pub fn read(path: &Path, must_exist: bool) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                String::new()
            }
            Err(source) => {
                return Err(ConfigError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            detail: error.to_string(),
        })
    }

    /// Life of the certificates that this node issues.
    #[must_use]
    pub fn certificate_life(&self) -> Life {
        Life::of_seconds(self.certificate_life_seconds)
    }

    /// Life of the certificates of hosts at which the fleet submits.
    #[must_use]
    pub fn submission_certificate_life(&self) -> Life {
        Life::of_submission_seconds(self.submission_certificate_life_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NodeConfig, ConfigError> {
        NodeConfig::parse(text, Path::new("node.toml"))
    }

    #[test]
    fn the_documented_file_says_the_defaults_and_every_key() {
        assert_eq!(parse(documented()).unwrap(), NodeConfig::default());
        let mut config = NodeConfig::default();
        let table: toml::Table = documented().parse().unwrap();
        for (key, value) in &table {
            let inner = value.as_table().cloned().unwrap_or_default();
            if inner.is_empty() && !value.is_table() {
                let text = value.to_string();
                config.set(key, key, text.trim_matches('"')).unwrap();
            }
            for (name, value) in &inner {
                let key = format!("{key}_{name}");
                config
                    .set(&key, &key, value.to_string().trim_matches('"'))
                    .unwrap();
            }
        }
        assert_eq!(config, NodeConfig::default());
    }

    #[test]
    fn a_mistyped_key_is_named_with_line_and_column() {
        let error = parse("dkim_stock = 3\n[raft]\nheartbeet_millis = 5\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("node.toml") && error.contains("line 3, column 1"),
            "{error}"
        );
        assert!(
            error.contains("heartbeet_millis") && error.contains("heartbeat_millis"),
            "{error}"
        );
        let error = parse("api_listen = \"here\"").unwrap_err().to_string();
        assert!(error.contains("line 1, column 14"), "{error}");
    }
}
