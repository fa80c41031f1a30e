//! Which reports are believed, and what they say beyond the outcome.

use email_engine_protocol::bytes::{Nonce, VerifyingKey};
use email_engine_protocol::crypto::{Signed, VerifyError};
use email_engine_protocol::desired::Disposition;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, ResourceId};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{Convergence, HostReport, ResourceState};

use crate::push::{Frozen, now};
use crate::state::{FleetState, HostLifecycle};

/// What a report of this session must say.
#[derive(Debug)]
pub(super) struct Believed<'a> {
    pub(super) cluster: ClusterId,
    pub(super) host: &'a HostId,
    pub(super) nonce: Nonce,
    /// Sequence of the last one.
    pub(super) after: Option<u64>,
}

/// Why a report is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReportError {
    #[error("the host has no report key")]
    NoKey,
    #[error(
        "report: signature does not verify: the executor key of host {0} is not the one that it was \
         enrolled with; if that was lost, enrol the host anew with a token made by `token create \
         --host {0} --role ROLE --replace`"
    )]
    OtherKey(HostId),
    #[error("report: {0}")]
    Form(VerifyError),
    #[error("the report is about host {host} of cluster {cluster}")]
    Foreign { cluster: ClusterId, host: HostId },
    #[error("the report is of another session: a replay")]
    Nonce,
    #[error("report {got} came after report {after}: a replay")]
    Sequence { got: u64, after: u64 },
    #[error("the report tells of {0} names that drain, at most {limit} are accepted", limit = limits::DRAINS_PER_REPORT)]
    TooManyDrains(usize),
    #[error("resource {0} tells more than is accepted: at most {rows} rows of at most {columns} texts of at most {chars} characters in one line", rows = limits::TOLD_ROWS, columns = limits::TOLD_COLUMNS, chars = limits::TOLD_CHARS)]
    Talkative(ResourceId),
    #[error("the report has {0} statuses, at most {limit} are accepted", limit = limits::STATUSES_PER_REPORT)]
    TooLarge(usize),
}

/// Judges a report by its executor's signature and this session's nonce.
pub(super) fn judge(
    report: &Signed<HostReport>,
    key: Option<&VerifyingKey>,
    expected: &Believed<'_>,
) -> Result<HostReport, ReportError> {
    let report = report
        .verify(key.ok_or(ReportError::NoKey)?)
        .map_err(|error| match error {
            VerifyError::Signature => ReportError::OtherKey(expected.host.clone()),
            VerifyError::Decode(_) => ReportError::Form(error),
        })?;
    if report.cluster != expected.cluster || report.host != *expected.host {
        return Err(ReportError::Foreign {
            cluster: report.cluster,
            host: report.host,
        });
    }
    if report.nonce != expected.nonce {
        return Err(ReportError::Nonce);
    }
    if let Some(after) = expected.after
        && report.sequence <= after
    {
        let got = report.sequence;
        return Err(ReportError::Sequence { got, after });
    }
    if report.statuses.len() > limits::STATUSES_PER_REPORT {
        return Err(ReportError::TooLarge(report.statuses.len()));
    }
    let talkative = report
        .statuses
        .iter()
        .find(|status| matches!(&status.state, ResourceState::Told(told) if !told.is_bounded()));
    if let Some(status) = talkative {
        return Err(ReportError::Talkative(status.id.clone()));
    }
    if report.drains.len() > limits::DRAINS_PER_REPORT {
        return Err(ReportError::TooManyDrains(report.drains.len()));
    }
    Ok(report)
}

/// Whether a host stands beyond what the replicated state knows. In a younger epoch of ours it does
/// not: its next target will be above whatever it accepted before.
pub(super) fn future_of(
    state: &FleetState,
    host: &HostId,
    accepted: Option<Generation>,
) -> Option<Frozen> {
    let accepted = accepted?;
    let epoch = state.cluster.as_ref()?.epoch;
    let target = state.targets.get(host).map(|target| target.generation);
    let ahead = accepted.epoch > epoch || (accepted.epoch == epoch && Some(accepted) > target);
    ahead.then(|| Frozen {
        accepted,
        target,
        since: now(),
    })
}

/// Whether a signed report confirms that a retiring host was wiped.
pub(super) fn confirms_retirement(state: &FleetState, report: &HostReport) -> bool {
    report.disposition == Disposition::Retired
        && report.convergence == Convergence::Converged
        && state
            .hosts
            .get(&report.host)
            .is_some_and(|host| matches!(host.lifecycle, HostLifecycle::Retiring { .. }))
}
