//! What was done on this machine, one line each, on disk before and after every step.
//!
//! A run that was cut off is continued from it, and a removal knows by it what is ours. A line that
//! was cut off in the middle was never promised: it is dropped. Any other line that cannot be read
//! is damage, and is said.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::{History, Step};

/// Held by a run, beside the folder of journals.
pub const LOCK: &str = "lock";
/// Far above what thousands of runs write.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A line is not what was written.
    #[error(
        "journal {}, line {line}, is damaged: {problem}; what this installation is made of can no \
         longer be told. Move the journal away to go on without it: nothing but users and \
         configuration files is then left behind by `--uninstall`", path.display()
    )]
    Damaged {
        /// Which journal.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system refused.
    #[error("journal {} cannot be {doing}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To bring the machine in.
    Install,
    /// To take ours off it.
    Remove,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// These steps are to be taken.
    Planned {
        /// What for.
        purpose: Purpose,
        /// In order.
        steps: Vec<Step>,
    },
    /// A step is about to be taken.
    Begun {
        /// Which.
        step: Step,
    },
    /// A step was taken.
    Done {
        /// Which.
        step: Step,
        /// Hash of the bytes, when it wrote a file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wrote: Option<ContentHash>,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(flatten)]
    entry: Entry,
}

/// A journal that can be written to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

/// What the journal at this path says; nothing when there is none.
///
/// # Errors
/// When it is damaged or cannot be read.
pub fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
    let failed = |source| JournalError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = bytes[..whole].split(|byte| *byte == b'\n');
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| {
            let parsed: Result<Line, _> = serde_json::from_slice(line);
            parsed
                .map(|line| line.entry)
                .map_err(|error| JournalError::Damaged {
                    path: path.to_owned(),
                    line: at + 1,
                    problem: error.to_string(),
                })
        })
        .collect()
}

/// What it comes to.
#[must_use]
pub fn history(entries: &[Entry]) -> History {
    let mut history = History::default();
    for entry in entries {
        match entry {
            Entry::Planned { purpose, steps } => {
                // The newer plan took over what was left of the older.
                (history.pending, history.removing) = match purpose {
                    Purpose::Install => (steps.clone(), Vec::new()),
                    Purpose::Remove => (Vec::new(), steps.clone()),
                };
            }
            Entry::Begun { .. } => {}
            Entry::Done { step, wrote } => history.note(step, *wrote),
        }
    }
    history
}

impl History {
    fn note(&mut self, step: &Step, wrote: Option<ContentHash>) {
        self.pending.retain(|pending| pending != step);
        self.removing.retain(|pending| pending != step);
        match step {
            Step::CreateUser { user } => {
                self.users.insert(user.clone());
            }
            Step::MakeFolder { path } => {
                self.folders.insert(path.clone());
            }
            Step::WriteFile { path } => {
                if let Some(hash) = wrote {
                    self.files.insert(path.clone(), hash);
                }
            }
            Step::RemoveFile { path } => {
                self.files.remove(path);
            }
            Step::RemoveFolder { path } | Step::RemoveTree { path } => {
                self.folders.remove(path);
            }
            Step::RemoveUser { user } => {
                self.users.remove(user);
            }
            _ => {}
        }
    }
}

impl Journal {
    /// Opens the journal to write to, made private with the folders above it when it is not there. A
    /// last line that was cut off goes.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::File {
            doing: "opened",
            path: path.to_owned(),
            source,
        };
        let folder = path.parent().unwrap_or(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let whole = whole_length(&file).map_err(failed)?;
        file.set_len(whole).map_err(failed)?;
        // The name is durable before anything is done under it.
        for above in folder.ancestors().take(3) {
            File::open(above)
                .and_then(|folder| folder.sync_all())
                .map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes a line durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, at: Timestamp, entry: Entry) -> Result<(), JournalError> {
        let failed = |source| JournalError::File {
            doing: "written",
            path: self.path.clone(),
            source,
        };
        let mut line =
            serde_json::to_vec(&Line { at, entry }).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }

    /// Removes the journal, and the folders above it that are empty then.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn forget(path: &Path) -> Result<(), JournalError> {
        let failed = |source| JournalError::File {
            doing: "removed",
            path: path.to_owned(),
            source,
        };
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        };
        gone(fs::remove_file(path))?;
        let (Some(journals), Some(own)) = (path.parent(), path.ancestors().nth(2)) else {
            return Ok(());
        };
        // Another part's journal is there as long as that part is.
        if fs::remove_dir(journals).is_ok() {
            gone(fs::remove_file(own.join(LOCK)))?;
            gone(fs::remove_dir(own))?;
        }
        Ok(())
    }
}

fn whole_length(file: &File) -> io::Result<u64> {
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    Ok(whole.map_or(0, |at| at as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str) -> Step {
        Step::WriteFile { path: name.into() }
    }

    fn planned(steps: &[Step]) -> Entry {
        Entry::Planned {
            purpose: Purpose::Install,
            steps: steps.to_vec(),
        }
    }

    fn done(step: Step) -> Entry {
        let wrote = Some(ContentHash([7; 32]));
        Entry::Done { step, wrote }
    }

    #[test]
    fn what_was_planned_and_not_done_is_pending() {
        let entries = [
            planned(&[step("/a"), step("/b"), Step::ReloadUnits]),
            Entry::Begun { step: step("/a") },
            done(step("/a")),
            Entry::Begun { step: step("/b") },
        ];
        let history = history(&entries);
        assert_eq!(history.pending, [step("/b"), Step::ReloadUnits]);
        assert_eq!(history.files.len(), 1);
    }

    #[test]
    fn a_line_that_was_cut_off_is_dropped_and_damage_before_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own/journal/agent");
        assert_eq!(read(&path).unwrap(), []);
        let mut journal = Journal::open(&path).unwrap();
        journal.write(Timestamp(1), planned(&[step("/a")])).unwrap();
        journal.write(Timestamp(2), done(step("/a"))).unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(read(&path).unwrap(), [planned(&[step("/a")])]);
        let mut journal = Journal::open(&path).unwrap();
        journal.write(Timestamp(3), done(step("/a"))).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);

        fs::write(&path, [b"{}\n".as_slice(), &whole].concat()).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { line: 1, .. }));
    }

    #[test]
    fn what_was_removed_is_ours_no_longer() {
        let user = || "email-engine".to_owned();
        let entries = [
            done(step("/a")),
            done(Step::CreateUser { user: user() }),
            done(Step::RemoveFile { path: "/a".into() }),
            done(Step::RemoveUser { user: user() }),
        ];
        assert_eq!(history(&entries), History::default());
    }
}
