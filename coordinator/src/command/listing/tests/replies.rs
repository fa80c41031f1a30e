//! Replies that name lists: kept with what was counted, asked about once, and evidence for a day.

use email_engine_protocol::id::ListId;
use email_engine_protocol::observed::ListReplies;
use email_engine_protocol::time::Timestamp;

use super::{MINUTES, record};
use crate::command::fixture::listing::{list, observer, run, sighting, subject, sweep};
use crate::command::fixture::{Fleet, address, host_id, identity, replies, statistics};
use crate::command::{
    AddIdentity, Command, HostBatch, RecordListings, RecordStatistics, RetireIdentity, RunEnd,
};
use crate::fleet::listing::{
    APART_MILLIS, EVIDENCE_MILLIS, REPLIES_KEPT_MILLIS, asked_for_by_replies, replies_naming,
};
use crate::state::Replies;

const DELAY: u64 = 2 * MINUTES;

/// Stretches of one file, one after the other.
struct Files {
    fleet: Fleet,
    at: u64,
}

impl Files {
    fn of(fleet: Fleet) -> Self {
        Self { fleet, at: 0 }
    }

    fn batch(&mut self, told: Vec<ListReplies>) -> HostBatch {
        let mut batch = statistics(self.at, self.at + 100, 1);
        self.at += 100;
        batch.stretch.as_mut().unwrap().replies = told;
        batch
    }

    fn tell(&mut self, told: Vec<ListReplies>) {
        let batches = vec![self.batch(told)];
        let command = Command::RecordStatistics(RecordStatistics { batches });
        self.fleet.accept(command);
    }

    /// One pair is named now.
    fn name(&mut self, at: u32, list: &str) {
        let now = self.fleet.now();
        self.tell(vec![replies(at, list, now)]);
    }

    fn row(&self, at: u32, name: &str) -> &Replies {
        &self.fleet.state.listings.replies[&address(at)][&list(name)]
    }

    /// Whom lists are to be asked about now.
    fn wanted(&self) -> Vec<(String, Vec<String>)> {
        let wanted = asked_for_by_replies(&self.fleet.state, DELAY, self.fleet.now());
        let of = |(list, subjects): (ListId, std::collections::BTreeSet<_>)| {
            let subjects = subjects.iter().map(ToString::to_string).collect();
            (list.to_string(), subjects)
        };
        wanted.into_iter().map(of).collect()
    }

    fn asked(&mut self, run: RecordListings) {
        self.fleet.accept(record(run));
    }
}

#[test]
fn replies_are_added_once_and_are_evidence_for_a_day() {
    let mut files = Files::of(Fleet::with_identities(2));
    let now = files.fleet.now();
    let batch = files.batch(vec![replies(0, "psbl", now)]);
    // The same batch again is of a cursor that has moved on.
    for _ in 0..3 {
        let batches = vec![batch.clone(), batch.clone()];
        files
            .fleet
            .accept(Command::RecordStatistics(RecordStatistics { batches }));
    }
    assert_eq!(files.row(0, "psbl").count, 2);
    files.fleet.wait(MINUTES);
    files.name(0, "psbl");
    let row = files.row(0, "psbl");
    assert_eq!((row.count, &row.sample[..]), (4, "550 blocked using psbl"));
    assert!(row.first < row.last);
    let last = row.last;
    let naming = |at: u32, name: &str, now| {
        let psbl = list(name);
        replies_naming(&files.fleet.state, address(at), &psbl, now).map(|row| row.count)
    };
    assert_eq!(naming(0, "psbl", last.plus(EVIDENCE_MILLIS)), Some(4));
    assert_eq!(naming(0, "psbl", last.plus(EVIDENCE_MILLIS + 1)), None);
    assert_eq!(naming(0, "spamcop", last), None);
    assert_eq!(naming(1, "psbl", last), None);
    assert_eq!(naming(9, "psbl", last), None);
}

#[test]
fn a_list_is_asked_two_minutes_after_and_not_again_within_the_hour() {
    let mut files = Files::of(Fleet::with_identities(2));
    files.name(0, "psbl");
    assert!(files.wanted().is_empty());
    // More of them do not put it off.
    files.fleet.wait(DELAY - 1_000);
    files.name(0, "psbl");
    files.fleet.wait(2_000);
    let wanted = || vec![("psbl".to_owned(), vec![address(0).to_string()])];
    assert_eq!(files.wanted(), wanted());
    // What is said of others, by others, or by a list that is ill, is no answer.
    files.asked(run(None, "psbl", 1, &[1]));
    files.asked(run(None, "spamcop", 1, &[0]));
    let end = run(None, "psbl", 1, &[]).end;
    files.asked(RecordListings {
        end: end.map(|end| RunEnd {
            trouble: Some("it does not answer".to_owned()),
            ..end
        }),
        ..run(None, "psbl", 1, &[])
    });
    assert_eq!(files.wanted(), wanted());
    let clean = RecordListings {
        clean: [subject(0)].into(),
        ..run(None, "psbl", 1, &[])
    };
    files.asked(clean);
    assert!(files.wanted().is_empty());
    assert!(files.row(0, "psbl").checked_at.is_some());
    files.name(0, "psbl");
    files.fleet.wait(APART_MILLIS - MINUTES);
    assert!(files.wanted().is_empty());
    files.fleet.wait(MINUTES);
    assert_eq!(files.wanted(), wanted());
    // That it is listed is an answer as well; another pair of eyes confirms it as ever.
    files.asked(RecordListings {
        observer: observer(2),
        listed: vec![sighting(0)],
        ..run(None, "psbl", 1, &[])
    });
    assert!(files.wanted().is_empty());
    assert!(files.fleet.state.listings.rows[&subject(0)][&list("psbl")].is_open());
}

