//! From text to tree.

use super::error::{Position, SyntaxError};
use super::line::{Line, is_blank};
use super::tree::{Document, Node, Opening, Section};

/// Bounds of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes.
    pub bytes: usize,
    /// How deep sections may nest.
    pub depth: usize,
    /// After how many errors the rest is no longer named.
    pub errors: usize,
}

impl Default for Limits {
    /// A configuration of 100,000 identities has about 40 MB and nests two deep.
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            depth: 16,
            errors: 100,
        }
    }
}

/// A tree, and what does not fit into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// Every line of the text.
    pub document: Document<'a>,
    /// In order of position; empty when the text is well formed.
    pub errors: Vec<SyntaxError>,
}

impl<'a> Parsed<'a> {
    /// The tree, if the text is well formed.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn well_formed(self) -> Result<Document<'a>, SyntaxError> {
        match self.errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.document),
        }
    }
}

/// Takes bytes for text.
///
/// # Errors
/// Where they are not UTF-8.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, SyntaxError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = good
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&good[start..]).chars().count() + 1;
        SyntaxError {
            file: file.to_owned(),
            at: Position {
                line: u32::try_from(line).unwrap_or(u32::MAX),
                column: u32::try_from(column).unwrap_or(u32::MAX),
            },
            found: format!("byte 0x{:02x}", bytes[error.valid_up_to()]),
            expected: "text in UTF-8".to_owned(),
        }
    })
}

/// Hangs the lines of a text under their sections. What does not fit is kept and named.
#[must_use]
pub fn parse<'a>(file: &str, text: &'a str, limits: Limits) -> Parsed<'a> {
    let mut parser = Parser {
        file,
        limits,
        open: Vec::new(),
        nodes: Vec::new(),
        errors: Vec::new(),
    };
    if text.len() > limits.bytes {
        parser.refuse(
            Position { line: 1, column: 1 },
            format!("a text of {} bytes", text.len()),
            format!("at most {}", limits.bytes),
        );
        return parser.finish();
    }
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        parser.line(Line::cut(number, line));
    }
    parser.finish()
}

struct Parser<'a, 'f> {
    file: &'f str,
    limits: Limits,
    /// Sections around the present line, with what stands before them in their own surroundings.
    open: Vec<(Section<'a>, Vec<Node<'a>>)>,
    nodes: Vec<Node<'a>>,
    errors: Vec<SyntaxError>,
}

impl<'a> Parser<'a, '_> {
    fn line(&mut self, line: Line<'a>) {
        if line.body.is_empty() {
            self.nodes.push(Node::Trivia(line));
        } else if let Some(rest) = line.body.strip_prefix("</") {
            self.close(line, rest);
        } else if line.body.starts_with('<') {
            self.tag(line);
        } else if let Some(opening) = inline(line.body) {
            self.section(line, opening);
        } else {
            self.nodes.push(Node::Directive(line));
        }
    }

    fn tag(&mut self, line: Line<'a>) {
        let Some(inner) = line.body[1..].strip_suffix('>') else {
            let at = line.at_byte(line.body.len());
            return self.broken(line, at, "the end of the line", "`>`");
        };
        if let Some(offset) = unquoted(inner, '<') {
            let at = line.at_byte(offset + 1);
            return self.broken(line, at, "a second tag in the line", "one tag per line");
        }
        let name = &inner[..name_length(inner)];
        let rest = &inner[name.len()..];
        if name.is_empty() || rest.chars().next().is_some_and(|c| !is_blank(c)) {
            let at = line.at_byte(1 + name.len());
            return self.broken(line, at, "no name of a section", "a name such as `domain`");
        }
        let argument = rest.trim_matches(is_blank);
        self.section(line, Opening::Tag { name, argument });
    }

    fn section(&mut self, line: Line<'a>, opening: Opening<'a>) {
        if self.open.len() >= self.limits.depth {
            let expected = format!("sections nested at most {} deep", self.limits.depth);
            return self.broken(line, line.at(), "one section too many", &expected);
        }
        let section = Section {
            open: line,
            opening,
            nodes: Vec::new(),
            close: None,
        };
        self.open.push((section, std::mem::take(&mut self.nodes)));
    }

    fn close(&mut self, line: Line<'a>, rest: &'a str) {
        let name = &rest[..name_length(rest)];
        let tail = rest[name.len()..].trim_start_matches(is_blank);
        if name.is_empty() || unquoted(tail, '>').is_none_or(|at| at + 1 != tail.len()) {
            let at = line.at_byte(2 + name.len());
            return self.broken(line, at, "no closing tag", "`</NAME>` alone on its line");
        }
        let Some(depth) = self.open.iter().rposition(|(section, _)| section.is(name)) else {
            let expected = match self.open.last() {
                Some((section, _)) => format!("`</{}>`", section.opening.name()),
                None => "an open section before it".to_owned(),
            };
            return self.broken(line, line.at(), &format!("`</{name}>`"), &expected);
        };
        // Whoever forgot to close an inner section is told about that one, and not about the rest.
        while self.open.len() > depth + 1 {
            let inner = self.open.last().map(|(section, _)| section.opening.name());
            let expected = format!("`</{}>` before it", inner.unwrap_or_default());
            self.refuse(line.at(), format!("`</{name}>`"), expected);
            self.pop(None);
        }
        self.pop(Some(line));
    }

    fn pop(&mut self, close: Option<Line<'a>>) {
        if let Some((mut section, before)) = self.open.pop() {
            section.nodes = std::mem::replace(&mut self.nodes, before);
            section.close = close;
            self.nodes.push(Node::Section(section));
        }
    }

    fn broken(&mut self, line: Line<'a>, at: Position, found: &str, expected: &str) {
        self.refuse(at, found.to_owned(), expected.to_owned());
        self.nodes.push(Node::Broken(line));
    }

    fn refuse(&mut self, at: Position, found: String, expected: String) {
        if self.errors.len() < self.limits.errors {
            self.errors.push(SyntaxError {
                file: self.file.to_owned(),
                at,
                found,
                expected,
            });
        }
    }

    fn finish(mut self) -> Parsed<'a> {
        while let Some((section, _)) = self.open.last() {
            let (name, at) = (section.opening.name(), section.open.at());
            self.refuse(
                at,
                format!("`<{name}>` that is open at the end"),
                format!("`</{name}>`"),
            );
            self.pop(None);
        }
        Parsed {
            document: Document { nodes: self.nodes },
            errors: self.errors,
        }
    }
}

