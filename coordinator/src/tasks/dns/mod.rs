//! Looks at identities' records in DNS: all of them daily, what changed at once, what is not right again and
//! again, what an operator asks for. What was seen is a command; whoever leads next goes on from there.
//!
//! Records of keys that rotations lead to are looked at with the others, and told to the rotation.

mod publish;

pub(super) use publish::run as publish;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{sleep, timeout};

use email_engine_protocol::api::{DnsPart, DnsVerdict, Verdict};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use super::{leads, say};
use crate::command::{Command, RecordDns, SeenDns, StateNextKey};
use crate::dns::ask::{AskConfig, look};
use crate::dns::due::{is_due, subject};
use crate::dns::verdict::Subject;
use crate::fleet::lifecycle::FRESH_MILLIS;
use crate::push::{Fleet, now};
use crate::state::{FleetState, Identity};

/// At least between two searches for what is due, and longer for each identity that is searched.
const AGAIN: Duration = Duration::from_secs(1);
const PER_IDENTITY: Duration = Duration::from_micros(100);
/// A search without a change: time makes things due.
const IDLE: Duration = Duration::from_secs(10);
/// Identities that are searched together, while nothing else is applied.
const TOGETHER: usize = 1_000;
/// Identities whose records are looked at at the same time.
const AT_ONCE: usize = 16;
/// Identities of one command.
const PER_COMMAND: usize = 100;
/// What a rotation was told holds for a day: it is told again in time.
const TOLD_AGAIN_MILLIS: u64 = FRESH_MILLIS / 2;
/// Longest text that a rotation is told, in characters.
const TOLD_CHARS: usize = 200;

/// One that is due.
#[derive(Debug)]
struct Due {
    address: IpAddr,
    names: (DomainName, DomainName, String),
    wanted: ContentHash,
    subject: Subject,
    begun_at: Timestamp,
}

/// Looks while this node leads. Of a sandbox cluster, only by resolvers that somebody named for it.
pub(super) async fn run<F: Fleet>(fleet: F, config: AskConfig) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let is_sandbox = fleet.view(|state| {
            let cluster = state.cluster.as_ref();
            cluster.is_none_or(|cluster| cluster.mode == Mode::Sandbox)
        });
        let searched = match config.are_named || !is_sandbox {
            true => search(&fleet, &config).await,
            false => 0,
        };
        sleep(AGAIN + PER_IDENTITY * u32::try_from(searched).unwrap_or(u32::MAX)).await;
        if let Ok(Err(_)) = timeout(IDLE, applied.changed()).await {
            return;
        }
    }
}

/// Goes through all identities once; gives how many there are.
async fn search<F: Fleet>(fleet: &F, config: &AskConfig) -> usize {
    let (mut from, mut searched) = (Bound::Unbounded, 0);
    loop {
        let (due, last, count) = fleet.view(|state| due(state, from, now().max(state.now)));
        searched += count;
        for due in chunks(due) {
            see(fleet, config, due).await;
        }
        match last {
            Some(last) => from = Bound::Excluded(last),
            None => return searched,
        }
    }
}

fn chunks(mut due: Vec<Due>) -> Vec<Vec<Due>> {
    let mut chunks = Vec::new();
    while !due.is_empty() {
        let rest = due.split_off(due.len().min(PER_COMMAND));
        chunks.push(std::mem::replace(&mut due, rest));
    }
    chunks
}

/// What is due of the identities behind one, the last of them if there may be more, and how many they are.
fn due(
    state: &FleetState,
    from: Bound<IpAddr>,
    at: Timestamp,
) -> (Vec<Due>, Option<IpAddr>, usize) {
    let range = state.identities.range((from, Bound::Unbounded));
    let part: Vec<_> = range.take(TOGETHER).collect();
    let last = part.last().filter(|_| part.len() == TOGETHER);
    let last = last.map(|(address, _)| **address);
    let count = part.len();
    let due = part.into_iter().filter_map(|(address, identity)| {
        let (subject, wanted) = subject(state, identity)?;
        let looks = &state.dns_looks;
        let asked = looks.asked.contains_key(address);
        let seen = looks.last.get(address).map(|look| &**look);
        let spec = &identity.spec;
        is_due(seen, wanted, asked, at).then(|| Due {
            address: *address,
            names: (
                spec.domain.clone(),
                spec.hostname.clone(),
                spec.selector.clone(),
            ),
            wanted,
            subject,
            begun_at: at,
        })
    });
    (due.collect(), last, count)
}

async fn see<F: Fleet>(fleet: &F, config: &AskConfig, due: Vec<Due>) {
    let looks = futures::stream::iter(due).map(|due| async move {
        let found = look(config, &due.subject).await;
        (due, found)
    });
    let looked: Vec<_> = looks.buffer_unordered(AT_ONCE).collect().await;
    let mut seen = BTreeMap::new();
    let mut next = Vec::new();
    for (due, found) in looked {
        if let (Some(verdict), Some(key)) = (found.get(&DnsPart::NextDkim), &due.subject.next) {
            next.push((due.address, key.selector.clone(), told(verdict)));
        }
        let (domain, hostname, selector) = due.names;
        let one = SeenDns {
            domain,
            hostname,
            selector,
            wanted: due.wanted,
            begun_at: due.begun_at,
            found,
        };
        seen.insert(due.address, one);
    }
    if seen.is_empty() {
        return;
    }
    let command = Command::RecordDns(RecordDns { seen });
    say(fleet, "what the servers of zones answer", command).await;
    for (address, selector, verdict) in next {
        let is_news = fleet.view(|state| {
            let identity = state.identities.get(&address);
            let at = now().max(state.now);
            identity.is_some_and(|identity| is_news(identity, &selector, &verdict, at))
        });
        if is_news {
            let command = Command::StateNextKey(StateNextKey {
                address,
                selector,
                verdict,
            });
            say(fleet, "what was seen of the key that comes", command).await;
        }
    }
}

fn told(verdict: &DnsVerdict) -> Verdict {
    let cut = |text: &str| text.chars().take(TOLD_CHARS).collect();
    match verdict {
        DnsVerdict::Valid { .. } => Verdict::Valid,
        DnsVerdict::Invalid { seen, .. } => Verdict::Invalid { what: cut(seen) },
        DnsVerdict::Unknown { why } => Verdict::Unknown { why: cut(why) },
    }
}

/// Whether a rotation does not know it yet, or knew it too long ago. An operator's word holds for its day.
fn is_news(identity: &Identity, selector: &str, verdict: &Verdict, at: Timestamp) -> bool {
    let rotation = identity.signing.rotation.as_ref();
    let Some(rotation) = rotation.filter(|one| one.other.selector == selector) else {
        return false;
    };
    let Some(said) = &rotation.seen else {
        return true;
    };
    let age = at.since(said.at);
    if said.by.starts_with("key ") && age <= FRESH_MILLIS {
        return false;
    }
    said.verdict != *verdict || age >= TOLD_AGAIN_MILLIS
}
