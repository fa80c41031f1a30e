//! dpkg's own record, read without its program.
//!
//! What `dpkg-query` would say of a package is in one file (dpkg(1), FILES; deb-control(5) for its form),
//! but for what a run of dpkg that goes on, or was cut off, has noted beside it. Then, and whenever
//! something is not understood, there is no answer here and the program is asked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::debian;
use crate::host::system::PackageSeen;

/// A machine with everything has a tenth of it.
const MOST: u64 = 64 << 20;

/// The record as it was read last.
#[derive(Debug)]
pub(super) struct Status {
    folder: PathBuf,
    read: Option<(Stamp, Option<Known>)>,
}

/// Packages that are not quite gone, each in the architecture in which it is there most.
type Known = BTreeMap<Box<str>, PackageSeen>;

/// One version of the file: dpkg never changes it, it puts another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Status {
    /// The record in a folder such as `/var/lib/dpkg`.
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            read: None,
        }
    }

    /// How a package is; nothing when the program has to be asked.
    pub(super) fn look(&mut self, name: &str) -> Option<PackageSeen> {
        // An architecture, or a pattern.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !name.bytes().all(is_plain) || !self.is_settled() {
            return None;
        }
        let file = File::open(self.folder.join("status")).ok()?;
        let metadata = file.metadata().ok()?;
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        if self.read.as_ref().is_none_or(|(known, _)| *known != stamp) {
            let known = (stamp.size <= MOST)
                .then(|| parse(BufReader::new(file.take(MOST))))
                .flatten();
            self.read = Some((stamp, known));
        }
        let (_, known) = self.read.as_ref()?;
        Some(known.as_ref()?.get(name).cloned().unwrap_or_default())
    }

    /// Whether nothing is noted beside the record.
    fn is_settled(&self) -> bool {
        let mut noted = match fs::read_dir(self.folder.join("updates")) {
            Ok(noted) => noted,
            Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
        };
        noted.next().is_none()
    }
}

/// Reads paragraphs of fields; nothing when one is not understood.
fn parse(text: impl BufRead) -> Option<Known> {
    let mut known = Known::new();
    let mut paragraph = Paragraph::default();
    for line in text.split(b'\n') {
        let line = line.ok()?;
        if line.is_empty() {
            std::mem::take(&mut paragraph).end(&mut known)?;
        } else if let Some(value) = line.strip_prefix(b"Package: ") {
            paragraph.package = Some(word(value)?);
        } else if let Some(value) = line.strip_prefix(b"Status: ") {
            paragraph.status = Some(word(value)?);
        } else if let Some(value) = line.strip_prefix(b"Version: ") {
            paragraph.version = Some(word(value)?);
        }
    }
    paragraph.end(&mut known)?;
    Some(known)
}

fn word(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    Some(text.trim().to_owned())
}

/// The fields of one package that count here.
#[derive(Debug, Default)]
struct Paragraph {
    package: Option<String>,
    status: Option<String>,
    version: Option<String>,
}

impl Paragraph {
    fn end(self, known: &mut Known) -> Option<()> {
        let (package, status) = match (self.package, self.status) {
            (None, None) => return Some(()),
            (package, status) => (package?, status?),
        };
        // What is wanted, whether it needs to be installed again, and how it is.
        let mut words = status.split(' ');
        let (want, _, how) = (words.next()?, words.next()?, words.next()?);
        let version = self.version.unwrap_or_default();
        let seen = debian::parse(&format!("{want} {how} {version}"))?;
        let place = known.entry(package.into_boxed_str()).or_default();
        if debian::rank(&seen) >= debian::rank(place) {
            *place = seen;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::system::Presence;

    const RECORD: &str = "\
Package: nginx
Status: install ok installed
Priority: optional
Architecture: all
Version: 1.22.1-9+deb12u3
Description: small, powerful
 Package: not this one
 .
 Status: nor this

Package: libc6
Status: deinstall ok config-files
Architecture: i386
Version: 2.36-9

Package: libc6
Status: hold ok installed
Architecture: amd64
Version: 2.36-9+deb12u14

Package: php8.2-fpm
Status: install reinstreq half-configured
Version: 8.2.35

Package: gone
Status: deinstall ok config-files
Version: 1
";

    fn record(dir: &Path, text: &str) -> Status {
        fs::create_dir_all(dir.join("updates")).unwrap();
        fs::write(dir.join("status.new"), text).unwrap();
        fs::rename(dir.join("status.new"), dir.join("status")).unwrap();
        Status::of(dir)
    }

    #[test]
    fn packages_are_as_the_program_would_say() {
        let dir = tempfile::tempdir().unwrap();
        let mut status = record(dir.path(), RECORD);
        let installed = |version: &str| Presence::Installed(version.to_owned());
        let nginx = status.look("nginx").unwrap();
        assert_eq!(nginx.presence, installed("1.22.1-9+deb12u3"));
        assert!(!nginx.held);
        // The architecture in which it is there.
        let libc = status.look("libc6").unwrap();
        assert_eq!(libc.presence, installed("2.36-9+deb12u14"));
        assert!(libc.held);
        let partly = Presence::Partly {
            word: "half-configured".to_owned(),
            version: Some("8.2.35".to_owned()),
        };
        assert_eq!(status.look("php8.2-fpm").unwrap().presence, partly);
        for gone in ["gone", "never-heard-of", "Package"] {
            assert_eq!(status.look(gone), Some(PackageSeen::default()), "{gone}");
        }
    }

    #[test]
    fn another_record_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut status = record(dir.path(), RECORD);
        assert_ne!(status.look("nginx"), Some(PackageSeen::default()));
        drop(record(
            dir.path(),
            "Package: a\nStatus: install ok installed\nVersion: 1\n",
        ));
        assert_eq!(status.look("nginx"), Some(PackageSeen::default()));
        let seen = status.look("a").unwrap();
        assert_eq!(seen.presence, Presence::Installed("1".to_owned()));
    }

    #[test]
    fn what_is_not_sure_is_for_the_program_to_say() {
        let dir = tempfile::tempdir().unwrap();
        let mut status = record(dir.path(), RECORD);
        for odd in ["libc6:i386", "ng*", "nginx ", "../nginx"] {
            assert_eq!(status.look(odd), None, "{odd}");
        }
        fs::write(dir.path().join("updates/0000"), "Package: nginx\n").unwrap();
        assert_eq!(status.look("nginx"), None, "dpkg is at work");
        fs::remove_file(dir.path().join("updates/0000")).unwrap();
        assert!(status.look("nginx").is_some());
        for odd in [
            "Package: nginx\n",
            "Status: install ok installed\n",
            "Package: nginx\nStatus: installed\n",
            "Package: nginx\nStatus: wish ok installed\nVersion: 1\n",
            "Package: nginx\nStatus: install ok installed\nVersion: 1 2\n",
        ] {
            let mut status = record(dir.path(), odd);
            assert_eq!(status.look("nginx"), None, "{odd:?}");
        }
        fs::remove_file(dir.path().join("status")).unwrap();
        assert_eq!(status.look("nginx"), None);
    }

    proptest! {
        #[test]
        fn any_record_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(text.as_bytes());
        }
    }
}
