//! Finds and parses the files that the rules look at.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;

/// Folders that hold what tools made, not what people wrote.
const GENERATED: [&str; 3] = [".git", "target", "node_modules"];

/// One parsed Rust file; `path` is relative to the repository, with forward slashes.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) line_count: usize,
    pub(crate) ast: syn::File,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let ast = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self {
            path: path.to_owned(),
            line_count: text.lines().count(),
            ast,
        }
    }

    /// Every Rust file of the workspace.
    pub(crate) fn all() -> Vec<Self> {
        text_files()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| Self::parse(&path, &text))
            .collect()
    }
}

/// Every text file of the repository, sorted by path.
pub(crate) fn text_files() -> impl Iterator<Item = (String, String)> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    paths.sort();
    paths.into_iter().filter_map(|path| {
        // What is not UTF-8 is a picture or an archive, and no rule is about those.
        let text = String::from_utf8(fs::read(&path).unwrap()).ok()?;
        let relative = path.strip_prefix(root()).unwrap().to_str()?.to_owned();
        Some((relative, text))
    })
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// First and last line of a syntax node, attributes included.
pub(crate) fn line_span(node: &impl Spanned) -> (usize, usize) {
    let span = node.span();
    (span.start().line, span.end().line)
}

/// True for `#[cfg(test)]` and `#[cfg(all(test, ..))]`, not for `#[cfg(not(test))]`.
pub(crate) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| {
            let syn::Meta::List(list) = &attribute.meta else {
                return false;
            };
            let condition = list.tokens.to_string();
            let mut words = condition.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            words.clone().any(|word| word == "test") && !words.any(|word| word == "not")
        })
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !GENERATED.iter().any(|name| entry.file_name() == *name) {
            walk(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

#[test]
fn only_a_positive_test_condition_counts_as_test() {
    let file = Source::parse(
        "x.rs",
        "#[cfg(test)] mod a {} #[cfg(all(test, unix))] mod b {} #[cfg(not(test))] mod c {} mod d {}",
    );
    let judged: Vec<_> = file
        .ast
        .items
        .iter()
        .map(|item| match item {
            syn::Item::Mod(module) => is_test_only(&module.attrs),
            _ => panic!("only modules were written"),
        })
        .collect();
    assert_eq!(judged, [true, true, false, false]);
}
