//! What the API needs of other rooms, as narrowly as it needs it.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use email_engine_protocol::api::{Change, DomainRecord, FleetDocument};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, NodeId};
use email_engine_protocol::secret::SecretBytes;

use crate::command::{Answer, Command, Proposal, Rejection, RejectionCode};
use crate::dns::primary::Writer;
use crate::dns::wanted::wanted_records;
use crate::planner;
use crate::planner::document::{self, DocumentPlan, Scope};
use crate::planner::preview::{self, Preview};
use crate::raft::{
    Contacts, Leadership, Planned, ProposeError, RaftStatus, ReadError, Sessions, SpanCounts,
    StoreError,
};
use crate::state::{FleetState, Host, Identity, SealedAtRest, Span, Subject};

/// The replicated fleet, as the API sees it.
pub trait Fleet: Send + Sync + 'static {
    /// Shows the state as this node has it. Keep it short: `apply` waits meanwhile.
    fn view(&self, read: &mut dyn FnMut(&FleetState));
    /// Commits a command and waits until it is applied here.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Answer, ProposeError>>;
    /// Waits until everything committed before the call is applied here.
    fn linearize(&self) -> BoxFuture<'_, Result<(), ReadError>>;
    /// Who leads, as far as this node knows.
    fn leadership(&self) -> Leadership;
    /// This node stopped taking part (its disk is full) and has only stale reads to give.
    fn is_stopped(&self) -> bool {
        false
    }
    /// Raft figures of this node.
    fn raft_status(&self) -> RaftStatus;
    /// A stored content body.
    ///
    /// # Errors
    /// When the store fails or the bytes do not have their hash.
    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError>;
    /// What was counted for a subject in some days or hours. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    fn series(&self, subject: &Subject, spans: &[Span]) -> Result<SpanCounts, StoreError>;
    /// Live agent sessions of all nodes that answer in time, and which do not.
    fn sessions(&self) -> BoxFuture<'_, Sessions>;
    /// How far the leader has planned, which waits a little for a revision; none when no leader answers.
    fn planned(&self, revision: u64) -> BoxFuture<'_, Option<Planned>>;
    /// What the leader hears of every member, or why there is no leader's word.
    fn contacts(&self) -> BoxFuture<'_, Contacts>;
    /// Gives a learner a vote. The record of it is in the name of whoever wants it.
    fn promote(&self, node: NodeId, record: Proposal)
    -> BoxFuture<'_, Result<(), MembershipError>>;
    /// Takes a node out for ever, recorded likewise.
    fn remove(&self, node: NodeId, record: Proposal) -> BoxFuture<'_, Result<(), MembershipError>>;
    /// A consistent, sealed copy of the state.
    fn backup(&self) -> BoxFuture<'_, Result<Backup, BackupError>>;
}

/// Pure thinking about the fleet, which is the planner's, sealing, and the stock of keys that new identities
/// draw from.
pub trait Planning: Send + Sync + 'static {
    /// What a document changes.
    ///
    /// # Errors
    /// When it breaks a rule of the fleet.
    fn changes(
        &self,
        state: &FleetState,
        document: &FleetDocument,
        prune: bool,
        scope: Scope<'_>,
    ) -> Result<Draft, Rejection> {
        Ok(document::changes(state, document, prune, scope)?.into())
    }
    /// What commands that a draft holds would do to the hosts that may be seen.
    ///
    /// # Errors
    /// When one of the commands would be refused.
    fn preview(
        &self,
        state: &FleetState,
        draft: &Draft,
        may_see: &dyn Fn(&Host) -> bool,
    ) -> Result<Preview, Rejection> {
        let after = preview::carried_out(state, &draft.commands, draft.new_identities)?;
        Ok(preview::preview(state, &after, may_see))
    }
    /// What a draft does that whoever asks may not have in mind. Nothing when it would be refused: then
    /// the refusal is what matters.
    fn cautions(
        &self,
        state: &FleetState,
        draft: &Draft,
        may_see: &dyn Fn(&Host) -> bool,
    ) -> Vec<String> {
        preview::carried_out(state, &draft.commands, draft.new_identities)
            .map(|after| planner::cautions(state, &after, may_see))
            .unwrap_or_default()
    }
    /// What every plan says of the hosts that may be seen, also of those that nothing changes on.
    fn flags(&self, state: &FleetState, may_see: &dyn Fn(&Host) -> bool) -> Vec<String> {
        preview::flags(state, may_see)
    }
    /// What a host would be given now, with the bodies that its files need.
    ///
    /// # Errors
    /// When the state does not allow a plan for it.
    fn config(&self, state: &FleetState, host: &HostId) -> Result<planner::Planned, Rejection> {
        planner::plan(state, host).map_err(|error| Rejection {
            code: RejectionCode::WrongState,
            field: "host".to_owned(),
            value: host.to_string(),
            accepted: error.to_string(),
        })
    }
    /// DNS records that an identity needs.
    fn records(&self, state: &FleetState, identity: &Identity) -> Vec<DomainRecord> {
        let tenant = state.tenants.get(&identity.spec.tenant);
        let host = state.hosts.get(&identity.spec.host);
        tenant
            .map(|tenant| wanted_records(identity, tenant, host))
            .unwrap_or_default()
    }
    /// Seals a secret with the key of this cluster, for the log.
    fn seal(&self, secret: &SecretBytes) -> SealedAtRest;
    /// What changes zones, where there is something that opens their keys.
    fn zone_writer(&self) -> Option<Writer> {
        None
    }
    /// Makes sure that so many prepared DKIM keys are there.
    fn ensure_stock(&self, needed: usize) -> BoxFuture<'_, Result<(), StockError>>;
}

/// What a document comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// For people.
    pub changes: Vec<Change>,
    /// Warnings that stop nothing.
    pub warnings: Vec<String>,
    /// For the log.
    pub commands: Vec<Command>,
    /// Identities that are new, each of which takes a prepared key.
    pub new_identities: usize,
}

impl From<DocumentPlan> for Draft {
    fn from(plan: DocumentPlan) -> Self {
        Self {
            changes: plan.changes,
            warnings: plan.warnings,
            commands: plan.commands,
            new_identities: plan.new_identities,
        }
    }
}

/// A backup on its way out.
pub struct Backup {
    /// Its bytes, in order.
    pub chunks: BoxStream<'static, std::io::Result<Bytes>>,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backup")
    }
}

/// Why no backup is made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One at a time on each node.
    #[error("another backup is under way on this node; ask again when it is done")]
    UnderWay,
    /// The newest state could not be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This node has nothing to back up.
    #[error("this node does not hold the cluster's state yet")]
    NotReady,
    /// It cannot be written, or the store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the members did not change.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The node is not in a state for it.
    #[error("{reason}")]
    Refused {
        /// What is wrong and what would be accepted.
        reason: String,
    },
    /// No majority took it in time; it may still take effect.
    #[error("no quorum: {reason}")]
    NoQuorum {
        /// What was seen last.
        reason: String,
    },
    /// The fleet state refused it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be proposed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Why no DKIM keys could be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// They could not be proposed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// Anything else.
    #[error("no DKIM keys could be prepared: {reason}")]
    Other {
        /// What stood in the way.
        reason: String,
    },
}
