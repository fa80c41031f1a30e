//! What the executor wrote down, for whoever asks on this host: `status` reads and changes nothing.
//!
//! The ledger's page is replaced whole, so it can be read beside a running executor. It says what was
//! accepted and what was right once; whether that still is so, only a pass over the resources knows.

use std::io;

use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::observed::Attempt;
use serde::Serialize;

use crate::config::Config;
use crate::host::{Cabinet, RecordError};
use crate::identity::IdentityStore;
use crate::ledger::expected::Expected;
use crate::ledger::tombstone::Tombstone;
use crate::ledger::{self, Ledger};

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The folder is there and cannot be opened.
    #[error("{} cannot be read", path.display())]
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is damaged or cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Where this host stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Who it is; nothing before it was let in.
    pub enrolled: Option<Enrolled>,
    /// Whether it was let in and its network half has lost the proof of it: that comes by a token only which was
    /// made by `token create --replace`.
    pub identity_lost: bool,
    /// The state that it accepted last.
    pub accepted: Option<Generation>,
    /// The newest that was right once.
    pub last_good: Option<Generation>,
    /// Whether the accepted state was right once and nothing has failed since.
    pub converged: bool,
    /// The last that did not get through.
    pub attempted: Option<Attempt>,
    /// Whether the host was retired and wiped.
    pub retired: bool,
    /// Whom it may belong to while it has no trust.
    pub expected: Option<Enrolled>,
    /// What it was, when it was retired and nobody has joined the machine anew since.
    pub tombstone: Option<Tombstone>,
}

/// A host that was let in, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub host: HostId,
    /// Its role.
    pub role: Role,
}

/// Reads where this host stands.
///
/// # Errors
/// When there is something that cannot be read.
pub fn read(config: &Config) -> Result<Status, StatusError> {
    let path = config.executor_dir();
    match path.try_exists() {
        Ok(true) => {}
        // Opening would make it.
        Ok(false) => return Ok(Status::default()),
        Err(source) => return Err(StatusError::Folder { path, source }),
    }
    let cabinet = Cabinet::open(&path).map_err(|source| StatusError::Folder { path, source })?;
    let page = Ledger::page_of(&cabinet)?.unwrap_or_default();
    // One that was retired has nothing but a part of its traces left.
    let trust = ledger::read_trust(&cabinet)?.filter(|_| !page.retired);
    let enrolled = trust.map(|trust| Enrolled {
        cluster: trust.cluster,
        host: trust.host,
        role: trust.role,
    });
    let expected = Expected::read(&cabinet)?.filter(|_| !page.retired);
    let expected = expected.map(|expected| Enrolled {
        cluster: expected.cluster,
        host: expected.host,
        role: expected.role,
    });
    let tombstone = Tombstone::read(&cabinet)?;
    let accepted = page.accepted.map(|accepted| accepted.target);
    let right = accepted.is_some() && accepted == page.last_good;
    Ok(Status {
        identity_lost: enrolled.is_some() && !IdentityStore::is_there(&config.data_dir),
        enrolled,
        converged: right && page.attempted.is_none() && !page.retired,
        accepted: accepted.map(|target| target.generation),
        last_good: page.last_good.map(|target| target.generation),
        attempted: page.attempted,
        retired: page.retired || tombstone.is_some(),
        expected,
        tombstone,
    })
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::Stage;

    use super::*;
    use crate::ledger::page::Page;

    #[test]
    fn a_host_without_an_agent_is_left_without_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        assert_eq!(read(&config).unwrap(), Status::default());
        assert!(!config.data_dir.exists());
    }

    #[test]
    fn what_did_not_get_through_is_told_and_damage_is_no_empty_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().to_owned(),
            ..Config::default()
        };
        let cabinet = Cabinet::open(&config.executor_dir()).unwrap();
        let attempt = Attempt {
            generation: Generation {
                epoch: 1,
                number: 2,
            },
            stage: Stage::Apply,
            reason: "no space".to_owned(),
        };
        let mut ledger = Ledger::open(cabinet).unwrap();
        ledger
            .turn(|page: &mut Page| page.attempted = Some(attempt.clone()))
            .unwrap();
        let status = read(&config).unwrap();
        assert_eq!(status.attempted, Some(attempt));
        assert!(!status.converged);
        let page = config.executor_dir().join("ledger/page");
        std::fs::write(page, "EEA1nonsense").unwrap();
        assert!(read(&config).is_err());
    }
}
