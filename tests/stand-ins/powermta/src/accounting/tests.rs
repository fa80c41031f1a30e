//! Files and pipes over days that a test chooses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::files::Series;
use super::pipe::Pipe;
use super::record::Record;
use crate::clock;
use crate::config::{AccountingFile, Config};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A time after which the day has hours left, wherever the test runs.
fn morning() -> i64 {
    let mut hours = (0..24).map(|hour| 1_600_000_000_000 + hour * HOUR);
    let early = |at: &i64| clock::day(*at) == clock::day(at + 3 * HOUR);
    hours.find(early).unwrap()
}

struct Bed {
    folder: TempDir,
}

impl Bed {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The only `<acct-file>` of a configuration; `DIR` stands for the folder.
    fn file(&self, target: &str, lines: &str) -> AccountingFile {
        let text = format!(
            "log-file /x/log\n<spool /x>\n</spool>\n<acct-file {target}>\nrecords d\n\
             record-fields d orig,dsnDiag\n{lines}\n</acct-file>\n"
        );
        let config = self.path("config");
        let folder = self.folder.path().display().to_string();
        fs::write(&config, text.replace("DIR", &folder)).unwrap();
        Config::read(&config).unwrap().accounting.remove(0)
    }

    fn series(&self, lines: &str) -> Series {
        Series::new(self.file("DIR/acct.csv", lines))
    }

    /// Names of the files in a folder below.
    fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".csv"))
            .collect();
        names.sort();
        names
    }
}

fn event(at: i64, diagnostic: &str) -> Record {
    Record::new("d", at)
        .with("orig", "a@x.example")
        .with("dsnDiag", diagnostic)
}

fn name(at: i64, number: usize) -> String {
    format!("acct-{}-{number:04}.csv", clock::day(at))
}

#[test]
fn a_new_day_is_a_new_file_that_begins_at_zero() {
    let bed = Bed::new();
    let mut series = bed.series("");
    for at in [morning(), morning() + 1, morning() + DAY] {
        series.write(&event(at, "x")).unwrap();
    }
    assert_eq!(
        bed.names(""),
        [name(morning(), 0), name(morning() + DAY, 0)]
    );
    let first = fs::read_to_string(bed.path(&name(morning(), 0))).unwrap();
    assert_eq!(
        first,
        "type,orig,dsnDiag\r\nd,a@x.example,x\r\nd,a@x.example,x\r\n"
    );
}

#[test]
fn a_full_file_is_followed_by_the_next_number() {
    let bed = Bed::new();
    let mut series = bed.series("max-size 1M");
    let large = "x".repeat(600 << 10);
    for _ in 0..3 {
        series.write(&event(morning(), &large)).unwrap();
    }
    assert_eq!(bed.names(""), [name(morning(), 0), name(morning(), 1)]);
    let lines = |number| {
        let text = fs::read_to_string(bed.path(&name(morning(), number))).unwrap();
        text.lines().count()
    };
    assert_eq!((lines(0), lines(1)), (3, 2), "a record is never cut");
}

#[test]
fn a_file_moves_after_its_interval_and_its_number_is_not_used_again() {
    let bed = Bed::new();
    fs::create_dir(bed.path("moved")).unwrap();
    let mut series = bed.series("move-to DIR/moved\nmove-interval 1h");
    for at in [morning(), morning() + HOUR - 1, morning() + HOUR] {
        series.write(&event(at, "x")).unwrap();
    }
    assert_eq!(bed.names("moved"), [name(morning(), 0)]);
    assert_eq!(bed.names(""), [name(morning(), 1)]);
    let moved = fs::read_to_string(bed.path("moved").join(name(morning(), 0))).unwrap();
    assert_eq!(moved.lines().count(), 3);
}

#[test]
fn without_a_place_to_move_to_the_interval_is_ignored() {
    let bed = Bed::new();
    let mut series = bed.series("move-interval 1h");
    for at in [morning(), morning() + 2 * HOUR] {
        series.write(&event(at, "x")).unwrap();
    }
    assert_eq!(bed.names(""), [name(morning(), 0)]);
}

