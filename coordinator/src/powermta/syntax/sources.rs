//! All files of a configuration: the first one and what it includes.
//!
//! Reading is the resolver's; which file is asked for, how deep and how much is decided here. A path
//! is made absolute and free of `..` before it is asked for, so that a resolver with a root folder
//! can put it below that folder.

use std::collections::BTreeMap;

use super::error::Position;
use super::line::Line;
use super::parse::{Limits, Parsed, parse};
use super::tree::Node;
use super::words::Words;

/// Finds the files of an `include`.
pub trait Resolve {
    /// The files that a path stands for, by name and text, in the order in which they are read. The
    /// path is absolute, without `.` and `..`, and may hold `*` and `?`. None when wildcards match
    /// nothing.
    ///
    /// # Errors
    /// Why they cannot be had, in words that continue "`PATH`: ".
    fn resolve(&self, path: &str) -> Result<Vec<(String, String)>, String>;
}

/// Follows nothing.
impl Resolve for () {
    fn resolve(&self, _: &str) -> Result<Vec<(String, String)>, String> {
        Err("includes are not followed here".to_owned())
    }
}

/// Bounds of a whole configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// Most bytes of all files together.
    pub bytes: usize,
    /// Most files.
    pub files: usize,
    /// How deep files may include files.
    pub depth: usize,
    /// Bounds of each file.
    pub file: Limits,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            files: 1000,
            depth: 8,
            file: Limits::default(),
        }
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What became of an `include` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Include {
    /// Files by index, in order.
    Files(Vec<usize>),
    /// It stands for no file: wildcards that match nothing.
    Nothing,
    /// It was not followed, and why.
    Unread(String),
}

/// All files of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    files: Vec<Source>,
    includes: BTreeMap<(usize, u32), Include>,
}

/// Why a configuration's files cannot be taken together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A file includes itself, maybe through others, or files nest too deep.
    #[error("{file}:{at}: include of {path}: {chain}; expected files nested at most {depth} deep")]
    Depth {
        /// File with the include.
        file: String,
        /// Where.
        at: Position,
        /// What is included.
        path: String,
        /// How it came about.
        chain: String,
        /// The bound.
        depth: usize,
    },
    /// Too many files or bytes.
    #[error(
        "{file}:{at}: include of {path}: expected at most {files} files and {bytes} bytes together"
    )]
    Size {
        /// File with the include.
        file: String,
        /// Where.
        at: Position,
        /// What is included.
        path: String,
        /// The bound.
        files: usize,
        /// The bound.
        bytes: usize,
    },
}

/// A file that waits to be looked through, with the files that led to it.
struct Waiting {
    index: usize,
    chain: Vec<String>,
}

impl Sources {
    /// A text alone; its includes are not followed.
    #[must_use]
    pub fn single(name: &str, text: &str) -> Self {
        Self {
            files: vec![Source {
                name: name.to_owned(),
                text: text.to_owned(),
            }],
            includes: BTreeMap::new(),
        }
    }

    /// A text and all that it includes.
    ///
    /// # Errors
    /// When files nest too deep, or are too many or too large.
    pub fn gather(
        name: &str,
        text: &str,
        resolver: &impl Resolve,
        limits: SourceLimits,
    ) -> Result<Self, SourceError> {
        let mut sources = Self::single(name, text);
        let mut bytes = text.len();
        let mut waiting = vec![Waiting {
            index: 0,
            chain: vec![name.to_owned()],
        }];
        while let Some(Waiting { index, chain }) = waiting.pop() {
            let from = sources.files[index].name.clone();
            for (at, path) in include_lines(&sources.files[index], limits.file) {
                let found = match absolute(&path) {
                    Ok(path) => resolver.resolve(&path),
                    Err(reason) => Err(reason.to_owned()),
                };
                let include = match found {
                    Err(reason) => Include::Unread(reason),
                    Ok(files) if files.is_empty() => Include::Nothing,
                    Ok(files) => {
                        let mut indices = Vec::new();
                        for (name, text) in files {
                            bytes = bytes.saturating_add(text.len());
                            if bytes > limits.bytes || sources.files.len() >= limits.files {
                                return Err(SourceError::Size {
                                    file: from,
                                    at,
                                    path,
                                    files: limits.files,
                                    bytes: limits.bytes,
                                });
                            }
                            if chain.len() > limits.depth || chain.contains(&name) {
                                return Err(SourceError::Depth {
                                    file: from,
                                    at,
                                    path,
                                    chain: chain.join(" includes "),
                                    depth: limits.depth,
                                });
                            }
                            let index = sources.files.len();
                            let chain = [&chain[..], std::slice::from_ref(&name)].concat();
                            sources.files.push(Source { name, text });
                            waiting.push(Waiting { index, chain });
                            indices.push(index);
                        }
                        Include::Files(indices)
                    }
                };
                sources.includes.insert((index, at.line), include);
            }
        }
        Ok(sources)
    }

    /// The files; the first one is where reading begins.
    #[must_use]
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    /// What became of the `include` in a line of a file; none when it was never asked for.
    #[must_use]
    pub fn include(&self, file: usize, line: u32) -> Option<&Include> {
        self.includes.get(&(file, line))
    }

    /// The trees of all files, in their order.
    #[must_use]
    pub fn parse(&self, limits: Limits) -> Vec<Parsed<'_>> {
        self.files
            .iter()
            .map(|file| parse(&file.name, &file.text, limits))
            .collect()
    }
}

