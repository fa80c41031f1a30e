//! The report of a host, signed by the executor half of its agent.

use serde::{Deserialize, Serialize};

use super::{DrainStatus, Facts, Observed, ResourceStatus};
use crate::bytes::Nonce;
use crate::crypto::Signable;
use crate::desired::Disposition;
use crate::generation::Generation;
use crate::id::{ClusterId, HostId};
use crate::time::Timestamp;

/// What the executor says about its host. Signed, with the coordinator's nonce: the network half can
/// neither make one up nor replay an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The cluster that the host belongs to.
    pub cluster: ClusterId,
    /// The host.
    pub host: HostId,
    /// The nonce of the session that it is for.
    pub nonce: Nonce,
    /// Grows with every report under one nonce.
    pub sequence: u64,
    /// The executor's clock.
    pub at: Timestamp,
    /// Which generations it knows and where it stands.
    pub generations: GenerationStates,
    /// Overall verdict of the last pass.
    pub convergence: Convergence,
    /// Disposition of the accepted state: a retired host confirms its wipe by
    /// `convergence == Converged` with `disposition == Retired`.
    pub disposition: Disposition,
    /// Resources by state.
    pub counts: StatusCounts,
    /// Resources that are not converged first, cut at a bound; `counts` covers all, so that what
    /// its total has more was left out.
    pub statuses: Vec<ResourceStatus>,
    /// Drifts repaired since the executor started.
    pub repairs: u64,
    /// Milliseconds from accepting the running generation to its first converged pass.
    pub apply_millis: Option<u64>,
    /// Items that the host's inventory owns.
    pub inventory: u64,
    /// Measured properties.
    pub facts: Observed<Facts>,
    /// What is left under names that are to go, those that hold nothing first, at most
    /// [`DRAINS_PER_REPORT`](crate::limits::DRAINS_PER_REPORT).
    pub drains: Vec<DrainStatus>,
}

impl Signable for HostReport {
    const DOMAIN: &'static str = "email-engine/report/v1";
}

/// Where a host stands among its generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStates {
    /// The newest whose signature and content were checked and stored.
    pub accepted: Option<Generation>,
    /// The one that is being enforced.
    pub running: Option<Generation>,
    /// The newest that was right once, wholly or but for what shall stand still; enforced when nothing
    /// newer works.
    pub last_good: Option<Generation>,
    /// The last that did not get through.
    pub attempted: Option<Attempt>,
}

/// A generation that was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which one.
    pub generation: Generation,
    /// How far it came.
    pub stage: Stage,
    /// Why it ended there.
    pub reason: String,
}

/// How far a generation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Refused before it was stored: signature, floor, content.
    Accept,
    /// Bodies or secrets could not be had.
    Fetch,
    /// The graph or a guard refused it.
    Plan,
    /// A resource failed.
    Apply,
}

/// Overall verdict of a pass over all resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convergence {
    /// No state was accepted yet.
    #[default]
    Idle,
    /// Work is under way.
    Converging,
    /// Everything is as desired.
    Converged,
    /// Something could not be made right, or is only reported.
    Degraded,
}

/// Resources by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCounts {
    /// Found right.
    pub converged: u32,
    /// Simulated in a sandbox.
    pub simulated: u32,
    /// Differs, left by policy.
    pub drifted: u32,
    /// Failed.
    pub failed: u32,
    /// Blocked by a failed one.
    pub blocked: u32,
    /// Cannot be known.
    pub unknown: u32,
}

impl StatusCounts {
    /// All resources.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.satisfied()
            .saturating_add(self.drifted)
            .saturating_add(self.failed)
            .saturating_add(self.blocked)
    }

    /// Resources that are as desired, as far as this host can show it.
    #[must_use]
    pub const fn satisfied(&self) -> u32 {
        self.converged
            .saturating_add(self.simulated)
            .saturating_add(self.unknown)
    }
}
