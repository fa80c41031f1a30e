//! `record-statistics`.
//!
//! Each batch is judged for itself: one that does not begin at its file's cursor changes nothing, and whoever
//! said it finds the cursor in the state. A doubled, late or repeated batch is therefore harmless.

use std::sync::Arc;

use email_engine_protocol::time::Timestamp;

use super::{check, files, owners, replies, rows};
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{BodyChange, HostBatch, RecordStatistics, Rejection};
use crate::state::{
    CountedFile, DAYS_KEPT, FleetState, HOURS_KEPT_DAYS, HostAccounting, SeriesChange, Span,
};

/// Most batches of one entry.
pub(crate) const BATCHES: usize = 4096;
/// Most rows of one entry. Each is read and written a few times while it is applied.
pub(crate) const ROWS: usize = 8192;
/// Gaps of one host that are kept, the newest ones.
const GAPS: usize = 64;

impl Verb for RecordStatistics {
    fn name(&self) -> &'static str {
        "record-statistics"
    }

    fn object(&self) -> String {
        format!("{} batches", self.batches.len())
    }

    fn is_change_of_fleet(&self) -> bool {
        false
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("batches", self.batches.len(), BATCHES)?;
        let stretches = self.batches.iter().filter_map(|one| one.stretch.as_ref());
        let rows = stretches.map(|stretch| stretch.totals.len()).sum();
        at_most("batches.totals", rows, ROWS)?;
        let now = turn.now();
        let mut counted = rows::Counted::default();
        let mut changed = false;
        for batch in &self.batches {
            changed |= take(state, batch, now, &mut counted);
        }
        if !changed {
            return Ok(Change::NONE);
        }
        let rows = counted.into_rows();
        if !rows.is_empty() {
            turn.bodies
                .push(BodyChange::Series(SeriesChange::Add(rows)));
        }
        if let Some(prune) = prune(state, now) {
            turn.bodies.push(BodyChange::Series(prune));
        }
        Ok(Change::DONE)
    }
}

/// Takes one batch, and says whether it changed anything.
fn take(
    state: &mut FleetState,
    batch: &HostBatch,
    now: Timestamp,
    counted: &mut rows::Counted,
) -> bool {
    if state.live_host(&batch.host).is_none() {
        return false;
    }
    let known = state.accounting.hosts.get(&batch.host);
    let nothing = HostAccounting::default();
    let fits = |stretch| check::follows(known.map_or(&nothing, Arc::as_ref), stretch);
    if batch.stretch.as_ref().is_some_and(|stretch| !fits(stretch)) {
        return false;
    }
    // Taken out, not copied: a large host remembers much.
    let mut row = state
        .accounting
        .hosts
        .remove(&batch.host)
        .unwrap_or_default();
    let host = Arc::make_mut(&mut row);
    if let Some(stretch) = &batch.stretch {
        rows::count(state, &batch.host, host, stretch, now, counted);
        replies::note(state, &batch.host, stretch, now);
        let file = CountedFile {
            at: stretch.to,
            mark: stretch.mark,
            changed_at: now,
        };
        host.files.insert(stretch.file.clone(), file);
    }
    if let Some(gap) = batch.gap.filter(|gap| gap.from < gap.to) {
        host.gaps.insert(gap);
        while host.gaps.len() > GAPS {
            host.gaps.pop_first();
        }
    }
    // What a clock that is ahead of the fleet's says of later is not believed.
    let read_until = batch.read_until.map(|at| at.min(now));
    host.read_until = host.read_until.max(read_until);
    host.changed_at = now;
    // What is committed late says what was, not what is.
    let is_all_read = batch
        .read_until
        .is_some_and(|at| now.since(at) < Timestamp::DAY);
    files::forget(host, is_all_read, now);
    state.accounting.hosts.insert(batch.host.clone(), row);
    true
}

/// Once a day: lets go of what is kept no longer.
fn prune(state: &mut FleetState, now: Timestamp) -> Option<SeriesChange> {
    let today = Span::day_of(now);
    if today <= state.accounting.pruned {
        return None;
    }
    state.accounting.pruned = today;
    // Taken out, because what it says is held against the rest of the state.
    let mut hosts = std::mem::take(&mut state.accounting.hosts);
    hosts.retain(|_, host| now.since(host.changed_at) <= u64::from(DAYS_KEPT) * Timestamp::DAY);
    owners::review(state, &mut hosts, now);
    hosts.change_each(|_, host| Arc::make_mut(host).groups.clear());
    state.accounting.hosts = hosts;
    Some(SeriesChange::Prune {
        day: first_day(today),
        hour: first_hour(today),
    })
}

/// First day that is kept.
pub(super) const fn first_day(today: u32) -> u32 {
    today.saturating_sub(DAYS_KEPT - 1)
}

/// First hour that is kept.
pub(super) const fn first_hour(today: u32) -> u32 {
    today.saturating_sub(HOURS_KEPT_DAYS - 1) * 24
}
