//! One line, cut into what means something and what is for the reader.

use std::fmt;

use super::error::Position;

/// A line. Its parts, one after another, are the line itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u32,
    /// Blanks before the content.
    pub lead: &'a str,
    /// The content, without blanks around it.
    pub body: &'a str,
    /// Blanks after the content, and the comment from its `#` on.
    pub trail: &'a str,
    /// The line's end; empty on a last line without one.
    pub end: &'a str,
}

/// What separates words.
pub(super) const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

impl<'a> Line<'a> {
    /// Cuts a line that still has its end.
    pub(super) fn cut(number: u32, text: &'a str) -> Self {
        let content_end = text.trim_end_matches('\n').len();
        let (content, end) = match text[..content_end].strip_suffix('\r') {
            Some(content) if content_end < text.len() => (content, &text[content.len()..]),
            _ => text.split_at(content_end),
        };
        // The product begins a comment at any `#`, also in quotes and in expressions.
        let said = &content[..content.find('#').unwrap_or(content.len())];
        let body_end = said.trim_end_matches(is_blank).len();
        let lead_end = body_end - said[..body_end].trim_start_matches(is_blank).len();
        Self {
            number,
            lead: &content[..lead_end],
            body: &content[lead_end..body_end],
            trail: &content[body_end..],
            end,
        }
    }

    /// Where the content begins.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at_byte(0)
    }

    /// Where a byte of the content stands.
    #[must_use]
    pub fn at_byte(&self, offset: usize) -> Position {
        let before = self.body.get(..offset).unwrap_or(self.body);
        let characters = self.lead.chars().count() + before.chars().count();
        Position {
            line: self.number,
            column: u32::try_from(characters + 1).unwrap_or(u32::MAX),
        }
    }

    /// First word of the content.
    #[must_use]
    pub fn keyword(&self) -> &'a str {
        self.body.split(is_blank).next().unwrap_or_default()
    }

    /// What follows the first word.
    #[must_use]
    pub fn value(&self) -> &'a str {
        self.body[self.keyword().len()..].trim_start_matches(is_blank)
    }

    /// The comment with its `#`, or nothing.
    #[must_use]
    pub fn comment(&self) -> &'a str {
        self.trail.trim_start_matches(is_blank)
    }

    /// Whether the comment begins right after a character of the content, which it then cut off.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        !self.body.is_empty() && self.trail.starts_with('#')
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lead)?;
        f.write_str(self.body)?;
        f.write_str(self.trail)?;
        f.write_str(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_parts_that_are_the_line() {
        let line = Line::cut(3, "\t host-name  a.example.com # main\r\n");
        assert_eq!(
            (line.lead, line.body, line.trail, line.end),
            ("\t ", "host-name  a.example.com", " # main", "\r\n")
        );
        assert_eq!(
            (line.keyword(), line.value()),
            ("host-name", "a.example.com")
        );
        assert_eq!(line.comment(), "# main");
        assert_eq!(line.at(), Position { line: 3, column: 3 });
        assert!(!line.is_cut());
        assert!(Line::cut(1, "password abc#def\n").is_cut());
    }

    #[test]
    fn blanks_and_comments_have_no_content() {
        for text in ["", "\n", "  \r\n", "# x", "   # <spool>\n", "\r"] {
            let line = Line::cut(1, text);
            assert_eq!(line.body, "", "{text:?}");
            assert_eq!(line.to_string(), text);
        }
    }
}
