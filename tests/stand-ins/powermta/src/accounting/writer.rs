//! All accounting files of the configuration.

use super::files::Series;
use super::pipe::Pipe;
use super::record::Record;
use crate::config::Config;

/// Where records go.
#[derive(Debug, Default)]
pub(crate) struct Accounting {
    files: Vec<Series>,
    pipes: Vec<Pipe>,
}

impl Accounting {
    /// Opens what the configuration names; faults are for the log.
    ///
    /// A file whose header stays the same is written on; pipes are started anew.
    pub(crate) fn new(config: &Config, before: Self, now: i64) -> (Self, Vec<String>) {
        let mut own = Self::default();
        let mut before = before.files;
        for file in &config.accounting {
            if file.target.starts_with('|') {
                own.pipes.push(Pipe::new(file.clone()));
                continue;
            }
            let mut series = Series::new(file.clone());
            if let Some(same) = before.iter_mut().find(|old| old.has_header_of(&series)) {
                series.go_on_with(same);
            }
            own.files.push(series);
        }
        let mut faults = Vec::new();
        for file in &mut own.files {
            if let Err(error) = file.start(now) {
                faults.push(format!("accounting file {}: {error}", file.target()));
            }
        }
        for pipe in &mut own.pipes {
            if let Err(error) = pipe.start(now) {
                faults.push(error.to_string());
            }
        }
        (own, faults)
    }

    /// Writes a record wherever it is wanted.
    pub(crate) fn write(&mut self, record: &Record) -> Vec<String> {
        let mut faults = Vec::new();
        for file in self.files.iter_mut().filter(|file| file.wants(record)) {
            if let Err(error) = file.write(record) {
                faults.push(format!("accounting file {}: {error}", file.target()));
            }
        }
        for pipe in self.pipes.iter_mut().filter(|pipe| pipe.wants(record)) {
            if let Err(error) = pipe.write(record) {
                faults.push(error.to_string());
            }
        }
        faults
    }

    /// `rotate acct [file]`: how many were closed.
    pub(crate) fn rotate(&mut self, target: Option<&str>, now: i64) -> Result<usize, String> {
        let mut count = 0;
        for file in &mut self.files {
            if target.is_none_or(|wanted| wanted == file.target()) {
                file.rotate()
                    .and_then(|()| file.start(now))
                    .map_err(|error| format!("accounting file {}: {error}", file.target()))?;
                count += 1;
            }
        }
        Ok(count)
    }
}
