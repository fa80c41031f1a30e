//! Reads a fleet file and points at what is wrong in it.

use std::io::{self, Read};
use std::path::Path;

use email_engine_protocol::api::FleetDocument;
use email_engine_protocol::limits;
use toml::de::{DeTable, DeValue};

/// Why a fleet file could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetFileError {
    /// Not readable.
    #[error("cannot read {name}")]
    Io {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Not a fleet document.
    #[error("{name}:{line}:{column}: {message}\n{excerpt}")]
    Form {
        /// The file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, and what would be accepted.
        message: String,
        /// The offending line with a mark below.
        excerpt: String,
    },
    /// Not text, or not in the one encoding that TOML has.
    #[error("{name} {what}")]
    NotText {
        /// The file.
        name: String,
        /// What it is instead, and where that shows.
        what: String,
    },
    /// Too large for a request.
    #[error(
        "{name} is larger than {} bytes, which is the most that a request may carry",
        limits::REQUEST_BYTES
    )]
    TooLarge {
        /// The file.
        name: String,
    },
}

/// A fleet file that is a fleet document; what the cluster says of that is found in its lines.
#[derive(Debug)]
pub(crate) struct FleetFile {
    pub(crate) document: FleetDocument,
    name: String,
    text: String,
}

#[cfg(test)]
impl From<FleetDocument> for FleetFile {
    fn from(document: FleetDocument) -> Self {
        let (name, text) = (String::new(), String::new());
        Self {
            document,
            name,
            text,
        }
    }
}

/// Reads a file, or stdin for `-`.
pub(crate) fn read(path: &Path) -> Result<FleetFile, FleetFileError> {
    let (name, input): (String, Box<dyn Read>) = if path == Path::new("-") {
        ("stdin".to_owned(), Box::new(io::stdin().lock()))
    } else {
        let name = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|source| FleetFileError::Io {
            name: name.clone(),
            source,
        })?;
        (name, Box::new(file))
    };
    let mut bytes = Vec::new();
    input
        .take(limits::REQUEST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FleetFileError::Io {
            name: name.clone(),
            source,
        })?;
    if bytes.len() > limits::REQUEST_BYTES {
        return Err(FleetFileError::TooLarge { name });
    }
    match text(&bytes) {
        Ok(text) => Ok(FleetFile {
            document: parse(&name, text)?,
            text: text.to_owned(),
            name,
        }),
        Err(what) => Err(FleetFileError::NotText { name, what }),
    }
}

/// The text of a file, or what it is instead.
fn text(bytes: &[u8]) -> Result<&str, String> {
    let line = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16 text: save it as UTF-8".to_owned());
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!(
            "is not text: it has a NUL byte in line {}",
            line(at)
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        format!("is not UTF-8 text: byte {byte:#04x} in line {}", line(at))
    })
}

/// Parses the text of a fleet file.
pub(crate) fn parse(name: &str, text: &str) -> Result<FleetDocument, FleetFileError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let place = Place::of(text, span);
        FleetFileError::Form {
            name: name.to_owned(),
            line: place.line,
            column: place.column,
            message: error.message().to_owned(),
            excerpt: place.excerpt,
        }
    })
}

impl FleetFile {
    /// Sets what was said of a field (`ips[3].domain`) beside the line where it stands: its own, or
    /// that of the nearest around it when it is not in the file.
    pub(crate) fn point_at(&self, field: &str, said: &str) -> String {
        let written = self.document.as_written(field);
        let (place, range) = written.unwrap_or_else(|| (field.to_owned(), None));
        let Some(span) = find(&self.text, &place) else {
            return said.to_owned();
        };
        let said = range.map_or_else(
            || said.to_owned(),
            |range| format!("{said}\n{field} is of the range {range}"),
        );
        let Place {
            line,
            column,
            excerpt,
        } = Place::of(&self.text, span);
        format!("{}:{line}:{column}: {said}\n{excerpt}", self.name)
    }
}

/// Where a field stands in a document; nowhere when not even its table is there.
fn find(text: &str, field: &str) -> Option<std::ops::Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut steps = field.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let mut value = table.get_ref().get(steps.next()?);
    while let Some(here) = value {
        found = Some(here.span());
        value = steps.next().and_then(|step| match here.get_ref() {
            DeValue::Table(table) => table.get(step),
            DeValue::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        });
    }
    found
}

struct Place {
    line: usize,
    column: usize,
    excerpt: String,
}

