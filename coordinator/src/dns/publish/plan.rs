//! What would be changed in a zone.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;

use super::draft::Draft;
use super::guard::{Guard, key_in};
use super::order::{clashes, rank, rank_of};
use super::record::{Stands, owner_name};
use super::seen::SeenZone;
use super::unit::{Condition, Op, Unit, conditions, fitting};
use crate::command::{Marks, PUBLISH_NAMES};
use crate::dns::wanted::Wanted;
use crate::state::{Made, Mark, RecordKind};

/// What is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The record, as a line.
    pub record: String,
    /// Why not.
    pub why: String,
}

/// What would be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonePlan {
    /// The zone.
    pub zone: DomainName,
    /// Its serial when it was read.
    pub serial: u32,
    /// The changes in their order, marks included.
    pub ops: Vec<Op>,
    /// What must still be so when they are made.
    pub conditions: Vec<Condition>,
    /// Records that are there as they must be.
    pub right: usize,
    /// Those of them that somebody else made.
    pub not_ours: usize,
    /// What is not done.
    pub blocked: Vec<Blocked>,
    /// What waits for something else.
    pub waits: Vec<Blocked>,
    /// Why nothing is done unless forced.
    pub guard: Option<Guard>,
    /// Changes that did not fit.
    pub later: usize,
    /// What is written down before the change: what it makes.
    pub begin: Marks,
    /// What is there once it is made.
    pub there: Marks,
    /// What is gone then.
    pub gone: Marks,
    /// What of it is gone already, whether or not anything is changed: intentions that came to nothing.
    pub vanished: Marks,
    digest: ContentHash,
}

impl ZonePlan {
    /// Which plan it is: of which zone, from which state of it, to do what.
    #[must_use]
    pub const fn digest(&self) -> ContentHash {
        self.digest
    }

    /// Names of the records that are changed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let changed = self.there.keys().chain(self.gone.keys());
        changed.map(String::as_str)
    }

    /// Why not all that is wanted is in the zone once this is done, if so.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        if let Some(guard) = &self.guard {
            return Some(format!(
                "{guard}; `email-engine dns plan {zone}` shows it, and `dns apply {zone} --plan HASH --force` does it",
                zone = self.zone
            ));
        }
        if let Some(first) = self.blocked.first() {
            let (count, record, why) = (self.blocked.len(), &first.record, &first.why);
            return Some(format!(
                "{count} records are left out, such as {record}: {why}"
            ));
        }
        (self.later > 0).then(|| format!("{} changes are on their way", self.later))
    }
}

/// Compares what is wanted with what the zone shows. Records of others that are right become the fleet's when
/// somebody wants to `adopt` them.
#[must_use]
pub fn plan(draft: &Draft, seen: &SeenZone, adopt: bool) -> ZonePlan {
    let mut work = Work::new(draft, seen, adopt);
    work.find_gone();
    work.find_wanted();
    work.finish()
}

struct Work<'a> {
    draft: &'a Draft,
    seen: &'a SeenZone,
    adopt: bool,
    /// Marks that are wanted, by name.
    wishes: BTreeMap<&'a str, BTreeSet<Mark>>,
    /// Records of ours that nobody wants, and may go.
    going: BTreeSet<(String, Stands)>,
    units: Vec<Unit>,
    lone: Vec<Unit>,
    confirmed: Marks,
    vanished: Marks,
    right: usize,
    not_ours: usize,
    missing: usize,
    blocked: Vec<Blocked>,
    waits: Vec<Blocked>,
}

impl<'a> Work<'a> {
    fn new(draft: &'a Draft, seen: &'a SeenZone, adopt: bool) -> Self {
        let mut wishes: BTreeMap<&str, BTreeSet<Mark>> = BTreeMap::new();
        for one in &draft.wanted {
            let mark = Stands::of(&one.data).mark();
            wishes.entry(one.name.as_str()).or_default().insert(mark);
        }
        Self {
            draft,
            seen,
            adopt,
            wishes,
            going: BTreeSet::new(),
            units: Vec::new(),
            lone: Vec::new(),
            confirmed: Marks::new(),
            vanished: Marks::new(),
            right: 0,
            not_ours: 0,
            missing: 0,
            blocked: Vec::new(),
            waits: Vec::new(),
        }
    }

    fn wishes(&self, name: &str, mark: Mark) -> bool {
        let wished = self.wishes.get(name);
        wished.is_some_and(|marks| marks.contains(&mark))
    }

    fn marks(&self, name: &str) -> (BTreeSet<Mark>, bool) {
        self.seen.marks(&self.draft.cluster, name)
    }

