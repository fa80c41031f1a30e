//! What each command carries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AccessRole, HostSpec, IpSpec, MemberRole, Settings, TenantSpec};
use email_engine_protocol::bytes::{
    CertificateSerial, ContentHash, SealingPublicKey, SecretHash, VerifyingKey,
};
use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::EpochGrant;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ApiKeyId, HostId, NodeId, TenantId, TokenId, VmtaName};
use email_engine_protocol::join::{Admission, Endpoint};
use email_engine_protocol::observed::{Gap, Mode, Stretch};
use email_engine_protocol::time::Timestamp;

use super::Command;
use crate::state::{
    ClusterRecord, Node, Outcome, PreparedKey, Release, Said, ShownCertificate, TokenUse,
};

/// See [`Command::Found`]. The first admin key, bundle and settings are commands of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The cluster.
    pub cluster: ClusterRecord,
    /// Its first node.
    pub node: Node,
}

/// See [`Command::CreateTenant`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTenant {
    /// The customer.
    pub tenant: TenantSpec,
}

/// See [`Command::ChangeTenant`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTenant {
    /// The whole new declaration; the id says whose.
    pub tenant: TenantSpec,
}

/// See [`Command::RemoveTenant`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveTenant {
    /// Which.
    pub tenant: TenantId,
}

/// See [`Command::AddHost`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddHost {
    /// The machine. It gets the default release.
    pub host: HostSpec,
}

/// See [`Command::ChangeHost`]. The role of a host never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeHost {
    /// The whole new declaration; the id says whose.
    pub host: HostSpec,
}

/// See [`Command::RetireHost`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireHost {
    /// Which.
    pub host: HostId,
    /// Milliseconds that it has for confirming its wipe.
    pub grace_millis: u64,
}

/// See [`Command::CutOffHost`]. Without confirmation only after the deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOffHost {
    /// Which.
    pub host: HostId,
    /// A signed report confirmed the wipe.
    pub confirmed: bool,
}

/// See [`Command::AddIdentity`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddIdentity {
    /// The identity.
    pub ip: IpSpec,
    /// What of where it stands the file itself says; the rest was filled in.
    pub said: Said,
}

impl AddIdentity {
    /// As it is, by nobody's words.
    #[must_use]
    pub fn of(ip: IpSpec) -> Self {
        let said = Said::default();
        Self { ip, said }
    }
}

/// See [`Command::ChangeIdentity`]. A change of domain or selector takes a new DKIM key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeIdentity {
    /// The whole new declaration; the address says whose.
    pub ip: IpSpec,
    /// What of where it stands the file itself says; the rest was filled in.
    pub said: Said,
}

impl ChangeIdentity {
    /// As it shall be, by nobody's words.
    #[must_use]
    pub fn of(ip: IpSpec) -> Self {
        let said = Said::default();
        Self { ip, said }
    }
}

/// See [`Command::RetireIdentity`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireIdentity {
    /// Which.
    pub address: IpAddr,
}

/// See [`Command::IssueToken`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueToken {
    /// Its public half.
    pub id: TokenId,
    /// Hash of its secret half.
    pub secret: SecretHash,
    /// What it lets its bearer become; a host must be declared with that role.
    pub admission: Admission,
    /// How long it lives.
    pub ttl_millis: u64,
    /// It may replace a living identity.
    pub replace: bool,
}

/// See [`Command::RevokeToken`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeToken {
    /// Which.
    pub id: TokenId,
}

/// See [`Command::RedeemToken`]. Repeating it with the same key is no change and no error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedeemToken {
    /// Public half of the token.
    pub id: TokenId,
    /// Hash of the secret that was shown.
    pub secret: SecretHash,
    /// SHA-256 of the bearer's TLS key (SubjectPublicKeyInfo).
    pub spki: ContentHash,
    /// Who it becomes.
    pub bearer: Bearer,
    /// Where it called from, for the audit.
    pub from: String,
}

/// See [`Command::RefuseToken`]. One per token and key, and few per token: repeating it is no change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefuseToken {
    /// Public half of the token.
    pub id: TokenId,
    /// Who used it.
    pub holder: TokenUse,
    /// Who showed it later.
    pub refused: TokenUse,
}

/// Who redeems a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bearer {
    /// An agent, with the certificate that is issued when this is accepted.
    Host {
        /// Verifies its reports.
        report_key: VerifyingKey,
        /// Its secrets are sealed to it.
        sealing_key: SealingPublicKey,
        /// Sandbox or real.
        mode: Mode,
        /// Serial of its certificate.
        serial: CertificateSerial,
        /// End of its certificate.
        not_after: Timestamp,
        /// The machine's own name, for the audit.
        hostname: String,
    },
    /// A node; its certificate carries the number that this command gives and is recorded after.
    Node {
        /// Raft end point.
        raft_endpoint: Endpoint,
        /// Agents' end point.
        agent_endpoint: Endpoint,
        /// HTTPS end point.
        api_endpoint: Endpoint,
        /// Newest cluster version that its software supports.
        supports_version: u32,
    },
}

/// See [`Command::RenewCertificate`]. For hosts the key that is replaced must be the current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewCertificate {
    /// Whose.
    pub subject: crate::state::CertificateSubject,
    /// SHA-256 of the key that asks; must be the current key, or already the new one (a repeat).
    pub current_spki: ContentHash,
    /// SHA-256 of the new key.
    pub spki: ContentHash,
    /// Serial of the new certificate.
    pub serial: CertificateSerial,
    /// End of the new certificate.
    pub not_after: Timestamp,
}

/// See [`Command::RevokeCertificate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeCertificate {
    /// Which.
    pub serial: CertificateSerial,
}

