//! What no single key can see: bounds, contradictions, end points that are none.

use email_engine_protocol::limits;

use super::endpoint::is_endpoint;
use super::{ArtifactBounds, ConfigError, NodeConfig, RaftTimings};
use crate::pki::Life;

/// Most log entries that a node is told to keep or to take before a snapshot: all of them are read at
/// each start.
const MOST_LOGS: u64 = 1_000_000;
/// Log entries between two snapshots.
const SNAPSHOT_AFTER_LOGS: std::ops::RangeInclusive<u64> = 10..=MOST_LOGS;

impl NodeConfig {
    /// Checks what no single key can see.
    ///
    /// # Errors
    /// When keys contradict each other or an end point cannot be one.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_raft()?;
        self.check_lives()?;
        self.check_artifacts()?;
        self.dns.named()?;
        if self.dns.port == 0 {
            return refused("dns.port", "0".to_owned(), "1 to 65535");
        }
        self.dnsbl.check()?;
        let after = self.alarm.after_seconds;
        if !(1..=86_400).contains(&after) {
            return refused("alarm.after_seconds", after.to_string(), "1 to 86400");
        }
        self.check_endpoints()
    }

    fn check_raft(&self) -> Result<(), ConfigError> {
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
        Ok(())
    }

    fn check_lives(&self) -> Result<(), ConfigError> {
        let life = self.certificate_life_seconds;
        if !Life::SECONDS.contains(&life) {
            let accepted = "10 to 2592000 (30 days)";
            return refused("certificate_life_seconds", life.to_string(), accepted);
        }
        let life = self.submission_certificate_life_seconds;
        if !Life::SUBMISSION_SECONDS.contains(&life) {
            let accepted = "10 to 34300800 (397 days)";
            let key = "submission_certificate_life_seconds";
            return refused(key, life.to_string(), accepted);
        }
        Ok(())
    }

    fn check_artifacts(&self) -> Result<(), ConfigError> {
        let ArtifactBounds {
            largest_bytes: largest,
            total_bytes: total,
        } = self.artifacts;
        if !(1..=limits::ARTIFACT_BYTES).contains(&largest) {
            let accepted = "1 to 4294967296 (4 GiB)";
            return refused("artifacts.largest_bytes", largest.to_string(), accepted);
        }
        if total < largest {
            let accepted = "at least artifacts.largest_bytes";
            return refused("artifacts.total_bytes", total.to_string(), accepted);
        }
        Ok(())
    }

    fn check_endpoints(&self) -> Result<(), ConfigError> {
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

fn refused(key: &str, value: String, accepted: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Value {
        key: key.to_owned(),
        value,
        accepted: accepted.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<NodeConfig, ConfigError> {
        NodeConfig::parse(text, Path::new("node.toml"))
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
        for life in [9, 34_300_801] {
            let text = format!("submission_certificate_life_seconds = {life}");
            assert!(check(&text).contains("submission_certificate_life_seconds"));
        }
        assert!(check("[artifacts]\nlargest_bytes = 0").contains("artifacts.largest_bytes"));
        assert!(check("[artifacts]\ntotal_bytes = 5").contains("artifacts.total_bytes"));
        assert!(check("[advertise]\napi = \"nowhere\"").contains("advertise.api"));
        assert!(check("[dns]\nresolvers = \"here\"").contains("dns.resolvers"));
        assert!(check("[dns]\nport = 0").contains("dns.port"));
        NodeConfig::default().check().unwrap();
    }
}
