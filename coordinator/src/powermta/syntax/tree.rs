//! The tree of lines.

use std::fmt::{self, Display};

use super::line::Line;

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document<'a> {
    /// What stands in it, in order.
    pub nodes: Vec<Node<'a>>,
}

/// A line, or a section with its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A line that fits nowhere; an error names it.
    Broken(Line<'a>),
    /// A keyword with its value.
    Directive(Line<'a>),
    /// A section.
    Section(Section<'a>),
    /// Blank, or a comment alone.
    Trivia(Line<'a>),
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// The line that opens it.
    pub open: Line<'a>,
    /// How it does.
    pub opening: Opening<'a>,
    /// What stands in it, in order.
    pub nodes: Vec<Node<'a>>,
    /// The line that closes it; absent where an error says so.
    pub close: Option<Line<'a>>,
}

/// How a section opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// As the result of a pattern: `mail-from /x/ <pattern-list>`.
    Inline {
        /// Name of the section.
        name: &'a str,
        /// The content of the line before the tag.
        before: &'a str,
    },
    /// With a tag of its own: `<domain *>`.
    Tag {
        /// Name of the section.
        name: &'a str,
        /// What stands behind it, quotes included.
        argument: &'a str,
    },
}

impl<'a> Opening<'a> {
    /// Name of the section.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        match self {
            Self::Inline { name, .. } | Self::Tag { name, .. } => name,
        }
    }

    /// Its argument; a section that is a result has none.
    #[must_use]
    pub const fn argument(&self) -> &'a str {
        match self {
            Self::Inline { .. } => "",
            Self::Tag { argument, .. } => argument,
        }
    }
}

impl Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(&self.nodes, f)
    }
}

/// Recurses no deeper than the parser lets sections nest.
fn write_all(nodes: &[Node<'_>], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for node in nodes {
        match node {
            Node::Broken(line) | Node::Directive(line) | Node::Trivia(line) => line.fmt(f)?,
            Node::Section(section) => {
                section.open.fmt(f)?;
                write_all(&section.nodes, f)?;
                if let Some(close) = &section.close {
                    close.fmt(f)?;
                }
            }
        }
    }
    Ok(())
}
