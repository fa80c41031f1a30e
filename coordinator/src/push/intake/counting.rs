//! What agents counted, on its way into the log: batches of many hosts become one entry.
//!
//! An entry goes out at most once in [`EVERY`], so that the log grows with time and not with mail, unless
//! more waits than one entry holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::command::{Command, HostBatch, RecordStatistics, STATISTICS_BATCHES, STATISTICS_ROWS};
use crate::push::{Fleet, Push, metric_names, proposal};

/// Between two entries of this node.
const EVERY: Duration = Duration::from_secs(1);
/// Batches that wait; who comes then waits for a place.
const WAITING: usize = 1024;

/// The way in. A cheap clone.
#[derive(Clone, Debug)]
pub(in crate::push) struct Counting(mpsc::Sender<Said>);

/// What one agent said.
#[derive(Debug)]
pub(in crate::push) struct Said {
    batch: HostBatch,
    /// Told when it is in the log; dropped when it will not be for now.
    done: oneshot::Sender<()>,
}

/// A new line to wait in.
pub(in crate::push) fn line() -> (Counting, mpsc::Receiver<Said>) {
    let (queue, waiting) = mpsc::channel(WAITING);
    (Counting(queue), waiting)
}

impl Counting {
    /// Brings a batch into the log, and says whether it is there. What came of it is in the state
    /// afterwards, where the file's cursor tells: nothing, when it began elsewhere.
    pub(in crate::push) async fn count(&self, batch: HostBatch) -> bool {
        let (done, settled) = oneshot::channel();
        self.0.send(Said { batch, done }).await.is_ok() && settled.await.is_ok()
    }
}

/// One entry that grows.
#[derive(Debug, Default)]
struct Entry {
    said: Vec<Said>,
    rows: usize,
}

impl Entry {
    /// Takes a batch, or gives back what has no place any more.
    fn take(&mut self, said: Said) -> Option<Said> {
        let rows = said.batch.stretch.as_ref();
        let rows = rows.map_or(0, |stretch| stretch.totals.len());
        let is_full = self.said.len() >= STATISTICS_BATCHES || self.rows + rows > STATISTICS_ROWS;
        if is_full && !self.said.is_empty() {
            return Some(said);
        }
        self.rows += rows;
        self.said.push(said);
        None
    }
}

/// Runs until nobody has the way in.
pub(in crate::push) async fn run<F: Fleet>(push: Arc<Push<F>>, mut waiting: mpsc::Receiver<Said>) {
    let mut left_over = None;
    let mut next = Instant::now();
    loop {
        let mut entry = Entry::default();
        match left_over.take() {
            Some(said) => left_over = entry.take(said),
            None => {
                let Some(first) = waiting.recv().await else {
                    return;
                };
                left_over = entry.take(first);
                sleep_until(next).await;
            }
        }
        while left_over.is_none()
            && let Ok(said) = waiting.try_recv()
        {
            left_over = entry.take(said);
        }
        next = Instant::now() + EVERY;
        record(&push, entry).await;
    }
}

async fn record<F: Fleet>(push: &Push<F>, entry: Entry) {
    let (batches, done): (Vec<_>, Vec<_>) = entry
        .said
        .into_iter()
        .map(|said| (said.batch, said.done))
        .unzip();
    let actor = format!("node {}", push.fleet.node());
    let command = Command::RecordStatistics(RecordStatistics { batches });
    let proposal = proposal(&push.fleet, actor, "hosts counted mail", command);
    let reason = match push.fleet.propose(proposal).await {
        Ok(Ok(_)) => {
            metrics::counter!(metric_names::STATISTICS_RECORDED).increment(1);
            for done in done {
                // Its session may have ended.
                let _ = done.send(());
            }
            return;
        }
        Ok(Err(rejection)) => rejection.to_string(),
        Err(error) => error.to_string(),
    };
    // Agents say it again from wherever the cursors stand by then.
    tracing::info!(reason, hosts = done.len(), "statistics not recorded");
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::HostId;

    use super::*;

    fn said() -> Said {
        let batch = HostBatch {
            host: HostId::new("pmta1").unwrap(),
            stretch: None,
            gap: None,
            read_until: None,
        };
        let (done, _) = oneshot::channel();
        Said { batch, done }
    }

    #[test]
    fn an_entry_takes_what_fits_and_gives_the_rest_back() {
        let mut entry = Entry::default();
        for _ in 0..STATISTICS_BATCHES {
            assert!(entry.take(said()).is_none());
        }
        assert!(entry.take(said()).is_some());
    }
}
