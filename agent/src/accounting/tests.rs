//! Real files, written as the product writes them, and agents that die at any step.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::desired::{AccountingSpec, HostPath};
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::{IdentityTotals, StatisticsBatch};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use super::names::tests::spec;
use super::telling::Session;
use super::{Books, STEP_BYTES};
use crate::host::{Cabinet, Rooted};

const NOW: Timestamp = Timestamp(1_795_240_800_000);
const HEADER: &str = "type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta\r\n";
const FIRST: &str = "acct-2026-11-21-0000.csv";
const SECOND: &str = "acct-2026-11-21-0001.csv";

/// A machine with a log folder and an agent's own folder.
struct Bed {
    dir: tempfile::TempDir,
    files: Rooted,
    spec: AccountingSpec,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/log")).unwrap();
        Self {
            files: Rooted::open(&dir.path().join("root")).unwrap(),
            dir,
            spec: spec(3),
        }
    }

    fn cabinet(&self) -> Cabinet {
        Cabinet::open(&self.dir.path().join("agent")).unwrap()
    }

    /// The books as a new life of the agent finds them.
    fn books(&self) -> Books {
        Books::open(&self.cabinet())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root/log").join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until nothing is left.
    fn read(&self, books: &mut Books) {
        while books
            .step(&self.files, &self.cabinet(), &self.spec, NOW)
            .unwrap()
            .more
        {}
    }

    fn position(&self, books: &Books, name: &str) -> u64 {
        books
            .position(&HostPath::new("/log/acct.csv").unwrap(), name)
            .unwrap()
    }
}

fn delivered(vmta: u8) -> String {
    row(
        "d",
        &format!("bounce@mail{vmta}.example.com"),
        &format!("vmta-{vmta}"),
    )
}

fn discarded(sender: &str) -> String {
    row("b", sender, "reject-client")
}

fn row(kind: &str, sender: &str, vmta: &str) -> String {
    format!(
        "{kind},2026-11-21 06:00:00+0000,2026-11-21 05:59:00+0000,{sender},r@rcpt.example,other,,{vmta}\r\n"
    )
}

/// What a coordinator knows that hears all of it, in a session of its own.
fn told(books: &mut Books) -> Vec<IdentityTotals> {
    books.begin_session();
    let mut all: Vec<IdentityTotals> = Vec::new();
    while let Some(batch) = next(books) {
        assert_eq!(batch.from, 0, "a session begins with everything");
        for row in &batch.totals {
            match all
                .iter_mut()
                .find(|own| (own.address, own.hour) == (row.address, row.hour))
            {
                Some(own) => own.add(row),
                None => all.push(*row),
            }
        }
        books.answered(&batch.file, batch.to);
    }
    all
}

fn next(books: &mut Books) -> Option<StatisticsBatch> {
    let host = HostId::new("pmta1").unwrap();
    books.next_batch(Session {
        cluster: ClusterId([1; 16]),
        host: &host,
        nonce: Nonce([2; 16]),
    })
}

fn deliveries(books: &mut Books) -> u64 {
    told(books).iter().map(|row| row.delivered).sum()
}

#[test]
fn a_file_is_read_as_it_grows_and_half_a_line_is_waited_for() {
    let bed = Bed::new();
    let mut books = bed.books();
    bed.read(&mut books);
    bed.append(FIRST, HEADER);
    bed.read(&mut books);
    let line = delivered(1);
    let (half, rest) = line.split_at(30);
    bed.append(FIRST, &(delivered(2) + half));
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 1);
    bed.append(FIRST, rest);
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 2);
    assert_eq!(
        bed.position(&books, FIRST),
        fs::metadata(bed.path(FIRST)).unwrap().len()
    );
}

#[test]
fn an_agent_that_ends_in_the_middle_of_a_file_counts_nothing_twice_and_loses_nothing() {
    let bed = Bed::new();
    bed.append(
        FIRST,
        &(HEADER.to_owned() + &delivered(1) + &discarded("a@example.net")),
    );
    let mut books = bed.books();
    bed.read(&mut books);
    drop(books);
    // The columns of the header are remembered too: the rest is read without it.
    bed.append(FIRST, &(delivered(1) + &discarded("b@example.org")));
    let mut books = bed.books();
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 2);
    let unknown = books.notices().unknown_senders.clone().unwrap();
    assert_eq!((unknown.count, &unknown.of[..]), (2, "example.org"));
    assert!(books.notices().unreadable.is_none());
}

