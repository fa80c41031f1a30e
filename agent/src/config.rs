//! Settings: defaults, then the file, then `EMAIL_ENGINE_AGENT_*`, then flags.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The file that is read when none is named. It need not exist.
pub const DEFAULT_FILE: &str = "/etc/email-engine/agent.toml";
/// Where the allow-list is when neither it nor a configuration file is named.
pub const DEFAULT_ALLOW_LIST: &str = "/etc/email-engine/allow.toml";
/// Where the two halves meet when each is a process of its own.
pub const DEFAULT_SOCKET: &str = "/run/email-engine/executor.sock";
/// The user of the network half.
pub const DEFAULT_NETWORK_USER: &str = "email-engine";
/// Where the agent keeps what is its own.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/email-engine-agent";
const ALLOW_LIST: &str = "allow.toml";

/// Everything that can be set, as it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Where identity, ledger and inventory are kept. Default `/var/lib/email-engine-agent`.
    pub data_dir: PathBuf,
    /// A folder that stands for the machine: files in it are real, packages, services and commands
    /// are simulated. Default: none, the machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_root: Option<PathBuf>,
    /// Which paths and commands a state may name on this host: see
    /// `email-engine-agent show-allow-list`. Default: `allow.toml` beside the configuration file;
    /// while there is none, the built-in list. One that is named must be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_list: Option<PathBuf>,
    /// Longest time between two full audits, 1 to 86400. Default 60.
    pub audit_interval_seconds: u64,
    /// Longest pause before another attempt to reach a coordinator, 1 to 3600. Default 30.
    pub reconnect_max_seconds: u64,
    /// How long an action that is under way (a package being installed, a command) may go on after
    /// SIGTERM, 0 to 3600. Nothing new is begun meanwhile; one that lasts longer is left to itself
    /// and noted as interrupted. Keep it below the service manager's own limit. Default 30.
    pub shutdown_grace_seconds: u64,
    /// File with the join token, `-` for standard input. Read only when the host is not enrolled
    /// yet, or has lost its executor's keys; afterwards the file may be removed. Default: none, the token is then taken from
    /// `EMAIL_ENGINE_JOIN_TOKEN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_token_file: Option<PathBuf>,
    /// Where executor and network half meet when each is a process of its own (`executor`,
    /// `network`). Its folder is made when it is not there. Default `/run/email-engine/executor.sock`.
    pub socket: PathBuf,
    /// The user that the network half runs as: nobody else may speak to the executor. Not used where
    /// the executor is not root's. Default `email-engine`.
    pub network_user: String,
    /// Authorities in PEM by which ACME servers are believed, for one that is not public: whoever is
    /// in the system's list is then believed no more. Default: the system's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_ca_file: Option<PathBuf>,
    /// `text` or `json`. Default `text`.
    pub log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, for all or by part:
    /// `info,email_engine_agent::link=debug`. Default `info`.
    pub log_level: String,
    /// The configuration file, whether it exists or not.
    #[serde(skip)]
    pub file: PathBuf,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    #[default]
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: DEFAULT_DATA_DIR.into(),
            sandbox_root: None,
            allow_list: None,
            audit_interval_seconds: 60,
            reconnect_max_seconds: 30,
            shutdown_grace_seconds: 30,
            join_token_file: None,
            socket: DEFAULT_SOCKET.into(),
            network_user: DEFAULT_NETWORK_USER.to_owned(),
            acme_ca_file: None,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            file: DEFAULT_FILE.into(),
        }
    }
}

