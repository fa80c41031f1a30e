//! What the two halves of the agent say to each other.
//!
//! The executor believes nothing that the network half says: grants, targets and secrets are signed
//! or sealed by others, bodies are checked by hash. The network half cannot read a secret, make a
//! state accepted, or write a report. Within one process a channel carries these messages, between
//! two [`crate::socket`].

use std::net::SocketAddr;

use email_engine_protocol::bytes::{ContentHash, Nonce, SealingPublicKey, VerifyingKey};
use email_engine_protocol::crypto::{RecoveryPublic, SealedSecret, Signed};
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::observed::{
    AccountingCursors, FileCursor, GenerationStates, HostReport, StatisticsBatch,
};
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::wire::Floor;
use serde::{Deserialize, Serialize};

/// A question to an ACME server, whose words are the executor's: signed, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// How.
    pub method: FetchMethod,
    /// What: an address with https.
    pub url: String,
    /// Host of the directory that the signed state names, with its port when it has one. Nobody else is
    /// asked.
    pub host: String,
    /// The signed words; empty but for a POST.
    pub body: Vec<u8>,
}

/// How an ACME server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST of `application/jose+json`.
    Post,
}

/// What an ACME server said. Its certificate was checked; its words are the executor's to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Status code.
    pub status: u16,
    /// `Replay-Nonce`.
    pub nonce: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Largest body of a question.
pub const FETCH_BYTES: usize = 64 * 1024;
/// Largest body of an answer.
pub const FETCHED_BYTES: usize = 256 * 1024;
/// Longest header that is handed on, and longest address.
pub const FETCHED_HEADER: usize = 2048;
/// Questions that may be under way.
pub const FETCHES: usize = 4;

/// Records for a tenant's application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Where: as the signed state has it.
    pub url: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// Largest body of a post.
pub const POST_BYTES: usize = 64 * 1024;

/// From the network half to the executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToExecutor {
    /// The host was let into a cluster. Believed when it is the one that the executor was told to expect, and
    /// pinned for ever: a second, different one is refused.
    Admitted(Box<Trust>),
    /// A session began: reports carry this nonce from now on, and one is due at once.
    Session {
        /// The coordinator's nonce.
        nonce: Nonce,
    },
    /// Grants that came with the session.
    Grants {
        /// The current plan key.
        plan_key: Signed<PlanKeyGrant>,
        /// The epoch, when the cluster was restored or recovered.
        epoch: Option<Signed<EpochGrant>>,
    },
    /// The host's current target.
    Offer(Signed<Target>),
    /// A whole body that was wanted.
    Body {
        /// Its claimed hash.
        hash: ContentHash,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A wanted body could not be had.
    BodyMissing {
        /// Which one.
        hash: ContentHash,
        /// Why.
        reason: String,
    },
    /// Secrets that were wanted.
    Secrets(Vec<SealedSecret>),
    /// The session ended: stop asking for bodies and secrets until the next one.
    Disconnected,
    /// The cluster does not know this host any more. One that it had retired, and that is wiped,
    /// forgets its keys: nobody will hear it confirm that.
    CutOff,
    /// The last batch of statistics is counted.
    StatisticsStored {
        /// Up to where its file is counted.
        cursor: Option<FileCursor>,
    },
    /// What became of a new connection that was wanted.
    Reconnected {
        /// Which wish this answers.
        number: u64,
        /// Who answered, or why nobody did.
        reached: Result<SocketAddr, String>,
    },
    /// What became of a question to an ACME server.
    Fetched {
        /// Which question this answers.
        number: u64,
        /// The answer, or why there is none.
        answer: Result<Box<Fetched>, String>,
    },
    /// Up to where the cluster counted the host's accounting files.
    StatisticsCursors(AccountingCursors),
    /// The last batch of statistics changed nothing.
    StatisticsRefused {
        /// Up to where its file is counted.
        cursor: Option<FileCursor>,
    },
    /// What became of a post.
    Posted {
        /// Which one.
        number: u64,
        /// Status of the answer, or why there is none.
        answer: Result<u16, String>,
    },
}

/// From the executor to the network half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromExecutor {
    /// Where the executor stands: for the next Hello. Sent at start and after every change.
    Standing(Standing),
    /// A signed report for the current session.
    Report(Signed<HostReport>),
    /// Bodies that the offered state needs and the ledger lacks.
    BodiesWanted(Vec<ContentHash>),
    /// Secrets that the offered state needs and the ledger lacks.
    SecretsWanted {
        /// For which state.
        generation: Generation,
        /// Which ones; split into messages by whoever sends them.
        secrets: Vec<SecretRef>,
    },
    /// The host was retired: secrets are gone, the confirming report was sent before this.
    Retired,
    /// Signed statistics for the current session; the next ones come when these were answered.
    Statistics(Signed<StatisticsBatch>),
    /// A connection to whichever coordinator answers is wanted, from its first packet on: asked before
    /// and after the firewall's rules change.
    ReconnectWanted {
        /// Names the wish in its answer.
        number: u64,
    },
    /// An ACME server shall be asked.
    FetchWanted {
        /// Names the question in its answer.
        number: u64,
        /// What.
        fetch: Box<Fetch>,
    },
    /// Records shall be posted.
    PostWanted {
        /// Names the post in its answer.
        number: u64,
        /// What.
        post: Box<Post>,
    },
}

/// Where the executor stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Known generations.
    pub generations: GenerationStates,
    /// What it will not go below.
    pub floor: Option<Floor>,
    /// The plan key that it trusts; 0 before enrolment.
    pub plan_key_version: u32,
    /// Whether the host is being retired: what is enforced is a state without anything.
    pub is_retiring: bool,
}

/// What the executor is told once, when the host is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The cluster.
    pub cluster: ClusterId,
    /// The host's name.
    pub host: HostId,
    /// Its role.
    pub role: Role,
    /// Verifies every grant.
    pub recovery: RecoveryPublic,
    /// The plan key in force.
    pub plan_key: Signed<PlanKeyGrant>,
    /// The epoch in force.
    pub epoch: u64,
}

/// The executor's public keys, for enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorKeys {
    /// Verifies its reports.
    pub report_key: VerifyingKey,
    /// Secrets are sealed to it.
    pub sealing_key: SealingPublicKey,
}
