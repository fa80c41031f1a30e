//! A network of made time: what goes out comes to a server at once, and what that says comes back when it
//! says.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::engine::Engine;
use super::super::pace::Micros;
use super::super::{Errand, Findings, Manner};
use crate::dnsbl::query::Subject;
use crate::dnsbl::registry::Registry;

/// What was asked, as a server sees it.
pub(super) struct Question {
    pub(super) message: Message,
    /// The list.
    pub(super) list: String,
    /// The address that it is about, when it is one of IPv4.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) is_text: bool,
    /// Which socket it came from; none when it came over a stream.
    pub(super) socket: Option<u16>,
    pub(super) now: Micros,
}

impl Question {
    pub(super) fn read(packet: &[u8], now: Micros) -> Self {
        let message = Message::from_vec(packet).unwrap();
        let name = message.queries[0].name.to_lowercase().to_ascii();
        let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
        let octets: Vec<u8> = labels
            .iter()
            .take(4)
            .filter_map(|l| l.parse().ok())
            .collect();
        let address = match octets[..] {
            [d, c, b, a] => Some(Ipv4Addr::new(a, b, c, d)),
            _ => None,
        };
        Self {
            list: labels[labels.len() - 3].to_owned(),
            address,
            is_text: message.queries[0].query_type == RecordType::TXT,
            message,
            socket: None,
            now,
        }
    }

    pub(super) fn name(&self) -> Name {
        self.message.queries[0].name.clone()
    }

    fn reply(&self, code: ResponseCode) -> Message {
        let mut reply = Message::response(self.message.metadata.id, self.message.metadata.op_code);
        reply.metadata.response_code = code;
        reply.add_query(self.message.queries[0].clone());
        reply
    }

    pub(super) fn code(&self, code: ResponseCode) -> Vec<u8> {
        self.reply(code).to_vec().unwrap()
    }

    pub(super) fn addresses(&self, all: &[[u8; 4]]) -> Vec<u8> {
        let mut reply = self.reply(ResponseCode::NoError);
        for one in all {
            let data = RData::A(A((*one).into()));
            reply.add_answer(Record::from_rdata(self.name(), 300, data));
        }
        reply.to_vec().unwrap()
    }

    pub(super) fn words(&self, words: &str) -> Vec<u8> {
        let mut reply = self.reply(ResponseCode::NoError);
        let data = RData::TXT(TXT::new(vec![words.to_owned()]));
        reply.add_answer(Record::from_rdata(self.name(), 300, data));
        reply.to_vec().unwrap()
    }

    pub(super) fn truncated(&self) -> Vec<u8> {
        let mut reply = self.reply(ResponseCode::NoError);
        reply.metadata.truncation = true;
        reply.to_vec().unwrap()
    }

    /// Whether a list that works has it.
    pub(super) fn is_listed(&self) -> bool {
        self.address.is_some_and(|address| {
            address == Ipv4Addr::new(127, 0, 0, 2)
                || (address.octets()[0] != 127
                    && super::is_listed(&Subject::Address(address.into())))
        })
    }

    /// What a list that works says.
    pub(super) fn right(&self) -> Vec<u8> {
        match (self.is_listed(), self.is_text) {
            (true, false) => self.addresses(&[[127, 0, 0, 2]]),
            (true, true) => self.words("sent spam"),
            (false, _) => self.code(ResponseCode::NXDomain),
        }
    }
}

/// What a server sends back, and how much later.
pub(super) type Replies = Vec<(Micros, Vec<u8>)>;

/// What a run came to.
pub(super) struct Run {
    pub(super) findings: Vec<Findings>,
    pub(super) took: Micros,
    pub(super) foreign: u64,
    /// When each question of each list went out.
    pub(super) asked: BTreeMap<String, Vec<Micros>>,
}

/// Asks all lists of a registry about these, on that network.
pub(super) fn sweep(
    registry: &Registry,
    subjects: &[Subject],
    server: &mut dyn FnMut(&Question) -> Replies,
) -> Run {
    run(
        registry,
        super::errands(registry, subjects),
        super::manner(),
        server,
    )
}

/// Runs errands on that network. Streams are answered by the same server.
pub(super) fn run(
    registry: &Registry,
    errands: Vec<Errand<'_>>,
    manner: Manner,
    server: &mut dyn FnMut(&Question) -> Replies,
) -> Run {
    let mut engine = Engine::new(registry, errands, manner);
    let mut random = fastrand(7);
    let mut byte = move || random();
    let mut wire: BTreeMap<(Micros, u64), Delivery> = BTreeMap::new();
    let (mut now, mut sequence) = (0, 0);
    let mut asked: BTreeMap<String, Vec<Micros>> = BTreeMap::new();
    while !engine.is_done() {
        loop {
            let (output, target) = if let Some(output) = engine.next_stream(now) {
                let target = Target::Stream(output.place);
                (output, target)
            } else if let Some(output) = engine.next(now, &mut byte) {
                let target = Target::Socket(output.place.0);
                (output, target)
            } else {
                break;
            };
            let mut question = Question::read(&output.bytes, now);
            if let Target::Socket(socket) = target {
                question.socket = Some(socket);
            }
            asked.entry(question.list.clone()).or_default().push(now);
            for (delay, bytes) in server(&question) {
                sequence += 1;
                wire.insert((now + delay, sequence), Delivery { target, bytes });
            }
        }
        let arrives = wire.first_key_value().map(|((at, _), _)| *at);
        let next = arrives.into_iter().chain(engine.wakes_at()).min();
        now = next
            .expect("a run that is not done waits for something")
            .max(now);
        while let Some(entry) = wire.first_entry().filter(|entry| entry.key().0 <= now) {
            let Delivery { target, bytes } = entry.remove();
            match target {
                Target::Socket(socket) => engine.received(socket, &bytes, now),
                Target::Stream(place) => engine.streamed(place, Some(&bytes), now),
            }
        }
        engine.tick(now);
        assert!(
            now < 3_600_000_000,
            "a run of an hour is a run that never ends"
        );
    }
    Run {
        foreign: engine.foreign(),
        findings: engine.findings(),
        took: now,
        asked,
    }
}

#[derive(Clone, Copy)]
enum Target {
    Socket(u16),
    Stream((u16, u16)),
}

struct Delivery {
    target: Target,
    bytes: Vec<u8>,
}

/// Bytes that look random and are the same each time (splitmix64).
pub(super) fn fastrand(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed.to_be_bytes()[0]
    }
}
