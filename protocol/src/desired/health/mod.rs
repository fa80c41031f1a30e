//! Whether what runs on a host is well: questions that are asked again and again.

mod probe;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::config::{at_most, bound};
use super::names::{self, is_unit};
use super::{ConfigError, HostConfig, Resource, Spec};
use crate::limits;

pub use probe::{Expectation, Holds, HttpQuestion, Probe};

/// Something on the host that must be well, whatever its files are like. It is asked beside everything
/// else, and what it answered last is how this resource is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckSpec {
    /// What it is asked, one after the other; all of it must be right. Each is asked once, and ended
    /// after its seconds, which are at most [`HEALTH_SECONDS`](crate::limits::HEALTH_SECONDS). Commands
    /// have the rights of the agent itself, which may be fewer than those of the machine.
    pub probes: Vec<Probe>,
    /// Seconds from one asking to the next.
    pub interval_seconds: u32,
    /// Wrong answers in a row after which it counts as failed. One right answer ends that.
    pub attempts: u32,
    /// A unit that is restarted when it has failed, at growing distances as long as it goes on failing.
    pub restart: Option<String>,
}

impl HealthCheckSpec {
    /// Every unit that it would look at or restart.
    pub fn units(&self) -> impl Iterator<Item = &str> {
        let looked_at = self.probes.iter().filter_map(Probe::unit);
        self.restart.as_deref().into_iter().chain(looked_at)
    }
}

fn refuse(resource: &Resource, reason: String) -> ConfigError {
    ConfigError::Health {
        resource: resource.id.clone(),
        reason,
    }
}

/// Checks one health check.
pub(super) fn check(resource: &Resource, spec: &HealthCheckSpec) -> Result<(), ConfigError> {
    at_most("number of probes", spec.probes.len(), limits::HEALTH_PROBES)?;
    if spec.probes.is_empty() {
        let reason = "it has no probes, at least one is needed".to_owned();
        return Err(refuse(resource, reason));
    }
    for (field, got, least, most) in [
        (
            "interval_seconds",
            spec.interval_seconds,
            limits::HEALTH_INTERVAL_LEAST,
            limits::HEALTH_INTERVAL_MOST,
        ),
        ("attempts", spec.attempts, 1, limits::HEALTH_ATTEMPTS),
    ] {
        if !(least..=most).contains(&got) {
            let reason = format!("{field} is {got}, accepted is {least} to {most}");
            return Err(refuse(resource, reason));
        }
    }
    if let Some(unit) = &spec.restart {
        names::check(resource, "restart", unit, is_unit(unit), names::UNIT)?;
    }
    let mut longest = 0;
    for probe in &spec.probes {
        let seconds = u64::from(probe.seconds());
        let most = u64::from(limits::HEALTH_SECONDS);
        bound("seconds of a probe of a health check", seconds, most)?;
        if let Probe::Quiet { log, .. } = probe {
            let reason = format!(
                "{log} is to stay quiet since a swap, which only a transaction has: another probe is \
                 accepted"
            );
            return Err(refuse(resource, reason));
        }
        if let Probe::Http { steady_seconds, .. } = probe
            && *steady_seconds > 0
        {
            let reason = format!(
                "steady_seconds is {steady_seconds}, accepted is 0: attempts say how often it is asked"
            );
            return Err(refuse(resource, reason));
        }
        let texts = probe.texts(resource)?;
        longest = longest.max(texts.iter().map(|text| text.len()).max().unwrap_or(0));
    }
    at_most(
        "length of a text of a health check",
        longest,
        limits::EXPECTED_BYTES,
    )
}

/// Checks what only all of them together show.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    let is_one = |one: &&Resource| matches!(one.spec, Spec::HealthCheck(_));
    let count = config.resources.iter().filter(is_one).count();
    at_most("number of health checks", count, limits::HEALTH_CHECKS)
}
