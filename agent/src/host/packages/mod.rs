//! The package tools of this machine: Debian's, or those of the RPM family.
//!
//! Which of them is told by what is installed, each time: a machine that cannot be told has neither, and
//! says so when something is asked of it.

mod debian;
mod rpm;
mod status;
mod vercmp;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use email_engine_protocol::desired::PackageSpec;
use serde::{Deserialize, Serialize};

use self::status::Status;
use super::reach::Reach;
use super::system::{PackageSeen, Presence, SystemError};

const QUICK: Duration = Duration::from_secs(30);
/// To read a package file to its end.
const READ: Duration = Duration::from_secs(300);
const INSTALL: Duration = Duration::from_secs(1800);
const TOOLS: &str = "/usr/bin";
/// dpkg(1), FILES.
const RECORD: &str = "/var/lib/dpkg";

/// What a package file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// Its name, as the package tool knows it.
    pub name: String,
    /// Its version, in the package tool's form.
    pub version: String,
    /// The machines that it is for.
    pub architecture: String,
}

/// The two kinds of package files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageForm {
    /// Debian's.
    Deb,
    /// That of the RPM family.
    Rpm,
}

impl PackageForm {
    /// Bytes that tell.
    pub const MAGIC_BYTES: usize = 21;

    /// What a file is that begins so. An RPM tool takes what it does not know for a list of packages
    /// to fetch, so that it is never asked about such a file.
    #[must_use]
    pub fn of(begins: &[u8]) -> Option<Self> {
        if begins.starts_with(b"!<arch>\ndebian-binary") {
            Some(Self::Deb)
        } else if begins.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
            Some(Self::Rpm)
        } else {
            None
        }
    }

    /// How names of such files end.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

/// Package files on a real machine.
pub trait PackageFiles {
    /// Which kind the machine installs.
    ///
    /// # Errors
    /// When it has neither tool.
    fn form(&mut self) -> Result<PackageForm, SystemError>;

    /// What a file says of itself, once it was read to its end. Nothing of it is run.
    ///
    /// # Errors
    /// When it is damaged, or says what no package may.
    fn inspect(&mut self, file: &Path) -> Result<PackageFile, SystemError>;

    /// What packages for this machine, and those for all machines, say of themselves.
    ///
    /// # Errors
    /// When that cannot be told.
    fn architectures(&mut self) -> Result<[String; 2], SystemError>;

    /// Whether one version comes before another.
    ///
    /// # Errors
    /// When that cannot be told.
    fn is_older(&mut self, one: &str, other: &str) -> Result<bool, SystemError>;

    /// Finishes what the package tool was cut off in, as far as it can.
    ///
    /// # Errors
    /// When it cannot be run.
    fn finish(&mut self) -> Result<(), SystemError>;

    /// Installs a file in the place of what was seen, with what it depends on from the machine's
    /// repositories. No other package is removed for it.
    ///
    /// # Errors
    /// When the package tool fails.
    fn install(&mut self, file: &Path, seen: &Presence, downgrade: bool)
    -> Result<(), SystemError>;

    /// Files of an installed package that are missing or have other bytes than it brought, but for
    /// those that it marks as configuration.
    ///
    /// # Errors
    /// When that cannot be told.
    fn changed(&mut self, name: &str) -> Result<Vec<String>, SystemError>;

    /// Reads the lists of one source of packages anew, and of no other; then looks whether the package tool
    /// understands all of its sources together. The source is told by its file, and by the name that it has
    /// in it.
    ///
    /// # Errors
    /// When they cannot be had, or are not signed by its key.
    fn read_source(&mut self, file: &str, name: &str) -> Result<(), SystemError>;

    /// Keeps the package tool from upgrading a package, or no longer.
    ///
    /// # Errors
    /// When the package tool fails, or has no such thing.
    fn hold(&mut self, name: &str, held: bool) -> Result<(), SystemError>;
}

/// The tools, in their folder.
#[derive(Clone, Debug)]
pub(super) struct Packages {
    folder: PathBuf,
    reach: Reach,
    /// What dpkg wrote down, where that is the machine's own.
    status: Option<Arc<Mutex<Status>>>,
}

impl Default for Packages {
    fn default() -> Self {
        Self::of_machine(Reach::default())
    }
}

#[cfg(test)]
impl Packages {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            reach: Reach::default(),
            status: None,
        }
    }
}

enum Tools {
    Debian(debian::Debian),
    Rpm(rpm::Rpm),
}

impl Packages {
    /// The machine's own tools.
    pub(super) fn of_machine(reach: Reach) -> Self {
        Self {
            folder: Path::new(TOOLS).to_owned(),
            reach,
            status: Some(Arc::new(Mutex::new(Status::of(Path::new(RECORD))))),
        }
    }