#[test]
fn a_sweep_that_began_after_the_reply_answers_it_and_an_earlier_one_does_not() {
    let mut files = Files::of(Fleet::with_identities(1));
    let begin = sweep(&files.fleet, 1);
    files.fleet.accept(begin);
    files.fleet.wait(1_000);
    files.name(0, "one");
    files.asked(run(Some(1), "one", 1, &[]));
    assert!(files.row(0, "one").wanted_since.is_some());
    let begin = sweep(&files.fleet, 1);
    files.fleet.accept(begin);
    files.asked(run(Some(2), "one", 1, &[]));
    assert_eq!(files.row(0, "one").wanted_since, None);
}

#[test]
fn a_list_of_names_is_asked_about_the_names() {
    let mut files = Files::of(Fleet::with_identities(1));
    files.tell(vec![
        replies(0, "spamhaus-dbl", files.fleet.now()),
        replies(0, "surbl", files.fleet.now()),
    ]);
    files.fleet.wait(DELAY);
    let spec = identity(0);
    let (domain, zone) = (spec.domain.to_string(), spec.zone.to_string());
    let wanted = files.wanted();
    assert!(wanted[0].1.contains(&domain), "{wanted:?}");
    assert_eq!(wanted[1], ("surbl".to_owned(), vec![zone.clone()]));
    let clean = [crate::dnsbl::query::Subject::Name(zone)].into();
    files.asked(RecordListings {
        clean,
        ..run(None, "surbl", 1, &[])
    });
    assert_eq!(files.wanted().len(), 1);
}

#[test]
fn a_host_speaks_of_its_own_identities_and_of_no_earlier_owner() {
    let mut files = Files::of(Fleet::with_identities(1));
    files
        .fleet
        .declare("pmta2", email_engine_protocol::id::Role::Powermta, 5);
    let mut other = files.batch(vec![replies(0, "psbl", files.fleet.now())]);
    other.host = host_id("pmta2");
    let batches = vec![other];
    files
        .fleet
        .accept(Command::RecordStatistics(RecordStatistics { batches }));
    assert!(files.fleet.state.listings.replies.is_empty());

    files.at = 0;
    files.name(0, "psbl");
    let before = files.row(0, "psbl").last;
    let address = address(0);
    files
        .fleet
        .accept(Command::RetireIdentity(RetireIdentity { address }));
    files.fleet.wait(MINUTES);
    files
        .fleet
        .accept(Command::AddIdentity(AddIdentity::of(identity(0))));
    let now = files.fleet.now();
    assert_eq!(
        replies_naming(&files.fleet.state, address, &list("psbl"), now),
        None
    );
    files.tell(vec![replies(0, "psbl", before)]);
    assert_eq!(
        files.row(0, "psbl").count,
        2,
        "what came to the former one is not added"
    );
    files.fleet.wait(MINUTES);
    files.name(0, "psbl");
    assert_eq!(files.row(0, "psbl").count, 2, "it begins anew");
}

#[test]
fn what_is_old_is_no_evidence_and_is_forgotten_and_clocks_ahead_are_not_believed() {
    let mut files = Files::of(Fleet::with_identities(3));
    for _ in 0..8 {
        files.fleet.wait(Timestamp::DAY - 1_000);
        let begin = sweep(&files.fleet, 1);
        files.fleet.accept(begin);
    }
    let now = files.fleet.now();
    let before = |millis: u64| Timestamp(now.0 - millis);
    files.tell(vec![
        replies(0, "psbl", before(2 * Timestamp::DAY)),
        replies(1, "psbl", now.plus(Timestamp::DAY)),
        replies(2, "psbl", before(REPLIES_KEPT_MILLIS + 1_000)),
    ]);
    assert_eq!(files.row(0, "psbl").wanted_since, None);
    assert!(files.row(1, "psbl").last <= files.fleet.now());
    assert!(!files.fleet.state.listings.replies.contains_key(&address(2)));
    for _ in 0..6 {
        files.fleet.wait(Timestamp::DAY - 1_000);
        let begin = sweep(&files.fleet, 1);
        files.fleet.accept(begin);
    }
    let left = files.fleet.state.listings.replies.keys();
    assert_eq!(left.collect::<Vec<_>>(), [&address(1)]);
}
