//! A text of an alert: one line of bounded length, whoever wrote it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest line, in characters: a DKIM record with a key of 2048 bits fits.
const CHARS: usize = 600;

/// One line. What is longer is cut, and what would end it is a blank: texts come from hosts, from other
/// programs and from people, and stand in headers of mails and in a log that is kept.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line(String);

impl Line {
    /// Takes a text.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let mut line: String = text.chars().take(CHARS).map(clean).collect();
        if text.chars().nth(CHARS).is_some() {
            line.pop();
            line.push('…');
        }
        Self(line)
    }

    /// What something says of itself.
    #[must_use]
    pub fn said(what: impl fmt::Display) -> Self {
        Self::new(what.to_string())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Several in one, in their order.
    #[must_use]
    pub fn joined(lines: &[Self], by: &str) -> String {
        let lines: Vec<&str> = lines.iter().map(Self::as_str).collect();
        lines.join(by)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Line {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_second_line_and_an_end() {
        assert_eq!(Line::new("a\r\nBcc: b").as_str(), "a  Bcc: b");
        let long = Line::new("é".repeat(601));
        assert_eq!(long.as_str().chars().count(), 600);
        assert!(long.as_str().ends_with("é…"));
        let again: Line = serde_json::from_str("\"a\\nb\"").unwrap();
        assert_eq!(again.as_str(), "a b", "whoever wrote the log");
        assert_eq!(
            Line::new(long.as_str()),
            long,
            "cutting again changes nothing"
        );
    }
}