    fn tools(&self) -> Result<Tools, SystemError> {
        let has = |name: &str| self.folder.join(name).exists();
        if has("dpkg-query") {
            return Ok(Tools::Debian(debian::Debian::new(&self.folder, self.reach)));
        }
        if has("rpm") {
            return Ok(Tools::Rpm(rpm::Rpm::new(&self.folder, self.reach)));
        }
        Err(SystemError::Start {
            program: format!("{}/dpkg-query", self.folder.display()),
            reason: "this machine has neither dpkg nor rpm".to_owned(),
        })
    }

    pub(super) fn look(&self, name: &str) -> Result<PackageSeen, SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => self.noted(name).map_or_else(|| tools.look(name), Ok),
            Tools::Rpm(tools) => tools.look(name),
        }
    }

    fn noted(&self, name: &str) -> Option<PackageSeen> {
        let status = self.status.as_ref()?;
        status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .look(name)
    }

    pub(super) fn install(&self, spec: &PackageSpec) -> Result<(), SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.install(spec),
            Tools::Rpm(tools) => tools.install(spec),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.remove(name),
            Tools::Rpm(tools) => tools.remove(name),
        }
    }
}

impl PackageFiles for Packages {
    fn form(&mut self) -> Result<PackageForm, SystemError> {
        Ok(match self.tools()? {
            Tools::Debian(_) => PackageForm::Deb,
            Tools::Rpm(_) => PackageForm::Rpm,
        })
    }

    fn inspect(&mut self, file: &Path) -> Result<PackageFile, SystemError> {
        let (tool, found) = match self.tools()? {
            Tools::Debian(tools) => ("dpkg-deb", tools.inspect(file)?),
            Tools::Rpm(tools) => ("rpm", tools.inspect(file)?),
        };
        let word = |text: &str, more: &[u8]| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.len() <= 128
                && text.bytes().all(allowed)
        };
        let good = word(&found.name, b"+-._")
            && word(&found.version, b"+-._:~^")
            && word(&found.architecture, b"-_");
        if good {
            return Ok(found);
        }
        let reason = format!("{found:?} is no name, version and architecture of a package");
        Err(failed(tool.to_owned(), 0, reason))
    }

    fn architectures(&mut self) -> Result<[String; 2], SystemError> {
        Ok(match self.tools()? {
            Tools::Debian(tools) => [tools.architecture()?, "all".to_owned()],
            Tools::Rpm(tools) => [tools.architecture()?, "noarch".to_owned()],
        })
    }

    fn is_older(&mut self, one: &str, other: &str) -> Result<bool, SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.is_older(one, other),
            Tools::Rpm(_) => Ok(vercmp::compare(one, other).is_lt()),
        }
    }

    fn finish(&mut self) -> Result<(), SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.finish().map(|_| ()),
            // Its database knows a transaction whole or not at all.
            Tools::Rpm(_) => Ok(()),
        }
    }

    fn install(
        &mut self,
        file: &Path,
        seen: &Presence,
        downgrade: bool,
    ) -> Result<(), SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.install_file(file, seen, downgrade),
            Tools::Rpm(tools) => tools.install_file(file, seen, downgrade),
        }
    }

    fn changed(&mut self, name: &str) -> Result<Vec<String>, SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.changed(name),
            Tools::Rpm(tools) => tools.changed(name),
        }
    }

    fn read_source(&mut self, file: &str, name: &str) -> Result<(), SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.read_source(file),
            Tools::Rpm(tools) => tools.read_source(name),
        }
    }

    fn hold(&mut self, name: &str, held: bool) -> Result<(), SystemError> {
        match self.tools()? {
            Tools::Debian(tools) => tools.hold(name, held),
            Tools::Rpm(tools) => tools.hold(name, held),
        }
    }
}

fn failed(program: String, code: u8, output: String) -> SystemError {
    SystemError::Failed {
        program,
        code: code.to_string(),
        output,
    }
}

/// Whether a package is installed in a version that is wanted.
fn is_there(presence: &Presence, wanted: &PackageSpec) -> bool {
    match (presence, &wanted.version) {
        (Presence::Installed(has), Some(version)) => has == version,
        (Presence::Installed(_), None) => true,
        _ => false,
    }
}

/// A path as an argument.
fn argument(file: &Path) -> Result<&str, SystemError> {
    file.to_str().ok_or_else(|| SystemError::Start {
        program: file.display().to_string(),
        reason: "its path is no text".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_as_and_nothing_else_reaches_a_tool() {
        assert_eq!(
            PackageForm::of(b"!<arch>\ndebian-binary   1342"),
            Some(PackageForm::Deb)
        );
        assert_eq!(
            PackageForm::of(&[0xed, 0xab, 0xee, 0xdb, 3, 0]),
            Some(PackageForm::Rpm)
        );
        for other in [
            &b""[..],
            b"!<arch>\nlib.o",
            b"PK\x03\x04",
            b"https://x/y.rpm",
        ] {
            assert_eq!(PackageForm::of(other), None);
        }
    }

    #[test]
    fn a_machine_without_tools_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut none = Packages::in_folder(dir.path());
        let error = none.form().unwrap_err().to_string();
        assert!(error.contains("neither dpkg nor rpm"), "{error}");
    }
}
