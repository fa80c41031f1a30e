//! What a pass leaves, or why there was none.

use email_engine_protocol::desired::ResourceKind;
use email_engine_protocol::observed::{ResourceState, ResourceStatus};

use crate::host::RecordError;

/// What a pass left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every resource of the state, and what could not be removed.
    pub statuses: Vec<ResourceStatus>,
    /// Resources that were changed.
    pub changed: usize,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether a content waits: another one is in force than the state names.
    pub waits: bool,
    /// Whether something that must be well has not yet said whether it is.
    pub is_untold: bool,
}

impl Outcome {
    /// Whether nothing failed and nothing is blocked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.interrupted && self.bad().next().is_none()
    }

    /// Whether anything failed or is blocked that is no health check.
    #[must_use]
    pub fn is_bad_beside_health(&self) -> bool {
        self.bad().any(|one| one.kind != ResourceKind::HealthCheck)
    }

    pub(in crate::reconciler) fn bad(&self) -> impl Iterator<Item = &ResourceStatus> {
        use ResourceState::{Blocked, Failed};
        let is_bad = |one: &&ResourceStatus| matches!(one.state, Blocked(_) | Failed(_));
        self.statuses.iter().filter(is_bad)
    }
}

/// Why a pass changed nothing: what must be durable first could not be written.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed, because {what} could not be written first: {source}")]
pub struct PassError {
    /// What.
    pub what: &'static str,
    /// Why.
    pub source: RecordError,
}