/// Some of the settings: what a file, the environment or the flags say.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// Where identity, ledger and inventory are kept [default: /var/lib/email-engine-agent]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "EMAIL_ENGINE_AGENT_DATA_DIR"
    )]
    data_dir: Option<PathBuf>,
    /// A folder that stands for the machine; packages, services and commands are simulated
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "EMAIL_ENGINE_AGENT_SANDBOX_ROOT"
    )]
    sandbox_root: Option<PathBuf>,
    /// Which paths and commands a state may name on this host [default: allow.toml beside the
    /// configuration file, and while there is none, the built-in list]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "EMAIL_ENGINE_AGENT_ALLOW_LIST"
    )]
    allow_list: Option<PathBuf>,
    /// Longest time between two full audits [default: 60]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "EMAIL_ENGINE_AGENT_AUDIT_INTERVAL_SECONDS"
    )]
    audit_interval_seconds: Option<u64>,
    /// Longest pause before another attempt to reach a coordinator [default: 30]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "EMAIL_ENGINE_AGENT_RECONNECT_MAX_SECONDS"
    )]
    reconnect_max_seconds: Option<u64>,
    /// How long an action that is under way may go on after SIGTERM [default: 30]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "EMAIL_ENGINE_AGENT_SHUTDOWN_GRACE_SECONDS"
    )]
    shutdown_grace_seconds: Option<u64>,
    /// File with the join token, `-` for standard input. Without it, EMAIL_ENGINE_JOIN_TOKEN is
    /// read. The token is a secret and therefore never a flag of its own
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "EMAIL_ENGINE_AGENT_JOIN_TOKEN_FILE"
    )]
    join_token_file: Option<PathBuf>,
    /// Where executor and network half meet as processes of their own [default:
    /// /run/email-engine/executor.sock]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "EMAIL_ENGINE_AGENT_SOCKET"
    )]
    socket: Option<PathBuf>,
    /// User of the network half, the only one that may speak to the executor [default: email-engine]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "EMAIL_ENGINE_AGENT_NETWORK_USER"
    )]
    network_user: Option<String>,
    /// Authorities in PEM by which ACME servers are believed [default: the system's list]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "EMAIL_ENGINE_AGENT_ACME_CA_FILE"
    )]
    acme_ca_file: Option<PathBuf>,
    /// Form of log lines on standard error [default: text]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "EMAIL_ENGINE_AGENT_LOG_FORMAT"
    )]
    log_format: Option<LogFormat>,
    /// Level of log lines, such as `info` or `warn,email_engine_agent::link=debug` [default: info]
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "EMAIL_ENGINE_AGENT_LOG_LEVEL"
    )]
    log_level: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, has a key that nobody knows, or a value of the wrong type.
    #[error("configuration file {}: {problem}", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        problem: String,
    },
    /// A value that cannot be.
    #[error("{key} = {got} is not valid: {accepted}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// What it is set to.
        got: String,
        /// What it may be.
        accepted: &'static str,
    },
}

impl Config {
    /// Reads the file, puts the overrides over it and checks the whole. Without a named file the
    /// default one is read if it exists.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or a value cannot be.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        let mut config = Self {
            file: path.to_owned(),
            ..Self::default()
        };
        match std::fs::read_to_string(path) {
            Ok(text) => config.apply(parse(path, &text)?),
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(ConfigError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        config.apply(overrides);
        config.check()?;
        Ok(config)
    }

    /// The settings in force, as a file.
    ///
    /// # Panics
    /// Never: settings are a flat table.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a flat table is TOML")
    }

    /// Longest time between two full audits.
    #[must_use]
    pub const fn audit_interval(&self) -> Duration {
        Duration::from_secs(self.audit_interval_seconds)
    }

    /// The executor's own folder: keys, ledger, inventory.
    #[must_use]
    pub fn executor_dir(&self) -> PathBuf {
        self.data_dir.join("executor")
    }

    /// The network half's own folder: key, certificate, whom to call.
    #[must_use]
    pub fn identity_dir(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    /// Longest pause between two attempts to reach a coordinator.
    #[must_use]
    pub const fn reconnect_max(&self) -> Duration {
        Duration::from_secs(self.reconnect_max_seconds)
    }

    /// The allow-list's file, whether it exists or not.
    #[must_use]
    pub fn allow_list_file(&self) -> PathBuf {
        let named = self.allow_list.clone();
        named.unwrap_or_else(|| self.file.with_file_name(ALLOW_LIST))
    }

    /// How long an action may go on after the wish to stop.
    #[must_use]
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }

    fn apply(&mut self, from: Overrides) {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        set(&mut self.data_dir, from.data_dir);
        set(
            &mut self.audit_interval_seconds,
            from.audit_interval_seconds,
        );
        set(&mut self.reconnect_max_seconds, from.reconnect_max_seconds);
        set(
            &mut self.shutdown_grace_seconds,
            from.shutdown_grace_seconds,
        );
        self.allow_list = from.allow_list.or_else(|| self.allow_list.take());
        set(&mut self.socket, from.socket);
        set(&mut self.network_user, from.network_user);
        self.acme_ca_file = from.acme_ca_file.or_else(|| self.acme_ca_file.take());
        set(&mut self.log_format, from.log_format);
        set(&mut self.log_level, from.log_level);
        self.sandbox_root = from.sandbox_root.or_else(|| self.sandbox_root.take());
        self.join_token_file = from.join_token_file.or_else(|| self.join_token_file.take());
    }

    fn check(&self) -> Result<(), ConfigError> {
        let paths = [
            ("data_dir", Some(&self.data_dir)),
            ("sandbox_root", self.sandbox_root.as_ref()),
        ];
        for (key, path) in paths {
            if path.is_some_and(|path| !path.is_absolute()) {
                let got = path.map(|path| path.display().to_string());
                return refuse(key, got.unwrap_or_default(), "an absolute path");
            }
        }
        if !(1..=86_400).contains(&self.audit_interval_seconds) {
            let got = self.audit_interval_seconds;
            return refuse("audit_interval_seconds", got, "1 to 86400");
        }
        if !(1..=3_600).contains(&self.reconnect_max_seconds) {
            return refuse(
                "reconnect_max_seconds",
                self.reconnect_max_seconds,
                "1 to 3600",
            );
        }
        if self.shutdown_grace_seconds > 3_600 {
            let got = self.shutdown_grace_seconds;
            return refuse("shutdown_grace_seconds", got, "0 to 3600");
        }
        if self.log_targets().is_none() {
            return refuse(
                "log_level",
                format!("{:?}", self.log_level),
                "error, warn, info, debug or trace, or a list such as `info,email_engine_agent::link=debug`",
            );
        }
        Ok(())
    }

    /// The filter that `log_level` means.
    pub(crate) fn log_targets(&self) -> Option<Targets> {
        // A part alone would be taken for a module at the finest level, mistyped levels as well.
        let understood = |part: &str| {
            let level = part.split_once('=').map_or(part, |(_, level)| level);
            level.trim().parse::<LevelFilter>().is_ok()
        };
        if self.log_level.split(',').all(understood) {
            self.log_level.parse().ok()
        } else {
            None
        }
    }
}

