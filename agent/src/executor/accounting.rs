//! When accounting files are read, and when the cluster is told.

use std::time::{Duration, Instant};

use email_engine_protocol::observed::{AccountingCursors, FileCursor, ResourceStatus};

use super::core::{Core, now};
use crate::accounting::Books;
use crate::accounting::posting::Posting;
use crate::accounting::telling::Session;
use crate::halves::FromExecutor;
use crate::host::Cabinet;

/// Between two looks, when nothing is left to read: so often at most the cluster is told as well.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The books, and when they are looked into next.
#[derive(Debug)]
pub(super) struct Accounting {
    books: Books,
    /// What applications are told of the same files.
    posting: Posting,
    next: Instant,
    /// Reading goes on when something was told.
    waits_for_room: bool,
}

impl Accounting {
    pub(super) fn open(cabinet: &Cabinet) -> Self {
        Self {
            books: Books::open(cabinet),
            posting: Posting::open(cabinet, now()),
            next: Instant::now(),
            waits_for_room: false,
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
            Ok(step) => {
                self.accounting.waits_for_room = step.waits_for_room;
                if step.more {
                    self.accounting.next = Instant::now();
                }
            }
            Err(error) => tracing::error!(%error, "notices of accounting are not durable"),
        }
        let names = self.accounting.books.names();
        let at = (now(), Instant::now());
        let step = self.accounting.posting.step(files, spec, names, at);
        if step.more && step.posts.is_empty() {
            self.accounting.next = Instant::now();
        }
        for (number, post) in step.posts {
            let post = Box::new(post);
            self.outbox.say(FromExecutor::PostWanted { number, post });
        }
        self.tell_statistics();
        self.report_changes();
    }

    /// What became of a post: the next one follows at once.
    pub(super) fn posted(&mut self, number: u64, answer: Result<u16, String>) {
        let at = (now(), Instant::now());
        let kept = self
            .accounting
            .posting
            .answered(number, answer, &self.cabinet, at);
        if let Err(error) = kept {
            tracing::error!(%error, "what was posted is not durable");
        }
        self.accounting.next = Instant::now();
        self.report_changes();
    }

    /// Applications that take no posts.
    pub(super) fn unposted(&self) -> Vec<ResourceStatus> {
        self.accounting.posting.statuses()
    }

    /// A session begins: nothing is told until the cluster says what it has.
    pub(super) fn begin_statistics(&mut self) {
        self.accounting.books.begin_session();
    }

    /// The cluster says up to where it counted: reading begins there, at once.
    pub(super) fn take_cursors(&mut self, cursors: AccountingCursors) {
        self.accounting.books.take_cursors(cursors);
        self.accounting.next = Instant::now();
    }

    /// What came to nothing is said again at the next look, and not before: whoever could not count it now
    /// is not asked without pause.
    pub(super) fn statistics_answered(&mut self, is_counted: bool, cursor: Option<FileCursor>) {
        self.accounting.books.answered(is_counted, cursor);
        self.tell_statistics();
        if self.accounting.waits_for_room && is_counted {
            self.accounting.next = Instant::now();
        }
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
