//! Health checks in a role file, and the questions that they and transactions ask.
//!
//! ```toml
//! [[health_check]]
//! name = "page"                       # a template, so that `each` can name its item
//! each = "tenant"                     # one for each; nothing when absent
//! needs = ["service:app.service"]     # not there without these; nothing when absent
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
//! `tls` may be a template of `true` or `false`. `status` is one, or the lowest and the highest; 200-399 when absent. Addresses are the host's own, and
//! pages are always asked for by `GET`; nobody is sent on. Over TLS any certificate will do. Where a host
//! allows what (`ports`, `commands`, `services`) is for its own list to say. Addresses, names, paths, texts,
//! units and arguments are templates.

mod probes;

use email_engine_protocol::desired::HealthCheckSpec;
use serde::Deserialize;

use super::build::{Build, named};
use super::error::BundleFault;
use super::role::{Each, RoleFile};
use super::values::Item;

pub(super) use probes::{ProbeEntry, made as probes, texts as probe_texts};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthCheckEntry {
    /// A template.
    name: String,
    each: Option<Each>,
    /// Ids of resources without which it is not there.
    #[serde(default)]
    needs: Vec<String>,
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
    let names = entries.iter().flat_map(|entry| {
        let others = named(&entry.after).chain(named(&entry.needs));
        others.chain([entry.name.as_str()])
    });
    let texts = probes.flat_map(probe_texts).chain(restarts);
    let mut texts: Vec<&str> = texts.chain(names).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter()
}

/// A health check, and what it comes after.
pub(super) struct Check {
    pub(super) id: String,
    pub(super) spec: HealthCheckSpec,
    pub(super) after: Vec<String>,
}

/// The health checks of a role file. What they need is known by then.
pub(super) fn made(build: &Build<'_>, role: &RoleFile) -> Result<Vec<Check>, BundleFault> {
    let mut made = Vec::new();
    for entry in &role.health_checks {
        match entry.each {
            None => made.extend(check(build, entry, None)?),
            Some(each) => {
                for item in build.values.items(each) {
                    made.extend(check(build, entry, Some(item))?);
                }
            }
        }
    }
    Ok(made)
}

fn check(
    build: &Build<'_>,
    entry: &HealthCheckEntry,
    item: Option<&Item>,
) -> Result<Option<Check>, BundleFault> {
    let context = build.context(item);
    let text = |text: &String| build.templates.text(text, &build.role.path, &context);
    if !build.has_all(&build.names(&entry.needs, &context)?) {
        return Ok(None);
    }
    Ok(Some(Check {
        id: format!("health_check:{}", text(&entry.name)?),
        spec: HealthCheckSpec {
            probes: probes(build, &entry.probes, item)?,
            interval_seconds: entry.interval_seconds,
            attempts: entry.attempts,
            restart: entry.restart.as_ref().map(text).transpose()?,
        },
        after: build.names(&entry.after, &context)?,
    }))
}
