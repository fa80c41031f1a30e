//! Configuration of a coordinator node: a TOML file, then environment, then flags.
//!
//! Every key has a default and is documented by [`documented`], which `show-config` prints; a test
//! keeps that text and the defaults the same. A mistyped key is an error with line and column, never
//! ignored.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use email_engine_protocol::join::Endpoint;
use email_engine_protocol::observed::Mode;

use crate::pki::Life;

/// Prefix of the environment variables: `EMAIL_ENGINE_COORDINATOR_DATA_DIR` and so on.
pub const ENVIRONMENT: &str = "EMAIL_ENGINE_COORDINATOR_";

/// Most log entries that a node is told to keep or to take before a snapshot: all of them are read at
/// each start.
const MOST_LOGS: u64 = 1_000_000;
/// Log entries between two snapshots.
const SNAPSHOT_AFTER_LOGS: std::ops::RangeInclusive<u64> = 10..=MOST_LOGS;

/// The default configuration, with every key explained.
#[must_use]
pub const fn documented() -> &'static str {
    include_str!("coordinator.default.toml")
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
            log: LogConfig::default(),
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

    /// Sets one key by its dotted name, as environment and flags do.
    ///
    /// # Errors
    /// When the key does not exist or does not take the value.
    pub fn set(&mut self, shown: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        let refused = |accepted: &str| ConfigError::Value {
            key: shown.to_owned(),
            value: value.to_owned(),
            accepted: accepted.to_owned(),
        };
        let number = || value.parse::<u64>().map_err(|_| refused("a number from 0"));
        let address = || {
            let address = value
                .parse()
                .map_err(|_| refused("IP:PORT such as 0.0.0.0:7443"));
            address as Result<SocketAddr, ConfigError>
        };
        match key {
            "data_dir" => self.data_dir = PathBuf::from(value),
            "mode" => {
                self.mode = match value {
                    "real" => ClusterMode::Real,
                    "sandbox" => ClusterMode::Sandbox,
                    _ => return Err(refused("real or sandbox")),
                }
            }
            "agent_listen" => self.agent_listen = address()?,
            "raft_listen" => self.raft_listen = address()?,
            "api_listen" => self.api_listen = address()?,
            "advertise_agent" => self.advertise.agent = Some(value.to_owned()),
            "advertise_raft" => self.advertise.raft = Some(value.to_owned()),
            "advertise_api" => self.advertise.api = Some(value.to_owned()),
            "raft_heartbeat_millis" => self.raft.heartbeat_millis = number()?,
            "raft_election_min_millis" => self.raft.election_min_millis = number()?,
            "raft_election_max_millis" => self.raft.election_max_millis = number()?,
            "raft_snapshot_after_logs" => self.raft.snapshot_after_logs = number()?,
            "raft_keep_logs" => self.raft.keep_logs = number()?,
            "min_free_bytes" => self.min_free_bytes = number()?,
            "dkim_stock" => {
                self.dkim_stock = value.parse().map_err(|_| refused("a number from 0"))?;
            }
            "certificate_life_seconds" => self.certificate_life_seconds = number()?,
            "log_level" => value.clone_into(&mut self.log.level),
            "log_format" => {
                self.log.format = match value {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err(refused("text or json")),
                }
            }
            _ => return Err(refused("a key that `show-config` prints")),
        }
        Ok(())
    }

    /// Lets the environment override the file. A variable of ours that names no key is an error, as a
    /// mistyped key in the file is.
    ///
    /// # Errors
    /// When a variable names no key or its value is not accepted.
    pub fn override_by(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(ENVIRONMENT) else {
                continue;
            };
            // Names the file itself, and is read before it.
            if key != "CONFIG" {
                self.set(&name, &key.to_ascii_lowercase(), &value)?;
            }
        }
        Ok(())
    }

    /// Life of the certificates that this node issues.
    #[must_use]
    pub fn certificate_life(&self) -> Life {
        Life::of_seconds(self.certificate_life_seconds)
    }

    /// Checks what no single key can see.
    ///
    /// # Errors
    /// When keys contradict each other or an end point cannot be one.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refused = |key: &str, value: String, accepted: &str| {
            Err(ConfigError::Value {
                key: key.to_owned(),
                value,
                accepted: accepted.to_owned(),
            })
        };
        let RaftTimings {
            heartbeat_millis: beat,
            election_min_millis: min,
            election_max_millis: max,
            snapshot_after_logs,
            keep_logs,
        } = self.raft;
        if !(10..=10_000).contains(&beat) {
            return refused("raft.heartbeat_millis", beat.to_string(), "10 to 10000");
        }
        if min < beat * 2 {
            let accepted = "at least twice raft.heartbeat_millis";
            return refused("raft.election_min_millis", min.to_string(), accepted);
        }
        if max <= min {
            let accepted = "more than raft.election_min_millis";
            return refused("raft.election_max_millis", max.to_string(), accepted);
        }
        if !SNAPSHOT_AFTER_LOGS.contains(&snapshot_after_logs) {
            let value = snapshot_after_logs.to_string();
            return refused("raft.snapshot_after_logs", value, "10 to 1000000");
        }
        if keep_logs > MOST_LOGS {
            let value = keep_logs.to_string();
            return refused("raft.keep_logs", value, "0 to 1000000");
        }
        let life = self.certificate_life_seconds;
        if !Life::SECONDS.contains(&life) {
            let accepted = "10 to 2592000 (30 days)";
            return refused("certificate_life_seconds", life.to_string(), accepted);
        }
        let same_udp = self.agent_listen == self.raft_listen && self.agent_listen.port() != 0;
        if same_udp {
            let value = self.raft_listen.to_string();
            return refused("raft_listen", value, "another UDP port than agent_listen's");
        }
        for (key, endpoint) in [
            ("advertise.agent", &self.advertise.agent),
            ("advertise.raft", &self.advertise.raft),
            ("advertise.api", &self.advertise.api),
        ] {
            if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !is_endpoint(endpoint)) {
                return refused(key, endpoint.clone(), "HOST:PORT such as 192.0.2.10:7443");
            }
        }
        Ok(())
    }
}

