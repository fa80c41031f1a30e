//! `acct.csv` is written as `acct-YYYY-MM-DD-NNNN.csv`, one after the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fields;
use super::record::Record;
use crate::clock;
use crate::config::AccountingFile;

/// A series of files of one `<acct-file>`.
#[derive(Debug)]
pub(super) struct Series {
    file: AccountingFile,
    columns: Vec<String>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    handle: File,
    day: String,
    since: i64,
    size: u64,
}

impl Series {
    pub(super) fn new(file: AccountingFile) -> Self {
        Self {
            columns: fields::columns(&file),
            file,
            open: None,
        }
    }

    pub(super) fn target(&self) -> &str {
        &self.file.target
    }

    pub(super) fn has_header_of(&self, other: &Self) -> bool {
        self.file.target == other.file.target && self.columns == other.columns
    }

    /// Takes the open file of the series as it was before a reload.
    pub(super) fn go_on_with(&mut self, before: &mut Self) {
        self.open = before.open.take();
    }

    /// Makes the file, so that it is there with its header before the first event.
    pub(super) fn start(&mut self, now: i64) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.begin(now)?);
            self.sweep(now);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        if self.is_over(record.at) {
            self.rotate()?;
        }
        self.start(record.at)?;
        let row = fields::row(&self.file, &self.columns, record);
        let line = csv_line(&row)?;
        if let Some(open) = &mut self.open {
            open.handle.write_all(&line)?;
            open.size += line.len() as u64;
            if self.file.settings.flag("sync").unwrap_or(false) {
                open.handle.sync_data()?;
            }
        }
        Ok(())
    }

    /// The day changed, the file is full, or its time is over.
    fn is_over(&self, now: i64) -> bool {
        let Some(open) = &self.open else { return false };
        let most = self
            .file
            .settings
            .count("max-size")
            .flatten()
            .unwrap_or(250 << 20);
        let interval = self.file.settings.time("move-interval").flatten();
        let interval = interval.unwrap_or(Duration::from_secs(86_400));
        let moves = self.file.settings.has("move-to");
        open.day != clock::day(now)
            || open.size >= most
            || moves && now - open.since >= crate::queue::millis(interval)
    }

    /// Closes the file and moves it when a place is named; the next record begins another.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if let (Some(folder), Some(name)) =
            (self.file.settings.written("move-to"), open.path.file_name())
        {
            fs::rename(&open.path, Path::new(folder).join(name))?;
        }
        Ok(())
    }

    fn begin(&self, now: i64) -> io::Result<Open> {
        let base = Path::new(&self.file.target);
        let stem = base
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let extension = base.extension().map_or_else(String::new, |extension| {
            format!(".{}", extension.to_string_lossy())
        });
        let day = clock::day(now);
        let moved = self.file.settings.written("move-to").map(Path::new);
        let mode = if self.file.settings.flag("world-readable").unwrap_or(false) {
            0o644
        } else {
            0o640
        };
        for number in 0..10_000 {
            let name = format!("{stem}-{day}-{number:04}{extension}");
            let path = base.with_file_name(&name);
            if moved.is_some_and(|folder| folder.join(&name).exists()) {
                continue;
            }
            let made = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(mode)
                .open(&path);
            match made {
                Ok(mut handle) => {
                    let header = csv_line(&self.columns)?;
                    handle.write_all(&header)?;
                    return Ok(Open {
                        path,
                        handle,
                        day,
                        since: now,
                        size: header.len() as u64,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("all numbers of the day are taken"))
    }

    /// `delete-after` acts only on files that are not moved elsewhere.
    fn sweep(&self, now: i64) {
        let after = self.file.settings.time("delete-after");
        let Some(after) = after.unwrap_or(Some(Duration::from_secs(8 * 86_400))) else {
            return;
        };
        if self.file.settings.has("move-to") {
            return;
        }
        let base = Path::new(&self.file.target);
        let stem = base
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let oldest = clock::day(now - crate::queue::millis(after));
        let Ok(entries) = fs::read_dir(base.parent().unwrap_or_else(|| Path::new("/"))) else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let day = name
                .strip_prefix(&format!("{stem}-"))
                .and_then(|rest| rest.get(..10));
            if day.is_some_and(|day| looks_like_a_day(day) && day < oldest.as_str()) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    pub(super) fn wants(&self, record: &Record) -> bool {
        wants(&self.file, record)
    }
}

fn looks_like_a_day(text: &str) -> bool {
    text.len() == 10 && text.chars().all(|c| c.is_ascii_digit() || c == '-')
}

/// Whether a file takes a record, by its type and its queue.
pub(super) fn wants(file: &AccountingFile, record: &Record) -> bool {
    if !file.records.iter().any(|kind| kind == record.kind) {
        return false;
    }
    let Some(filter) = file.settings.list("queue-filter") else {
        return true;
    };
    let queue = crate::queue::QueueKey::parse(record.field("queue"));
    let mut only_negated = true;
    for name in filter {
        let negated = name.strip_prefix('!');
        only_negated &= negated.is_some();
        if crate::queue::QueueKey::parse(negated.unwrap_or(name)).means(&queue) {
            return negated.is_none();
        }
    }
    only_negated
}

/// RFC 4180: quotes where needed, CR LF at the end.
pub(super) fn csv_line<T: AsRef<[u8]>>(row: &[T]) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer.write_record(row).map_err(io::Error::other)?;
    writer
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))
}