impl Section<'_> {
    /// Whether keywords of the product mind their case is documented nowhere; a pair of tags that
    /// differs in nothing else is a pair.
    fn is(&self, name: &str) -> bool {
        self.opening.name().eq_ignore_ascii_case(name)
    }
}

/// A pattern whose result is a list of its own.
fn inline(body: &str) -> Option<Opening<'_>> {
    const NAME: &str = "pattern-list";
    let start = body.strip_suffix('>')?.len().checked_sub(NAME.len())?;
    let name = body.get(start..start + NAME.len())?;
    let before = body.get(..start)?.strip_suffix('<')?;
    (name.eq_ignore_ascii_case(NAME) && before.ends_with(is_blank)).then(|| Opening::Inline {
        name,
        before: before.trim_end_matches(is_blank),
    })
}

fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}

/// First place of a character outside of double quotes.
fn unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            c if c == wanted && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let parsed = parse("config", text, Limits::default());
        assert_eq!(parsed.document.to_string(), text);
        parsed.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sections_nest_with_their_lines() {
        let text = "# head\n<virtual-mta one> # first\n  <Domain *>\n type discard\n </domain>\n\
                    </virtual-mta>\n<mx-rollup-list >\n</mx-rollup-list>";
        let parsed = parse("config", text, Limits::default());
        assert_eq!(parsed.errors, []);
        let Node::Section(vmta) = &parsed.document.nodes[1] else {
            panic!("a section was expected");
        };
        assert_eq!(vmta.opening.argument(), "one");
        let Node::Section(domain) = &vmta.nodes[0] else {
            panic!("a section was expected");
        };
        assert_eq!(domain.opening.name(), "Domain");
        assert!(matches!(domain.nodes[..], [Node::Directive(line)] if line.value() == "discard"));
        assert!(
            matches!(&parsed.document.nodes[2], Node::Section(s) if s.opening.argument().is_empty())
        );
    }

    #[test]
    fn a_pattern_may_have_a_list_as_result() {
        let text = "<pattern-list a>\n mail-from /x y/ <pattern-list>\n  * virtual-mta=b\n \
                    </pattern-list>\n</pattern-list>\n";
        let parsed = parse("config", text, Limits::default());
        assert_eq!(parsed.errors, []);
        let Node::Section(list) = &parsed.document.nodes[0] else {
            panic!("a section was expected");
        };
        let Node::Section(inner) = &list.nodes[0] else {
            panic!("a section was expected");
        };
        let name = "pattern-list";
        let before = "mail-from /x y/";
        assert_eq!(inner.opening, Opening::Inline { name, before });
    }

    #[test]
    fn what_is_wrong_is_named_with_place_and_expectation() {
        for (text, error) in [
            (
                "a 1\n  <spool /a\n",
                "config:2:12: the end of the line, expected `>`",
            ),
            (
                "</spool>\n",
                "config:1:1: `</spool>`, expected an open section before it",
            ),
            ("<a>\n</b>\n</a>\n", "config:2:1: `</b>`, expected `</a>`"),
            (
                "<a>\n<b>\n</a>\n",
                "config:3:1: `</a>`, expected `</b>` before it",
            ),
            (
                "\n <a>\n",
                "config:2:2: `<a>` that is open at the end, expected `</a>`",
            ),
            (
                "<a></a>\n",
                "config:1:4: a second tag in the line, expected one tag per line",
            ),
            (
                "<>\n",
                "config:1:2: no name of a section, expected a name such as `domain`",
            ),
            (
                "<é>\n",
                "config:1:2: no name of a section, expected a name such as `domain`",
            ),
            (
                "</\n",
                "config:1:3: no closing tag, expected `</NAME>` alone on its line",
            ),
        ] {
            assert_eq!(errors(text), [error], "{text:?}");
        }
        let deep = "<a>\n".repeat(17);
        assert!(errors(&deep)[0].contains("17:1: one section too many, expected sections nested"));
        let limits = Limits {
            bytes: 3,
            ..Limits::default()
        };
        assert_eq!(parse("config", "abcd", limits).errors.len(), 1);
    }

    #[test]
    fn a_closing_tag_may_repeat_the_argument_and_quotes_may_hold_tags() {
        assert_eq!(errors("<a b>\n</a b>\n"), [""; 0]);
        assert_eq!(errors("<acct-file \"|/x <y >z\">\n</acct-file>\n"), [""; 0]);
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        assert_eq!(decode("config", "é\n".as_bytes()), Ok("é\n"));
        assert_eq!(
            decode("config", b"a\n\xc3\xa9 \xff")
                .unwrap_err()
                .to_string(),
            "config:2:3: byte 0xff, expected text in UTF-8"
        );
    }
}
