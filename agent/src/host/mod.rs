//! The only door to the machine.
//!
//! [`Machine`] is what resources work on. Its files are a [`Rooted`] tree: the machine's own or a
//! sandbox folder, by the same code. Its packages, services and commands are a [`System`]: the real
//! ones, or a simulation that spawns nothing and writes down what it would have done. The agent's own
//! files, the [`Cabinet`], are a tree of the same kind.

mod accounts;
mod facts;
mod failpoint;
mod real;
mod record;
mod replace;
mod rooted;
mod simulated;
mod spawn;
mod system;
mod wipe;

use std::path::PathBuf;

use email_engine_protocol::observed::{Facts, Mode};

pub use accounts::AccountError;
pub use record::{Cabinet, RecordError};
pub use replace::{NewFile, Validator};
pub use rooted::{Entry, EntryKind, FileError, Rooted};
pub use system::{Ended, PackageSeen, ServiceSeen, System, SystemError};

/// What the executor takes for the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The machine itself.
    Real,
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
    mode: Mode,
}

impl Machine {
    /// Opens the machine or makes the sandbox.
    ///
    /// # Errors
    /// When the root cannot be made or opened.
    pub fn open(root: &Root, cabinet: Cabinet) -> Result<Self, std::io::Error> {
        let (files, system, mode): (_, Box<dyn System>, _) = match root {
            Root::Real => (
                Rooted::open(std::path::Path::new("/")),
                Box::new(real::Real),
                Mode::Real,
            ),
            Root::Sandbox(folder) => {
                std::fs::create_dir_all(folder)?;
                let system = Box::new(simulated::Simulated::open(cabinet));
                (Rooted::open(folder), system, Mode::Sandbox)
            }
        };
        Ok(Self {
            files: files.map_err(std::io::Error::other)?,
            system,
            mode,
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
        let uid = owner.map(|name| accounts::user_id(&self.files, name));
        let gid = group.map(|name| accounts::group_id(&self.files, name));
        Ok((uid.transpose()?, gid.transpose()?))
    }

    /// Measures facts.
    ///
    /// # Errors
    /// What could not be measured.
    pub fn facts(&self, agent_version: &str) -> Result<Facts, String> {
        facts::measure(self.mode, agent_version)
    }
}
