//! What a zone's primary server shows.

use std::collections::{BTreeMap, BTreeSet};
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
        let wild = self.wildcards(draft, &answers).await?;
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
            // A wildcard answers for names that are not there, and conditions of a change know nothing of it.
            // What was made is there, whatever a wildcard would say in its place.
            let is_made_up = !draft.made.contains_key(&set.0)
                && wildcards_above(&set.0, draft.zone.as_str())
                    .any(|above| wild.get(&(above, set.1)) == Some(&shown));
            let shown = if is_made_up {
                Shown::Records(BTreeSet::new())
            } else {
                shown
            };
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

    /// What wildcards of the zone show, of those that may have answered for a name.
    async fn wildcards(
        &self,
        draft: &Draft,
        answers: &[(SetName, Shown)],
    ) -> Result<BTreeMap<SetName, Shown>, ReadError> {
        let there = answers.iter().filter(|(_, shown)| shown.is_something());
        let above = there.flat_map(|((name, kind), _)| {
            wildcards_above(name, draft.zone.as_str()).map(|above| (above, *kind))
        });
        let above: BTreeSet<SetName> = above.collect();
        let shown = futures::stream::iter(above)
            .map(|set| self.set(draft, set))
            .buffer_unordered(AT_ONCE);
        let shown: Vec<(SetName, Shown)> = shown.try_collect().await?;
        let there = shown.into_iter().filter(|(_, shown)| shown.is_something());
        Ok(there.collect())
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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    Records(BTreeSet<Stands>),
    Alias,
    Elsewhere,
}

impl Shown {
    /// Whether a wildcard can have said it.
    fn is_something(&self) -> bool {
        match self {
            Self::Records(records) => !records.is_empty(),
            Self::Alias => true,
            Self::Elsewhere => false,
        }
    }
}

/// Wildcards of a zone that may answer for a name, the nearest first (RFC 4592).
fn wildcards_above<'a>(name: &'a str, zone: &'a str) -> impl Iterator<Item = String> + 'a {
    let parents = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
    let parents = parents.filter(|parent| holds(zone, parent));
    let wild = parents.map(|parent| format!("*.{parent}"));
    // What is asked about may be one itself.
    wild.filter(move |wild| wild != name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_answered_for_by_wildcards_between_it_and_its_zone() {
        let above = |name, zone| wildcards_above(name, zone).collect::<Vec<_>>();
        assert_eq!(
            above("mail._domainkey.m1.example.com", "example.com"),
            [
                "*._domainkey.m1.example.com",
                "*.m1.example.com",
                "*.example.com"
            ]
        );
        assert_eq!(above("example.com", "example.com"), Vec::<String>::new());
        assert_eq!(
            above("m1.example.com", "m1.example.com"),
            Vec::<String>::new()
        );
        assert_eq!(above("*.example.com", "example.com"), Vec::<String>::new());
    }
}
