//! A search for secrets in files.

use std::path::{Path, PathBuf};

/// Bytes that are searched. Held as text, a character a byte: the standard library's own search of
/// texts is fast also in a build that is not optimised.
#[derive(Debug)]
pub struct Haystack(String);

impl Haystack {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().map(char::from).collect())
    }

    /// A file; empty when it is gone.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self::new(&std::fs::read(file).unwrap_or_default())
    }

    /// Whether they hold these, in one piece.
    #[must_use]
    pub fn holds(&self, needle: &[u8]) -> bool {
        assert!(needle.len() >= 16, "a needle that is found by chance");
        self.0.contains(&Self::new(needle).0)
    }
}

/// Every file below a folder; what is linked to is not below it.
#[must_use]
pub fn every_file(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files.extend(every_file(&path));
        } else {
            files.push(path);
        }
    }
    files
}