    /// Goes through what was made: what nobody wants any more goes, if it is still there and still ours.
    fn find_gone(&mut self) {
        let draft = self.draft;
        for (name, marks) in &draft.made {
            let (ours, _) = self.marks(name);
            let were_asked = self.seen.set(&owner_name(name), RecordKind::Txt).is_some();
            for (mark, made) in marks {
                let Some(set) = self.seen.set(name, mark.kind).filter(|_| were_asked) else {
                    continue;
                };
                let stands = set.iter().find(|stands| stands.mark() == *mark);
                self.missing += usize::from(stands.is_none() && *made == Made::There);
                if self.wishes(name, *mark) {
                    continue;
                }
                match stands {
                    Some(stands) if ours.contains(mark) => self.judge_gone(name, stands),
                    // A mark without its record would make somebody else's ours.
                    None if ours.contains(mark) => self.lone.push(Unit {
                        name: name.clone(),
                        marks_go: vec![*mark],
                        ..Unit::default()
                    }),
                    _ => {
                        self.vanished.entry(name.clone()).or_default().insert(*mark);
                    }
                }
            }
        }
    }

    fn judge_gone(&mut self, name: &str, stands: &Stands) {
        // What comes in its place is not there yet.
        if self.draft.waiting.contains_key(name) {
            return;
        }
        let why = key_in(name, stands).and_then(|key| {
            let living = self.draft.living.contains(&(name.to_owned(), key));
            match (living, self.wishes.contains_key(name)) {
                (true, _) => Some("mail that was signed with this key may still be judged"),
                (false, false) => Some(
                    "the record of a key stays until it has said for its days that the key is not good any more; \
                     who knows better removes it by hand",
                ),
                (false, true) => None,
            }
        });
        match why {
            Some(why) => self.blocked.push(Blocked {
                record: stands.line(name),
                why: why.to_owned(),
            }),
            None => {
                self.going.insert((name.to_owned(), stands.clone()));
            }
        }
    }

    /// Goes through what is wanted, addresses first: what is not there comes.
    fn find_wanted(&mut self) {
        let mut sorted: Vec<&Wanted> = self.draft.wanted.iter().collect();
        sorted.sort_by_key(|one| (rank(one.part), &one.name, &one.data));
        for one in sorted {
            if let Some(why) = self.unusable(one) {
                self.block(one, &why);
                continue;
            }
            let stands = Stands::of(&one.data);
            let mark = stands.mark();
            let set = self.seen.set(&one.name, stands.kind());
            let is_there = set.is_some_and(|set| set.iter().any(|other| other.mark() == mark));
            if is_there {
                self.count_right(&one.name, mark);
                continue;
            }
            if let Some(why) = self.draft.waiting.get(&one.name) {
                let record = one.line();
                let why = why.clone();
                self.waits.push(Blocked { record, why });
                continue;
            }
            match self.in_the_way(one) {
                Some(why) => self.block(one, &why),
                None => self.add(one, stands),
            }
        }
    }

    fn block(&mut self, one: &Wanted, why: &str) {
        let (record, why) = (one.line(), why.to_owned());
        self.blocked.push(Blocked { record, why });
    }

    /// Why nothing can be said or done of a name.
    fn unusable(&self, one: &Wanted) -> Option<String> {
        let name = &one.name;
        if self.seen.elsewhere.contains(name) {
            return Some("the name is in a zone of its own, on other servers".to_owned());
        }
        if self.seen.aliases.contains(name) {
            return Some("the name is an alias of another: it can have no records".to_owned());
        }
        let kind = Stands::of(&one.data).kind();
        let was_read = self.seen.set(name, kind).is_some()
            && self.seen.set(&owner_name(name), RecordKind::Txt).is_some();
        (!was_read).then(|| "it was not read".to_owned())
    }

    fn count_right(&mut self, name: &str, mark: Mark) {
        self.right += 1;
        let (ours, others) = self.marks(name);
        let made = self.draft.made.get(name).and_then(|marks| marks.get(&mark));
        if ours.contains(&mark) {
            // Made by a change whose end nobody heard of, or before a restore.
            if made != Some(&Made::There) {
                self.confirmed
                    .entry(name.to_owned())
                    .or_default()
                    .insert(mark);
            }
        } else if self.adopt && !others {
            self.units.push(Unit {
                name: name.to_owned(),
                marks_come: vec![mark],
                ..Unit::default()
            });
        } else {
            self.not_ours += 1;
        }
    }

