//! What is counted of files as they grow.

use std::fs;

use email_engine_protocol::limits;
use email_engine_protocol::observed::Counts;
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use super::super::STEP_BYTES;
use super::{
    Bed, FIRST, HEADER, NOW, SECOND, answered, deferred, delivered, discarded, next, row, row_at,
};

#[test]
fn a_file_is_read_as_it_grows_and_half_a_line_is_waited_for() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.read(&mut books);
    bed.append(FIRST, HEADER);
    bed.read(&mut books);
    let line = delivered(1);
    let (half, rest) = line.split_at(30);
    bed.append(FIRST, &(delivered(2) + half));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 1);
    bed.append(FIRST, rest);
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 2);
    assert_eq!(bed.position(&books, FIRST), bed.length(FIRST));
}

#[test]
fn nothing_is_read_before_the_cluster_says_where_to_begin() {
    let bed = Bed::new();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    let mut books = super::Books::open(&bed.cabinet());
    bed.step(&mut books);
    books.begin_session();
    bed.step(&mut books);
    assert_eq!(next(&mut books), None);
    books.take_cursors(bed.cluster.cursors());
    bed.step(&mut books);
    assert!(next(&mut books).is_some());
}

#[test]
fn rotation_renaming_and_a_name_that_is_used_again_are_told_apart() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    bed.append(FIRST, &delivered(1));
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(2)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 3);
    // The same file under another name, also for an agent that knows nothing.
    let other = "acct-2026-11-21-0007.csv";
    fs::rename(bed.path(SECOND), bed.path(other)).unwrap();
    bed.read(&mut books);
    let mut books = bed.life();
    bed.append(other, &delivered(2));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 4);
    // Another file under the same name.
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(3) + &delivered(3)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 6);
    // The same file with another inode, as a copy that was moved back.
    fs::copy(bed.path(FIRST), bed.path("copy")).unwrap();
    fs::rename(bed.path("copy"), bed.path(FIRST)).unwrap();
    bed.append(FIRST, &delivered(3));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 7);
    // Deleted files keep what was counted.
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 7);
}

#[test]
fn a_header_that_changes_within_a_file_changes_how_it_is_read_also_in_the_next_life() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let other = "vmta,type,orig,timeLogged\nvmta-2,d,x@example.com,1795240800\n";
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1) + other));
    bed.read(&mut books);
    let mut books = bed.life();
    bed.append(FIRST, "vmta-3,d,x@example.com,1795240800\n");
    bed.read(&mut books);
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(3)));
    bed.read(&mut books);
    let counted: Vec<u64> = bed.cluster.rows.values().map(|row| row.delivered).collect();
    assert_eq!(counted, [1, 1, 2]);
    assert!(books.notices().is_empty(), "{:?}", books.notices());
}

#[test]
fn what_cannot_be_read_or_is_nobodys_is_counted_and_said() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let text = HEADER.to_owned()
        + &delivered(9)
        + "garbage\n"
        + &row("zz", "a@example.com", "vmta-1")
        + &row("tq", "", "")
        + &delivered(1);
    bed.append(FIRST, &text);
    fs::create_dir(bed.path("acct-2026-11-21-0099.csv")).unwrap();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 1);
    assert_eq!(
        bed.cluster.read_until,
        Some(NOW),
        "what is no file hides none"
    );
    let notices = books.notices();
    let unmatched = notices.unmatched.clone().unwrap();
    assert_eq!((unmatched.count, &unmatched.of[..]), (1, "vmta-9"));
    let unreadable = notices.unreadable.clone().unwrap();
    assert_eq!(unreadable.count, 3);
    let reasons: Vec<&str> = unreadable
        .most
        .iter()
        .map(|(reason, _)| &reason[..])
        .collect();
    for part in [
        "1 fields, its header has 9",
        "type \"zz\"",
        "is not a regular file",
    ] {
        assert!(
            reasons.iter().any(|reason| reason.contains(part)),
            "{part}: {reasons:?}"
        );
    }
}

#[test]
fn bounces_of_two_files_are_counted_from_one() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let bounce = row("b", "bounce@mail1.example.com", "vmta-1");
    let returned = row("rb", "bounce@mail2.example.com", "").replace("other", "bad-mailbox");
    bed.append(FIRST, &(HEADER.to_owned() + &bounce));
    let feedback = "feedback-2026-11-21-0000.csv";
    bed.append(feedback, &(HEADER.to_owned() + &bounce + &returned));
    bed.read(&mut books);
    let counts: Vec<_> = bed
        .cluster
        .rows
        .values()
        .map(|row| (row.sent, row.returned, row.bounced))
        .collect();
    assert_eq!(counts, [(1, 0, 0), (0, 1, 1)]);
}

