//! What lists of bad senders say, and what of it an operator is told.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::{ListId, NodeId};
use crate::time::Timestamp;

/// What a listing means for whom it names. Ordered: the strongest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListingClass {
    /// Confirmed, it takes an identity out of service.
    A,
    /// It slows an identity; a second piece of evidence takes it out of service.
    B,
    /// It is told, and nothing else.
    C,
    /// It says what an address is for, not what it did: it keeps it from entering service.
    Policy,
}

impl ListingClass {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::Policy => "policy",
        }
    }
}

/// A list that the fleet can be looked up on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListView {
    /// What it goes by here.
    pub id: ListId,
    /// What it calls itself.
    pub name: String,
    /// What it is asked with: `ip`, `host` or `domain`.
    pub kind: String,
    /// What opens it: `public`, `keyed` or `registered`.
    pub access: String,
    /// Whether the node that answers can ask it.
    pub configured: bool,
    /// What is missing when it cannot.
    pub missing: Option<String>,
    /// Whether it has a key.
    pub has_key: bool,
    /// When it last answered as it must.
    pub healthy_at: Option<Timestamp>,
    /// Since when it does not.
    pub unhealthy_since: Option<Timestamp>,
    /// Why not.
    pub trouble: Option<String>,
    /// Whether nothing is known of it for longer than a day.
    pub unheard: bool,
    /// What its answers mean.
    pub codes: Vec<ListCode>,
    /// When a listing ends.
    pub expiry: String,
    /// Where a person asks for the end of one.
    pub delist: String,
    /// Who may ask it.
    pub terms: String,
    /// Day on which this was last compared with what its operators say.
    pub as_of: String,
}

/// One line of a list's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCode {
    /// Which answers.
    pub answers: String,
    /// Their class, or `praise`.
    pub class: String,
    /// What they mean.
    pub meaning: String,
}

/// Somebody on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingView {
    /// An address, or a name.
    pub subject: String,
    /// On which list.
    pub list: ListId,
    /// What that means.
    pub class: ListingClass,
    /// What the list answered.
    pub codes: Vec<String>,
    /// What the codes mean.
    pub meaning: String,
    /// The list's own words.
    pub reason: Option<String>,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// Who saw it: nodes, and the resolvers that they asked.
    pub observers: Vec<String>,
    /// Since when it is confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// Since when it is over.
    pub cleared_at: Option<Timestamp>,
    /// Where a person asks for its end.
    pub delist: Option<String>,
}

/// Receivers' replies to mail of one identity that name one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReplyView {
    /// Whose mail it was.
    pub subject: String,
    /// Which list.
    pub list: ListId,
    /// How many, since the first.
    pub count: u64,
    /// When the first was written.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// What one of the latest says.
    pub sample: String,
    /// Whether they are evidence still: the last is of the last 24 hours.
    pub current: bool,
    /// Since when the list is to be asked because of them; absent once it was.
    pub wanted_since: Option<Timestamp>,
    /// When it was asked last since they began.
    pub checked_at: Option<Timestamp>,
}

/// A sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepView {
    /// Counts up.
    pub number: u64,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended; absent while it goes on.
    pub closed_at: Option<Timestamp>,
    /// Its lists.
    pub lists: Vec<SweptView>,
}

/// One list of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptView {
    /// Which.
    pub list: ListId,
    /// Who asked it; absent until somebody has.
    pub node: Option<NodeId>,
    /// When that was known.
    pub at: Option<Timestamp>,
    /// Why nothing that it said is believed.
    pub trouble: Option<String>,
    /// Whom it was asked about.
    pub subjects: u32,
    /// How many of them it has something against.
    pub listed: u32,
    /// Of how many nothing is known.
    pub unknown: u32,
}

/// Asks all lists about somebody now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListTestRequest {
    /// An address, or a name.
    pub subject: String,
}

/// What a list says of somebody now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTestView {
    /// Which list.
    pub list: ListId,
    /// `clean`, `listed`, `unknown` or `not configured`.
    pub verdict: String,
    /// Of what class, when listed.
    pub class: Option<ListingClass>,
    /// What the codes mean, or why nothing is known.
    pub detail: String,
    /// The list's own words.
    pub reason: Option<String>,
}

/// Gives the cluster the key of a list, in the place of the one that it has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct ListKeyRequest {
    /// The key itself.
    pub value: String,
}

impl fmt::Debug for ListKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListKeyRequest(redacted)")
    }
}
