//! Machines: what was declared, who they proved to be, what they shall be at and where they stand.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::HostSpec;
use email_engine_protocol::bytes::{
    CertificateSerial, ContentHash, SealingPublicKey, VerifyingKey,
};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::observed::{Attempt, Convergence, Mode, StatusCounts};
use email_engine_protocol::time::Timestamp;

use super::Release;

/// Label of a PowerMTA host whose identities get their mail elsewhere: the name of an operator's own
/// server, which their MX then is.
pub const INBOUND_MX_LABEL: &str = "inbound-mx";

/// Label of a PowerMTA host: the tenants whose MailWizz its agent tells of bounces and complaints, or
/// [`WEBHOOK_ALL`].
pub const WEBHOOK_LABEL: &str = "mailwizz-webhook";
/// See [`WEBHOOK_LABEL`].
pub const WEBHOOK_ALL: &str = "all";

/// A managed machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// What was declared.
    pub spec: HostSpec,
    /// Where it stands in its life.
    pub lifecycle: HostLifecycle,
    /// Keys of its agent, once enrolled.
    pub keys: Option<HostKeys>,
    /// What it may be given: pinned, so that a new leader continues a wave and does not finish it.
    pub release: Release,
    /// The operator allowed the next target to remove much or data.
    pub large_removal: bool,
}

/// Where a host stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostLifecycle {
    /// Declared; no agent has enrolled.
    Declared,
    /// Its agent enrolled.
    Enrolled,
    /// Told to wipe its secrets; cut off when it confirms or when the deadline passes.
    Retiring {
        /// Latest moment of its being cut off.
        deadline: Timestamp,
    },
    /// Cut off. Its name may be declared again.
    Retired,
}

/// Keys that the host's agent showed when it enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKeys {
    /// Serial of its current certificate.
    pub serial: CertificateSerial,
    /// SHA-256 of its current TLS key (SubjectPublicKeyInfo).
    pub spki: ContentHash,
    /// Verifies its executor's reports.
    pub report_key: VerifyingKey,
    /// Its secrets are sealed to it.
    pub sealing_key: SealingPublicKey,
    /// Sandbox or real.
    pub mode: Mode,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
}

/// An operator's word for one restart of a host's product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartAllowed {
    /// Digest of the lines that it is for.
    pub lines: ContentHash,
    /// Fleet revision that allowed it.
    pub revision: u64,
}

/// What a host shall be at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// Its number, given in `apply`.
    pub generation: Generation,
    /// Hash of the manifest.
    pub digest: ContentHash,
    /// Planner that made it.
    pub planner_version: u32,
    /// Fleet revision that it was planned from: it knows nothing of what came after that.
    pub planned_from: u64,
    /// When it was set.
    pub set_at: Timestamp,
    /// Number of resources in it.
    pub resources: u32,
}

/// Last outcome that a host reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Newest generation that it accepted.
    pub accepted: Option<Generation>,
    /// Generation that it enforces.
    pub running: Option<Generation>,
    /// Newest that was converged once, whatever stands still beside it.
    pub last_good: Option<Generation>,
    /// The last that did not get through.
    pub attempted: Option<Attempt>,
    /// Overall verdict.
    pub convergence: Convergence,
    /// Resources by state.
    pub counts: StatusCounts,
    /// When the cluster learnt it.
    pub changed_at: Timestamp,
}
