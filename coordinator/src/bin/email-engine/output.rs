//! Shows answers: tables for people, JSON and YAML for programs. Data goes to stdout, words about
//! it to stderr.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Row, Table, presets};
use serde::Serialize;

/// Columns of a terminal below which its width is not believed, and what is taken then.
const NARROWEST: u16 = 20;
const USUAL_WIDTH: u16 = 80;

/// Form of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; may change from version to version
    #[default]
    Table,
    /// The API's own JSON
    Json,
    /// The same as YAML
    Yaml,
    /// Rows for spreadsheets; of `stats`
    Csv,
}

/// Why an answer could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// It has no such form.
    #[error("cannot write the answer as {format}: {reason}")]
    Form {
        /// The form that was asked for.
        format: &'static str,
        /// Why.
        reason: String,
    },
    /// Stdout refused it.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
}

/// Whether something went well, for colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Bad,
    Good,
    Plain,
    Underway,
}

/// Where answers go and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    pub(crate) colour: bool,
}

impl Output {
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            format,
            quiet,
            colour: wanted && io::stdout().is_terminal(),
        }
    }

    /// Shows a value: its table only when a table was asked for.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce(&Self) -> String,
    ) -> Result<(), OutputError> {
        self.print(&self.render(value, table)?)
    }

    pub(crate) fn render<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce(&Self) -> String,
    ) -> Result<String, OutputError> {
        match self.format {
            Format::Table => Ok(table(self)),
            Format::Json => {
                serde_json::to_string_pretty(value).map_err(|error| OutputError::Form {
                    format: "JSON",
                    reason: error.to_string(),
                })
            }
            Format::Csv => Err(OutputError::Form {
                format: "CSV",
                reason: "only `stats` has rows for it; json and yaml are for programs".to_owned(),
            }),
            Format::Yaml => yaml(value).map_err(|reason| OutputError::Form {
                format: "YAML",
                reason,
            }),
        }
    }

    /// A text of which more follow: documents of YAML begin with a line of their own.
    pub(crate) fn one_of_many(&self, text: String) -> String {
        match self.format {
            Format::Yaml => format!("---\n{text}"),
            _ => text,
        }
    }

    /// Writes lines to stdout. A reader that went away has seen enough.
    pub(crate) fn print(&self, text: &str) -> Result<(), OutputError> {
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{}", harmless(text, self.colour)).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(OutputError::Stdout(error))
            }
            _ => Ok(()),
        }
    }

    /// Says something beside the data, unless quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            to_stderr(text);
        }
    }

    /// A table without borders: easy to read, and to cut into columns.
    pub(crate) fn table(&self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if !self.colour {
            table.force_no_tty();
        }
        // A serial line or a container's terminal may not say how wide it is.
        if table.width().is_some_and(|width| width < NARROWEST) {
            table.set_width(USUAL_WIDTH);
        }
        table.set_header(
            header
                .iter()
                .map(|title| self.cell(title, Mood::Plain, true)),
        );
        table
    }

    /// A cell in the colour of its mood.
    pub(crate) fn mood<T: ToString + ?Sized>(&self, text: &T, mood: Mood) -> Cell {
        self.cell(&text.to_string(), mood, false)
    }

    /// A line in the colour of its mood, outside of tables.
    pub(crate) fn line(&self, text: &str, mood: Mood) -> String {
        let colour = match mood {
            _ if !self.colour => return text.to_owned(),
            Mood::Bad => 31,
            Mood::Good => 32,
            Mood::Plain => return text.to_owned(),
            Mood::Underway => 33,
        };
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    }

    fn cell(&self, text: &str, mood: Mood, bold: bool) -> Cell {
        let cell = Cell::new(text);
        if !self.colour {
            return cell;
        }
        let cell = match mood {
            Mood::Bad => cell.fg(Color::Red),
            Mood::Good => cell.fg(Color::Green),
            Mood::Plain => cell,
            Mood::Underway => cell.fg(Color::Yellow),
        };
        if bold {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }
}

/// A row of plain cells.
pub(crate) fn row<const N: usize>(cells: [String; N]) -> Row {
    Row::from(Vec::from(cells))
}

/// A table's text, without blanks at the ends of lines.
pub(crate) fn text(table: &Table) -> String {
    table.trim_fmt()
}

