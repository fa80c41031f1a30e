//! One list: what it is asked, what its answers mean.

use std::net::Ipv4Addr;

use serde::Deserialize;

use email_engine_protocol::api::ListingClass;
use email_engine_protocol::id::ListId;

use crate::dnsbl::query::Subject;

/// A list that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// What it goes by here.
    pub id: ListId,
    /// What it calls itself.
    pub name: String,
    /// What it is asked with.
    pub kind: Kind,
    /// Whom it answers.
    pub access: Access,
    /// Zone that is open.
    pub origin: Option<String>,
    /// Zone that a key opens, `{key}` standing for it as one label at the front.
    pub keyed_origin: Option<String>,
    /// Whether it knows IPv6 addresses.
    pub ipv6: bool,
    /// How an answer is read.
    pub scheme: Scheme,
    /// What answers mean.
    pub codes: Vec<Code>,
    /// Answers of its own that are errors.
    pub errors: Vec<(Ipv4Addr, String)>,
    /// What is always listed.
    pub listed: Vec<TestPoint>,
    /// What never is.
    pub unlisted: Vec<Subject>,
    /// What receivers' replies call it beside the names of its zones: addresses of its pages.
    pub replies: Vec<String>,
    /// Most questions a second by one node; none is no limit.
    pub per_second: Option<u32>,
    /// Most questions at the same time by one node.
    pub in_flight: u32,
    /// When a listing ends, in words.
    pub expiry: String,
    /// Where a person asks for the end of one.
    pub delist: String,
    /// Who may ask it, in words.
    pub terms: String,
}

/// What a list is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sending address.
    Ip,
    /// The name of a sending or linked host.
    Host,
    /// The registered domain of it.
    Domain,
}

/// Whom a list answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody; some are told to come with a key.
    Public,
    /// Nobody without a key.
    Keyed,
    /// Resolvers that were made known to it.
    Registered,
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Each address is one word of a table.
    #[default]
    Codes,
    /// The last octet of 127.0.0.0/24 is a set of bits.
    Bits,
}

/// One line of a list's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Which answers it is about.
    pub span: Span,
    /// What they come to.
    pub class: Class,
    /// What the list says by them.
    pub meaning: String,
}

/// Which answers a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// From one address to another, both included.
    Addresses(Ipv4Addr, Ipv4Addr),
    /// Those with this bit in their last octet.
    Bit(u8),
}

impl Span {
    /// Whether an answer is one of these.
    #[must_use]
    pub fn has(&self, answer: Ipv4Addr) -> bool {
        match self {
            Self::Addresses(first, last) => (*first..=*last).contains(&answer),
            Self::Bit(bit) => answer.octets()[..3] == [127, 0, 0] && answer.octets()[3] & bit != 0,
        }
    }
}

/// What an answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A listing.
    Listed(ListingClass),
    /// A good word.
    Praise,
}

/// Something that is always listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestPoint {
    /// What.
    pub subject: Subject,
    /// Answers that it may have; one of them must be there.
    pub answers: Vec<Ipv4Addr>,
}

impl Zone {
    /// Everything by which a receiver's reply may speak of it, in lower case.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let zones = [self.origin.as_deref(), self.keyed_suffix()];
        let zones = zones.into_iter().flatten();
        let all = zones.chain(self.replies.iter().map(String::as_str));
        all.map(str::to_ascii_lowercase).collect()
    }

    /// The zone behind the key's label.
    #[must_use]
    pub fn keyed_suffix(&self) -> Option<&str> {
        self.keyed_origin.as_deref()?.strip_prefix("{key}.")
    }
}
