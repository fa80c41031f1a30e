//! Why a catalogue is not taken.

/// What is wrong with a file of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A back-off or a disabled address without an end.
    #[error("{file}: {field} begins what nothing ends; accepted is {accepted}")]
    NoWayBack {
        /// The file.
        file: String,
        /// The rule.
        field: String,
        /// What would end it.
        accepted: &'static str,
    },
    /// A rule takes a reply that it is said to leave alone.
    #[error("{file}: {field}: the reply {reply:?} must be left alone and is taken by {by}")]
    NotLeft {
        /// The file.
        file: String,
        /// The rule that says so.
        field: String,
        /// The reply.
        reply: String,
        /// The rule that takes it.
        by: String,
    },
    /// A rule does not take its sample.
    #[error("{file}: {field}: the sample {reply:?} is not matched by the expression")]
    NotTaken {
        /// The file.
        file: String,
        /// The rule.
        field: String,
        /// The reply.
        reply: String,
    },
    /// An earlier rule takes a sample.
    #[error("{file}: {field}: the sample {reply:?} is taken by {by}, which stands before it")]
    Shadowed {
        /// The file.
        file: String,
        /// The rule whose sample it is.
        field: String,
        /// The reply.
        reply: String,
        /// The rule that takes it.
        by: String,
    },
    /// It is no TOML, or not of the form.
    #[error("{file}{}: {reason}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// A value that is not one.
    #[error("{file}: {field} is {value:?}; accepted is {accepted}")]
    Value {
        /// The file.
        file: String,
        /// Where in it.
        field: String,
        /// What stands there.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
}

impl CatalogueError {
    /// The file that it is about.
    #[must_use]
    pub fn file(&self) -> &str {
        match self {
            Self::NoWayBack { file, .. }
            | Self::NotLeft { file, .. }
            | Self::NotTaken { file, .. }
            | Self::Shadowed { file, .. }
            | Self::Syntax { file, .. }
            | Self::Value { file, .. } => file,
        }
    }

    /// The line, where it is known.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::Syntax { line, .. } => *line,
            _ => None,
        }
    }
}
