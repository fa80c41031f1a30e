//! Reads configurations, and what they include, from below one folder.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use email_engine_coordinator::powermta::syntax::{
    Limits, Resolve, SourceLimits, Sources, SyntaxError, decode,
};

/// Why a configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot read {name}")]
    Io { name: String, source: io::Error },
    #[error("{name} is larger than {most} bytes")]
    Size { name: String, most: usize },
    #[error(transparent)]
    Text(#[from] SyntaxError),
    #[error(transparent)]
    Include(#[from] email_engine_coordinator::powermta::syntax::SourceError),
}

/// Reads a file, or stdin for `-`, with what it includes below `root`.
pub(super) fn read(path: &Path, root: Option<&Path>) -> Result<Sources, ReadError> {
    let limits = SourceLimits::default();
    let (name, input): (String, Box<dyn Read>) = if path == Path::new("-") {
        ("stdin".to_owned(), Box::new(io::stdin().lock()))
    } else {
        let name = path.display().to_string();
        match fs::File::open(path) {
            Ok(file) => (name, Box::new(file)),
            Err(source) => return Err(ReadError::Io { name, source }),
        }
    };
    let text = bounded(&name, input, limits.file)?;
    match root {
        None => Ok(Sources::gather(&name, &text, &(), limits)?),
        Some(root) => {
            let real = fs::canonicalize(root).map_err(|source| ReadError::Io {
                name: root.display().to_string(),
                source,
            })?;
            let folder = Folder { root: real, limits };
            Ok(Sources::gather(&name, &text, &folder, limits)?)
        }
    }
}

fn bounded(name: &str, input: impl Read, limits: Limits) -> Result<String, ReadError> {
    let name = name.to_owned();
    let mut bytes = Vec::new();
    let most = limits.bytes;
    if let Err(source) = input.take(most as u64 + 1).read_to_end(&mut bytes) {
        return Err(ReadError::Io { name, source });
    }
    if bytes.len() > most {
        return Err(ReadError::Size { name, most });
    }
    Ok(decode(&name, &bytes)?.to_owned())
}

/// A folder that stands for `/`.
struct Folder {
    root: PathBuf,
    limits: SourceLimits,
}

impl Resolve for Folder {
    fn resolve(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let (folder, pattern) = path.rsplit_once('/').unwrap_or(("", path));
        if folder.contains(['*', '?']) {
            return Err("wildcards are followed in the name of a file alone".to_owned());
        }
        if !pattern.contains(['*', '?']) {
            return self.file(path).map(|text| vec![(path.to_owned(), text)]);
        }
        let real = self.inside(folder)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(real).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if matches(pattern, &name) && entry.path().is_file() {
                names.push(format!("{folder}/{name}"));
            }
            if names.len() > self.limits.files {
                return Err(format!("more than {} files match", self.limits.files));
            }
        }
        names.sort();
        names
            .into_iter()
            .map(|path| self.file(&path).map(|text| (path, text)))
            .collect()
    }
}

impl Folder {
    fn file(&self, path: &str) -> Result<String, String> {
        let real = self.inside(path)?;
        if !real.is_file() {
            return Err("it is no file".to_owned());
        }
        let file = fs::File::open(real).map_err(|error| error.to_string())?;
        bounded(path, file, self.limits.file).map_err(|error| error.to_string())
    }

    /// The real place of a path, which no symbolic link may lead out of the root.
    fn inside(&self, path: &str) -> Result<PathBuf, String> {
        let below = self.root.join(path.trim_start_matches('/'));
        let real = fs::canonicalize(below).map_err(|error| error.to_string())?;
        if real.starts_with(&self.root) {
            Ok(real)
        } else {
            Err(format!("it leads out of {}", self.root.display()))
        }
    }
}

/// Whether a name fits a pattern of `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*' {
            (p, n) = (p + 1, n + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            back = Some((p, n));
            p += 1;
        } else if let Some((star, from)) = back {
            // The star takes one character more.
            back = Some((star, from + 1));
            (p, n) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_are_matched_by_wildcards() {
        for (pattern, name) in [
            ("*.conf", "a.conf"),
            ("a?c*", "abc"),
            ("*", ""),
            ("**b*", "aab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.conf", "a.con"),
            ("a?c", "ac"),
            ("a", "ab"),
            ("*a*b", "ba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("config"), "12345").unwrap();
        let read = |bytes| {
            let mut limits = SourceLimits::default();
            limits.file.bytes = bytes;
            let root = fs::canonicalize(place.path()).unwrap();
            Folder { root, limits }.resolve("/config")
        };
        assert_eq!(read(5).unwrap()[0].1, "12345");
        assert_eq!(read(4).unwrap_err(), "/config is larger than 4 bytes");
    }

    #[test]
    fn includes_are_read_below_the_root_and_never_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("host");
        fs::create_dir_all(root.join("etc/pmta/gen")).unwrap();
        fs::write(place.path().join("outside"), "log-rotate 8\n").unwrap();
        fs::write(root.join("etc/pmta/gen/b.conf"), "log-rotate 8\n").unwrap();
        fs::write(
            root.join("etc/pmta/gen/a.conf"),
            "host-name a.example.com\n",
        )
        .unwrap();
        symlink(place.path().join("outside"), root.join("etc/pmta/link")).unwrap();
        let config = root.join("etc/pmta/config");
        let text = "include /etc/pmta/gen/*.conf\ninclude /etc/pmta/link\ninclude /../outside\n";
        fs::write(&config, text).unwrap();
        let sources = read(&config, Some(&root)).unwrap();
        let names: Vec<_> = sources
            .files()
            .iter()
            .skip(1)
            .map(|f| f.name.as_str())
            .collect();
        assert_eq!(names, ["/etc/pmta/gen/a.conf", "/etc/pmta/gen/b.conf"]);
    }
}
