//! Writes directives and sections, one per line.

use std::fmt::{Display, Formatter, Write};

use email_engine_protocol::bytes::ContentHash;

const INDENT: &str = "    ";

/// Text of a configuration under construction.
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
    open: Vec<&'static str>,
    /// Where the body begins, behind the hash of it.
    body: usize,
}

impl Text {
    /// A text whose head ends with the hash of all that is below it.
    pub(super) fn headed(head: &str, capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity);
        out.push_str(head);
        // Its place is kept, so that a text of many megabytes need not be moved for it.
        let place = ContentHash::of(b"").to_string().len();
        out.extend(std::iter::repeat_n(' ', place));
        out.push('\n');
        Self {
            body: out.len(),
            out,
            open: Vec::new(),
        }
    }

    /// One directive with its value.
    pub(super) fn line(&mut self, keyword: &str, value: impl Display) {
        self.indent();
        self.out.push_str(keyword);
        self.put(format_args!(" {value}\n"));
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
        self.put(format_args!("<{name} {argument}"));
        if self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push_str(">\n");
        self.open.push(name);
        content(self);
        self.open.pop();
        self.indent();
        // The closing tag never repeats the argument.
        self.put(format_args!("</{name}>\n"));
    }

    /// Lines as they are.
    pub(super) fn verbatim(&mut self, lines: &str) {
        self.out.push_str(lines);
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes whatever is written to it.
        let _ = self.out.write_fmt(text);
    }

    pub(super) fn finish(mut self) -> String {
        if self.body > 0 {
            let hash = ContentHash::of(&self.out.as_bytes()[self.body..]).to_string();
            let end = self.body - 1;
            self.out.replace_range(end - hash.len()..end, &hash);
        }
        self.out
    }

    fn indent(&mut self) {
        for _ in &self.open {
            self.out.push_str(INDENT);
        }
    }
}

/// A text as part of a regular expression that stands for itself. `#` would begin a comment even
/// inside an expression, so it is written by its number.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '#' => f.write_str("\\x23")?,
                c if c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '@' => {
                    f.write_char(c)?;
                }
                c if c.is_ascii_graphic() => {
                    f.write_char('\\')?;
                    f.write_char(c)?;
                }
                c => write!(f, "\\x{{{:x}}}", u32::from(c))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        Escaped(text).to_string()
    }

    #[test]
    fn the_head_holds_the_hash_of_what_is_below_it() {
        let mut text = Text::headed("# ", 0);
        text.line("log-rotate", 8);
        let hash = ContentHash::of(b"log-rotate 8\n");
        assert_eq!(text.finish(), format!("# {hash}\nlog-rotate 8\n"));
    }

    #[test]
    fn an_escaped_text_stands_for_itself_and_opens_no_comment() {
        assert_eq!(escaped("@mail1.example.com"), "@mail1\\.example\\.com");
        assert_eq!(escaped("a+b/c"), "a\\+b\\/c");
        assert_eq!(escaped("a#b"), "a\\x23b");
        assert_eq!(escaped("a b\n"), "a\\x{20}b\\x{a}");
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
