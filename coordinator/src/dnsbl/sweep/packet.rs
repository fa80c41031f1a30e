//! Questions and answers as packets. An answer is one only when everything that an answer repeats of its
//! question is as it was asked, down to the case of each letter.

use std::collections::BTreeSet;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use crate::dnsbl::query::QueryName;
use crate::dnsbl::verdict::Answer;

/// Largest answer over UDP that is asked for: what passes everywhere without fragments.
const PAYLOAD: u16 = 1_232;
/// Most steps from the name that was asked for to one that has addresses.
const ALIASES: usize = 8;
/// Most addresses that are read of an answer; a list has a few.
const ADDRESSES: usize = 64;
/// Longest of the list's own words that is kept, in characters.
const WORDS: usize = 300;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Whether it is listed.
    Address,
    /// Why.
    Text,
}

/// A question as it went out. Never printed: a key may be in its name.
pub(super) struct Asked {
    name: Name,
    record: Record,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The answer to a question for addresses.
    Answer(Answer),
    /// The answer to a question for words.
    Words(Option<String>),
    /// It did not fit.
    Truncated,
    /// It is no answer to this question: somebody else's, or of somebody who guesses.
    Foreign,
}

/// A question with the case of its letters as `bits` say; `None` when it is no name.
pub(super) fn ask(
    name: &QueryName,
    record: Record,
    id: u16,
    bits: &mut dyn FnMut() -> u8,
) -> Option<(Asked, Vec<u8>)> {
    let mut wire = Name::root();
    for label in name.labels() {
        let mut label = label.as_bytes().to_vec();
        let letters = label.iter_mut().filter(|byte| byte.is_ascii_alphabetic());
        let (mut drawn, mut left) = (0, 0);
        for letter in letters {
            if left == 0 {
                (drawn, left) = (bits(), 8);
            }
            *letter ^= (drawn & 1) << 5;
            drawn >>= 1;
            left -= 1;
        }
        wire = wire.append_label(&label[..]).ok()?;
    }
    let asked = Asked { name: wire, record };
    let bytes = asked.bytes(id)?;
    Some((asked, bytes))
}

/// The id of a packet, if it is long enough to have one.
pub(super) fn id_of(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.first()?, *packet.get(1)?]))
}

impl Asked {
    /// The packet, with every letter as it was drawn.
    pub(super) fn bytes(&self, id: u16) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.record_type()));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        message.to_vec().ok()
    }

    const fn record_type(&self) -> RecordType {
        match self.record {
            Record::Address => RecordType::A,
            Record::Text => RecordType::TXT,
        }
    }

    /// Reads an answer whose id is that of this question.
    pub(super) fn read(&self, packet: &[u8]) -> Reply {
        let Ok(message) = Message::from_vec(packet) else {
            return Reply::Foreign;
        };
        let head = &message.metadata;
        if head.message_type != MessageType::Response || head.op_code != OpCode::Query {
            return Reply::Foreign;
        }
        let code = head.response_code;
        if !self.is_repeated(&message) {
            return Reply::Foreign;
        }
        if head.truncation {
            return Reply::Truncated;
        }
        match self.record {
            Record::Address => Reply::Answer(self.answer(code, &message)),
            Record::Text => Reply::Words(self.words(code, &message)),
        }
    }

    /// The question as it was asked. Servers that refuse may leave it out; nothing is believed of those.
    fn is_repeated(&self, message: &Message) -> bool {
        let [question] = &message.queries[..] else {
            let refuses = !matches!(
                message.metadata.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            );
            return message.queries.is_empty() && refuses;
        };
        question.query_class == DNSClass::IN
            && question.query_type == self.record_type()
            && question.name.eq_case(&self.name)
    }

    fn answer(&self, code: ResponseCode, message: &Message) -> Answer {
        match code {
            ResponseCode::NoError => {}
            // A name may have no address because it is another's name, and that one does not exist.
            ResponseCode::NXDomain => return Answer::NoName,
            ResponseCode::Refused => return Answer::Refused,
            ResponseCode::ServFail => return Answer::ServerFailure,
            other => return Answer::Code(other.into()),
        }
        if message.answers.is_empty() {
            return Answer::NoData;
        }
        let owner = self.owner(message);
        let addresses = message
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) if record.name == *owner && record.dns_class == DNSClass::IN => {
                    Some(address.0)
                }
                _ => None,
            });
        let addresses: BTreeSet<_> = addresses.take(ADDRESSES).collect();
        if addresses.is_empty() {
            return Answer::Garbled;
        }
        Answer::Addresses(addresses)
    }

    /// The name that has the records: the one that was asked for, or what it stands for.
    fn owner<'a>(&'a self, message: &'a Message) -> &'a Name {
        let mut owner = &self.name;
        for _ in 0..ALIASES {
            let alias = message
                .answers
                .iter()
                .find_map(|record| match &record.data {
                    RData::CNAME(alias) if record.name == *owner => Some(&alias.0),
                    _ => None,
                });
            match alias {
                Some(alias) => owner = alias,
                None => break,
            }
        }
        owner
    }

    fn words(&self, code: ResponseCode, message: &Message) -> Option<String> {
        if code != ResponseCode::NoError {
            return None;
        }
        let owner = self.owner(message);
        let text = message
            .answers
            .iter()
            .find_map(|record| match &record.data {
                RData::TXT(text) if record.name == *owner => Some(text),
                _ => None,
            })?;
        let bytes: Vec<u8> = text
            .txt_data
            .iter()
            .flat_map(|part| part.iter().copied())
            .collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = text
            .chars()
            .map(|one| if one.is_control() { ' ' } else { one });
        Some(text.take(WORDS).collect())
    }
}