/// Something that may be absent.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A plain enum as the API writes it.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// Writes a line to stderr; when even that is gone there is nobody to tell.
pub(crate) fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(text, false));
}

/// The text with every character spelled out that would steer a terminal: what is shown comes from
/// files, hosts and other operators. Colours stay where they are ours to use. JSON and YAML read the
/// spelling as the character.
pub(crate) fn harmless(text: &str, colour: bool) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let (head, tail) = rest.split_at(colour_code(rest).filter(|_| colour).unwrap_or(0));
        if !head.is_empty() {
            out.push_str(head);
            rest = tail;
            continue;
        }
        if steers(char) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else {
            out.push(char);
        }
        rest = &rest[char.len_utf8()..];
    }
    Cow::Owned(out)
}

/// Control characters, and those that turn the direction of writing.
fn steers(char: char) -> bool {
    let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (char.is_control() && !matches!(char, '\n' | '\t'))
}

/// Length of the colour code that a text begins with.
fn colour_code(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    (rest.as_bytes()[end] == b'm').then_some(end + 3)
}

#[cfg(test)]
pub(crate) const PLAIN: Output = Output {
    format: Format::Table,
    quiet: true,
    colour: false,
};

/// The same as the JSON, in its order. Made of the value itself, variants would be tags of our own, which
/// readers of YAML elsewhere refuse.
fn yaml<T: Serialize>(value: &T) -> Result<String, String> {
    let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let same: serde_norway::Value =
        serde_json::from_str(&json).map_err(|error| error.to_string())?;
    let text = serde_norway::to_string(&same).map_err(|error| error.to_string())?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Item {
        name: &'static str,
        count: u32,
    }

    const ITEM: Item = Item {
        name: "short",
        count: 2,
    };

    fn rendered(format: Format) -> String {
        let output = Output { format, ..PLAIN };
        output
            .render(&ITEM, |output| {
                let mut table = output.table(&["NAME", "COUNT"]);
                table.add_row(row([ITEM.name.to_owned(), ITEM.count.to_string()]));
                table.add_row(row(["longer".to_owned(), or_dash(None::<u8>)]));
                text(&table)
            })
            .unwrap()
    }

    #[test]
    fn the_three_forms_look_as_agreed() {
        assert_eq!(
            rendered(Format::Table),
            " NAME    COUNT\n short   2\n longer  -"
        );
        assert_eq!(
            rendered(Format::Json),
            "{\n  \"name\": \"short\",\n  \"count\": 2\n}"
        );
        assert_eq!(rendered(Format::Yaml), "name: short\ncount: 2");
    }

    #[test]
    fn yaml_has_no_tags_of_our_own() {
        #[derive(Serialize)]
        #[serde(rename_all = "lowercase")]
        enum Seen {
            Known { value: u64 },
            Unknown,
        }
        let shown = yaml(&[Seen::Known { value: 3 }, Seen::Unknown]).unwrap();
        assert_eq!(shown, "- known:\n    value: 3\n- unknown");
    }

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        let evil = "a\u{1b}]0;x\u{7}\u{9b}2J\r\u{202e}\tb\n\u{1b}[31mred\u{1b}[0m";
        assert_eq!(
            harmless(evil, false),
            "a\\u001b]0;x\\u0007\\u009b2J\\u000d\\u202e\tb\n\\u001b[31mred\\u001b[0m"
        );
        let shown = harmless(evil, true);
        assert!(shown.ends_with("\n\u{1b}[31mred\u{1b}[0m"), "{shown:?}");
        assert_eq!(shown.matches('\u{1b}').count(), 2, "{shown:?}");
        let json = serde_json::to_string(evil).unwrap();
        let read: String = serde_json::from_str(&harmless(&json, true)).unwrap();
        assert_eq!(read, evil, "JSON means the same");
    }

    #[test]
    fn colours_are_used_only_when_wanted() {
        assert!(!rendered(Format::Table).contains('\u{1b}'));
        let coloured = Output {
            colour: true,
            ..PLAIN
        };
        let mut table = coloured.table(&["STATE"]);
        table.enforce_styling();
        table.add_row(vec![coloured.mood(&"degraded", Mood::Bad)]);
        assert!(text(&table).contains("\u{1b}["), "{}", text(&table));
    }
}