    /// Why a record cannot come beside what is there.
    fn in_the_way(&self, one: &Wanted) -> Option<String> {
        if self.marks(&one.name).1 {
            return Some("another cluster has records at this name".to_owned());
        }
        let kind = Stands::of(&one.data).kind();
        let mut set = self.seen.set(&one.name, kind).into_iter().flatten();
        let stays = |stands: &&Stands| {
            let goes = self.going.contains(&(one.name.clone(), (*stands).clone()));
            !goes && clashes(one.part, stands)
        };
        let foreign = set.find(stays)?;
        Some(format!("there stands {}", foreign.line(&one.name)))
    }

    fn add(&mut self, one: &Wanted, stands: Stands) {
        let replaced = self.going.iter().filter(|(name, old)| {
            *name == one.name && old.kind() == stands.kind() && clashes(one.part, old)
        });
        let remove: Vec<Stands> = replaced.map(|(_, old)| old.clone()).collect();
        let (ours, _) = self.marks(&one.name);
        let mark = stands.mark();
        self.units.push(Unit {
            name: one.name.clone(),
            marks_come: (!ours.contains(&mark))
                .then_some(mark)
                .into_iter()
                .collect(),
            marks_go: remove.iter().map(Stands::mark).collect(),
            add: Some(stands),
            remove,
        });
    }

    fn finish(mut self) -> ZonePlan {
        let taken = self.units.iter();
        let taken: BTreeSet<(String, Stands)> = taken
            .flat_map(|unit| {
                unit.remove
                    .iter()
                    .map(|old| (unit.name.clone(), old.clone()))
            })
            .collect();
        let mut lone: Vec<_> = self.going.difference(&taken).cloned().collect();
        lone.sort_by_key(|(name, stands)| std::cmp::Reverse(rank_of(name, stands)));
        let strays = std::mem::take(&mut self.lone);
        let lone = lone.into_iter().map(|(name, stands)| Unit {
            name,
            marks_go: vec![stands.mark()],
            remove: vec![stands],
            ..Unit::default()
        });
        let all: Vec<Unit> = self.units.drain(..).chain(lone).chain(strays).collect();
        let gone = all.iter().map(|unit| unit.remove.len()).sum();
        let made = self.draft.made.values().flat_map(BTreeMap::values);
        let made = made.filter(|made| **made == Made::There).count();
        let guard = Guard::of(gone, self.missing, made);
        let (units, later) = fitting(all, self.seen, &self.draft.cluster);
        self.plan_of(&units, guard, later)
    }

    fn plan_of(self, units: &[Unit], guard: Option<Guard>, later: usize) -> ZonePlan {
        let cluster = &self.draft.cluster;
        let ops: Vec<Op> = units.iter().flat_map(|unit| unit.ops(cluster)).collect();
        let (mut begin, mut gone) = (Marks::new(), Marks::new());
        for unit in units {
            let comes = unit.add.iter().map(Stands::mark);
            let comes: BTreeSet<Mark> = comes.chain(unit.marks_come.iter().copied()).collect();
            extend(&mut begin, &unit.name, comes);
            extend(&mut gone, &unit.name, unit.marks_go.iter().copied());
        }
        let mut there = begin.clone();
        for (name, marks) in self.confirmed.into_iter().take(PUBLISH_NAMES / 2) {
            extend(&mut there, &name, marks);
        }
        // A zone that lost much may get it back.
        let mut vanished = Marks::new();
        if !matches!(guard, Some(Guard::Missing { .. })) {
            vanished.extend(self.vanished.into_iter().take(PUBLISH_NAMES / 2));
        }
        for (name, marks) in &vanished {
            extend(&mut gone, name, marks.iter().copied());
        }
        let mut text = format!(
            "{} {}\n{}\n",
            self.draft.zone, self.draft.server, self.seen.serial
        );
        for op in &ops {
            let sign = if matches!(op, Op::Add(..)) { '+' } else { '-' };
            text.push_str(&format!("{sign}{}\n", op.line()));
        }
        ZonePlan {
            zone: self.draft.zone.clone(),
            serial: self.seen.serial,
            conditions: conditions(&ops, self.seen),
            ops,
            right: self.right,
            not_ours: self.not_ours,
            blocked: self.blocked,
            waits: self.waits,
            guard,
            later,
            begin,
            there,
            gone,
            vanished,
            digest: ContentHash::of(text.as_bytes()),
        }
    }
}

fn extend(marks: &mut Marks, name: &str, with: impl IntoIterator<Item = Mark>) {
    for mark in with {
        marks.entry(name.to_owned()).or_default().insert(mark);
    }
}
