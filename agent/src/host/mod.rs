//! The only door to the machine.
//!
//! [`Machine`] is what resources work on. Its files are a [`Rooted`] tree: the machine's own or a
//! sandbox folder, by the same code. Its packages, services and commands are a [`System`]: the real
//! ones, or a simulation that spawns nothing and writes down what it would have done. Addresses of
//! interfaces are the [`Network`]'s, refused connections the [`Filter`]'s, the firewall is the
//! [`Wall`]'s, and what its database servers hold is asked of [`Databases`]. The agent's own files, the
//! [`Cabinet`], are a tree of the same kind.

mod accounts;
mod facts;
mod greeting;
mod network;
mod packages;
mod people;
mod reach;
mod real;
mod record;
mod simulated;
mod spawn;
mod sql;
mod system;
mod tree;
mod units;
mod wall;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::observed::{Facts, Mode};
use email_engine_protocol::time::Timestamp;

pub use accounts::AccountError;
use accounts::Accounts;
#[cfg(test)]
pub(crate) use network::filter::tests::Remembered as RememberedBars;
pub use network::filter::{Bar, Filter, FilterError};
#[cfg(test)]
pub(crate) use network::tests::Remembered;
pub use network::{Held, Network, NetworkError};
pub use packages::{PackageFile, PackageFiles, PackageForm};
pub(crate) use people::{People, UserSeen};
pub use reach::run_errand;
pub use record::{Cabinet, RecordError};
#[cfg(test)]
pub(crate) use sql::tests::Nobody;
pub use sql::{Answer, Databases, RowPlace, SeenCell, SqlError, differing};
pub use system::{
    Activity, AtBoot, Ended, PackageSeen, Presence, ServiceSeen, StandIn, System, SystemError,
};
pub use tree::looked::Looked;
pub use tree::own::OwnPlaces;
pub use tree::replace::{NewFile, Source, Validator};
pub use tree::rooted::{Entry, EntryKind, FileError, Links, Rooted};
pub use tree::stretch::Opened;
pub use tree::unpacked::{Unpacked, Wanted};
#[cfg(test)]
pub(crate) use wall::tests as walls;
pub use wall::{Lifelines, Reconnect, Session, Unreached, Wall, WallError};

/// The machine's clock.
#[must_use]
pub fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}

/// The numbers of a user of this machine and of its own group.
///
/// # Errors
/// When there is no such user, or it cannot be told.
pub fn user(name: &str) -> Result<(u32, u32), AccountError> {
    accounts::of_user(&Rooted::machine()?, name)
}

/// What the executor takes for the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The machine itself.
    Real,
    /// The machine itself, for a process that its service manager keeps from the network: what needs
    /// more than this process may do runs in a unit of its own.
    Confined,
    /// A folder that stands for one: files are real, nothing is spawned.
    Sandbox(PathBuf),
}

/// The machine: its files, and what runs on it.
#[derive(Debug)]
pub struct Machine {
    /// Its files.
    pub files: Rooted,
    /// Its packages, services and commands.
    pub system: Box<dyn System>,
    /// Addresses of its interfaces; not asked in a sandbox.
    pub network: Box<dyn Network>,
    /// Its database servers; not asked in a sandbox.
    pub databases: Box<dyn Databases>,
    /// What its kernel lets nobody connect to; not asked in a sandbox.
    pub filter: Box<dyn Filter>,
    /// Its firewall; not asked in a sandbox.
    pub wall: Box<dyn Wall>,
    /// Who makes new connections to coordinators.
    pub reconnect: Box<dyn Reconnect>,
    /// The agent's own files, for what must be known about the machine after a crash.
    pub(crate) notes: Cabinet,
    /// When which package was looked through, and what was changed in it.
    pub(crate) looked_through: LookedThrough,
    /// Sources of packages that could not be read.
    pub(crate) unread: Unread,
    mode: Mode,
    accounts: Accounts,
}

/// Packages by name.
pub(crate) type LookedThrough = BTreeMap<String, (Instant, Result<Vec<String>, SystemError>)>;
/// When a source of packages, by name, was last tried with what content, and why it was not read.
pub(crate) type Unread = BTreeMap<String, (Instant, ContentHash, SystemError)>;

