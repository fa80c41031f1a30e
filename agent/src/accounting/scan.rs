//! One pass over one file, record by record.
//!
//! It always begins at the file's first byte, because header lines and deferrals that stand there say how
//! later records are counted: so what is counted of a stretch depends on the file alone, and an agent that
//! has lost all that it knew counts the same.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::RecordKind;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{
    AccountingFileId, MailNotice, MailNotices, Mark, Stretch, TAIL_BYTES,
};
use email_engine_protocol::time::Timestamp;

use super::begin::Begin;
use super::counts::deferrals::Deferrals;
use super::counts::replies::Replies;
use super::counts::tally::Tally;
use super::line::columns::Columns;
use super::line::record::{self, Line, LineError, Record};
use super::line::split::{self, Cut};
use super::names::{Names, Whose};
use super::notices;

/// What a pass is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Catch { to: u64 },
    Seek { after: Timestamp, given_up: u64 },
    Count,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// First byte that was not read.
    pub(super) position: u64,
    /// By which records from there on are read.
    columns: Option<Columns>,
    deferrals: Deferrals,
    /// The latest time of a record so far.
    pub(super) last: Timestamp,
    /// The bytes before `position`.
    tail: Vec<u8>,
    aim: Aim,
    /// Where what is in `tally` begins.
    pub(super) from: u64,
    pub(super) instead_of: Option<u64>,
    pub(super) tally: Tally,
    /// Those of it that name a list of bad senders.
    pub(super) replies: Replies,
}

/// What records are judged by, and where notices go.
pub(super) struct Judge<'a> {
    pub(super) names: &'a Names,
    pub(super) notices: &'a mut MailNotices,
    pub(super) counted: &'a [RecordKind],
    pub(super) file: &'a AccountingFileId,
    /// Up to where an operator was told what is to be told.
    pub(super) noted: u64,
    pub(super) now: Timestamp,
}

impl Scan {
    /// A pass that begins so; none when there is nothing to read.
    pub(super) fn begin(begin: Begin) -> Option<Self> {
        let aim = match begin {
            Begin::Anew => Aim::Count,
            Begin::Catch { to } => Aim::Catch { to },
            Begin::Seek { after, given_up } => Aim::Seek { after, given_up },
            Begin::Rest | Begin::Skip => return None,
        };
        Some(Self {
            position: 0,
            columns: None,
            deferrals: Deferrals::default(),
            last: Timestamp(0),
            tail: Vec::new(),
            aim,
            from: 0,
            instead_of: None,
            tally: Tally::default(),
            replies: Replies::default(),
        })
    }

    /// Whether it counts what it reads, and not only looks for where that begins.
    pub(super) fn is_counting(&self) -> bool {
        self.aim == Aim::Count
    }

    /// Whether it has not found out where to begin.
    pub(super) fn is_seeking(&self) -> bool {
        matches!(self.aim, Aim::Seek { .. })
    }

    /// Whether it counted something that was not told.
    pub(super) fn has_news(&self) -> bool {
        self.is_counting() && (self.position != self.from || self.instead_of.is_some())
    }

