//! Messages of version 1. Append-only: new variants at the end, no change of what is there.

use serde::{Deserialize, Serialize};

use super::{Hello, Refusal, Welcome};
use crate::bytes::ContentHash;
use crate::crypto::{SealedSecret, Signed};
use crate::desired::Target;
use crate::enroll::RenewedCertificate;
use crate::generation::Generation;
use crate::join::Endpoint;
use crate::observed::{AccountingCursors, FileCursor, HostReport, StatisticsBatch};
use crate::secret::SecretRef;

/// From the agent, on the control stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentMessage {
    /// First message of a session.
    Hello(Box<Hello>),
    /// What the executor says about its host.
    Report(Signed<HostReport>),
    /// The executor lacks these secrets of the offered state.
    SecretsWanted {
        /// For which state.
        generation: Generation,
        /// At most [`SECRETS_PER_MESSAGE`](crate::limits::SECRETS_PER_MESSAGE) of them.
        secrets: Vec<SecretRef>,
    },
    /// Asks for a new certificate for a new key, on a session whose certificate is still good.
    Renew {
        /// PKCS#10 request (DER).
        request: Vec<u8>,
    },
    /// What accounting files say. The next one comes when this one was answered.
    Statistics(Signed<StatisticsBatch>),
    /// Answer to `Ping`.
    Pong {
        /// As in the ping.
        number: u64,
    },
    /// First and only message, in place of `Hello`, of an agent that can have no session: it holds,
    /// which is to say that it runs and changes nothing. The answer is a refusal.
    Holding {
        /// Why, for a person.
        reason: String,
    },
}

/// From the coordinator, on the control stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoordinatorMessage {
    /// The session is good.
    Welcome(Box<Welcome>),
    /// It is not, or no longer: the connection closes after this.
    Refused(Refusal),
    /// The host's current target. Repeated after every reconnect; the newest counts.
    Offer(Signed<Target>),
    /// Secrets that were wanted, or changed.
    Secrets(Vec<SealedSecret>),
    /// The list of coordinators changed.
    Coordinators(Vec<Endpoint>),
    /// A new certificate.
    Renewed(RenewedCertificate),
    /// The last batch of statistics is counted, and that is committed. Agents look at the cursor all the
    /// same.
    StatisticsStored {
        /// Up to where its file is counted; none when nothing of it is, or the batch was of no file.
        cursor: Option<FileCursor>,
    },
    /// Are you there? Answered by `Pong`.
    Ping {
        /// To be given back.
        number: u64,
    },
    /// The certificate request was refused.
    RenewRefused {
        /// For a person.
        reason: String,
    },
    /// Up to where the host's accounting files are counted. Said at the beginning of a session: before it
    /// no statistics are told. And said again in place of the answer to a batch that began elsewhere.
    StatisticsCursors(AccountingCursors),
    /// The last batch of statistics could not be committed: it is told again, unless its file is counted
    /// elsewhere by then.
    StatisticsRefused {
        /// Up to where its file is counted; none when nothing of it is, or the batch was of no file.
        cursor: Option<FileCursor>,
    },
}

/// First message of a body stream, from the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRequest {
    /// Which body.
    pub hash: ContentHash,
    /// Where to go on.
    pub offset: u64,
}

/// First message back; after `Found` come the raw bytes from `offset` to the end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyReply {
    /// Here it is.
    Found {
        /// Whole size of the body in bytes.
        length: u64,
    },
    /// This node does not have it, or the host has no business with it.
    Missing,
}