impl Machine {
    /// Opens the machine or makes the sandbox.
    ///
    /// # Errors
    /// When the root cannot be made or opened.
    pub fn open(root: &Root, cabinet: Cabinet) -> Result<Self, std::io::Error> {
        let (files, system, mode): (_, Box<dyn System>, _) = match root {
            Root::Real => (
                Rooted::machine(),
                Box::new(real::Real::default()),
                Mode::Real,
            ),
            Root::Confined => (
                Rooted::machine(),
                Box::new(real::Real::confined()),
                Mode::Real,
            ),
            Root::Sandbox(folder) => {
                std::fs::create_dir_all(folder)?;
                let system = Box::new(simulated::Simulated::open(cabinet.clone()));
                (Rooted::open(folder), system, Mode::Sandbox)
            }
        };
        Ok(Self {
            files: files.map_err(std::io::Error::other)?,
            system,
            network: Box::new(network::Kernel),
            databases: Box::new(sql::Servers::default()),
            filter: Box::new(network::filter::Kernel),
            wall: Box::new(wall::Nft),
            reconnect: Box::new(wall::Nobody),
            notes: cabinet,
            looked_through: LookedThrough::new(),
            unread: Unread::new(),
            mode,
            accounts: Accounts::default(),
        })
    }

    /// Real or sandbox.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The numbers of an owner and a group, where this machine can have foreign ones: a sandbox has
    /// neither users nor the right to give files away.
    ///
    /// # Errors
    /// When a name has no number.
    pub fn owners(
        &self,
        owner: Option<&str>,
        group: Option<&str>,
    ) -> Result<(Option<u32>, Option<u32>), AccountError> {
        if self.mode == Mode::Sandbox {
            return Ok((None, None));
        }
        let uid = owner.map(|name| self.accounts.user_id(&self.files, name));
        let gid = group.map(|name| self.accounts.group_id(&self.files, name));
        Ok((uid.transpose()?, gid.transpose()?))
    }

    /// Users and groups of its files.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn people(&self) -> Result<Arc<People>, FileError> {
        self.accounts.people(&self.files)
    }

    /// Users and groups may have changed: a pass begins, or a program ran that may have made some.
    pub fn forget_accounts(&self) {
        self.accounts.forget();
    }

    /// Measures facts.
    ///
    /// # Errors
    /// What could not be measured.
    pub fn facts(&self, agent_version: &str) -> Result<Facts, String> {
        facts::measure(self.mode, agent_version)
    }
}

#[cfg(test)]
impl Machine {
    /// A folder with real programs, for tests of what is otherwise only simulated.
    pub(crate) fn with_programs(folder: &std::path::Path) -> Self {
        Self {
            files: Rooted::open(folder).unwrap(),
            system: Box::new(real::Real::default()),
            network: Box::new(Remembered::default()),
            databases: Box::new(Nobody),
            filter: Box::new(RememberedBars::default()),
            wall: Box::new(walls::Shared::default()),
            reconnect: Box::new(walls::Told::default()),
            notes: Cabinet::open(&folder.join("notes")).unwrap(),
            looked_through: LookedThrough::new(),
            unread: Unread::new(),
            mode: Mode::Real,
            accounts: Accounts::default(),
        }
    }

    /// A folder with package tools of its own.
    pub(crate) fn with_package_tools(folder: &std::path::Path, tools: &std::path::Path) -> Self {
        Self {
            system: Box::new(real::Real::with_package_tools(tools)),
            ..Self::with_programs(folder)
        }
    }

    /// From now on no file can be written.
    pub(crate) fn refuse_files(&self) {
        self.files.failpoint.die_after(0);
    }

    /// Dies with its agent's own folder: their steps are counted together.
    pub(crate) fn dies_with(mut self, cabinet: &Cabinet) -> Self {
        cabinet.lend_death_to(&mut self.files);
        self
    }

    /// A folder with another service manager.
    pub(crate) fn with_systemctl(folder: &std::path::Path, systemctl: &std::path::Path) -> Self {
        Self {
            system: Box::new(real::Real::asking(systemctl)),
            ..Self::with_programs(folder)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_machine_knows_its_accounts_and_a_sandbox_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = Cabinet::open(dir.path()).unwrap();
        let real = Machine::open(&Root::Real, cabinet.clone()).unwrap();
        assert_eq!(
            real.owners(Some("root"), Some("root")).unwrap(),
            (Some(0), Some(0))
        );
        let error = real.owners(Some("nobody-has-this-name"), None).unwrap_err();
        assert!(
            error.to_string().contains("nobody-has-this-name"),
            "{error}"
        );
        let sandbox = Root::Sandbox(dir.path().join("root"));
        let sandbox = Machine::open(&sandbox, cabinet).unwrap();
        assert_eq!(sandbox.owners(Some("root"), None).unwrap(), (None, None));
    }
}
