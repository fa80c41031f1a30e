//! Single keys by name: from the environment and from flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{ClusterMode, ConfigError, ENVIRONMENT, LogFormat, NodeConfig};

impl NodeConfig {
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
            "submission_certificate_life_seconds" => {
                self.submission_certificate_life_seconds = number()?;
            }
            "artifacts_largest_bytes" => self.artifacts.largest_bytes = number()?,
            "artifacts_total_bytes" => self.artifacts.total_bytes = number()?,
            "dns_resolvers" => value.clone_into(&mut self.dns.resolvers),
            "dns_port" => {
                self.dns.port = value.parse().map_err(|_| refused("a port: 1 to 65535"))?;
            }
            "dnsbl_resolver" => self.dnsbl.resolver = address()?,
            "dnsbl_second_resolver" => self.dnsbl.second_resolver = Some(address()?),
            "dnsbl_foreign_resolvers" => {
                self.dnsbl.foreign_resolvers =
                    value.parse().map_err(|_| refused("true or false"))?;
            }
            "dnsbl_sweep_seconds" => self.dnsbl.sweep_seconds = number()?,
            "dnsbl_confirm_seconds" => self.dnsbl.confirm_seconds = number()?,
            "dnsbl_takeover_seconds" => self.dnsbl.takeover_seconds = number()?,
            "dnsbl_reply_seconds" => self.dnsbl.reply_seconds = number()?,
            "dnsbl_registered" => {
                let lists = value.split(',').map(|name| name.trim().parse());
                let lists = lists.collect::<Result<_, _>>();
                let accepted = "names of lists with commas between them, such as barracuda";
                self.dnsbl.registered = lists.map_err(|_| refused(accepted))?;
            }
            "alarm_file" => self.alarm.file = Some(PathBuf::from(value)),
            "alarm_after_seconds" => self.alarm.after_seconds = number()?,
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