fn refuse(
    key: &'static str,
    got: impl fmt::Display,
    accepted: &'static str,
) -> Result<(), ConfigError> {
    Err(ConfigError::Value {
        key,
        got: got.to_string(),
        accepted,
    })
}

fn parse(path: &Path, text: &str) -> Result<Overrides, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Form {
        path: path.to_owned(),
        problem: error.to_string().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, overrides: Overrides) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), overrides)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text = "audit_interval_seconds = 5\nlog_format = \"json\"\ndata_dir = \"/data\"\n";
        let flags = Overrides {
            data_dir: Some("/flag".into()),
            ..Overrides::default()
        };
        let config = load(text, flags).unwrap();
        assert_eq!(config.data_dir, Path::new("/flag"));
        assert_eq!(config.audit_interval_seconds, 5);
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.reconnect_max_seconds, 30);
    }

    #[test]
    fn mistakes_in_the_file_are_named_with_their_line_and_column() {
        for (text, expected) in [
            ("data_dir = \"/data\"\ncolour = 3\n", "line 2, column 1"),
            ("audit_interval_seconds = \"x\"\n", "line 1, column 26"),
            ("log_format = \"xml\"\n", "line 1, column 14"),
        ] {
            let error = load(text, Overrides::default()).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("agent.toml"),
                "{error}"
            );
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused_by_key_value_and_rule() {
        for (text, expected) in [
            (
                "audit_interval_seconds = 0\n",
                "audit_interval_seconds = 0 is not valid: 1 to 86400",
            ),
            (
                "data_dir = \"here\"\n",
                "data_dir = here is not valid: an absolute path",
            ),
            (
                "log_level = \"loud\"\n",
                "log_level = \"loud\" is not valid",
            ),
        ] {
            let error = load(text, Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_named_file_must_exist_and_what_is_shown_reads_back() {
        let none = Path::new("/nonexistent/agent.toml");
        let error = Config::load(Some(none), Overrides::default()).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }), "{error}");
        let config = load("sandbox_root = \"/tmp/root\"\n", Overrides::default()).unwrap();
        let mut again = load(&config.to_toml(), Overrides::default()).unwrap();
        assert_ne!(again.file, config.file);
        again.file.clone_from(&config.file);
        assert_eq!(again, config);
    }

    #[test]
    fn the_allow_list_is_beside_the_configuration_file_unless_it_is_named() {
        let config = load("", Overrides::default()).unwrap();
        assert_eq!(
            config.allow_list_file(),
            config.file.with_file_name("allow.toml")
        );
        let list = Config::default().allow_list_file();
        assert_eq!(list, Path::new(DEFAULT_ALLOW_LIST));
        let config = load("allow_list = \"/srv/list\"\n", Overrides::default()).unwrap();
        assert_eq!(config.allow_list_file(), Path::new("/srv/list"));
    }
}
