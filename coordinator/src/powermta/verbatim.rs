//! Lines that go to a host as they are.
//!
//! Directives outside of the schema are never written, except here: an operator's own lines, between
//! marks that the linter knows, at the end of the configuration. A plan that has some must say so.

use super::lint::{Outline, VERBATIM_BEGIN, VERBATIM_END};
use super::syntax::{Limits, Sources, SyntaxError, parse};

/// Most bytes.
const MOST: usize = 64 * 1024;

/// Lines that hang together and are not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verbatim {
    text: String,
}

/// Why lines cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerbatimError {
    /// They would open or close what is around them.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// They hold a mark of a verbatim block themselves.
    #[error("a verbatim block within a verbatim block; leave its marks out")]
    Mark {
        /// Number of the line.
        line: usize,
    },
    /// They are too many.
    #[error("{given} bytes; at most {MOST} are taken")]
    Size {
        /// How many there are.
        given: usize,
    },
}

impl VerbatimError {
    /// The line that it is about.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Mark { line } => Some(*line),
            Self::Size { .. } => None,
            Self::Syntax(error) => usize::try_from(error.at.line).ok(),
        }
    }
}

impl Verbatim {
    /// Takes lines over; none when there is nothing but blanks.
    ///
    /// # Errors
    /// When they are too many or do not hang together by themselves.
    pub fn new(text: &str) -> Result<Option<Self>, VerbatimError> {
        if text.len() > MOST {
            return Err(VerbatimError::Size { given: text.len() });
        }
        let is_mark = |line: &str| {
            let line = line.trim_start();
            line.starts_with(VERBATIM_BEGIN) || line.starts_with(VERBATIM_END)
        };
        if let Some(index) = text.lines().position(is_mark) {
            return Err(VerbatimError::Mark { line: index + 1 });
        }
        parse("extra", text, Limits::default()).well_formed()?;
        let text = text.trim_end();
        Ok((!text.is_empty()).then(|| Self {
            text: format!("{text}\n"),
        }))
    }

    /// How many lines are not blank: for the plan that tells of them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
    }

    /// What a directive outside of sections is set to; the last is the one that counts.
    pub(super) fn global(&self, keyword: &str) -> Option<String> {
        let sources = Sources::single("extra", &self.text);
        let parsed = sources.parse(Limits::default());
        let outline = Outline::of(&sources, &parsed);
        let entry = outline.global().last(keyword);
        entry.map(|entry| entry.text().to_owned())
    }

    /// What a directive is set to, wherever that is.
    pub(super) fn everywhere(&self, keyword: &str) -> Vec<String> {
        let sources = Sources::single("extra", &self.text);
        let parsed = sources.parse(Limits::default());
        let outline = Outline::of(&sources, &parsed);
        let entries = outline.blocks.iter().flat_map(|block| &block.entries);
        entries
            .filter(|entry| entry.keyword.eq_ignore_ascii_case(keyword))
            .map(|entry| entry.text().to_owned())
            .collect()
    }

    /// The lines with the marks around them.
    pub(super) fn marked(&self) -> String {
        format!("{VERBATIM_BEGIN}\n{}{VERBATIM_END}\n", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_with_marks_around_them() {
        let extra = Verbatim::new("new-directive yes\n\n<domain *>\n  x\n</domain>\n\n\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            extra.marked(),
            "# email-engine: verbatim begin\nnew-directive yes\n\n<domain *>\n  x\n</domain>\n\
             # email-engine: verbatim end\n"
        );
        assert_eq!(extra.count(), 4);
        assert_eq!(extra.global("NEW-directive").as_deref(), Some("yes"));
        assert_eq!(extra.global("x"), None);
        assert_eq!(Verbatim::new(" \n\n"), Ok(None));
    }

    #[test]
    fn what_would_reach_out_of_its_marks_is_refused() {
        for (text, error) in [
            (
                "</domain>\n",
                "extra:1:1: `</domain>`, expected an open section before it",
            ),
            ("<domain *>\n", "extra:1:1: `<domain *>`"),
            (
                "a\n # email-engine: verbatim end\n",
                "a verbatim block within a verbatim block; leave its marks out",
            ),
            (
                &"a\n".repeat(40_000),
                "80000 bytes; at most 65536 are taken",
            ),
        ] {
            let found = Verbatim::new(text).unwrap_err().to_string();
            assert!(found.starts_with(error.trim_end_matches(" *>`")), "{found}");
        }
    }
}
