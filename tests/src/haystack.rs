//! A search for secrets in files.

use std::path::{Path, PathBuf};

/// Bytes that are searched. Held as text, a character a byte: the standard library's own search of
/// texts is fast also in a build that is not optimised.
#[derive(Debug)]
pub struct Haystack(String);

static EMPTY: [u8; 64 * 1024] = [0; 64 * 1024];

/// A needle is shorter than this.
const LONGEST: usize = 4096;

impl Haystack {
    /// These bytes. Of a block of zeros, which reserved disk space is full of, only the beginning is
    /// searched: no needle is so long.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let blocks = bytes.chunks(EMPTY.len());
        let searched = blocks.flat_map(|block| {
            if *block == EMPTY {
                &block[..LONGEST]
            } else {
                block
            }
        });
        Self(searched.copied().map(char::from).collect())
    }

    /// A file; empty when it is gone.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self::new(&std::fs::read(file).unwrap_or_default())
    }

    /// Whether they hold these, in one piece.
    #[must_use]
    pub fn holds(&self, needle: &[u8]) -> bool {
        let fair = 16..LONGEST;
        assert!(fair.contains(&needle.len()), "found by chance, or never");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_found_wherever_it_lies_among_empty_blocks() {
        let needle = [0xa5; 32];
        for at in [0, 10, EMPTY.len() - 16, EMPTY.len(), 3 * EMPTY.len() - 32] {
            let mut bytes = vec![0; 3 * EMPTY.len()];
            assert!(!Haystack::new(&bytes).holds(&needle));
            bytes[at..at + needle.len()].copy_from_slice(&needle);
            assert!(Haystack::new(&bytes).holds(&needle), "not at {at}");
        }
    }
}