#[test]
fn records_are_counted_by_the_receivers_of_the_catalogue() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let to_gmail = delivered(1).replace("r@rcpt.example", "r@Gmail.com");
    bed.append(
        FIRST,
        &(HEADER.to_owned() + &to_gmail + &to_gmail + &delivered(1)),
    );
    bed.read(&mut books);
    let of = |group: &str| {
        let mut rows = bed.cluster.rows.iter();
        let row = rows.find(|((_, _, own), _)| own.as_str() == group);
        row.map_or(0, |(_, counts)| counts.delivered)
    };
    assert_eq!((of("gmail"), of("other")), (2, 1));
}

#[test]
fn a_backlog_is_read_in_bounded_steps() {
    let mut bed = Bed::new();
    let long = format!("{}@rcpt.example", "r".repeat(20_000));
    let line = delivered(1).replace("r@rcpt.example", &long);
    let lines = 3 * usize::try_from(STEP_BYTES).unwrap() / line.len();
    bed.append(FIRST, &(HEADER.to_owned() + &line.repeat(lines)));
    let mut books = bed.life();
    let mut before = 0;
    let mut steps = 1;
    while bed.step(&mut books).more {
        let position = bed.position(&books, FIRST);
        assert!(position - before <= STEP_BYTES);
        before = position;
        steps += 1;
    }
    assert!(steps >= 3, "{steps}");
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), lines as u64);
}

#[test]
fn more_rows_than_a_batch_holds_are_told_one_batch_after_the_other() {
    let mut bed = Bed::new();
    let hours = u64::try_from(limits::STATISTICS_ROWS).unwrap() * 2 + 5;
    let mut text = HEADER.to_owned();
    for hour in 0..hours {
        let at = Timestamp(NOW.0 - hour * Timestamp::HOUR);
        text += &row_at(at, "d", "b@mail1.example.com", "vmta-1");
    }
    bed.append(FIRST, &text);
    let mut books = bed.life();
    let step = bed.step(&mut books);
    assert!(step.waits_for_room && !step.more);
    let batch = next(&mut books).unwrap();
    let stretch = batch.stretch.as_ref().unwrap();
    assert_eq!(stretch.totals.len(), limits::STATISTICS_ROWS);
    assert_eq!(batch.read_until, None, "not all is read");
    assert_eq!(next(&mut books), None, "one at a time");
    answered(&mut books, bed.cluster.take(&batch));
    while bed.step(&mut books).waits_for_room {
        bed.read(&mut books);
    }
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), hours);
    assert_eq!(bed.cluster.read_until, Some(NOW));
}

#[test]
fn that_everything_was_read_is_told_once_an_hour_also_without_mail() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.read_until, Some(NOW));
    bed.now = NOW.plus(Timestamp::HOUR - 1);
    bed.step(&mut books);
    assert_eq!(next(&mut books), None);
    bed.now = NOW.plus(Timestamp::HOUR);
    bed.read(&mut books);
    assert_eq!(bed.cluster.read_until, Some(bed.now));
    // What nobody sent changes no count, and is said all the same.
    bed.append(FIRST, &(HEADER.to_owned() + &discarded("a@example.net")));
    bed.step(&mut books);
    let batch = next(&mut books).unwrap();
    assert!(batch.stretch.unwrap().totals.is_empty());
    assert_eq!(batch.notices.unknown_senders.unwrap().count, 1);
}

#[test]
fn a_message_that_is_deferred_again_is_known_also_in_the_next_life() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &deferred(1) + &deferred(2)));
    bed.read(&mut books);
    let mut books = bed.life();
    bed.append(FIRST, &(deferred(1) + &deferred(3)));
    bed.read(&mut books);
    let wanted = Counts {
        deferred: 3,
        ..Counts::NONE
    };
    assert_eq!(bed.cluster.total(), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut bed = Bed::new();
        fs::write(bed.path(FIRST), &bytes).unwrap();
        let mut books = bed.life();
        bed.read(&mut books);
        prop_assert!(bed.cluster.rows.is_empty());
    }
}
