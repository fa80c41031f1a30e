//! Metrics of a coordinator node: every one in one list, label sets bounded.
//!
//! Events are counted in the process' recorder when they happen. What stands in the state or in the series is
//! read when somebody looks, into a recorder of that look alone: whatever is gone by then (an identity, a
//! host) leaves no series behind that says its last figure for ever.

mod alerts;
mod failover;
mod fleet;
mod list;
mod mail;

use std::time::Duration;

use metrics::{
    counter, describe_counter, describe_gauge, describe_histogram, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use fleet::{lifecycle, observe, observe_hosts_mail};
pub use list::{ALERT_DELIVERIES, EVENTS, LOOKS, Metric};
pub use mail::{Sending, observe_sending, sending};

use list::{API_LATENCY, ERRORS};

use crate::raft::metric_names::{COMMIT_SECONDS, QUERY_SECONDS};

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// Most identities that get series of their own; a larger fleet is read from the API instead.
const IDENTITY_SERIES: usize = 2_000;

/// Installs the recorder of this process. Nothing listens: `/metrics` renders it.
///
/// # Errors
/// When the process has a recorder already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let answers = &[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ];
    let disk = &[
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
    ];
    let full = |name: &str| Matcher::Full(name.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(full(API_LATENCY), answers)?
        .set_buckets_for_metric(full(COMMIT_SECONDS), disk)?
        .set_buckets_for_metric(full(QUERY_SECONDS), disk)?
        .install_recorder()?;
    describe(EVENTS);
    Ok(handle)
}

/// What one look reads, in Prometheus' text format. `read` runs at once and on this thread.
pub fn look(read: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        describe(LOOKS);
        read();
    });
    recorder.handle().render()
}

fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

/// Counts an API request.
pub fn api_request(endpoint: String, method: &'static str, status: u16, took: Duration) {
    histogram!(API_LATENCY, "endpoint" => endpoint, "method" => method).record(took.as_secs_f64());
    if status >= 500 {
        error("api", "error");
    }
}

/// Counts an error of a bounded kind, such as `api`, at `warning`, `error` or `critical`.
pub fn error(kind: &'static str, severity: &'static str) {
    counter!(ERRORS, "type" => kind, "severity" => severity).increment(1);
}

/// Metrics are floating point; counts this large lose their last digits, not their size.
#[expect(clippy::cast_precision_loss, reason = "figures for dashboards")]
const fn figure(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn requests_are_timed_and_those_that_fail_here_are_errors() {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            let took = Duration::from_millis(2);
            for status in [200, 404, 500, 503] {
                api_request("/api/v1/ips".to_owned(), "GET", status, took);
            }
            error("task", "critical");
        });
        let told = recorder.handle().render();
        for line in [
            "email_engine_errors_total{type=\"api\",severity=\"error\"} 2",
            "email_engine_errors_total{type=\"task\",severity=\"critical\"} 1",
            "email_engine_api_latency_seconds_count{endpoint=\"/api/v1/ips\",method=\"GET\"} 4",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let all: Vec<_> = EVENTS.iter().chain(LOOKS).collect();
        let names: BTreeSet<_> = all.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all.len());
        for metric in all {
            assert!(metric.name.starts_with("email_engine_"), "{}", metric.name);
            assert!(!metric.help.is_empty(), "{}", metric.name);
        }
    }

    #[test]
    fn a_look_leaves_nothing_behind() {
        let first = look(|| metrics::gauge!(list::IPS, "status" => "active").set(7.0));
        assert!(
            first.contains("email_engine_ips_total{status=\"active\"} 7"),
            "{first}"
        );
        assert!(first.contains("# HELP email_engine_ips_total "), "{first}");
        assert!(!look(|| ()).contains("active"));
    }
}
