//! Health checks in a role file, and the questions that they and transactions ask.
//!
//! ```toml
//! [[health_check]]
//! name = "page"
//! interval_seconds = 30               # 5 to 3600
//! attempts = 3                        # wrong answers in a row, 1 to 20
//! restart = "nginx.service"           # restarted when it has failed, ever more rarely; nothing when absent
//! after = ["service:nginx.service"]   # not asked before these are right
//!
//! [[health_check.probe]]              # all of them must be right
//! http = { address = "127.0.0.1:80", path = "/", host = "localhost", status = "200-399" }
//! timeout_seconds = 5                 # at most 60; 10 when absent
//!
//! [[health_check.probe]]
//! http = { address = "[::1]:443", path = "/login", host = "www.example.com", tls = true, contains = "Login" }
//!
//! [[health_check.probe]]
//! tcp = "127.0.0.1:6379"              # takes connections
//!
//! [[health_check.probe]]
//! banner = "127.0.0.1:25"             # a server's first line
//! begins = "220 "
//!
//! [[health_check.probe]]
//! greeting = "submission"             # the same, where the fleet's hosts submit
//! begins = "220"
//!
//! [[health_check.probe]]
//! running = "app.service"             # a unit
//!
//! [[health_check.probe]]
//! command = { program = "/usr/bin/mariadb-admin", arguments = ["ping"], timeout_seconds = 10, must_say = ["alive"] }
//!
//! [[health_check.probe]]
//! program = "/usr/bin/app"            # a command that answers in JSON
//! arguments = ["status", "--json"]
//! expect = [{ pointer = "/status", equals = "up" }]
//! ```
//!
//! A transaction has the same probes in `[[transaction.read_back]]` and `[[transaction.health]]`, and two
//! things more: `quiet`, a log that gets no line with any of `errors`, and `steady_seconds` beside `http`,
//! for so long it must stay right.
//!
//! `status` is one, or the lowest and the highest; 200-399 when absent. Addresses are the host's own, and
//! pages are always asked for by `GET`; nobody is sent on. Over TLS any certificate will do. Where a host
//! allows what (`ports`, `commands`, `services`) is for its own list to say. Addresses, names, paths, texts,
//! units and arguments are templates.

mod probes;

use email_engine_protocol::desired::{HealthCheckSpec, OnRemove, Spec};
use serde::Deserialize;

use super::basics::Made;
use super::build::Build;
use super::error::BundleFault;
use super::role::RoleFile;

pub(super) use probes::{ProbeEntry, made as probes, texts as probe_texts};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthCheckEntry {
    name: String,
    interval_seconds: u32,
    attempts: u32,
    /// A template.
    restart: Option<String>,
    #[serde(rename = "probe")]
    probes: Vec<ProbeEntry>,
    #[serde(default)]
    after: Vec<String>,
}

/// Templates among the texts of these entries, each once.
pub(super) fn texts(entries: &[HealthCheckEntry]) -> impl Iterator<Item = &str> {
    let probes = entries.iter().flat_map(|entry| &entry.probes);
    let restarts = entries.iter().filter_map(|entry| entry.restart.as_deref());
    let mut texts: Vec<&str> = probes.flat_map(probe_texts).chain(restarts).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter()
}

/// The health checks of a role file.
pub(super) fn made<'a>(
    build: &Build<'_>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let mut made = Vec::new();
    for entry in &role.health_checks {
        let context = build.context(None);
        let restart = entry.restart.as_ref();
        let restart = restart.map(|unit| build.templates.text(unit, &build.role.path, &context));
        let spec = HealthCheckSpec {
            probes: probes(build, &entry.probes)?,
            interval_seconds: entry.interval_seconds,
            attempts: entry.attempts,
            restart: restart.transpose()?,
        };
        made.push(Made {
            id: format!("health_check:{}", entry.name),
            spec: Spec::HealthCheck(spec),
            on_remove: OnRemove::Leave,
            after: &entry.after,
            notify: &[],
        });
    }
    Ok(made)
}
