//! A node: a state that is thrown away and made anew of a snapshot and the log, with series that are as
//! durable as RocksDB makes them.

use std::collections::BTreeMap;

use email_engine_protocol::observed::{AccountingCursors, Counts, FileCursor, StatisticsBatch};

use crate::command::fixture::host_id;
use crate::command::{BodyChange, Proposal};
use crate::state::{FleetState, SeriesChange, SeriesKey, Span, Subject};

/// A node: its state is lost when it is killed, its disk is not.
pub(super) struct Node {
    pub(super) state: FleetState,
    /// Entries that are in the state.
    applied: usize,
    snapshot: (FleetState, usize),
    pub(super) series: BTreeMap<SeriesKey, Counts>,
    /// Entries whose changes are in the series.
    counted: usize,
}

impl Node {
    pub(super) fn new(state: FleetState) -> Self {
        Self {
            snapshot: (state.clone(), 0),
            state,
            applied: 0,
            series: BTreeMap::new(),
            counted: 0,
        }
    }

    /// Applies entries up to there.
    pub(super) fn follow(&mut self, log: &[Proposal], to: usize) {
        while self.applied < to {
            let (answer, changes) = self.state.apply(&log[self.applied]);
            assert!(answer.is_ok(), "{answer:?}");
            self.applied += 1;
            if self.counted >= self.applied {
                continue;
            }
            for change in changes {
                let BodyChange::Series(SeriesChange::Add(rows)) = change else {
                    continue;
                };
                for (key, counts) in rows {
                    self.series.entry(key).or_default().add(&counts);
                }
            }
            self.counted = self.applied;
        }
    }

    pub(super) fn die(&mut self) {
        (self.state, self.applied) = self.snapshot.clone();
    }

    pub(super) fn cursors(&self) -> AccountingCursors {
        let known = self.state.accounting.hosts.get(&host_id("pmta1"));
        known.map(|known| known.cursors()).unwrap_or_default()
    }

    pub(super) fn cursor(&self, batch: &StatisticsBatch) -> Option<FileCursor> {
        let known = self.state.accounting.hosts.get(&host_id("pmta1"))?;
        known.cursor(&batch.stretch.as_ref()?.file)
    }

    /// What a snapshot keeps is what is applied now.
    pub(super) fn keep(&mut self) {
        self.snapshot = (self.state.clone(), self.applied);
    }

    /// Messages of all identities that were counted on all days.
    pub(super) fn counted(&self, count: impl Fn(&Counts) -> u64) -> u64 {
        let rows = self.series.iter().filter(|(key, _)| {
            matches!((key.span, &key.subject), (Span::Day(_), Subject::Tenant(_)))
        });
        rows.map(|(_, counts)| count(counts)).sum()
    }
}
