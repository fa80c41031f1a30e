//! Takes a value apart, word by word, as the caller says what a word may be.

use super::line::is_blank;

/// Takes words from the front of a value.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    whole: &'a str,
    rest: &'a str,
}

/// A word and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Without quotes or slashes around it; escapes are kept.
    pub text: &'a str,
    /// Byte in the value at which it begins, with quote or slash.
    pub offset: usize,
    /// Whether it was quoted.
    pub quoted: bool,
}

/// Why there is no such word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordFault {
    /// The value is at its end.
    Absent,
    /// An expression was expected.
    NoSlash,
    /// Something follows a closing quote or slash without a blank.
    Glued,
    /// A quote or an expression has no end.
    Open,
}

impl<'a> Words<'a> {
    /// All of a value.
    #[must_use]
    pub fn of(value: &'a str) -> Self {
        Self {
            whole: value,
            rest: value.trim_start_matches(is_blank),
        }
    }

    /// What was not taken yet.
    #[must_use]
    pub const fn rest(&self) -> &'a str {
        self.rest
    }

    /// Where the rest begins in the value.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    /// A plain or quoted word.
    ///
    /// # Errors
    /// When there is none or its quote has no end.
    pub fn word(&mut self) -> Result<Word<'a>, WordFault> {
        if self.rest.is_empty() {
            return Err(WordFault::Absent);
        }
        if self.rest.starts_with('"') {
            return self.enclosed('"');
        }
        let end = self.rest.find(is_blank).unwrap_or(self.rest.len());
        Ok(self.take(end, 0))
    }

    /// An expression between slashes.
    ///
    /// # Errors
    /// When there is none or it has no end.
    pub fn regex(&mut self) -> Result<Word<'a>, WordFault> {
        match self.rest.chars().next() {
            None => Err(WordFault::Absent),
            Some('/') => self.enclosed('/'),
            Some(_) => Err(WordFault::NoSlash),
        }
    }

    fn enclosed(&mut self, mark: char) -> Result<Word<'a>, WordFault> {
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == mark {
                let after = &self.rest[at + 1..];
                if after.chars().next().is_some_and(|c| !is_blank(c)) {
                    return Err(WordFault::Glued);
                }
                return Ok(self.take(at + 1, 1));
            }
        }
        Err(WordFault::Open)
    }

    fn take(&mut self, end: usize, margin: usize) -> Word<'a> {
        let word = Word {
            text: &self.rest[margin..end - margin],
            offset: self.offset(),
            quoted: self.rest.starts_with('"'),
        };
        self.rest = self.rest[end..].trim_start_matches(is_blank);
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_expressions_are_taken_in_turn() {
        let mut words = Words::of("/a b\\/c/  x-y \"two \\\" words\" \"\"");
        assert_eq!(words.regex().map(|w| w.text), Ok("a b\\/c"));
        assert_eq!(
            words.word().map(|w| (w.text, w.offset, w.quoted)),
            Ok(("x-y", 10, false))
        );
        assert_eq!(words.word().map(|w| w.text), Ok("two \\\" words"));
        assert_eq!(words.word().map(|w| (w.text, w.quoted)), Ok(("", true)));
        assert_eq!(words.word(), Err(WordFault::Absent));
    }

    #[test]
    fn what_is_open_glued_or_no_expression_is_told_apart() {
        assert_eq!(Words::of("\"a").word(), Err(WordFault::Open));
        assert_eq!(Words::of("/a").regex(), Err(WordFault::Open));
        assert_eq!(Words::of("a/").regex(), Err(WordFault::NoSlash));
        assert_eq!(Words::of("/a/b").regex(), Err(WordFault::Glued));
        assert_eq!(Words::of("//").regex().map(|w| w.text), Ok(""));
    }
}
