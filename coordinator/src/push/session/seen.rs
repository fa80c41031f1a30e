//! What a session's reports say that is counted: every drift and every failure once.

use email_engine_protocol::generation::Generation;
use email_engine_protocol::observed::{HostReport, Stage};

use crate::push::metric_names::{DRIFT_REPAIRS, TARGETS_FAILED};
use crate::state::Outcome;

/// As of the last report.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Drifts that the executor repaired; none before the first report, which tells of earlier sessions too.
    repairs: Option<u64>,
    failed: Option<(Generation, Stage)>,
}

impl Seen {
    /// Counts what is new in a report. `recorded` is what the fleet knows of the host.
    pub(super) fn count(&mut self, report: &HostReport, recorded: Option<&Outcome>) {
        metrics::counter!(DRIFT_REPAIRS).increment(self.repaired(report.repairs));
        if let Some(stage) = self.failed_anew(report, recorded) {
            metrics::counter!(TARGETS_FAILED, "stage" => stage).increment(1);
        }
    }

    fn repaired(&mut self, repairs: u64) -> u64 {
        match self.repairs.replace(repairs) {
            None => 0,
            // The executor counts from its start: what it says after another one is all its own.
            Some(before) => repairs.checked_sub(before).unwrap_or(repairs),
        }
    }

    fn failed_anew(
        &mut self,
        report: &HostReport,
        recorded: Option<&Outcome>,
    ) -> Option<&'static str> {
        let attempted = report.generations.attempted.as_ref();
        let failed = attempted.map(|attempt| (attempt.generation, attempt.stage))?;
        let known = recorded.and_then(|seen| seen.attempted.as_ref());
        let known = known.map(|attempt| (attempt.generation, attempt.stage));
        let is_known = known == Some(failed);
        let is_told = self.failed.replace(failed) == Some(failed);
        (!is_known && !is_told).then_some(match failed.1 {
            Stage::Accept => "accept",
            Stage::Fetch => "fetch",
            Stage::Plan => "plan",
            Stage::Apply => "apply",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drifts_of_earlier_sessions_are_not_counted_and_those_of_a_new_executor_are() {
        let mut seen = Seen::default();
        assert_eq!(seen.repaired(40), 0);
        assert_eq!(seen.repaired(43), 3);
        assert_eq!(seen.repaired(43), 0);
        assert_eq!(seen.repaired(2), 2);
    }
}