#[test]
fn a_crash_or_full_disk_at_any_write_counts_everything_once() {
    for steps in 0..40 {
        let bed = Bed::new();
        bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
        let cabinet = bed.cabinet();
        let mut books = Books::open(&cabinet);
        books.step(&bed.files, &cabinet, &bed.spec, NOW).unwrap();
        cabinet.die_after(steps);
        bed.append(FIRST, &(delivered(2) + &discarded("x@example.net")));
        let died = books.step(&bed.files, &cabinet, &bed.spec, NOW).is_err();
        // What could not be written is still counted once in this life.
        assert_eq!(deliveries(&mut books), 2, "{steps}");
        let mut books = bed.books();
        bed.read(&mut books);
        assert_eq!(deliveries(&mut books), 2, "{steps}");
        assert_eq!(
            books.notices().unknown_senders.as_ref().unwrap().count,
            1,
            "{steps}"
        );
        if !died {
            return;
        }
    }
    panic!("writing never succeeded");
}

#[test]
fn rotation_renaming_and_a_name_that_is_used_again_are_told_apart() {
    let bed = Bed::new();
    let mut books = bed.books();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    bed.append(FIRST, &delivered(1));
    bed.append(SECOND, &(HEADER.to_owned() + &delivered(2)));
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 3);
    // The same file under another name.
    fs::rename(bed.path(SECOND), bed.path("acct-2026-11-21-0007.csv")).unwrap();
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 3);
    // Another file under the same name.
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(3) + &delivered(3)));
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 5);
    // The same file with another inode, as a copy that was moved back.
    fs::copy(bed.path(FIRST), bed.path("copy")).unwrap();
    fs::rename(bed.path("copy"), bed.path(FIRST)).unwrap();
    bed.append(FIRST, &delivered(3));
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 6);
    // Deleted files keep what was counted.
    fs::remove_file(bed.path(FIRST)).unwrap();
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 6);
}

#[test]
fn a_file_that_lost_its_end_is_read_on_from_there() {
    let bed = Bed::new();
    let mut books = bed.books();
    let kept = HEADER.to_owned() + &delivered(1);
    bed.append(FIRST, &(kept.clone() + &delivered(2)));
    bed.read(&mut books);
    let file = OpenOptions::new()
        .write(true)
        .open(bed.path(FIRST))
        .unwrap();
    file.set_len(kept.len() as u64).unwrap();
    bed.read(&mut books);
    bed.append(FIRST, &delivered(3));
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 3);
    // Emptied and begun anew: another file.
    file.set_len(0).unwrap();
    bed.read(&mut books);
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(2)));
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 4);
}

#[test]
fn a_header_that_changes_within_a_file_changes_how_it_is_read() {
    let bed = Bed::new();
    let mut books = bed.books();
    let other = "vmta,type,orig,timeLogged\nvmta-2,d,x@example.com,1795240800\n";
    bed.append(
        FIRST,
        &(HEADER.to_owned() + &delivered(1) + other + HEADER + &delivered(3)),
    );
    bed.read(&mut books);
    let rows = told(&mut books);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.delivered == 1), "{rows:?}");
    assert!(books.notices().is_empty(), "{:?}", books.notices());
}

#[test]
fn what_cannot_be_read_or_is_nobodys_is_counted_and_said() {
    let bed = Bed::new();
    let mut books = bed.books();
    let text = HEADER.to_owned()
        + &delivered(9)
        + "garbage\n"
        + &row("zz", "a@example.com", "vmta-1")
        + &row("tq", "", "")
        + &delivered(1);
    bed.append(FIRST, &text);
    fs::create_dir(bed.path("acct-2026-11-21-0099.csv")).unwrap();
    bed.read(&mut books);
    assert_eq!(deliveries(&mut books), 1);
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
        "1 fields, its header has 8",
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
    let bed = Bed::new();
    let mut books = bed.books();
    let bounce = row("b", "bounce@mail1.example.com", "vmta-1");
    let returned = row("rb", "bounce@mail2.example.com", "").replace("other", "bad-mailbox");
    bed.append(FIRST, &(HEADER.to_owned() + &bounce));
    let feedback = "feedback-2026-11-21-0000.csv";
    bed.append(feedback, &(HEADER.to_owned() + &bounce + &returned));
    bed.read(&mut books);
    let rows = told(&mut books);
    let counts: Vec<_> = rows
        .iter()
        .map(|row| (row.sent, row.returned, row.bounced))
        .collect();
    assert_eq!(counts, [(1, 0, 0), (0, 1, 1)]);
}

