//! Agents that die, are wiped, lose answers, and meet a full disk.

use std::fs;

use proptest::prelude::*;

use super::super::Books;
use super::{Bed, FIRST, HEADER, SECOND, answered, delivered, discarded, next};

#[test]
fn an_agent_that_ends_in_the_middle_of_a_file_counts_nothing_twice_and_loses_nothing() {
    let mut bed = Bed::new();
    bed.append(
        FIRST,
        &(HEADER.to_owned() + &delivered(1) + &discarded("a@example.net")),
    );
    let mut books = bed.life();
    bed.read(&mut books);
    drop(books);
    bed.append(FIRST, &(delivered(1) + &discarded("b@example.org")));
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 2);
    let unknown = books.notices().unknown_senders.clone().unwrap();
    assert_eq!((unknown.count, &unknown.of[..]), (2, "example.org"));
    assert!(books.notices().unreadable.is_none());
}

#[test]
fn a_wiped_agent_loses_and_doubles_nothing_while_files_are_there() {
    let mut bed = Bed::new();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1) + &delivered(2)));
    let mut books = bed.life();
    bed.read(&mut books);
    fs::remove_dir_all(bed.dir.path().join("agent")).unwrap();
    bed.append(FIRST, &delivered(1));
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(3)));
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 4);
}

#[test]
fn a_crash_or_full_disk_at_any_write_counts_everything_once() {
    for steps in 0..40 {
        let mut bed = Bed::new();
        bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
        let cabinet = bed.cabinet();
        let mut books = Books::open(&cabinet);
        bed.begin_session(&mut books);
        books
            .step(&bed.files, &cabinet, &bed.spec, bed.now)
            .unwrap();
        cabinet.die_after(steps);
        bed.append(FIRST, &(delivered(2) + &discarded("x@example.net")));
        let died = books
            .step(&bed.files, &cabinet, &bed.spec, bed.now)
            .is_err();
        // What could not be written is told all the same.
        while let Some(batch) = next(&mut books) {
            answered(&mut books, bed.cluster.take(&batch));
        }
        assert_eq!(bed.cluster.delivered(), 2, "{steps}");
        let mut books = bed.life();
        bed.append(FIRST, &discarded("y@example.net"));
        bed.read(&mut books);
        assert_eq!(bed.cluster.delivered(), 2, "{steps}");
        let noticed = books.notices().unknown_senders.as_ref().unwrap().count;
        assert!(noticed == 2 || (died && noticed == 1), "{steps}: {noticed}");
        if !died {
            return;
        }
    }
    panic!("writing never succeeded");
}

#[test]
fn an_answer_that_never_came_is_asked_for_by_the_next_session() {
    let mut bed = Bed::new();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    let mut books = bed.life();
    bed.step(&mut books);
    let lost = next(&mut books).unwrap();
    assert_eq!(next(&mut books), None, "the next one waits for the answer");
    // It was not counted: it is told again.
    bed.begin_session(&mut books);
    bed.step(&mut books);
    let again = next(&mut books).unwrap();
    assert_eq!(again.stretch, lost.stretch);
    // It was counted, and nobody said so: it is not told again.
    bed.cluster.take(&again);
    bed.begin_session(&mut books);
    bed.append(FIRST, &delivered(2));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 2);
    // A late double of it changes nothing, and sets the agent right.
    bed.cluster.take(&lost);
    assert_eq!(bed.cluster.delivered(), 2);
}

#[test]
fn an_agent_that_was_told_too_little_is_set_right_by_the_answer() {
    let mut bed = Bed::new();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    let behind = bed.cluster.cursors();
    let mut books = bed.life();
    bed.read(&mut books);
    let mut books = Books::open(&bed.cabinet());
    books.begin_session();
    books.take_cursors(behind);
    bed.append(FIRST, &delivered(2));
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), 2);
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    /// The product writes so many more bytes of what it has to write.
    Write(usize),
    /// The agent looks, and tells what it has.
    Read,
    /// The agent looks; what it tells is counted, and the answer is lost with the session.
    LoseAnswer,
    /// The same, and it is not counted either.
    LoseBatch,
    /// The agent looks; what it tells is refused, and the session lives.
    Refuse,
    /// The agent is killed and begins a new life.
    Kill,
    /// And its folder is gone.
    Wipe,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_usize..400).prop_map(Event::Write),
        4 => Just(Event::Read),
        1 => Just(Event::LoseAnswer),
        1 => Just(Event::LoseBatch),
        2 => Just(Event::Refuse),
        1 => Just(Event::Kill),
        1 => Just(Event::Wipe),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the pieces in which files are written, and whoever dies when.
    #[test]
    fn every_record_is_counted_once_whoever_dies_when(
        kinds in prop::collection::vec(0_u8..4, 1..30),
        events in prop::collection::vec(events(), 0..24),
    ) {
        let mut bed = Bed::new();
        let mut text = HEADER.to_owned();
        for kind in &kinds {
            text += &match kind {
                0 => discarded("q\"uoted@example.net").replace("q\"uoted@example.net", "\"a,\r\n\"\"b\"\"@example.net\""),
                vmta => delivered(*vmta),
            };
        }
        let mut books = bed.life();
        let mut rest = &text[..];
        for event in events {
            match event {
                Event::Write(length) => {
                    let (now, later) = rest.split_at(length.min(rest.len()));
                    bed.append(FIRST, now);
                    rest = later;
                }
                Event::Read => bed.read(&mut books),
                Event::LoseAnswer | Event::LoseBatch => {
                    bed.step(&mut books);
                    if let Some(batch) = next(&mut books)
                        && matches!(event, Event::LoseAnswer)
                    {
                        bed.cluster.take(&batch);
                    }
                    bed.begin_session(&mut books);
                }
                Event::Refuse => {
                    bed.step(&mut books);
                    if let Some(batch) = next(&mut books) {
                        answered(&mut books, bed.cluster.refuse(&batch));
                    }
                }
                Event::Kill => books = bed.life(),
                Event::Wipe => {
                    fs::remove_dir_all(bed.dir.path().join("agent")).ok();
                    books = bed.life();
                }
            }
        }
        bed.append(FIRST, rest);
        bed.read(&mut books);
        let strangers = kinds.iter().filter(|kind| **kind == 0).count() as u64;
        prop_assert_eq!(bed.cluster.delivered(), kinds.len() as u64 - strangers);
        prop_assert!(books.notices().unreadable.is_none());
    }
}
