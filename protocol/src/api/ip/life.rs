//! The life of a sending identity: what is seen of it before it sends, and what became of it when.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{IpSpec, IpStatus, Phase};
use crate::id::{HostId, PoolName, VmtaName};
use crate::time::Timestamp;

/// What must be seen of an identity before it sends. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Its name leads to its address.
    A,
    /// Its address leads to its name, and that back.
    Ptr,
    /// Its domain says that it may send.
    Spf,
    /// Its key is published.
    Dkim,
    /// Its domain says what receivers shall do.
    Dmarc,
    /// Its host has its address.
    Address,
    /// No list has it.
    Listing,
    /// The key that a rotation is about to sign with is published on every authoritative server. Part of
    /// no preflight: it is stated of one rotation.
    #[serde(rename = "next_dkim")]
    NextDkim,
}

impl Check {
    /// All that preflight asks.
    pub const ALL: [Self; 7] = [
        Self::A,
        Self::Ptr,
        Self::Spf,
        Self::Dkim,
        Self::Dmarc,
        Self::Address,
        Self::Listing,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::Ptr => "ptr",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Address => "address",
            Self::Listing => "listing",
            Self::NextDkim => "next_dkim",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What somebody saw. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Valid,
    /// Otherwise.
    Invalid {
        /// What is wrong.
        what: String,
    },
    /// It could not be seen.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// A verdict, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What was seen.
    pub verdict: Verdict,
    /// Who says so: `key NAME`, `node N`, `host NAME`.
    pub by: String,
    /// When it was said.
    pub at: Timestamp,
}

/// Body of `POST /ips/{address}/checks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChecksRequest {
    /// What was seen.
    pub checks: BTreeMap<Check, Verdict>,
    /// The selector whose record `next_dkim` is about; that of the present rotation when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// Body of `POST /ips/{address}/quarantine`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRequest {
    /// Lists that have it; none when an operator takes it out for another reason.
    #[serde(default)]
    pub lists: BTreeSet<String>,
}

/// Body of `POST /ips/{address}/move`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    /// The PowerMTA host that it goes to.
    #[serde(default)]
    pub host: Option<HostId>,
    /// The pool that it goes to.
    #[serde(default)]
    pub pool: Option<PoolName>,
    /// Its virtual MTA there.
    #[serde(default)]
    pub vmta: Option<VmtaName>,
}

/// Why an identity's life took a turn. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was taken up into production or warm-up.
    Activated,
    /// It was added.
    Added,
    /// A file or a request said that it is so.
    Declared,
    /// It passed week 6.
    Graduated,
    /// No mail for 30 days.
    Idle,
    /// It was taken out: a list has it, or an operator's word.
    Quarantined,
    /// It was let go a step towards service.
    Released,
    /// It is kept warm, or not any more.
    Reserved,
    /// It was laid to rest.
    Rested,
    /// It was removed, and came back before its queue was empty.
    Returned,
    /// It took the place of one that lists have.
    Promoted,
    /// It stays where it is; mail that waited for it was deleted.
    Expired,
}

/// One turn of an identity's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// Fleet revision after it.
    pub revision: u64,
    /// Status before; none when it was added.
    pub from: Option<IpStatus>,
    /// Status after.
    pub to: IpStatus,
    /// Phase after.
    pub phase: Phase,
    /// Whether it is kept in reserve after it.
    pub reserve: bool,
    /// Why.
    pub cause: Cause,
    /// What preflight missed and an admin overruled.
    pub forced: BTreeSet<Check>,
    /// Who.
    pub actor: String,
    /// Why, in the actor's words.
    pub reason: String,
}

/// Why an identity is out, and until when at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineView {
    /// Lists that have or had it.
    pub lists: BTreeSet<String>,
    /// When it was seen on one last, or taken out.
    pub last_sighting: Timestamp,
    /// Before this it is not let go.
    pub until: Timestamp,
    /// Healthy sweeps since then that found it on no list, one after the other.
    pub clean_sweeps: u8,
    /// When mail that waits in its queue is given up, or was.
    pub mail_expires_at: Timestamp,
    /// What was deleted then; nothing where nothing waited, or the host has not said so yet.
    pub expired_mail: Option<ExpiredMailView>,
}

/// Mail that waited too long at an identity in quarantine and was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiredMailView {
    /// How many recipients it was for.
    pub recipients: u64,
    /// The host on which they are listed, for a re-send.
    pub host: HostId,
    /// The file there: one recipient a line, in JSON.
    pub file: String,
}

/// A sending identity as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpView {
    /// Its declaration.
    #[serde(flatten)]
    pub spec: IpSpec,
    /// Share of new mail, 0 to 100.
    pub weight: u8,
    /// Mails a day that it may send now.
    pub daily_quota: u32,
    /// Since when it has its status.
    pub since: Timestamp,
    /// When mail left it last, as far as that is known.
    pub last_sent: Option<Timestamp>,
    /// The phase at which it would be taken up again now: what it reached decays with rest.
    pub resumes_at: Phase,
    /// Why it is out.
    pub quarantine: Option<QuarantineView>,
    /// What was seen of it.
    pub checks: BTreeMap<Check, Statement>,
}

/// Answer to a turn of an identity's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// As it stands now.
    #[serde(flatten)]
    pub ip: IpView,
    /// What stops nothing and should be known.
    pub warnings: Vec<String>,
}

/// One link of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedFact {
    /// When.
    pub at: Timestamp,
    /// Fleet revision, of what changed the fleet.
    pub revision: Option<u64>,
    /// Who.
    pub actor: String,
    /// `fact`, `decision` or `change`.
    pub kind: String,
    /// What, for people.
    pub what: String,
    /// Why, in the actor's words.
    pub reason: String,
}

/// Answer of `GET /ips/{address}/explain`: how an identity came to stand where it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// As it stands.
    pub ip: IpView,
    /// Fleet revision that this is of.
    pub revision: u64,
    /// What happened and what was seen, oldest first.
    pub chain: Vec<ExplainedFact>,
    /// What holds now: weight, quota, what preflight misses, when it may be let go.
    pub rules: Vec<String>,
    /// What may become of it from here.
    pub allowed: Vec<String>,
    /// Whether older turns of its life are not kept any more.
    pub shortened: bool,
}
