//! Our programs, as they are brought to machines.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use ring::digest;

pub(super) const BOOTSTRAP: &str = "email-engine-bootstrap";
pub(super) const AGENT: &str = "email-engine-agent";
/// On the machine, while it is being made a host: not everywhere may anything be run that lies below `/run`
/// or `/tmp`.
pub(super) const FOLDER: &str = "/var/lib/email-engine-deploy";

/// What is brought to machines.
#[derive(Debug)]
pub(in crate::commands::deploy) struct Programs {
    pub(super) both: [Program; 2],
    /// Where they lie on a machine: other versions lie elsewhere, so that none is written while it runs.
    pub(super) folder: String,
}

#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    file: File,
    pub(super) sha256: String,
}

impl Programs {
    /// Those of a folder.
    pub(in crate::commands::deploy) fn read(folder: &Path) -> Result<Self, String> {
        let read = |name| {
            let path = folder.join(name);
            Program::read(name, &path).map_err(|error| {
                format!(
                    "{} cannot be read: {error}; accepted is --programs DIR with {BOOTSTRAP} and {AGENT} \
                     in it",
                    path.display()
                )
            })
        };
        let both = [read(BOOTSTRAP)?, read(AGENT)?];
        let hashes = both.iter().map(|program| program.sha256.as_str());
        let hashes: String = hashes.collect();
        let together = digest::digest(&digest::SHA256, hashes.as_bytes());
        let folder = format!("{FOLDER}/{}", &HEXLOWER.encode(together.as_ref())[..16]);
        Ok(Self { both, folder })
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

impl Program {
    fn read(name: &'static str, path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            context.update(&buffer[..read]);
        }
        // It is opened anew for each machine: a position is shared by all copies of one descriptor.
        let file = File::open(path)?;
        Ok(Self {
            name,
            file,
            sha256: HEXLOWER.encode(context.finish().as_ref()),
        })
    }

    /// The same file from its beginning, for one machine.
    pub(super) fn again(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_whole_and_their_folder_is_that_of_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Programs::read(folder.path()).unwrap_err();
        assert!(missing.contains("--programs DIR"), "{missing}");
        std::fs::write(folder.path().join(BOOTSTRAP), "one").unwrap();
        std::fs::write(folder.path().join(AGENT), "two").unwrap();
        let first = Programs::read(folder.path()).unwrap();
        for _ in 0..2 {
            let mut text = String::new();
            let mut file = first.both[0].again().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "one", "each machine gets all of it");
        }
        std::fs::write(folder.path().join(AGENT), "three").unwrap();
        let second = Programs::read(folder.path()).unwrap();
        assert_ne!(first.folder, second.folder);
        let plain = |word: &str| {
            word.chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._=-".contains(c))
        };
        assert!(plain(&second.path(AGENT)), "{}", second.path(AGENT));
    }
}