#[test]
fn a_backlog_is_read_in_bounded_steps() {
    let bed = Bed::new();
    let long = format!("{}@rcpt.example", "r".repeat(20_000));
    let line = delivered(1).replace("r@rcpt.example", &long);
    let lines = 3 * usize::try_from(STEP_BYTES).unwrap() / line.len();
    bed.append(FIRST, &(HEADER.to_owned() + &line.repeat(lines)));
    let mut books = bed.books();
    let mut steps = 0;
    let mut before = 0;
    loop {
        let more = books
            .step(&bed.files, &bed.cabinet(), &bed.spec, NOW)
            .unwrap()
            .more;
        let position = bed.position(&books, FIRST);
        assert!(position - before <= STEP_BYTES);
        before = position;
        steps += 1;
        if !more {
            break;
        }
    }
    assert!(steps >= 3, "{steps}");
    assert_eq!(deliveries(&mut books), lines as u64);
}

#[test]
fn a_session_hears_everything_and_then_only_what_is_new() {
    let bed = Bed::new();
    let mut books = bed.books();
    bed.append(FIRST, &(HEADER.to_owned() + &delivered(1)));
    bed.read(&mut books);
    let whole = next(&mut books).unwrap();
    assert_eq!((whole.from, whole.totals[0].delivered), (0, 1));
    // The next one waits for the answer, whatever happens meanwhile.
    bed.append(FIRST, &delivered(1));
    bed.read(&mut books);
    assert_eq!(next(&mut books), None);
    books.answered(&whole.file, whole.to);
    let more = next(&mut books).unwrap();
    assert_eq!((more.from, more.totals[0].delivered), (whole.to, 1));
    // Whoever has lost count hears everything again.
    books.answered(&more.file, 3);
    let again = next(&mut books).unwrap();
    assert_eq!(
        (again.from, again.to, again.totals[0].delivered),
        (0, more.to, 2)
    );
    books.answered(&again.file, again.to);
    assert_eq!(next(&mut books), None);
    // What nobody sent changes no count, and is said all the same.
    bed.append(FIRST, &discarded("a@example.net"));
    bed.read(&mut books);
    let notice = next(&mut books).unwrap();
    assert_eq!((notice.from, notice.totals.len()), (more.to, 0));
    assert_eq!(notice.notices.unknown_senders.unwrap().count, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the pieces in which a file is written, and whenever the agent begins a new life.
    #[test]
    fn pieces_and_lives_of_any_size_count_every_record_once(
        kinds in prop::collection::vec(0_u8..4, 1..30),
        cuts in prop::collection::vec((0_usize..400, any::<bool>()), 0..12),
    ) {
        let bed = Bed::new();
        let mut text = HEADER.to_owned();
        for kind in &kinds {
            text += &match kind {
                0 => discarded("q\"uoted@example.net").replace("q\"uoted@example.net", "\"a,\r\n\"\"b\"\"@example.net\""),
                vmta => delivered(*vmta),
            };
        }
        let mut books = bed.books();
        let mut rest = &text[..];
        for (length, dies) in cuts {
            let (now, later) = rest.split_at(length.min(rest.len()));
            bed.append(FIRST, now);
            rest = later;
            bed.read(&mut books);
            if dies {
                books = bed.books();
            }
        }
        bed.append(FIRST, rest);
        bed.read(&mut books);
        let strangers = kinds.iter().filter(|kind| **kind == 0).count() as u64;
        prop_assert_eq!(deliveries(&mut books), kinds.len() as u64 - strangers);
        let noticed = books.notices().unknown_senders.as_ref().map_or(0, |notice| notice.count);
        prop_assert_eq!(noticed, strangers);
        prop_assert!(books.notices().unreadable.is_none());
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let bed = Bed::new();
        fs::write(bed.path(FIRST), &bytes).unwrap();
        let mut books = bed.books();
        bed.read(&mut books);
        prop_assert!(told(&mut books).is_empty());
    }
}