/// See [`Command::SetTargets`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTargets {
    /// One per host. Those whose parent is stale are left out of the effect; with none left the
    /// command is rejected.
    pub targets: Vec<NewTarget>,
    /// Bodies that are not stored yet, manifests included.
    pub bodies: BTreeMap<ContentHash, Vec<u8>>,
}

/// A host's next target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTarget {
    /// Which host.
    pub host: HostId,
    /// Digest of the target that it replaces; must be current.
    pub parent: Option<ContentHash>,
    /// Digest of the manifest.
    pub digest: ContentHash,
    /// Bodies that the manifest names.
    pub bodies: BTreeSet<ContentHash>,
    /// Number of resources.
    pub resources: u32,
    /// Planner that made it.
    pub planner_version: u32,
    /// Release that it was planned at: must still be the host's.
    pub release: Release,
    /// Fleet revision that it was planned from.
    pub planned_from: u64,
}

/// See [`Command::PutBundle`]. Its hash is that of the postcard bytes of `files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBundle {
    /// Texts by path.
    pub files: BTreeMap<String, String>,
}

/// See [`Command::SetRelease`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRelease {
    /// Which hosts; all and the default, when absent.
    pub hosts: Option<BTreeSet<HostId>>,
    /// Role bundle; as it is, when absent.
    pub bundle: Option<ContentHash>,
    /// Planner version; as it is, when absent.
    pub planner_version: Option<u32>,
    /// Settings revision; as it is, when absent.
    pub settings: Option<u64>,
}

/// See [`Command::PutSettings`]. Its revision is one above the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutSettings {
    /// The settings.
    pub settings: Settings,
    /// Move all hosts to them now; otherwise they wait for [`SetRelease`].
    pub release: bool,
}

/// See [`Command::RecordOutcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOutcome {
    /// Whose.
    pub host: HostId,
    /// What it reported; `changed_at` is set in `apply`.
    pub outcome: Outcome,
}

/// See [`Command::CreateApiKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateApiKey {
    /// Its name.
    pub id: ApiKeyId,
    /// Hash of its secret half.
    pub secret: SecretHash,
    /// What it may do.
    pub role: AccessRole,
    /// Its tenant, when bound to one.
    pub tenant: Option<TenantId>,
}

/// See [`Command::RevokeApiKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeApiKey {
    /// Which.
    pub id: ApiKeyId,
}

/// See [`Command::StockKeys`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockKeys {
    /// New keys, in order.
    pub keys: Vec<PreparedKey>,
}

/// See [`Command::SetNode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetNode {
    /// Which.
    pub node: NodeId,
    /// Its part; `Removed` is final.
    pub role: MemberRole,
    /// New end points (raft, agents, API), when they changed.
    pub endpoints: Option<(Endpoint, Endpoint, Endpoint)>,
    /// Newest cluster version that its software supports, when it changed.
    pub supports_version: Option<u32>,
}

/// See [`Command::PlaceNode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceNode {
    /// Which.
    pub node: NodeId,
    /// Its end points (raft, agents, API).
    pub endpoints: (Endpoint, Endpoint, Endpoint),
    /// Newest cluster version that its software supports.
    pub supports_version: u32,
}

/// See [`Command::RaiseVersion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseVersion {
    /// One above the current one; every voter must support it.
    pub version: u32,
}

/// See [`Command::Recover`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// The new epoch with the recovery key's word for it.
    pub grant: Signed<EpochGrant>,
    /// The first node of the restored cluster; all others are removed.
    pub node: Node,
}

/// See [`Command::Batch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Refused when the fleet's revision is another; unchecked when absent.
    pub base_revision: Option<u64>,
    /// In this order; none may be a batch.
    pub commands: Vec<Command>,
}

/// See [`Command::AllowRemoval`]. It lasts until the host has converged on a target that was set after
/// this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRemoval {
    /// Which hosts.
    pub hosts: BTreeSet<HostId>,
}

/// See [`Command::AllowRestart`]. It lasts until the host has converged on a target that was set after
/// this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRestart {
    /// Which host.
    pub host: HostId,
    /// Digest of the lines that need the restart: it is allowed for no others.
    pub lines: ContentHash,
}

/// See [`Command::RetryChange`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryChange {
    /// Which host.
    pub host: HostId,
}

/// See [`Command::TellTime`]. Further than a day only with the clocks of a majority of the voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellTime {
    /// Milliseconds that the clock of each node that answered is ahead of the proposer's.
    pub clocks: BTreeMap<NodeId, i64>,
}

/// See [`Command::ReadmitHost`]. The machine proved that it has the certificate's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadmitHost {
    /// Which.
    pub host: HostId,
    /// What it showed: the host's certificate from now on.
    pub shown: ShownCertificate,
}

/// See [`Command::EndDrain`]. Said by a report of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndDrain {
    /// Which host.
    pub host: HostId,
    /// The target that the report is about: must be current.
    pub generation: Generation,
    /// Virtual MTAs whose queues are empty.
    pub vmtas: BTreeSet<VmtaName>,
}

/// See [`Command::RecordStatistics`]. Nothing of it is in the audit: it is no change of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStatistics {
    /// Of many hosts, in the order in which they were said.
    pub batches: Vec<HostBatch>,
}

/// What one host said of its accounting files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostBatch {
    /// Which.
    pub host: HostId,
    /// What was counted in one file.
    pub stretch: Option<Stretch>,
    /// Records that may be missing.
    pub gap: Option<Gap>,
    /// With this all that was written before is counted.
    pub read_until: Option<Timestamp>,
}

/// See [`Command::GiveUpDrain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUpDrain {
    /// The identity that it was.
    pub address: IpAddr,
    /// Messages that were left in its queues, as far as that was known; for the audit.
    pub messages: Option<u64>,
}