impl Place {
    fn of(text: &str, span: std::ops::Range<usize>) -> Self {
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = 1 + before.matches('\n').count();
        let indent = text[line_start..start].chars().count();
        let content = text[line_start..].lines().next().unwrap_or("");
        let rest = content.chars().count().saturating_sub(indent);
        let width = text
            .get(start..span.end.max(start))
            .map_or(1, |marked| marked.chars().count())
            .clamp(1, rest.max(1));
        let gutter = " ".repeat(line.to_string().len());
        let excerpt = format!(
            "{gutter} |\n{line} | {content}\n{gutter} | {}{}",
            " ".repeat(indent),
            "^".repeat(width)
        );
        Self {
            line,
            column: indent + 1,
            excerpt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse("fleet.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_shown_in_its_line_with_the_known_ones() {
        let shown = fault("[[tenants]]\nid = \"client-1\"\nname = \"One\"\nnmae = \"Two\"\n");
        assert!(
            shown.starts_with("fleet.toml:4:1: unknown field `nmae`, expected one of `id`, `name`"),
            "{shown}"
        );
        assert!(
            shown.ends_with("  |\n4 | nmae = \"Two\"\n  | ^^^^"),
            "{shown}"
        );
    }

    #[test]
    fn a_wrong_type_is_shown_with_its_column() {
        let shown = fault("[[tenants]]\nid = 7\nname = \"One\"\n");
        assert!(
            shown.starts_with("fleet.toml:2:6: invalid type: integer `7`"),
            "{shown}"
        );
        assert!(shown.ends_with("2 | id = 7\n  |      ^"), "{shown}");
    }

    #[test]
    fn a_fault_of_a_range_is_shown_at_its_own_entry() {
        let shown = fault(
            "[[ips]]\naddress = \"192.0.2.1\"\ndomain = \"a.example\"\ntenant = \"one\"\n\n\
             [[ips]]\naddress = \"192.0.2.2-9\"\ndomain = \"b.example\"\ntenant = \"one\"\n",
        );
        assert!(
            shown.starts_with("fleet.toml:6:1: domain \"b.example\" of the range 192.0.2.2"),
            "{shown}"
        );
        let shown = fault("[[ips]]\ndomain = \"a.example\"\ntenant = \"one\"\n");
        assert!(
            shown.starts_with("fleet.toml:1:1: missing field `address`"),
            "{shown}"
        );
        let shown = fault("[[ips]]\naddress = 7\n");
        assert!(shown.contains("expected IP address, or a range"), "{shown}");
    }

    #[test]
    fn a_bad_address_and_a_bad_name_say_what_would_be_accepted() {
        let shown = fault("[[ips]]\naddress = \"192.0.2.300\"\ndomain = \"a.example\"\n");
        assert!(
            shown.starts_with("fleet.toml:2:11: invalid IP address"),
            "{shown}"
        );
        let shown = fault("[[tenants]]\nid = \"Client 1\"\nname = \"One\"\n");
        assert!(
            shown.contains("tenant id \"Client 1\" is not valid: 1 to 63"),
            "{shown}"
        );
    }

    #[test]
    fn broken_toml_and_wide_characters_are_counted_in_characters() {
        let shown = fault("[[tenants]]\nname = \"é\" x\n");
        assert!(shown.starts_with("fleet.toml:2:12: "), "{shown}");
    }

    #[test]
    fn what_the_cluster_says_of_a_field_is_shown_in_its_line() {
        let text = "[[ips]]\naddress = \"192.0.2.1\"\ndomain = \"a.example\"\n\n[[ips]]\naddress = \
                    \"192.0.2.2\"\ndomain = \"b.example\"\n";
        let file = FleetFile {
            document: FleetDocument::default(),
            name: "fleet.toml".to_owned(),
            text: text.to_owned(),
        };
        let shown = file.point_at("ips[1].domain", "taken\n  code  x");
        assert_eq!(
            shown,
            "fleet.toml:7:10: taken\n  code  x\n  |\n7 | domain = \"b.example\"\n  |          \
             ^^^^^^^^^^^"
        );
        let nearest = file.point_at("ips[1].sender", "missing");
        assert!(nearest.starts_with("fleet.toml:5:1: missing"), "{nearest}");
        assert_eq!(file.point_at("hosts[0].id", "unknown"), "unknown");
        assert_eq!(file.point_at("ips[x]..[[", "odd").lines().count(), 4);
    }

    #[test]
    fn an_empty_file_is_an_empty_fleet() {
        assert_eq!(parse("fleet.toml", "").unwrap(), FleetDocument::default());
    }
}
