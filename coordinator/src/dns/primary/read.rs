//! What a zone's primary server shows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use email_engine_protocol::mail::DomainName;

use crate::dns::ask::{AskConfig, exchange, query};
use crate::dns::publish::{Draft, SeenZone, SetName, Stands, questions};
use crate::state::RecordKind;

/// Questions at the same time.
const AT_ONCE: usize = 16;

/// Why a zone was not read. There is no half of it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The zone changed meanwhile.
    #[error("zone {zone} changed while it was read, from serial {before} to {after}")]
    Changing {
        /// The zone.
        zone: DomainName,
        /// Before.
        before: u32,
        /// After.
        after: u32,
    },
    /// The server did not answer one of the questions, or not with authority.
    #[error("{server} could not be read: {what}")]
    Unreadable {
        /// The server.
        server: SocketAddr,
        /// What it said of what, or that it said nothing.
        what: String,
    },
}

/// Reads zones. Cheap to clone.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    patience: Duration,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(AskConfig::PATIENCE)
    }
}

impl Reader {
    /// One that waits so long for an answer.
    #[must_use]
    pub const fn new(patience: Duration) -> Self {
        Self { patience }
    }

    /// Reads everything that a plan needs.
    ///
    /// # Errors
    /// When one question is not answered, or the zone changes meanwhile.
    pub async fn read(&self, draft: &Draft) -> Result<SeenZone, ReadError> {
        let before = self.serial(draft).await?;
        let questions = questions(&draft.wanted, &draft.made);
        let answers = futures::stream::iter(questions)
            .map(|set| self.set(draft, set))
            .buffer_unordered(AT_ONCE);
        let answers: Vec<(SetName, Shown)> = answers.try_collect().await?;
        let after = self.serial(draft).await?;
        if before != after {
            let zone = draft.zone.clone();
            return Err(ReadError::Changing {
                zone,
                before,
                after,
            });
        }
        let mut seen = SeenZone {
            serial: before,
            ..SeenZone::default()
        };
        for (set, shown) in answers {
            match shown {
                Shown::Records(records) => {
                    seen.sets.insert(set, records);
                }
                Shown::Alias => {
                    seen.aliases.insert(set.0);
                }
                Shown::Elsewhere => {
                    seen.elsewhere.insert(set.0);
                }
            }
        }
        Ok(seen)
    }

    async fn serial(&self, draft: &Draft) -> Result<u32, ReadError> {
        let zone = draft.zone.as_str();
        let answer = self.ask(draft.server, zone, RecordType::SOA).await?;
        let unreadable = |what: String| ReadError::Unreadable {
            server: draft.server,
            what,
        };
        if !answer.metadata.authoritative {
            let what = format!("it is not authoritative for {zone}");
            return Err(unreadable(what));
        }
        let mut records = answer.answers.iter();
        let serial = records.find_map(|record| match &record.data {
            RData::SOA(soa) if written(&record.name) == zone => Some(soa.serial),
            _ => None,
        });
        serial.ok_or_else(|| unreadable(format!("{zone} is no zone of it: it has no SOA")))
    }

    async fn set(&self, draft: &Draft, set: SetName) -> Result<(SetName, Shown), ReadError> {
        let (name, kind) = (&set.0, record_type(set.1));
        let answer = self.ask(draft.server, name, kind).await?;
        match shown(&answer, draft.zone.as_str(), name) {
            Some(shown) => Ok((set, shown)),
            None => Err(ReadError::Unreadable {
                server: draft.server,
                what: format!("it is not authoritative for {name}"),
            }),
        }
    }

    async fn ask(
        &self,
        server: SocketAddr,
        name: &str,
        kind: RecordType,
    ) -> Result<Message, ReadError> {
        let unreadable = |what: String| ReadError::Unreadable {
            server,
            what: format!("{name} {kind}: {what}"),
        };
        let asked = Name::from_ascii(format!("{name}."));
        let asked = asked.map_err(|error| unreadable(error.to_string()))?;
        let answer = exchange(server, &query(asked, kind, false), self.patience).await;
        let answer = answer.map_err(|error| unreadable(format!("it {error}")))?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            code => Err(unreadable(format!("it answers {code}"))),
        }
    }
}

/// What an answer shows of a set.
enum Shown {
    Records(BTreeSet<Stands>),
    Alias,
    Elsewhere,
}

/// What an answer shows; none when the server has no word in it.
fn shown(answer: &Message, zone: &str, name: &str) -> Option<Shown> {
    if !answer.metadata.authoritative {
        let mut authorities = answer.authorities.iter();
        let leads_on = authorities.any(|record| {
            let owner = written(&record.name);
            matches!(record.data, RData::NS(_)) && is_below(&owner, zone) && holds(&owner, name)
        });
        return (leads_on && answer.answers.is_empty()).then_some(Shown::Elsewhere);
    }
    let own = answer.answers.iter();
    let own = own.filter(|record| written(&record.name) == name);
    let mut records = BTreeSet::new();
    for record in own {
        let stands = match &record.data {
            RData::A(address) => Stands::A(address.0),
            RData::AAAA(address) => Stands::Aaaa(address.0),
            RData::MX(mx) => Stands::Mx(mx.preference, as_it_is(&mx.exchange)),
            RData::PTR(target) => Stands::Ptr(as_it_is(target)),
            RData::TXT(text) => {
                Stands::Txt(text.txt_data.iter().map(|part| part.to_vec()).collect())
            }
            RData::CNAME(_) => return Some(Shown::Alias),
            _ => continue,
        };
        records.insert(stands);
    }
    Some(Shown::Records(records))
}

fn holds(ancestor: &str, name: &str) -> bool {
    name.strip_suffix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_below(name: &str, zone: &str) -> bool {
    name != zone && holds(zone, name)
}

fn as_it_is(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn written(name: &Name) -> String {
    as_it_is(name).to_ascii_lowercase()
}

pub(super) const fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Mx => RecordType::MX,
        RecordKind::Ptr => RecordType::PTR,
        RecordKind::Txt => RecordType::TXT,
    }
}
