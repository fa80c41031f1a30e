//! Where reading begins when files or agents are not what they were.

use std::collections::BTreeSet;
use std::fs;

use email_engine_protocol::observed::Gap;
use email_engine_protocol::time::Timestamp;

use super::{Bed, FIRST, HEADER, NOW, SECOND, delivered, row_at};

const MINUTE: u64 = 60 * Timestamp::SECOND;

fn later(minutes: u64) -> String {
    let at = NOW.plus(minutes * MINUTE);
    row_at(at, "d", "b@mail1.example.com", "vmta-1")
}

#[test]
fn a_file_that_lost_its_end_is_read_on_from_there() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let kept = HEADER.to_owned() + &delivered(1);
    bed.append(FIRST, &(kept.clone() + &delivered(2)));
    bed.read(&mut books);
    bed.cut(FIRST, kept.len());
    bed.read(&mut books);
    bed.append(FIRST, &delivered(3));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 3);
    // Emptied and begun anew: another file.
    bed.cut(FIRST, 0);
    bed.read(&mut books);
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(2)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 4);
}

#[test]
fn a_machine_that_was_rolled_back_counts_what_it_sends_since_and_nothing_twice() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let then = HEADER.to_owned() + &delivered(1) + &later(1);
    bed.append(FIRST, &then);
    bed.read(&mut books);
    bed.append(FIRST, &(later(2) + &later(3)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 4);
    // The disk is as it was two records ago, the agent's own folder with it. What it sends then makes the
    // file longer than what was counted before anybody looks.
    bed.cut(FIRST, then.len());
    bed.append(FIRST, &(later(10) + &later(11) + &later(12)));
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 7);
    bed.append(FIRST, &later(13));
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 8);
}

#[test]
fn a_rolled_back_file_that_is_still_shorter_goes_on_from_its_end() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let then = HEADER.to_owned() + &delivered(1);
    bed.append(FIRST, &(then.clone() + &later(1) + &later(2)));
    bed.read(&mut books);
    bed.cut(FIRST, then.len());
    let mut books = bed.life();
    bed.read(&mut books);
    let cursor = bed.cluster.cursors.values().next().unwrap();
    assert_eq!(cursor.at, then.len() as u64, "the cluster's cursor follows");
    // Though it is dated as what was counted: its place says that it is new.
    bed.append(FIRST, &later(1));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 4);
}

#[test]
fn a_clock_that_is_set_back_by_days_and_right_again_loses_no_record() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    // What was written by the old clock is read by the new one, and what comes next is dated before it.
    bed.now = Timestamp(NOW.0 - 3 * Timestamp::DAY);
    let back = row_at(bed.now, "d", "b@mail1.example.com", "vmta-1");
    bed.append(FIRST, &(later(5) + &back));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 3);
    let mut books = bed.life();
    bed.append(FIRST, &(later(6) + &back));
    bed.read(&mut books);
    bed.now = NOW.plus(10 * MINUTE);
    bed.append(FIRST, &later(7));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 6);
    let hours: BTreeSet<_> = bed.cluster.rows.keys().map(|row| row.1).collect();
    let dated = [bed.now, Timestamp(NOW.0 - 3 * Timestamp::DAY)];
    let dated = dated.map(|at| u32::try_from(at.0 / (60 * MINUTE)).unwrap());
    assert_eq!(hours, BTreeSet::from(dated), "each where it is dated");
    assert!(bed.cluster.gaps.is_empty(), "{:?}", bed.cluster.gaps);
}

#[test]
fn a_record_that_is_dated_ahead_is_counted_once_and_orders_nothing() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    let then = HEADER.to_owned() + &delivered(1) + &later(2 * 24 * 60) + &later(1);
    bed.append(FIRST, &(then.clone() + &later(2)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 4);
    // Rolled back by a record: what stands before it was counted, the one from the future too.
    bed.cut(FIRST, then.len());
    bed.append(FIRST, &(later(10) + &later(11)));
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 6);
    // And a file that goes unread leaves a gap that begins with what was read, not in the future.
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.now = NOW.plus(10 * Timestamp::DAY);
    bed.append(SECOND, &(HEADER.to_owned() + &later(10 * 24 * 60)));
    let mut books = bed.life();
    bed.read(&mut books);
    let gap = Gap {
        from: NOW.plus(11 * MINUTE),
        to: bed.now,
    };
    assert_eq!(bed.cluster.gaps, [gap]);
}

#[test]
fn a_file_that_appears_late_is_counted_from_its_beginning() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(2)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 2);
    assert!(bed.cluster.gaps.is_empty());
}

#[test]
fn a_file_whose_cursor_was_forgotten_is_left_alone() {
    let mut bed = Bed::new();
    let floors = &mut bed.cluster.floors;
    floors.insert("acct".to_owned(), FIRST.to_owned());
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(1)));
    let mut books = bed.life();
    bed.read(&mut books);
    bed.append(FIRST, &delivered(1));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 1);
}

#[test]
fn files_that_went_while_the_host_was_away_are_a_gap() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    fs::remove_file(bed.path(FIRST)).unwrap();
    let back = 10 * 24 * 60;
    bed.now = NOW.plus(back * MINUTE);
    bed.append(SECOND, &(HEADER.to_owned() + &later(back - 5)));
    let mut books = bed.life();
    bed.read(&mut books);
    let gap = Gap {
        from: NOW,
        to: NOW.plus((back - 5) * MINUTE),
    };
    assert_eq!(bed.cluster.gaps, [gap]);
    // Once.
    let mut books = bed.life();
    bed.append(SECOND, &later(back));
    bed.read(&mut books);
    assert_eq!(bed.cluster.gaps, [gap]);
    assert_eq!(bed.cluster.delivered(), 3);
}

#[test]
fn files_that_went_after_they_were_read_are_no_gap() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    // Days without mail, while the agent looks each hour.
    bed.now = NOW.plus(9 * Timestamp::DAY);
    bed.read(&mut books);
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.append(SECOND, &(HEADER.to_owned() + &later(9 * 24 * 60)));
    let mut books = bed.life();
    bed.read(&mut books);
    assert!(bed.cluster.gaps.is_empty(), "{:?}", bed.cluster.gaps);
    assert_eq!(bed.cluster.delivered(), 2);
}
