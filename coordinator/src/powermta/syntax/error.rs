//! Where something stands, and what is wrong with a text.

use std::fmt;

/// A place in a file. Lines and columns begin at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the line.
    pub line: u32,
    /// Number of the character in it.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{at}: {found}, expected {expected}")]
pub struct SyntaxError {
    /// Name of the file.
    pub file: String,
    /// Where.
    pub at: Position,
    /// What stands there.
    pub found: String,
    /// What could have stood there.
    pub expected: String,
}
