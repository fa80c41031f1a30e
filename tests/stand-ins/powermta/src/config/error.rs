//! Faults of a configuration, worded as the product words them.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: Arc<PathBuf>,
    pub(crate) line: usize,
}

/// Why a configuration is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The line is not of the language.
    #[error("Parse error in line {line} of {}: {what}", .file.display())]
    Grammar {
        /// The file that holds the line.
        file: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The line is of the language, and says what cannot be.
    #[error("Error in line {line} of {}: {what}", .file.display())]
    Value {
        /// The file that holds the line.
        file: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// What has to be said somewhere is said nowhere.
    #[error("Error in {}: {what}", .file.display())]
    Missing {
        /// The main configuration file.
        file: PathBuf,
        /// What is absent.
        what: String,
    },
    /// A file that the configuration names cannot be read.
    #[error("Error: cannot read {}: {why}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
}

impl At {
    pub(crate) fn grammar(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::Grammar {
            file: self.file.to_path_buf(),
            line: self.line,
            what: what.into(),
        }
    }

    pub(crate) fn value(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            file: self.file.to_path_buf(),
            line: self.line,
            what: what.into(),
        }
    }
}
