//! The replicated state of the fleet: tables, and nothing but tables.
//!
//! It is rebuilt from a snapshot and the log on every node, so everything here is ordered and
//! integral, and changes only inside [`crate::command`]. Tables that grow with the fleet share their rows with
//! copies of themselves ([`Table`]), so that whoever needs the fleet as of one moment does not stall `apply`.

mod access;
mod alerts;
mod audit;
mod campaign;
mod cluster;
mod codec;
mod content;
mod counting;
mod dns;
mod failover;
mod host;
mod identity;
mod listing;
mod lookup;
mod query;
mod restored;
mod secret;
mod submission;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::TenantSpec;
use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{
    ApiKeyId, ArtifactName, HostId, NodeId, PoolName, RequestId, SecretId, TenantId, TokenId,
    VmtaName,
};
use email_engine_protocol::time::Timestamp;

pub use access::{ApiKey, CertificateRecord, CertificateSubject, Token, TokenState, TokenUse};
pub use alerts::{Alert, Alerts, Channel, Delivery, Due, Silence};
pub use audit::{AuditEntry, Remembered};
pub use campaign::{Asker, Campaign, CampaignEnd, Figures, Reading, Readings, Reserved};
pub use cluster::{ClusterRecord, Issuer, Node, PlanKey};
pub use codec::{DecodeError, TABLES_VERSION, decode, encode};
pub(crate) use content::layer_fault;
pub use content::{
    Artifact, BodyRecord, OVERRIDES, Release, RoleBundle, RolePart, SettingsRevision, View,
};
pub use counting::{
    Accounting, CountedFile, DAYS_KEPT, HOURS_KEPT_DAYS, HostAccounting, Owner, SeriesChange,
    SeriesKey, Span, Subject,
};
pub use dns::{DnsLook, DnsLooks, DnsZone, DnsZones, Inventory, Made, Mark, RecordKind, SeenTo};
pub use failover::{
    Believed, Brake, Breaker, Ending, Failover, Frozen, HeldCampaign, HeldCampaigns, ListingEvent,
    ListingHit, Open, Promotion, Released, Search,
};
pub use host::{
    Host, HostKeys, HostLifecycle, INBOUND_MX_LABEL, Outcome, RestartAllowed, TargetRecord,
    WEBHOOK_ALL, WEBHOOK_LABEL,
};
pub use identity::{
    Declared, Departed, Departure, ExpiredQueue, ForeignPlan, GivenUp, Held, HeldAddresses,
    Identity, Leaving, Life, ListedRecipients, OtherKey, Place, Pool, Quarantine, Restraint,
    Rotation, Said, Signing, Slowed,
};
pub use listing::{
    ListHealth, ListRun, ListWeight, Listing, Listings, Observer, Replies, Sweep, SweepRules,
    SweptList,
};
pub use lookup::{Claim, ClaimKind, Lookup};
pub(crate) use lookup::{claims, public_key_hash, with_ancestors};
pub use restored::{Restored, Return, ShownCertificate};
pub use secret::{
    ACCOUNT, HostSecret, MONITORS_FLEET, MONITORS_LABEL, MONITORS_OWN, PreparedKey, SealedAtRest,
    SecretOf, StoredSecret, account, metrics_key_prefix,
};
pub use submission::{
    HOST_NAME_LABEL, OWN_CERTIFICATE_LABEL, SubmissionAuthority, SubmissionAuthorityRecord,
    SubmissionCertificate, SubmissionNames, TRUSTS_LABEL, certificate_pem,
};
pub use table::{Keys, Queue, Table};