fn include_lines(source: &Source, limits: Limits) -> Vec<(Position, String)> {
    let parsed = parse(&source.name, &source.text, limits);
    let mut lines = Vec::new();
    collect(&parsed.document.nodes, &mut |line| {
        if line.keyword().eq_ignore_ascii_case("include")
            && let Ok(path) = Words::of(line.value()).word()
        {
            lines.push((line.at(), path.text.to_owned()));
        }
    });
    lines
}

/// Recurses no deeper than the parser lets sections nest.
fn collect(nodes: &[Node<'_>], visit: &mut impl FnMut(&Line<'_>)) {
    for node in nodes {
        match node {
            Node::Directive(line) => visit(line),
            Node::Section(section) => collect(&section.nodes, visit),
            Node::Broken(_) | Node::Trivia(_) => {}
        }
    }
}

fn absolute(path: &str) -> Result<String, &'static str> {
    if path.starts_with("http://") || path.starts_with("https://") {
        return Err("an address on the web is not followed");
    }
    if !path.starts_with('/') {
        return Err("where a relative path begins is documented nowhere");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // As in a root folder, whose parent is itself.
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(BTreeMap<&'static str, String>);

    impl Resolve for Folder {
        fn resolve(&self, path: &str) -> Result<Vec<(String, String)>, String> {
            if let Some(prefix) = path.strip_suffix('*') {
                let matching = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
                return Ok(matching
                    .map(|(n, t)| ((*n).to_owned(), t.clone()))
                    .collect());
            }
            let text = self.0.get(path).ok_or("no such file")?;
            Ok(vec![(path.to_owned(), text.clone())])
        }
    }

    fn folder<const N: usize>(files: [(&'static str, &str); N]) -> Folder {
        Folder(files.map(|(name, text)| (name, text.to_owned())).into())
    }

    fn gather(text: &str, resolver: &impl Resolve) -> Result<Sources, SourceError> {
        Sources::gather("/etc/pmta/config", text, resolver, SourceLimits::default())
    }

    #[test]
    fn files_are_followed_in_sections_and_through_files() {
        let files = folder([
            ("/etc/pmta/a", "include /etc/pmta/gen/*\n"),
            ("/etc/pmta/gen/1", "host-name a.example.com\n"),
            ("/etc/pmta/gen/2", ""),
            ("/etc/passwd", "x"),
        ]);
        let text = "include /etc/pmta/../../../etc/pmta/a\n<source 0/0>\ninclude /etc/none*\n\
                    include relative\ninclude https://example.com/a\n</source>\n";
        let sources = gather(text, &files).unwrap();
        let names: Vec<_> = sources
            .files()
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "/etc/pmta/config",
                "/etc/pmta/a",
                "/etc/pmta/gen/1",
                "/etc/pmta/gen/2"
            ]
        );
        assert_eq!(sources.include(0, 1), Some(&Include::Files(vec![1])));
        assert_eq!(sources.include(1, 1), Some(&Include::Files(vec![2, 3])));
        assert_eq!(sources.include(0, 3), Some(&Include::Nothing));
        for line in [4, 5] {
            assert!(
                matches!(sources.include(0, line), Some(Include::Unread(_))),
                "{line}"
            );
        }
        let parsed = sources.parse(Limits::default());
        assert!(parsed.iter().all(|file| file.errors.is_empty()));
    }

    #[test]
    fn a_circle_and_a_flood_are_refused_with_their_place() {
        let circle = folder([("/a", "\n include /b\n"), ("/b", "include /a\n")]);
        assert_eq!(
            gather("include /a\n", &circle).unwrap_err().to_string(),
            "/b:1:1: include of /a: /etc/pmta/config includes /a includes /b; \
             expected files nested at most 8 deep"
        );
        let many = folder([("/x", "include /y\n"), ("/y", "")]);
        let flood = "include /x\n".repeat(600);
        assert!(matches!(
            gather(&flood, &many),
            Err(SourceError::Size { .. })
        ));
    }

    #[test]
    fn files_in_a_row_are_followed_eight_deep() {
        let names: Vec<String> = (0..=10).map(|n| format!("/{n}")).collect();
        let names: Vec<&'static str> = names.into_iter().map(|n| &*n.leak()).collect();
        let row = |count: usize| {
            let line = |at: usize| match names[..count].get(at + 1) {
                Some(next) => format!("include {next}\n"),
                None => String::new(),
            };
            let files = (0..count).map(|at| (names[at], line(at)));
            gather("include /0\n", &Folder(files.collect()))
        };
        assert_eq!(row(8).unwrap().files().len(), 9);
        let error = row(10).unwrap_err();
        assert!(
            matches!(&error, SourceError::Depth { path, .. } if path == "/8"),
            "{error}"
        );
    }

    #[test]
    fn the_bytes_of_all_files_are_counted_together() {
        let files = folder([("/x", "12345"), ("/y", "12345")]);
        let within = |bytes| {
            let limits = SourceLimits {
                bytes,
                ..SourceLimits::default()
            };
            // 22 bytes, and 10 of what they name.
            Sources::gather("config", "include /x\ninclude /y\n", &files, limits)
        };
        assert_eq!(within(32).unwrap().files().len(), 3);
        for bytes in [10, 27, 31] {
            let error = within(bytes).unwrap_err();
            assert!(matches!(error, SourceError::Size { .. }), "{error}");
        }
    }

    #[test]
    fn without_a_resolver_nothing_is_followed() {
        let sources = gather("include /a\n", &()).unwrap();
        assert_eq!(sources.files().len(), 1);
        assert!(matches!(sources.include(0, 1), Some(Include::Unread(_))));
    }
}
