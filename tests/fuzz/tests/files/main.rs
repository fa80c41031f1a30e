//! Every file that agent and coordinator read at their start: a machine's disk may say anything, and
//! damage is an error, never an absence and never a panic.

#![allow(
    clippy::unwrap_used,
    reason = "a target whose sample cannot be made has failed"
)]

mod accounting;
mod agent;
mod powermta;
mod settings;

use std::path::PathBuf;
use std::sync::LazyLock;

/// A folder of this process; a target knows its files by names of its own.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn path(name: &str) -> PathBuf {
    let path = FOLDER.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

/// Written without a flush: it need not outlive the process.
fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
