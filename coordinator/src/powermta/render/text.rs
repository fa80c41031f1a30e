//! Writes directives and sections, one per line.

use std::fmt::{Display, Write};

const INDENT: &str = "    ";

/// Text of a configuration under construction.
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
    open: Vec<&'static str>,
}

impl Text {
    /// An empty one, with room for so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self {
            out: String::with_capacity(bytes),
            open: Vec::new(),
        }
    }

    /// One directive with its value.
    pub(super) fn line(&mut self, keyword: &str, value: impl Display) {
        self.indent();
        self.out.push_str(keyword);
        self.out.push(' ');
        self.put(value);
        self.out.push('\n');
    }

    /// A comment between sections.
    pub(super) fn comment(&mut self, words: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        for line in words.lines() {
            self.out.push_str("# ");
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// A section and what is in it.
    pub(super) fn section(
        &mut self,
        name: &'static str,
        argument: impl Display,
        content: impl FnOnce(&mut Self),
    ) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push(' ');
        self.put(argument);
        if self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push_str(">\n");
        self.open.push(name);
        content(self);
        self.open.pop();
        self.indent();
        // The closing tag never repeats the argument.
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// Where whoever writes many lines writes them himself, with their indents.
    pub(super) const fn lines(&mut self) -> &mut String {
        &mut self.out
    }

    /// Lines as they are.
    pub(super) fn verbatim(&mut self, lines: &str) {
        self.out.push_str(lines);
    }

    fn put(&mut self, text: impl Display) {
        // A string takes whatever is written to it.
        let _ = write!(self.out, "{text}");
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn indent(&mut self) {
        for _ in &self.open {
            self.out.push_str(INDENT);
        }
    }
}

/// Writes a text as part of a regular expression that stands for itself. `#` would begin a comment even
/// inside an expression, so it is written by its number.
pub(super) fn escape_into(out: &mut String, text: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@');
    let mut rest = text;
    while let Some(at) = rest.find(|c| !is_plain(c)) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('#') => out.push_str("\\x23"),
            Some(c) if c.is_ascii_graphic() => {
                out.push('\\');
                out.push(c);
            }
            Some(c) => {
                // A string takes whatever is written to it.
                let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escape(text: &str) -> String {
        let mut out = String::new();
        escape_into(&mut out, text);
        out
    }

    #[test]
    fn an_escaped_text_stands_for_itself_and_opens_no_comment() {
        assert_eq!(escape("@mail1.example.com"), "@mail1\\.example\\.com");
        assert_eq!(escape("a+b/c"), "a\\+b\\/c");
        assert_eq!(escape("a#b"), "a\\x23b");
        assert_eq!(escape("a b\n"), "a\\x{20}b\\x{a}");
    }

    #[test]
    fn sections_nest_and_close_without_their_argument() {
        let mut text = Text::default();
        text.section("virtual-mta", "one", |text| {
            text.section("domain", "*", |text| text.line("type", "discard"));
        });
        assert_eq!(
            text.finish(),
            "<virtual-mta one>\n    <domain *>\n        type discard\n    </domain>\n</virtual-mta>\n"
        );
    }
}
