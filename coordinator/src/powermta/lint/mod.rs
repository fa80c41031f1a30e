//! Names what is wrong with a configuration.
//!
//! Every finding has a code that keeps its meaning; `codes.table` says for each how bad it is, why it
//! matters, how it is mended, where the guide speaks of it, and shows a text that has it and one that
//! has not. The tests run these samples.
//!
//! A text is parsed, flattened into an `outline` of sections with their lines, and held
//! against the rules, one after another. Between the marks of a verbatim block directives are not
//! looked up: the block is named itself.

mod check;
mod codes;
mod finding;
mod outline;
mod reach;
mod restart;
mod rules;
#[cfg(test)]
mod samples;
mod table;

use super::schema::Version;
use super::syntax::{Limits, Sources};

pub use codes::Code;
pub use finding::{Finding, Location, Report, Severity};
pub use outline::{VERBATIM_BEGIN, VERBATIM_END};
pub use reach::{Reach, reach};
pub use restart::restart_lines;
pub use table::{Rule, Sample, rules};

pub(super) use codes::REPLY_SHADOWED;
pub(super) use outline::{Block, Entry, Outline};
pub(super) use rules::is_broad;

/// What a text is held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Rules of this version.
    pub version: Version,
    /// Whether the text is all of a configuration.
    pub extent: Extent,
    /// The configuration in use, to say what a change to the new one does.
    pub before: Option<&'a Sources>,
}

/// How much of a configuration a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// A part: what is missing may stand elsewhere.
    Part,
    /// All of it.
    #[default]
    Whole,
}

/// Holds a configuration against all rules.
#[must_use]
pub fn lint(sources: &Sources, options: &Options<'_>) -> Report {
    let parsed = sources.parse(Limits::default());
    let outline = Outline::of(sources, &parsed);
    let before_parsed = options.before.map(|before| before.parse(Limits::default()));
    let before = options
        .before
        .zip(before_parsed.as_ref())
        .map(|(sources, parsed)| Outline::of(sources, parsed));
    let mut check = check::Check::new(sources, &outline, options);
    check.syntax(&parsed);
    rules::run(&mut check, before.as_ref());
    check.finish()
}
