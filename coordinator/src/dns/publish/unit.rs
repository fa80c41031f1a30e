//! Changes, what belongs together of them, and how much fits into one message.

use std::collections::BTreeSet;

use super::record::{Stands, mark_text, owner_name};
use super::seen::SeenZone;
use crate::state::{Mark, RecordKind};

/// Most bytes of one change with its conditions, about: a message over TCP holds 65,535.
const UPDATE_BYTES: usize = 40_000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A record comes.
    Add(String, Stands),
    /// A record goes.
    Remove(String, Stands),
}

/// A set of records that the plan goes by: the change is made only where it is still so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: RecordKind,
    /// What is in it, all of it; nothing: there is no such set.
    pub stands: BTreeSet<Stands>,
}

impl Op {
    /// The record.
    #[must_use]
    pub const fn record(&self) -> (&String, &Stands) {
        match self {
            Self::Add(name, stands) | Self::Remove(name, stands) => (name, stands),
        }
    }

    /// As a line of a zone file.
    #[must_use]
    pub fn line(&self) -> String {
        let (name, stands) = self.record();
        stands.line(name)
    }
}

/// Changes that belong together: a record with those that it replaces, and their marks.
#[derive(Debug, Default)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) add: Option<Stands>,
    pub(super) remove: Vec<Stands>,
    pub(super) marks_come: Vec<Mark>,
    pub(super) marks_go: Vec<Mark>,
}

impl Unit {
    pub(super) fn ops(&self, cluster: &str) -> Vec<Op> {
        let owner = owner_name(&self.name);
        let text = |mark: &Mark| Stands::text(&mark_text(cluster, *mark));
        let name = || self.name.clone();
        let removed = self
            .remove
            .iter()
            .map(|old| Op::Remove(name(), old.clone()));
        let freed = self
            .marks_go
            .iter()
            .map(|mark| Op::Remove(owner.clone(), text(mark)));
        let added = self.add.iter().map(|new| Op::Add(name(), new.clone()));
        let marked = self
            .marks_come
            .iter()
            .map(|mark| Op::Add(owner.clone(), text(mark)));
        removed.chain(freed).chain(added).chain(marked).collect()
    }
}

/// The sets that changes touch, as they were seen.
pub(super) fn conditions(ops: &[Op], seen: &SeenZone) -> Vec<Condition> {
    let touched: BTreeSet<(&String, RecordKind)> = ops
        .iter()
        .map(|op| (op.record().0, op.record().1.kind()))
        .collect();
    let of = |(name, kind): (&String, RecordKind)| Condition {
        name: name.clone(),
        kind,
        stands: seen.set(name, kind).cloned().unwrap_or_default(),
    };
    touched.into_iter().map(of).collect()
}

/// As many units as fit into one message with their conditions, and how many do not. Those in front go first.
pub(super) fn fitting(all: Vec<Unit>, seen: &SeenZone, cluster: &str) -> (Vec<Unit>, usize) {
    let (count, mut bytes, mut taken) = (all.len(), 0, Vec::new());
    for unit in all {
        let ops = unit.ops(cluster);
        let changes = ops
            .iter()
            .map(|op| op.record().0.len() + op.record().1.bytes());
        let conditions = conditions(&ops, seen);
        let conditions = conditions.iter().map(|one| {
            let stands = one
                .stands
                .iter()
                .map(|stands| one.name.len() + stands.bytes());
            stands.sum::<usize>() + one.name.len() + 12
        });
        bytes += changes.sum::<usize>() + conditions.sum::<usize>();
        // One that fits into no message is tried alone: the server says so.
        if bytes > UPDATE_BYTES && !taken.is_empty() {
            break;
        }
        taken.push(unit);
    }
    let later = count - taken.len();
    (taken, later)
}