#[test]
fn old_files_go_after_their_days_unless_they_are_kept_or_moved() {
    let old = name(morning() - 9 * DAY, 0);
    let young = name(morning() - 7 * DAY, 0);
    for (lines, kept) in [
        ("", vec![young.clone()]),
        ("delete-after 6d", vec![]),
        ("delete-after never", vec![old.clone(), young.clone()]),
        (
            "delete-after 6d\nmove-to DIR/moved",
            vec![old.clone(), young.clone()],
        ),
    ] {
        let bed = Bed::new();
        for file in [&old, &young, &"other-2000-01-01-0000.csv".to_owned()] {
            fs::write(bed.path(file), "").unwrap();
        }
        bed.series(lines).start(morning()).unwrap();
        let mut wanted = kept;
        wanted.push(name(morning(), 0));
        wanted.push("other-2000-01-01-0000.csv".to_owned());
        assert_eq!(bed.names(""), wanted, "{lines}");
    }
}

#[test]
fn a_file_is_for_its_owner_and_group_unless_the_world_may_read() {
    for (lines, mode) in [("", 0o640), ("world-readable yes", 0o644)] {
        let bed = Bed::new();
        bed.series(lines).start(morning()).unwrap();
        let found = fs::metadata(bed.path(&name(morning(), 0)))
            .unwrap()
            .permissions();
        assert_eq!(found.mode() & 0o777, mode, "{lines}");
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn until(why: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "gave up: {why}"
        );
        yield_now();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_pipe_gets_the_header_and_then_each_record() {
    let bed = Bed::new();
    program(&bed.path("take"), "exec cat > \"$1\"");
    let mut pipe = Pipe::new(bed.file("\"|DIR/take DIR/taken\"", ""));
    pipe.start(morning()).unwrap();
    pipe.write(&event(morning(), "x")).unwrap();
    pipe.write(&event(morning(), "a, b")).unwrap();
    drop(pipe);
    let wanted = "type,orig,dsnDiag\r\nd,a@x.example,x\r\nd,a@x.example,\"a, b\"\r\n";
    until("everything is taken", || read(&bed.path("taken")) == wanted);
}

#[test]
fn a_broken_pipe_loses_records_until_its_program_is_started_again() {
    let bed = Bed::new();
    // The first time it takes the header and ends.
    program(
        &bed.path("take"),
        "if [ -e \"$1\" ]; then exec cat > \"$1.2\"; fi\nhead -n 1 > \"$1\"",
    );
    let mut pipe = Pipe::new(bed.file("\"|DIR/take DIR/taken\"", "retry-interval 1m"));
    pipe.start(morning()).unwrap();
    let mut fault = String::new();
    until("the end of the program is seen", || {
        let written = pipe.write(&event(morning(), "early"));
        written.is_err_and(|error| {
            fault = error.to_string();
            true
        })
    });
    assert!(fault.starts_with("Error writing to \""), "{fault}");
    pipe.write(&event(morning() + 59_999, "lost")).unwrap();
    assert!(!bed.path("taken.2").exists());
    pipe.write(&event(morning() + 60_000, "late")).unwrap();
    drop(pipe);
    let wanted = "type,orig,dsnDiag\r\nd,a@x.example,late\r\n";
    until("the second takes what is late", || {
        read(&bed.path("taken.2")) == wanted
    });
}

#[test]
fn a_program_that_is_not_there_is_a_fault_and_no_end() {
    let bed = Bed::new();
    let mut pipe = Pipe::new(bed.file("\"|DIR/none --flag\"", ""));
    let fault = pipe.start(morning()).unwrap_err().to_string();
    assert!(fault.starts_with("Error starting \""), "{fault}");
    pipe.write(&event(morning(), "lost")).unwrap();
}
