//! Messages of DNS, and what they say in words of [`verdict`](crate::dns::verdict).

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::dns::verdict::{Datum, Kind, Question, Reply};

/// Largest answer over UDP that is asked for: what passes everywhere in one piece.
const PAYLOAD: u16 = 1232;
/// Aliases that are followed inside of one answer.
const ALIASES: usize = 8;

/// A question for a server: a resolver is asked to find the answer, an authoritative server for what it has.
#[must_use]
pub fn query(name: Name, kind: RecordType, recursive: bool) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = recursive;
    message.add_query(Query::query(name, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    message.set_edns(edns);
    message
}

pub(super) const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Mx => RecordType::MX,
        Kind::Ptr => RecordType::PTR,
        Kind::Txt => RecordType::TXT,
    }
}

/// A name as DNS has it; none when it cannot be one.
pub(super) fn name(text: &str) -> Option<Name> {
    Name::from_ascii(format!("{text}.")).ok()
}

/// A name as we write it: lower case, without the final dot.
pub(super) fn written(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.trim_end_matches('.').to_owned()
}

/// What an answer says.
#[derive(Debug)]
pub(super) enum Said {
    /// It is an answer.
    Reply(Reply),
    /// The name is another one's name, whose records the server does not have.
    Alias(String),
}

/// Reads an answer. `authority` says that only an authoritative server's own word counts: others would hand
/// on what they remember.
pub(super) fn read(message: &Message, question: &Question, authority: bool) -> Said {
    let unreadable = |why: String| Said::Reply(Reply::Unreadable { why });
    let code = message.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return unreadable(format!("answers {code}"));
    }
    if authority && !message.metadata.authoritative {
        return unreadable("is not authoritative for it".to_owned());
    }
    let mut owner = question.name.clone();
    for _ in 0..ALIASES {
        let records: Vec<Datum> = message
            .answers
            .iter()
            .filter(|record| written(&record.name) == owner)
            .filter_map(|record| datum(&record.data, question.kind))
            .collect();
        if !records.is_empty() {
            let exists = true;
            return Said::Reply(Reply::Known { records, exists });
        }
        let alias = message
            .answers
            .iter()
            .find_map(|record| match &record.data {
                RData::CNAME(target) if written(&record.name) == owner => Some(written(target)),
                _ => None,
            });
        match alias {
            Some(target) => owner = target,
            None if owner != question.name && authority && code == ResponseCode::NoError => {
                return Said::Alias(owner);
            }
            None => {
                let exists = code == ResponseCode::NoError;
                let records = Vec::new();
                return Said::Reply(Reply::Known { records, exists });
            }
        }
    }
    unreadable(format!("answers with more than {ALIASES} aliases"))
}

fn datum(data: &RData, kind: Kind) -> Option<Datum> {
    match (data, kind) {
        (RData::A(address), Kind::A) => Some(Datum::A(address.0)),
        (RData::AAAA(address), Kind::Aaaa) => Some(Datum::Aaaa(address.0)),
        (RData::MX(mx), Kind::Mx) => Some(Datum::Mx(mx.preference, written(&mx.exchange))),
        (RData::PTR(name), Kind::Ptr) => Some(Datum::Ptr(written(name))),
        (RData::TXT(text), Kind::Txt) => Some(Datum::Txt(text.txt_data.concat())),
        _ => None,
    }
}
