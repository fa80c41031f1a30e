//! Records into the standard input of a program.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::fields;
use super::files::{csv_line, wants};
use super::record::Record;
use crate::config::AccountingFile;

/// A program of one `<acct-file |PROGRAM>`.
#[derive(Debug)]
pub(super) struct Pipe {
    file: AccountingFile,
    columns: Vec<String>,
    child: Option<Child>,
    broken_at: Option<i64>,
}

impl Pipe {
    pub(super) fn new(file: AccountingFile) -> Self {
        Self {
            columns: fields::columns(&file),
            file,
            child: None,
            broken_at: None,
        }
    }

    pub(super) fn wants(&self, record: &Record) -> bool {
        wants(&self.file, record)
    }

    /// Starts the program unless it broke a moment ago; the first line is the header.
    pub(super) fn start(&mut self, now: i64) -> io::Result<()> {
        let interval = self.file.settings.time("retry-interval").flatten();
        let interval = crate::queue::millis(interval.unwrap_or(Duration::from_secs(300)));
        let waits = self.broken_at.is_some_and(|at| at + interval > now);
        if self.child.is_some() || waits {
            return Ok(());
        }
        let mut words = self.file.target.trim_start_matches('|').split_whitespace();
        let child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| self.broke(now, "starting", &error))?;
        self.child = Some(child);
        self.broken_at = None;
        let header = csv_line(&self.columns)?;
        self.send(&header, now)
    }

    /// While the pipe is broken, records are lost; the guide says so.
    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        self.start(record.at)?;
        let line = csv_line(&fields::row(&self.file, &self.columns, record))?;
        self.send(&line, record.at)
    }

    fn send(&mut self, line: &[u8], now: i64) -> io::Result<()> {
        let Some(stdin) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) else {
            return Ok(());
        };
        let sent = stdin.write_all(line).and_then(|()| stdin.flush());
        sent.map_err(|error| self.broke(now, "writing to", &error))
    }

    /// `Error TYPE "CMD": DETAILS`, as the guide has it in the log.
    fn broke(&mut self, now: i64, what: &str, error: &io::Error) -> io::Error {
        self.stop();
        self.broken_at = Some(now);
        let command = self.file.target.trim_start_matches('|').trim();
        io::Error::other(format!("Error {what} \"{command}\": {error}"))
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            drop(child.try_wait());
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.stop();
    }
}
