//! What lists say of an identity before it sends.
//!
//! It is not written down with the identity: it follows from what is committed of the lists, so that there is no
//! second copy that could be older. An operator's own word stands beside it, and the later of both holds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{Check, ListingClass, Statement, Verdict};
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use super::replies::all_subjects;
use crate::dnsbl::query::Subject;
use crate::fleet::lifecycle::Preflight;
use crate::state::{FleetState, Identity, ListWeight, Listing};

/// What is known of an identity now, of which this was stated.
#[must_use]
pub fn preflight(
    state: &FleetState,
    identity: &Identity,
    stated: &BTreeMap<Check, Statement>,
    now: Timestamp,
) -> Preflight {
    Preflight::of(&checks(state, identity, stated), now)
}

/// The latest statement of each check, what lists say among them.
#[must_use]
pub fn checks<'a>(
    state: &FleetState,
    identity: &Identity,
    stated: &'a BTreeMap<Check, Statement>,
) -> Cow<'a, BTreeMap<Check, Statement>> {
    let Some(seen) = seen(state, identity) else {
        return Cow::Borrowed(stated);
    };
    let holds = stated.get(&Check::Listing).is_some_and(|said| {
        // That nothing could be seen takes nothing from what was said.
        seen.is_blind || said.at > seen.statement.at
    });
    if holds {
        return Cow::Borrowed(stated);
    }
    let mut all = stated.clone();
    all.insert(Check::Listing, seen.statement);
    Cow::Owned(all)
}

struct Seen {
    statement: Statement,
    /// Whether it is that nothing could be seen.
    is_blind: bool,
}

/// What lists say of an identity: its address and its names. Nothing before the first sweep.
fn seen(state: &FleetState, identity: &Identity) -> Option<Seen> {
    let sweep = state.listings.sweep.as_ref()?;
    let statement = |verdict, at| Statement {
        verdict,
        by: format!("sweep {}", sweep.number),
        at,
    };
    // A domain may be its own host name and zone.
    let subjects = BTreeSet::from(all_subjects(&identity.spec));
    let open: Vec<_> = subjects
        .iter()
        .flat_map(|subject| open(state, subject))
        .collect();
    let latest = open.iter().map(|(.., row)| row.last_seen).max();
    if let Some(at) = latest {
        let (confirmed, others): (Vec<_>, Vec<_>) =
            open.iter().partition(|(.., row)| row.is_confirmed());
        let verdict = match confirmed.is_empty() {
            false => Verdict::Invalid {
                what: told(&confirmed),
            },
            true => Verdict::Unknown {
                why: format!("seen by one pair of eyes: {}", told(&others)),
            },
        };
        let statement = statement(verdict, at);
        return Some(Seen {
            statement,
            is_blind: false,
        });
    }
    let lists = sweep.lists.iter().filter(|(_, one)| one.weight.counts());
    let (mut silent, mut since) = (Vec::new(), None);
    for (list, swept) in lists {
        match known_since(state, identity, list) {
            Ok(at) => since = Some(since.map_or(at, |since: Timestamp| since.min(at))),
            Err(why) if swept.weight == ListWeight::TakesOut => {
                silent.push(format!("{list}: {why}"));
            }
            Err(_) => {}
        }
    }
    let verdict = match (silent.is_empty(), since) {
        (true, Some(_)) => Verdict::Valid,
        (true, None) => Verdict::Unknown {
            why: "no list answers".to_owned(),
        },
        (false, _) => Verdict::Unknown {
            why: silent.join(", "),
        },
    };
    Some(Seen {
        is_blind: verdict != Verdict::Valid,
        statement: statement(verdict, since.unwrap_or(sweep.began_at)),
    })
}

/// Lists that have something against somebody which keeps it from service.
fn open<'a>(
    state: &'a FleetState,
    subject: &'a Subject,
) -> impl Iterator<Item = (&'a Subject, &'a ListId, &'a Listing)> {
    let rows = state.listings.rows.get(subject).into_iter().flatten();
    rows.map(move |(list, row)| (subject, list, &**row))
        .filter(|(.., row)| row.is_open() && row.class != ListingClass::C)
}

fn told(rows: &[&(&Subject, &ListId, &Listing)]) -> String {
    let one = |(subject, list, row): &&(&Subject, &ListId, &Listing)| {
        format!("{subject} is on {list} ({})", row.meaning)
    };
    rows.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// When the sweep began that found an address not on a list, or why that is not known.
fn known_since(
    state: &FleetState,
    identity: &Identity,
    list: &ListId,
) -> Result<Timestamp, String> {
    let health = state.listings.lists.get(list);
    let asked = health.and_then(|health| Some((health, health.swept_from?)));
    let (health, from) = asked.ok_or("it was not asked yet")?;
    if let Some((_, trouble)) = &health.unhealthy {
        return Err(trouble.clone());
    }
    if identity.added_at > from {
        return Err("it was not asked since the identity was added".to_owned());
    }
    let subject = Subject::Address(identity.spec.address);
    match health.unknown.contains(&subject) {
        true => Err("its answer was not understood".to_owned()),
        false => Ok(from),
    }
}