    /// Knows `position` again.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            last: self.last,
            tail: ContentHash::of(&self.tail),
        }
    }

    /// Whether these bytes stood before `position`.
    pub(super) fn is_behind(&self, tail: &[u8]) -> bool {
        self.tail == tail
    }

    /// Takes what was counted and not told.
    pub(super) fn take(&mut self, file: &AccountingFileId) -> Option<Stretch> {
        if !self.has_news() {
            return None;
        }
        let stretch = Stretch {
            file: file.clone(),
            from: self.from,
            to: self.position,
            instead_of: self.instead_of.take(),
            mark: self.mark(),
            totals: std::mem::take(&mut self.tally).into_rows(),
            replies: std::mem::take(&mut self.replies).into_rows(),
        };
        self.from = self.position;
        Some(stretch)
    }

    /// Reads every whole record of the bytes at `position`, and moves on behind them; false when there
    /// was no room for what one of them counts. `is_end`: nothing stands behind them yet.
    pub(super) fn read(&mut self, bytes: &[u8], is_end: bool, judge: &mut Judge<'_>) -> bool {
        let mut rest = bytes;
        let mut has_room = true;
        loop {
            self.arrive();
            let length = match split::first(rest) {
                Cut::Unfinished => break,
                Cut::Record(length) => {
                    has_room = self.line(&rest[..length], judge);
                    length
                }
                Cut::TooLong(length) => {
                    self.fault(&LineError::TooLong, judge);
                    length
                }
            };
            if !has_room {
                break;
            }
            rest = &rest[length..];
            self.position += length as u64;
        }
        let read = bytes.len() - rest.len();
        self.remember(&bytes[..read]);
        if has_room && is_end {
            self.arrive();
            // Nothing later stands in what is left of it: what comes is new.
            if let Aim::Seek { given_up, .. } = self.aim {
                self.count_from_here(Some(given_up));
            }
        }
        has_room
    }

    fn remember(&mut self, read: &[u8]) {
        let kept = &read[read.len().saturating_sub(TAIL_BYTES)..];
        let surplus = (self.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(kept);
    }

    /// Begins to count where the cluster's cursor stands.
    fn arrive(&mut self) {
        if let Aim::Catch { to } = self.aim
            && self.position >= to
        {
            // A cursor that is at no record's end is not this file's.
            self.count_from_here((self.position != to).then_some(to));
        }
    }

    fn count_from_here(&mut self, instead_of: Option<u64>) {
        self.aim = Aim::Count;
        self.from = self.position;
        self.instead_of = instead_of;
    }

    fn line(&mut self, line: &[u8], judge: &mut Judge<'_>) -> bool {
        match record::read(line, self.columns.as_ref()) {
            Ok(Line::Header(columns)) => self.columns = Some(columns),
            Ok(Line::Record(record)) => return self.record(&record, judge),
            Ok(Line::Passed) => {}
            Err(error) => self.fault(&error, judge),
        }
        true
    }

    fn record(&mut self, record: &Record, judge: &mut Judge<'_>) -> bool {
        let is_by_now = record.is_by(judge.now);
        if let Aim::Seek { after, given_up } = self.aim
            && is_by_now
            && record.at > after
        {
            self.count_from_here(Some(given_up));
        }
        if judge.counted.contains(&record.kind) && !self.count(record, judge) {
            return false;
        }
        if is_by_now {
            self.last = self.last.max(record.at);
        }
        true
    }

    fn count(&mut self, record: &Record, judge: &mut Judge<'_>) -> bool {
        let is_deferral = record.kind == RecordKind::Deferred;
        let at = record.believed(judge.now);
        if !self.is_counting() {
            if is_deferral {
                self.deferrals.is_first(record.message);
            }
            return true;
        }
        match judge.names.whose(record) {
            Whose::Identity(address) => {
                let group = judge.names.group(record);
                let is_first = is_deferral && !self.deferrals.knows(record.message);
                let named = judge.names.list(record);
                // Nothing is counted of a record that has no room for all that it says.
                let has_room = |named| self.replies.has_room(address, named);
                if !named.as_ref().is_none_or(has_room)
                    || !self.tally.count(address, group, record, is_first)
                {
                    return false;
                }
                if let Some(named) = named {
                    self.replies.count(address, &named, at);
                }
            }
            Whose::UnknownSender(domain) => {
                self.note(|all| &mut all.unknown_senders, at, &domain, judge);
            }
            Whose::Nobody(name) => self.note(|all| &mut all.unmatched, at, &name, judge),
        }
        if is_deferral {
            self.deferrals.is_first(record.message);
        }
        true
    }

    fn fault(&self, error: &LineError, judge: &mut Judge<'_>) {
        let reason = readable(&format!("{}: {error}", judge.file.name));
        self.note(|all| &mut all.unreadable, judge.now, &reason, judge);
    }

    /// Notes something for an operator, unless an earlier life of the agent did.
    fn note(
        &self,
        which: impl Fn(&mut MailNotices) -> &mut Option<MailNotice>,
        at: Timestamp,
        of: &str,
        judge: &mut Judge<'_>,
    ) {
        if self.is_counting() && self.position >= judge.noted {
            notices::note(which(judge.notices), at, of);
        }
    }
}

/// A reason as a notice may carry it.
pub(super) fn readable(reason: &str) -> String {
    let cut = &reason[..reason.floor_char_boundary(limits::NOTICE_BYTES)];
    cut.replace(char::is_control, " ")
}
