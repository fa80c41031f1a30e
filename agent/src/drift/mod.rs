//! Drift: hints from the file system that something managed was touched.
//!
//! inotify watches the folders that hold managed paths. Its events are a hint that makes repairs
//! fast; the audit is the guarantee, and lost events just ask for one. Only names that are managed
//! wake the executor, and only changes do: reading is not watched, so that an audit, which reads
//! everything, neither wakes itself nor floods the queue.

mod watched;
mod watcher;

pub use watched::Touched;
pub use watcher::Watcher;
