//! What an answer of a list comes to: listed, clean, or not known. A pure function, and a strict one.
//!
//! | answer | verdict |
//! | --- | --- |
//! | no such name | clean |
//! | only praise | clean |
//! | codes of the list's table | listed, by the strongest class among them |
//! | anything outside 127/8, 127.255.255.0/24, 127.0.0.1, an error of the list's own | unknown, whatever stands beside it |
//! | codes that no table has, and no other | unknown |
//! | no data, refused, server failure, silence, not understood | unknown |

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::ListingClass;

use super::registry::{Class, Registry, Scheme, Span, Zone, is_error};

/// What a resolver said of one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Answer {
    /// Addresses.
    Addresses(BTreeSet<Ipv4Addr>),
    /// The name is there, and has no address.
    NoData,
    /// There is no such name.
    NoName,
    /// It will not say.
    Refused,
    /// It could not find out.
    ServerFailure,
    /// Another response code.
    Code(u16),
    /// Nothing, however often it was asked.
    Silence,
    /// Something that is no answer to the question.
    Garbled,
}

/// What is known of a subject on one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The list has nothing against it.
    Clean,
    /// The list has.
    Listed(Listed),
    /// Neither is known.
    Unknown(Why),
}

/// What a list has against somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Answers that are in its table.
    pub codes: BTreeSet<Ipv4Addr>,
    /// The strongest class among them.
    pub class: ListingClass,
    /// What they mean.
    pub meaning: String,
    /// Answers beside them that no table has.
    pub strange: BTreeSet<Ipv4Addr>,
}

/// Why neither is known.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
pub enum Why {
    /// The list says that something is wrong with the question or who asks it.
    #[error("the list refuses: {answer} ({meaning})")]
    Error {
        /// What it answered.
        answer: Ipv4Addr,
        /// What that means.
        meaning: String,
    },
    /// An address that no list gives: a parked domain, a search page, a wildcard.
    #[error("{0} is no answer of a list: the zone is parked, or a resolver rewrites answers")]
    Foreign(Ipv4Addr),
    /// Codes that no table has.
    #[error("the list answers with a code that is not known: {0}")]
    NewCode(Ipv4Addr),
    /// The name is there and has no address.
    #[error("an answer without data")]
    NoData,
    /// The resolver or the list will not say.
    #[error("refused")]
    Refused,
    /// The resolver could not find out.
    #[error("the resolver failed")]
    ServerFailure,
    /// Another response code.
    #[error("response code {0}")]
    Code(u16),
    /// Nothing came.
    #[error("no answer")]
    Silence,
    /// What came answers no question of ours.
    #[error("what was answered is not understood")]
    Garbled,
    /// Test points were answered wrongly before or after.
    #[error("the list does not answer its own test points as it must: {0}")]
    Unhealthy(String),
    /// It was not asked, because the list had stopped answering.
    #[error("not asked: the list stopped answering")]
    GivenUp,
}

/// What 127.0.0.1 says, on lists that say it.
const REFUSAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Longest that the meanings of a listing are told, in characters.
const MEANING_CHARS: usize = 400;

/// Judges an answer of a list.
#[must_use]
pub fn judge(registry: &Registry, zone: &Zone, answer: &Answer) -> Verdict {
    match answer {
        Answer::Addresses(addresses) if addresses.is_empty() => Verdict::Unknown(Why::NoData),
        Answer::Addresses(addresses) => match fault(registry, zone, addresses) {
            Some(why) => Verdict::Unknown(why),
            None => read(zone, addresses),
        },
        Answer::NoName => Verdict::Clean,
        Answer::NoData => Verdict::Unknown(Why::NoData),
        Answer::Refused => Verdict::Unknown(Why::Refused),
        Answer::ServerFailure => Verdict::Unknown(Why::ServerFailure),
        Answer::Code(code) => Verdict::Unknown(Why::Code(*code)),
        Answer::Silence => Verdict::Unknown(Why::Silence),
        Answer::Garbled => Verdict::Unknown(Why::Garbled),
    }
}

/// What makes an answer worthless, whatever else is in it.
fn fault(registry: &Registry, zone: &Zone, addresses: &BTreeSet<Ipv4Addr>) -> Option<Why> {
    let foreign = addresses.iter().find(|one| one.octets()[0] != 127);
    if let Some(foreign) = foreign {
        return Some(Why::Foreign(*foreign));
    }
    addresses.iter().find_map(|one| {
        let own = zone.errors.iter().find(|(answer, _)| answer == one);
        let meaning = match own {
            Some((_, meaning)) => meaning.clone(),
            None if is_error(*one) => {
                let known = registry.error(*one);
                known.unwrap_or("an error that is not known").to_owned()
            }
            None if *one == REFUSAL => "whoever asks is refused".to_owned(),
            None => return None,
        };
        let answer = *one;
        Some(Why::Error { answer, meaning })
    })
}

fn read(zone: &Zone, addresses: &BTreeSet<Ipv4Addr>) -> Verdict {
    let mut listed = Listed {
        codes: BTreeSet::new(),
        class: ListingClass::Policy,
        meaning: String::new(),
        strange: BTreeSet::new(),
    };
    let mut class = None;
    for one in addresses {
        let lines = zone.codes.iter().filter(|code| code.span.has(*one));
        let mut known = false;
        for code in lines {
            known = true;
            if let Class::Listed(of) = code.class {
                class = Some(class.map_or(of, |strongest: ListingClass| strongest.min(of)));
                listed.codes.insert(*one);
                if !listed.meaning.contains(&code.meaning) {
                    let separator = if listed.meaning.is_empty() { "" } else { "; " };
                    listed.meaning.push_str(separator);
                    listed.meaning.push_str(&code.meaning);
                }
            }
        }
        if !known || (zone.scheme == Scheme::Bits && has_strange_bits(zone, *one)) {
            listed.strange.insert(*one);
        }
    }
    match (class, listed.strange.first()) {
        (Some(class), _) => {
            listed.class = class;
            listed.meaning = listed.meaning.chars().take(MEANING_CHARS).collect();
            Verdict::Listed(listed)
        }
        (None, Some(strange)) => Verdict::Unknown(Why::NewCode(*strange)),
        (None, None) => Verdict::Clean,
    }
}

/// Whether an answer has bits that mean nothing yet.
fn has_strange_bits(zone: &Zone, answer: Ipv4Addr) -> bool {
    let known = zone.codes.iter().fold(0, |known, code| match code.span {
        Span::Bit(bit) => known | bit,
        Span::Addresses(..) => known,
    });
    answer.octets()[3] & !known != 0
}

#[cfg(test)]
mod tests;
