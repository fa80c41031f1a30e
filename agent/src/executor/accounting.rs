//! When accounting files are read, and when the cluster is told.

use std::time::{Duration, Instant};

use email_engine_protocol::observed::AccountingFileId;

use super::core::{Core, now};
use crate::accounting::Books;
use crate::accounting::telling::Session;
use crate::halves::FromExecutor;
use crate::host::Cabinet;

/// Between two looks, when nothing is left to read: so often at most the cluster is told as well.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The books, and when they are looked into next.
#[derive(Debug)]
pub(super) struct Accounting {
    books: Books,
    next: Instant,
}

impl Accounting {
    pub(super) fn open(cabinet: &Cabinet) -> Self {
        Self {
            books: Books::open(cabinet),
            next: Instant::now(),
        }
    }
}

impl Core {
    pub(super) const fn next_reading(&self) -> Instant {
        self.accounting.next
    }

    /// Reads a bounded stretch of what was written since, and tells what is new.
    pub(super) fn read_accounting(&mut self) {
        self.accounting.next = Instant::now() + READ_EVERY;
        let enforced = self.enforced.as_ref();
        let Some(spec) = enforced.and_then(|enforced| enforced.config.accounting.as_ref()) else {
            return;
        };
        let files = &self.reconciler.machine.files;
        match self
            .accounting
            .books
            .step(files, &self.cabinet, spec, now())
        {
            Ok(step) if step.more => self.accounting.next = Instant::now(),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "how far accounting was read is not durable"),
        }
        self.tell_statistics();
    }

    /// A session begins: it is told everything, beginning at once.
    pub(super) fn begin_statistics(&mut self) {
        self.accounting.books.begin_session();
        self.tell_statistics();
    }

    pub(super) fn statistics_stored(&mut self, file: &AccountingFileId, cursor: u64) {
        self.accounting.books.answered(file, cursor);
        self.tell_statistics();
    }

    fn tell_statistics(&mut self) {
        let (Some(session), Some(trust)) = (&self.session, &self.trust) else {
            return;
        };
        let session = Session {
            cluster: trust.cluster,
            host: &trust.host,
            nonce: session.nonce,
        };
        if let Some(batch) = self.accounting.books.next_batch(session) {
            let signed = self.keys.report.sign(&batch);
            self.outbox.say(FromExecutor::Statistics(signed));
        }
    }
}
