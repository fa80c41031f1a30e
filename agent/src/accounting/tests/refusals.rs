//! What is refused while the session lives, and what cannot be looked at: nothing of it counts as read.

use std::fs;

use email_engine_protocol::observed::Gap;
use email_engine_protocol::time::Timestamp;

use super::super::STEP_BYTES;
use super::{Bed, FIRST, HEADER, NOW, SECOND, answered, delivered, discarded, next, row_at};

/// A file of more than one step of reading.
fn long() -> String {
    let recipient = format!("{}@rcpt.example", "r".repeat(20_000));
    let line = delivered(1).replace("r@rcpt.example", &recipient);
    let lines = usize::try_from(STEP_BYTES).unwrap() / line.len() + 2;
    HEADER.to_owned() + &line.repeat(lines)
}

#[test]
fn what_was_refused_is_said_again_as_it_was_and_until_then_not_all_is_read() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &long());
    while bed.step(&mut books).more {}
    let said = next(&mut books).unwrap();
    assert_eq!(said.read_until, Some(NOW));
    answered(&mut books, bed.cluster.refuse(&said));
    assert_eq!(next(&mut books), None, "not without pause");
    // A new hour begins, and with it a word of how far was read.
    bed.now = NOW.plus(2 * Timestamp::HOUR);
    bed.append(FIRST, &delivered(2));
    assert!(!bed.step(&mut books).more, "nothing is read anew");
    let again = next(&mut books).unwrap();
    assert_eq!(again.stretch, said.stretch);
    assert_eq!(
        again.read_until, None,
        "more was read since, and is not told"
    );
    answered(&mut books, bed.cluster.take(&again));
    bed.read(&mut books);
    let lines = bed.cluster.delivered();
    assert_eq!(bed.cluster.read_until, Some(bed.now));
    // So too what is refused in one session and told in the next.
    bed.append(FIRST, &delivered(1));
    bed.step(&mut books);
    let said = next(&mut books).unwrap();
    answered(&mut books, bed.cluster.refuse(&said));
    bed.begin_session(&mut books);
    assert!(!bed.step(&mut books).more, "nothing is read anew");
    assert_eq!(next(&mut books).unwrap().stretch, said.stretch);
    bed.begin_session(&mut books);
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), lines + 1);
}

#[test]
fn nothing_is_read_up_to_a_time_while_a_file_must_be_read_anew() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.step(&mut books);
    let said = next(&mut books).unwrap();
    // Somebody counted another stretch meanwhile: this one can never be counted.
    let (_, cursor) = bed.cluster.take(&said);
    let mut other = cursor.unwrap();
    other.at -= 1;
    bed.cluster
        .cursors
        .insert(other.file.clone(), other.clone());
    bed.now = NOW.plus(2 * Timestamp::HOUR);
    bed.cluster.read_until = None;
    answered(&mut books, (false, Some(other)));
    let told = next(&mut books).and_then(|batch| batch.read_until);
    assert_eq!(told, None);
    bed.step(&mut books);
    let batch = next(&mut books).unwrap();
    assert!(batch.stretch.is_some());
    assert_eq!(batch.read_until, Some(bed.now), "it was read anew");
}

#[test]
fn that_all_was_read_is_told_until_it_is_known() {
    let bed = Bed::new();
    let mut books = bed.life();
    bed.step(&mut books);
    let word = next(&mut books).unwrap();
    assert_eq!((word.stretch.clone(), word.read_until), (None, Some(NOW)));
    answered(&mut books, bed.cluster.refuse(&word));
    bed.step(&mut books);
    assert_eq!(next(&mut books), Some(word));
}

#[test]
fn a_gap_is_told_until_it_is_known_also_in_the_next_session_and_life() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &long());
    assert!(bed.step(&mut books).more);
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.now = NOW.plus(Timestamp::HOUR);
    bed.step(&mut books);
    let gap = Gap {
        from: NOW,
        to: bed.now,
    };
    let first = next(&mut books).unwrap();
    assert_eq!(first.gap, Some(gap));
    answered(&mut books, bed.cluster.refuse(&first));
    bed.step(&mut books);
    assert_eq!(next(&mut books).unwrap().gap, Some(gap));
    bed.begin_session(&mut books);
    bed.step(&mut books);
    assert_eq!(next(&mut books).unwrap().gap, Some(gap));
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.gaps, [gap]);
    // And no more.
    let mut books = bed.life();
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.gaps.len(), 1);
}

