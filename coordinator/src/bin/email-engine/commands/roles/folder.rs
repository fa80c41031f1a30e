//! Role files in a folder: what an operator keeps, changes and has under version control.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Deepest folder below the one that is named: `overrides/hosts/HOST/ROLE`.
const DEPTH: usize = 8;
/// Most files; a bundle may have no more.
const FILES: usize = 1_000;
/// Largest file, in bytes.
const LARGEST: u64 = 256 * 1024;
/// What people keep beside role files.
const NOT_OURS: [&str; 2] = ["README.md", "LICENSE"];

/// Why a folder cannot be read as role files.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// The system refuses it.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither a file nor a folder, not text, or too much.
    #[error("{}: {reason}", path.display())]
    Kind {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
}

/// Texts by path below the folder. Hidden files and README.md are left out.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, String>, FolderError> {
    let mut files = BTreeMap::new();
    below(folder, "", 0, &mut files)?;
    if files.is_empty() {
        return Err(kind(
            folder,
            "no role file is in it; accepted is a folder with ROLE/role.toml, ROLE/extra.toml, templates \
             or overrides/",
        ));
    }
    Ok(files)
}

fn below(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, String>,
) -> Result<(), FolderError> {
    if depth > DEPTH {
        return Err(kind(
            folder,
            &format!("at most {DEPTH} folders deep are accepted"),
        ));
    }
    for entry in fs::read_dir(folder).map_err(|source| io_error(folder, source))? {
        let entry = entry.map_err(|source| io_error(folder, source))?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(kind(&path, "its name is not text"));
        };
        if name.starts_with('.') || NOT_OURS.contains(&name) {
            continue;
        }
        let inner = format!("{prefix}{name}");
        // Of the entry itself: a link could lead anywhere.
        let found = entry
            .file_type()
            .map_err(|source| io_error(&path, source))?;
        if found.is_dir() {
            below(&path, &format!("{inner}/"), depth + 1, files)?;
        } else if found.is_file() {
            if files.len() >= FILES {
                return Err(kind(folder, &format!("at most {FILES} files are accepted")));
            }
            files.insert(inner, text(&path)?);
        } else {
            return Err(kind(
                &path,
                "is neither a file nor a folder; links are not followed",
            ));
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, FolderError> {
    let size = fs::metadata(path).map_err(|source| io_error(path, source))?;
    if size.len() > LARGEST {
        return Err(kind(path, &format!("is larger than {LARGEST} bytes")));
    }
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    String::from_utf8(bytes).map_err(|_| kind(path, "is not UTF-8 text"))
}

fn io_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

fn kind(path: &Path, reason: &str) -> FolderError {
    FolderError::Kind {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Lays files over others: each stands in the place of one, and an empty one takes it away.
pub(super) fn laid_over(
    mut base: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    for (path, text) in files {
        if text.is_empty() {
            base.remove(&path);
        } else {
            base.insert(path, text);
        }
    }
    base
}

/// What is other in a bundle than in an earlier one: `+` for what came, `~` for what changed, `-` for what
/// went.
pub(super) fn differences<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> Vec<(char, &'a str)> {
    let came = after
        .iter()
        .filter_map(|(path, text)| match before.get(path) {
            None => Some(('+', path.as_str())),
            Some(earlier) if earlier != text => Some(('~', path.as_str())),
            Some(_) => None,
        });
    let went = before.keys().filter(|path| !after.contains_key(*path));
    let went = went.map(|path| ('-', path.as_str()));
    came.chain(went).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_its_folders_and_without_what_people_keep_beside() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::create_dir_all(at.join("overrides/hosts/a/api")).unwrap();
        fs::create_dir_all(at.join(".git")).unwrap();
        fs::write(at.join("overrides/hosts/a/api/extra.toml"), "x").unwrap();
        fs::write(at.join("firewall.toml"), "y").unwrap();
        fs::write(at.join("README.md"), "z").unwrap();
        fs::write(at.join(".git/config"), "z").unwrap();
        let files = read(at).unwrap();
        let paths: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["firewall.toml", "overrides/hosts/a/api/extra.toml"]);
    }

    #[test]
    fn what_is_no_text_no_file_or_too_much_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let refused = |what: &str| {
            let error = read(at).unwrap_err();
            let text = format!("{error} {:?}", std::error::Error::source(&error));
            assert!(text.contains(what), "{text}");
        };
        refused("no role file");
        std::os::unix::fs::symlink("/etc/passwd", at.join("link")).unwrap();
        refused("link: is neither");
        fs::remove_file(at.join("link")).unwrap();
        fs::write(at.join("bytes"), [0xff, 0xfe]).unwrap();
        refused("bytes: is not UTF-8");
        fs::write(at.join("bytes"), vec![b'a'; 256 * 1024 + 1]).unwrap();
        refused("bytes: is larger");
        let absent = read(&at.join("absent")).unwrap_err();
        assert!(absent.to_string().contains("absent"), "{absent}");
    }

    #[test]
    fn an_empty_file_takes_one_away() {
        let one = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let base = [one("a", "1"), one("b", "2")].into();
        let laid = laid_over(base, [one("a", ""), one("c", "3")].into());
        assert_eq!(laid, [one("b", "2"), one("c", "3")].into());
        let before = [one("a", "1"), one("b", "1")].into();
        let differs = differences(&before, &laid);
        assert_eq!(differs, [('~', "b"), ('+', "c"), ('-', "a")]);
    }
}
