//! The text of a configuration as a tree that forgets nothing.
//!
//! [`parse()`] cuts a text into lines and hangs them under their sections; every blank, comment, quote
//! and line ending stays, so that writing the tree gives the same bytes again. A line that fits nowhere
//! stays too, beside the error that names it: a linter wants the rest of the file as well.
//!
//! One pass, one step per byte; sections nest at most [`Limits::depth`] deep. Values are not looked
//! into here, because only the schema knows whether a `/` opens an expression or a path:
//! [`Words`] takes them apart when it is known.
//!
//! [`Sources`] follows `include` lines through a resolver that is handed in, within bounds.

mod error;
mod line;
mod parse;
mod sources;
mod tree;
mod words;

pub use error::{Position, SyntaxError};
pub use line::Line;
pub use parse::{Limits, Parsed, decode, parse};
pub use sources::{Include, Resolve, Source, SourceError, SourceLimits, Sources};
pub use tree::{Document, Node, Opening, Section};
pub use words::{Word, WordFault, Words};

#[cfg(test)]
mod laws;
#[cfg(test)]
mod random;
