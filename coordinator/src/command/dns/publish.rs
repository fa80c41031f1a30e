//! `begin-publish` and `end-publish`: what the fleet is about to make in a zone is written down before the zone
//! is asked, and what became of it after it answered. Whoever dies in between leaves an intention behind, which
//! the next look at the zone settles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::ZoneMode;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;

use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, WrongState};
use crate::command::refuse::{at_most, cut, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{DnsZone, FleetState, Made, Mark, SeenTo};

/// Most names of one command, and most records of one name.
pub(crate) const NAMES: usize = 2_000;
const RECORDS: usize = 64;
/// Most names of all zones.
const TOTAL: usize = 2_000_000;
/// Longest name.
const NAME_BYTES: usize = 253;
/// Longest reason, in characters.
const WHY_CHARS: usize = 500;

/// Records by name.
pub type Marks = BTreeMap<String, BTreeSet<Mark>>;

/// See [`Command::BeginPublish`](crate::command::Command::BeginPublish).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginPublish {
    /// Where.
    pub zone: DomainName,
    /// What is about to be made.
    pub marks: Marks,
}

/// See [`Command::EndPublish`](crate::command::Command::EndPublish).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndPublish {
    /// Where.
    pub zone: DomainName,
    /// Hash of what was wanted.
    pub wanted: ContentHash,
    /// Serial of the zone that was read, if it was.
    pub serial: Option<u32>,
    /// What was made, or was seen to be there.
    pub there: Marks,
    /// What was taken away, or was seen to be gone.
    pub gone: Marks,
    /// Why not all that is wanted is in it, if so.
    pub stuck: Option<String>,
}

impl Verb for BeginPublish {
    fn name(&self) -> &'static str {
        "begin-publish"
    }

    fn object(&self) -> String {
        format!("zone {}: {} records", self.zone, count(&self.marks))
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        check("marks", &self.marks)?;
        let _ = managed(state, &self.zone)?;
        at_most("made", state.dns_zones.made.len() + self.marks.len(), TOTAL)?;
        let mut changed = false;
        for (name, marks) in &self.marks {
            let row = state
                .dns_zones
                .made
                .or_default(&(self.zone.clone(), name.clone()));
            for mark in marks {
                if !row.contains_key(mark) {
                    row.insert(*mark, Made::Intended);
                    changed = true;
                }
            }
        }
        Ok(match changed {
            true => Change::DONE,
            false => Change::NONE,
        })
    }
}

impl Verb for EndPublish {
    fn name(&self) -> &'static str {
        "end-publish"
    }

    fn object(&self) -> String {
        let (there, gone) = (count(&self.there), count(&self.gone));
        let stuck = match &self.stuck {
            Some(why) => format!("; stuck: {}", cut(why, WHY_CHARS)),
            None => String::new(),
        };
        format!(
            "zone {}: {there} records are there, {gone} gone{stuck}",
            self.zone
        )
    }

    /// A look that found all as it was changes nothing that anybody made.
    fn is_change_of_fleet(&self) -> bool {
        !(self.there.is_empty() && self.gone.is_empty())
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        check("there", &self.there)?;
        check("gone", &self.gone)?;
        let zone = managed(state, &self.zone)?;
        let made = &mut state.dns_zones.made;
        for (name, marks) in &self.there {
            let row = made.or_default(&(self.zone.clone(), name.clone()));
            row.extend(marks.iter().map(|mark| (*mark, Made::There)));
        }
        for (name, marks) in &self.gone {
            let key = (self.zone.clone(), name.clone());
            let Some(row) = made.get_mut(&key) else {
                continue;
            };
            row.retain(|mark, _| !marks.contains(mark));
            if row.is_empty() {
                made.remove(&key);
            }
        }
        let before = zone.last.as_ref().filter(|last| last.wanted == self.wanted);
        let failures = match self.stuck {
            Some(_) => before.map_or(0, |last| last.failures).saturating_add(1),
            None => 0,
        };
        let stuck_since = self.stuck.as_ref().map(|_| {
            let before = zone.last.as_ref().and_then(|last| last.stuck_since);
            before.unwrap_or_else(|| turn.now())
        });
        let last = SeenTo {
            at: turn.now(),
            wanted: self.wanted,
            serial: self.serial,
            stuck: self.stuck.as_ref().map(|why| cut(why, WHY_CHARS)),
            stuck_since,
            failures,
        };
        let row = DnsZone {
            last: Some(last),
            ..(*zone).clone()
        };
        let declared = &mut state.dns_zones.declared;
        declared.insert(self.zone.clone(), Arc::new(row));
        Ok(Change::DONE)
    }
}

fn count(marks: &Marks) -> usize {
    marks.values().map(BTreeSet::len).sum()
}

/// The zone, if the fleet changes it.
fn managed(state: &FleetState, zone: &DomainName) -> Result<Arc<DnsZone>, Rejection> {
    let Some(row) = state.dns_zones.declared.get(zone) else {
        return Err(not_found("zone", zone, "zone"));
    };
    match row.mode {
        ZoneMode::Manage => Ok(Arc::clone(row)),
        ZoneMode::Advise => {
            let accepted = "a zone in mode manage: of others the fleet changes nothing";
            Err(refuse(WrongState, "zone", zone, accepted))
        }
    }
}

fn check(field: &str, marks: &Marks) -> Result<(), Rejection> {
    at_most(field, marks.len(), NAMES)?;
    for (name, of_name) in marks {
        let field = format!("{field}.{name}");
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(|b| b.is_ascii_graphic())
        {
            let accepted = format!("names of 1 to {NAME_BYTES} visible ASCII characters");
            return Err(refuse(Invalid, field, name, accepted));
        }
        at_most(&field, of_name.len(), RECORDS)?;
        if of_name.is_empty() {
            return Err(refuse(Invalid, field, &"none", "at least one record"));
        }
    }
    Ok(())
}
