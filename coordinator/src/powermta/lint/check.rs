//! What rules work with.

use std::collections::BTreeMap;

use super::super::schema::Scope;
use super::super::syntax::{Include, Parsed, Sources};
use super::codes::{self, Code};
use super::finding::{Finding, Location, Report};
use super::outline::{At, Block, Outline};
use super::{Extent, Options};

/// A configuration under examination, and what was found so far.
pub(super) struct Check<'a, 'c> {
    sources: &'c Sources,
    pub(super) outline: &'c Outline<'a>,
    pub(super) options: &'c Options<'c>,
    findings: Vec<Finding>,
    /// Blocks by scope and name without case; of several with one name the first.
    names: BTreeMap<(Scope, String), usize>,
    /// No file is missing and nothing is verbatim, so that what is not there does not exist.
    is_complete: bool,
}

impl<'a, 'c> Check<'a, 'c> {
    pub(super) fn new(
        sources: &'c Sources,
        outline: &'c Outline<'a>,
        options: &'c Options<'c>,
    ) -> Self {
        let mut names = BTreeMap::new();
        for (index, block) in outline.blocks.iter().enumerate() {
            if let Some(scope) = block.scope {
                names
                    .entry((scope, block.name.to_ascii_lowercase()))
                    .or_insert(index);
            }
        }
        let is_complete = options.extent == Extent::Whole
            && outline.verbatim.is_empty()
            && !outline
                .blocks
                .iter()
                .any(|block| is_partly_read(sources, block));
        Self {
            sources,
            outline,
            options,
            findings: Vec::new(),
            names,
            is_complete,
        }
    }

    /// What keeps a text from being a configuration at all.
    pub(super) fn syntax(&mut self, parsed: &[Parsed<'_>]) {
        for error in parsed.iter().flat_map(|parsed| &parsed.errors) {
            self.findings.push(Finding {
                at: Location {
                    file: error.file.clone(),
                    line: error.at.line,
                    column: error.at.column,
                },
                code: codes::SYNTAX,
                message: format!("{}, expected {}", error.found, error.expected),
            });
        }
    }

    pub(super) fn report(&mut self, code: Code, at: At, message: impl Into<String>) {
        let file = self
            .sources
            .files()
            .get(at.file)
            .map(|file| file.name.clone());
        self.findings.push(Finding {
            at: Location {
                file: file.unwrap_or_default(),
                line: at.line,
                column: at.column,
            },
            code,
            message: message.into(),
        });
    }

    /// A section of its name, whatever the case.
    pub(super) fn named(&self, scope: Scope, name: &str) -> Option<usize> {
        self.names.get(&(scope, name.to_ascii_lowercase())).copied()
    }

    /// A virtual MTA or a pool of its name: they share one name space.
    pub(super) fn egress(&self, name: &str) -> Option<usize> {
        self.named(Scope::VirtualMta, name)
            .or_else(|| self.named(Scope::VirtualMtaPool, name))
    }

    /// Whether a name stands for nothing, though all files were read.
    pub(super) fn is_unknown(&self, scope: Scope, name: &str) -> bool {
        self.is_complete && self.named(scope, name).is_none()
    }

    /// Whether what is not there does not exist.
    pub(super) const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether something of a section stands in a file that was not read.
    pub(super) fn is_partly_read(&self, block: &Block<'_>) -> bool {
        is_partly_read(self.sources, block)
    }

    pub(super) const fn sources(&self) -> &'c Sources {
        self.sources
    }

    /// Whether what is missing in the text is missing altogether.
    pub(super) fn is_whole(&self) -> bool {
        self.options.extent == Extent::Whole
    }

    pub(super) fn finish(mut self) -> Report {
        self.findings.sort();
        self.findings.dedup();
        Report {
            findings: self.findings,
        }
    }
}

fn is_partly_read(sources: &Sources, block: &Block<'_>) -> bool {
    let mut includes = block.all("include");
    includes.any(|entry| {
        let include = sources.include(entry.at.file, entry.at.line);
        !matches!(include, Some(Include::Files(_) | Include::Nothing))
    })
}

/// A value as it may be shown: short, and nothing of a secret.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}...`", &text[..end]),
        None => format!("`{text}`"),
    }
}