/// Everything the cluster knows about its fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetState {
    /// The cluster itself; absent until the first command.
    pub cluster: Option<ClusterRecord>,
    /// Time of the last command: the fleet's clock.
    pub now: Timestamp,
    /// Number of accepted changes.
    pub revision: u64,
    /// Customers.
    pub tenants: Table<TenantId, TenantSpec>,
    /// Machines.
    pub hosts: Table<HostId, Host>,
    /// Sending identities by address.
    pub identities: Table<IpAddr, Arc<Identity>>,
    /// Inventory groups.
    pub pools: Table<PoolName, Pool>,
    /// What is gone from the fleet and drains on a host.
    pub leaving: Table<Place, Arc<Leaving>>,
    /// Virtual MTAs that may go from a host with what is in their queues, until it has dropped them.
    pub given_up: Table<HostId, BTreeMap<VmtaName, GivenUp>>,
    /// Secrets in use, sealed.
    pub secrets: Table<SecretId, Arc<StoredSecret>>,
    /// DKIM keys made ahead of need, in order of making.
    pub prepared_keys: Table<u64, Arc<PreparedKey>>,
    /// Number of the next prepared key.
    pub next_prepared_key: u64,
    /// Join tokens.
    pub tokens: BTreeMap<TokenId, Token>,
    /// API keys.
    pub api_keys: BTreeMap<ApiKeyId, ApiKey>,
    /// Issued certificates that have not ended.
    pub certificates: Table<CertificateSerial, Arc<CertificateRecord>>,
    /// Revoked certificates; never pruned at their end.
    pub revoked: Keys<CertificateSerial>,
    /// Coordinator nodes, removed ones included: a number is never used again.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Number of the next node.
    pub next_node: u64,
    /// What every host shall be at.
    pub targets: Table<HostId, TargetRecord>,
    /// Hosts that may lose much with their next target, and the revision that allowed it.
    pub removal_allowed: Table<HostId, u64>,
    /// Hosts that may be restarted for what only a restart brings into force.
    pub restart_allowed: Table<HostId, RestartAllowed>,
    /// How often an operator asked a host to try a refused content once more.
    pub attempts: Table<HostId, u32>,
    /// Bodies that each host's target needs, its manifest included.
    pub target_bodies: Table<HostId, Arc<BTreeSet<ContentHash>>>,
    /// Last generation of hosts that were cut off: a host that is declared again under the same name
    /// goes on from there, because a number names one target for ever.
    pub last_generations: Table<HostId, Generation>,
    /// Content bodies that are stored beside the state, by hash.
    pub bodies: Table<ContentHash, BodyRecord>,
    /// Role bundles by hash.
    pub bundles: BTreeMap<ContentHash, Arc<RoleBundle>>,
    /// All revisions of the settings that some release still pins, and the newest.
    pub settings: BTreeMap<u64, SettingsRevision>,
    /// The release that new hosts get and that a roll-out leads to.
    pub default_release: Option<Release>,
    /// Last outcome of every host.
    pub outcomes: Table<HostId, Outcome>,
    /// Who did what, newest last, bounded.
    pub audit: Queue<Arc<AuditEntry>>,
    /// Sequence number of the next audit entry.
    pub next_audit: u64,
    /// First outcomes by request id, bounded.
    pub remembered: Table<RequestId, Arc<Remembered>>,
    /// Keys of `remembered`, oldest first.
    pub remembered_order: Queue<RequestId>,
    /// The backup that this life of the cluster began from, if any.
    pub restored: Option<Restored>,
    /// Vouches for the hosts at which the fleet submits; absent until there is one.
    pub submission_authority: Option<Arc<SubmissionAuthorityRecord>>,
    /// Certificates of those hosts.
    pub submission_certificates: Table<HostId, SubmissionCertificate>,
    /// What the rules look up often; follows from the tables above.
    pub lookup: Lookup,
    /// Files of an operator, by the hash of the whole.
    pub artifacts: BTreeMap<ContentHash, Arc<Artifact>>,
    /// Which of them the names of role files stand for, by revision of the settings: a host sees a
    /// change only when its release moves.
    pub artifact_names: BTreeMap<u64, Arc<BTreeMap<ArtifactName, ContentHash>>>,
    /// Campaigns by the request that asked for them, bounded.
    pub campaigns: Table<RequestId, Arc<Campaign>>,
    /// Keys of `campaigns`, oldest first.
    pub campaigns_order: Queue<RequestId>,
    /// What the campaigns of a day take of quotas.
    pub reserved: Reserved,
    /// Up to where the hosts' accounting files are counted.
    pub accounting: Accounting,
    /// DKIM records that stay published although nobody signs with their keys any more, by when they
    /// may go.
    pub departed: Table<Departure, Arc<Departed>>,
    /// What is held against addresses that no identity has.
    pub held: HeldAddresses,
    /// Warm-up plans of MailWizz's own on servers of ours, by the host that it is on and by virtual MTA.
    pub foreign_plans: Table<HostId, BTreeMap<VmtaName, ForeignPlan>>,
    /// What was seen of identities' records in DNS.
    pub dns_looks: DnsLooks,
    /// What lists of bad senders said.
    pub listings: Listings,
    /// What people are told, and how far that is.
    pub alerts: Alerts,
    /// What was done about listings.
    pub failover: Failover,
    /// Zones that the fleet may change, and what it made in them.
    pub dns_zones: DnsZones,
    /// Campaigns that stand still, by the MailWizz host that they are on.
    pub held_campaigns: Table<HostId, HeldCampaigns>,
    /// MailWizz hosts whose application keeps no quotas, since that is known.
    pub unlimited: Table<HostId, Timestamp>,
}