fn is_endpoint(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

/// Where others reach an address that is listened on: what the operator says, or the address itself.
/// An address that stands for all of a machine's cannot be told to anybody.
///
/// # Errors
/// When nothing is advertised for a listener on all addresses.
pub fn advertised(
    key: &str,
    told: Option<&Endpoint>,
    bound: SocketAddr,
) -> Result<Endpoint, ConfigError> {
    match told {
        Some(endpoint) => Ok(endpoint.clone()),
        None if bound.ip().is_unspecified() => Err(ConfigError::Value {
            key: format!("advertise.{key}"),
            value: String::new(),
            accepted: format!(
                "HOST:PORT under which others reach {bound}: the node listens on all addresses and \
                 cannot know which one that is"
            ),
        }),
        None => Ok(bound.to_string()),
    }
}

/// Resolves an end point once, for dialling.
///
/// # Errors
/// When the name does not resolve.
pub fn resolve(endpoint: &str) -> std::io::Result<SocketAddr> {
    endpoint.to_socket_addrs()?.next().ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("{endpoint} has no address"),
        )
    })
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

    #[test]
    fn the_environment_overrides_and_a_mistyped_variable_is_refused() {
        let mut config = NodeConfig::default();
        let set = |name: &str, value: &str| (format!("{ENVIRONMENT}{name}"), value.to_owned());
        config
            .override_by([
                set("DKIM_STOCK", "7"),
                set("LOG_FORMAT", "json"),
                ("PATH".to_owned(), "/bin".to_owned()),
            ])
            .unwrap();
        assert_eq!((config.dkim_stock, config.log.format), (7, LogFormat::Json));
        for bad in [
            set("DKIM_STOCKS", "7"),
            set("API_LISTEN", "x"),
            set("MODE", "fake"),
        ] {
            let name = bad.0.clone();
            let error = config.override_by([bad]).unwrap_err().to_string();
            assert!(error.contains(&name), "{error}");
        }
    }

    #[test]
    fn contradictions_are_refused_by_key() {
        let check = |text: &str| parse(text).unwrap().check().unwrap_err().to_string();
        assert!(check("[raft]\nelection_min_millis = 100").contains("raft.election_min_millis"));
        assert!(check("[raft]\nelection_max_millis = 700").contains("raft.election_max_millis"));
        for (key, value) in [
            ("snapshot_after_logs", 9),
            ("snapshot_after_logs", 1_000_001),
            ("keep_logs", 1_000_001),
        ] {
            let error = check(&format!("[raft]\n{key} = {value}"));
            let said = error.contains(&format!("raft.{key}")) && error.contains("to 1000000");
            assert!(said, "{error}");
        }
        let least = parse("[raft]\nsnapshot_after_logs = 10\nkeep_logs = 0");
        least.unwrap().check().unwrap();
        assert!(check("raft_listen = \"0.0.0.0:7443\"").contains("raft_listen"));
        for life in [9, 2_592_001] {
            let text = format!("certificate_life_seconds = {life}");
            assert!(check(&text).contains("certificate_life_seconds"));
        }
        assert!(check("[advertise]\napi = \"nowhere\"").contains("advertise.api"));
        NodeConfig::default().check().unwrap();
    }

    #[test]
    fn an_address_for_all_must_be_advertised() {
        let all = SocketAddr::from(([0, 0, 0, 0], 7443));
        let error = advertised("agent", None, all).unwrap_err().to_string();
        assert!(error.contains("advertise.agent"), "{error}");
        let own = "192.0.2.1:7443".to_owned();
        assert_eq!(advertised("agent", Some(&own), all).unwrap(), own);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(advertised("agent", None, loopback).unwrap(), "127.0.0.1:9");
    }
}