#[test]
fn a_finished_file_with_a_torn_last_line_is_read_once() {
    let mut bed = Bed::new();
    bed.append(FIRST, &(long() + &delivered(1)[..20]));
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(2)));
    let mut books = bed.life();
    bed.read(&mut books);
    let counted = bed.cluster.delivered();
    for _ in 0..3 {
        assert!(!bed.step(&mut books).more, "it is read again");
    }
    bed.begin_session(&mut books);
    assert!(!bed.step(&mut books).more, "in the next session");
    // Its end comes after all.
    bed.append(FIRST, &delivered(1)[20..]);
    bed.read(&mut books);
    assert_eq!(bed.cluster.delivered(), counted + 1);
}

#[test]
fn more_files_than_one_look_takes_are_all_read_the_oldest_first() {
    let mut bed = Bed::new();
    let files = 530;
    for number in 0..files {
        let name = format!("acct-2026-11-21-{number:04}.csv");
        bed.append(&name, &(HEADER.to_owned() + &delivered(1)));
    }
    let mut books = bed.life();
    bed.step(&mut books);
    let batch = next(&mut books).unwrap();
    assert_eq!(batch.stretch.as_ref().unwrap().file.name, FIRST);
    let unreadable = batch.notices.unreadable.as_ref().unwrap();
    assert!(unreadable.of.contains("18 more files"), "{unreadable:?}");
    answered(&mut books, bed.cluster.take(&batch));
    while let Some(batch) = next(&mut books) {
        assert_eq!(batch.read_until, None);
        answered(&mut books, bed.cluster.take(&batch));
    }
    for _ in 0..2 {
        bed.read(&mut books);
    }
    assert_eq!(bed.cluster.delivered(), files);
    assert_eq!(bed.cluster.read_until, Some(NOW));
    assert!(bed.cluster.gaps.is_empty());
}

#[test]
fn a_folder_that_is_not_there_was_not_read() {
    let mut bed = Bed::new();
    let folder = bed.dir.path().join("root/log");
    fs::remove_dir(&folder).unwrap();
    let mut books = bed.life();
    bed.read(&mut books);
    assert_eq!(bed.cluster.read_until, None);
    assert!(books.notices().is_empty(), "the product is not there yet");
    fs::create_dir(&folder).unwrap();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    assert_eq!(bed.cluster.read_until, Some(NOW));
    // It is taken away, and comes back with what was sent meanwhile.
    let away = bed.dir.path().join("away");
    fs::rename(&folder, &away).unwrap();
    bed.begin_session(&mut books);
    bed.now = NOW.plus(3 * Timestamp::DAY);
    bed.read(&mut books);
    assert_eq!(bed.cluster.read_until, Some(NOW));
    let unreadable = books.notices().unreadable.clone().unwrap();
    assert!(unreadable.of.contains("is gone"), "{unreadable:?}");
    fs::rename(&away, &folder).unwrap();
    fs::remove_file(bed.path(FIRST)).unwrap();
    let first = bed.now.plus(0);
    bed.append(
        SECOND,
        &(HEADER.to_owned() + &row_at(first, "d", "b@mail1.example.com", "vmta-1")),
    );
    bed.append(SECOND, &discarded("a@example.net"));
    bed.read(&mut books);
    let gap = Gap {
        from: NOW,
        to: first,
    };
    assert_eq!(bed.cluster.gaps, [gap]);
}

#[test]
fn what_the_cluster_forgot_is_not_said_without_end() {
    let mut bed = Bed::new();
    let mut books = bed.life();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.step(&mut books);
    assert!(next(&mut books).unwrap().stretch.is_some());
    // It began elsewhere: the cluster had counted the file, and forgotten up to where.
    let floors = &mut bed.cluster.floors;
    floors.insert("acct".to_owned(), FIRST.to_owned());
    books.take_cursors(bed.cluster.cursors());
    bed.step(&mut books);
    assert_eq!(next(&mut books).and_then(|batch| batch.stretch), None);
}
