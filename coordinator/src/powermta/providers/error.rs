//! Why a catalogue is not taken, and where in its files that stands.

/// What is wrong with a file of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {fault}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
pub struct CatalogueError {
    /// The file.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// A fault of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A back-off or a disabled address without an end.
    #[error("{field} begins what nothing ends; accepted is {accepted}")]
    NoWayBack {
        /// The rule.
        field: String,
        /// What would end it.
        accepted: &'static str,
    },
    /// A rule takes a reply that it is said to leave alone.
    #[error("{field}: the reply {reply:?} must be left alone and is taken by {by}")]
    NotLeft {
        /// The rule that says so.
        field: String,
        /// The reply.
        reply: String,
        /// The rule that takes it.
        by: String,
    },
    /// A rule does not take its sample.
    #[error("{field}: the sample {reply:?} is not matched by the expression")]
    NotTaken {
        /// The rule.
        field: String,
        /// The reply.
        reply: String,
    },
    /// An earlier rule takes a sample.
    #[error("{field}: the sample {reply:?} is taken by {by}, which stands before it")]
    Shadowed {
        /// The rule whose sample it is.
        field: String,
        /// The reply.
        reply: String,
        /// The rule that takes it.
        by: String,
    },
    /// It is no TOML, or not of the form.
    #[error("{reason}")]
    Syntax {
        /// What is wrong.
        reason: String,
    },
    /// A value that is not one.
    #[error("{field} is {value:?}; accepted is {accepted}")]
    Value {
        /// Where in the file.
        field: String,
        /// What stands there.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
}

impl Fault {
    /// In a file, at a line that is found later.
    pub(super) fn of(self, file: &str) -> CatalogueError {
        CatalogueError {
            file: file.to_owned(),
            line: None,
            fault: self,
        }
    }

    /// The entry that it is about, and what stands there.
    fn place(&self) -> Option<(&str, &str)> {
        match self {
            Self::NoWayBack { field, .. } => Some((field, "")),
            Self::NotLeft { field, reply, .. }
            | Self::NotTaken { field, reply }
            | Self::Shadowed { field, reply, .. } => Some((field, reply)),
            Self::Value { field, value, .. } => Some((field, value)),
            Self::Syntax { .. } => None,
        }
    }
}

impl CatalogueError {
    /// Finds the line in the text of the file: that of the value, else that of the keyword, else that
    /// of the entry.
    #[must_use]
    pub(super) fn located(mut self, text: &str) -> Self {
        if self.line.is_none() && self.file.ends_with(".toml") {
            self.line = self
                .fault
                .place()
                .and_then(|(field, value)| find(text, field, value));
        }
        self
    }
}

fn find(text: &str, field: &str, value: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let (entry, keyword) = match field.split_once(' ') {
        Some((table, rest)) => {
            let (name, keyword) = rest.split_once('.').unwrap_or((rest, ""));
            let key = if table == "category" { "name" } else { "id" };
            (Some(format!("{key} = \"{name}\"")), keyword)
        }
        None => (None, field.rsplit('.').next().unwrap_or_default()),
    };
    let first = entry.map_or(Some(0), |entry| {
        lines.iter().position(|l| l.trim() == entry)
    })?;
    let ends = |line: &&str| line.starts_with("[[");
    let length = match lines
        .get(first + 1..)
        .unwrap_or_default()
        .iter()
        .position(ends)
    {
        Some(length) if field.contains(' ') => length + 1,
        _ => lines.len() - first,
    };
    let body = lines.get(first..first + length)?;
    let says = |line: &str| line.trim_start().starts_with(keyword) && !keyword.is_empty();
    let holds = |line: &str| {
        let quoted = |mark: char| line.contains(&format!("{mark}{value}{mark}"));
        !value.is_empty() && (quoted('"') || quoted('\''))
    };
    let both = body.iter().position(|line| says(line) && holds(line));
    let value = || body.iter().position(|line| holds(line));
    let keyword = || body.iter().position(|line| says(line));
    let at = both.or_else(value).or_else(keyword).unwrap_or(0);
    (!body.is_empty()).then_some(first + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"x\"\n\n[settings]\nmax-smtp-out = \"5\"\n\n[[reply]]\n\
                        id = \"a\"\npattern = 'p'\n\n[[reply]]\nid = \"b\"\nsamples = [\n    \
                        \"421 two\",\n]\npattern = 'p'\n";

    #[test]
    fn a_fault_is_found_by_its_entry_then_by_its_value() {
        for (field, value, line) in [
            ("reply b.pattern", "p", 15),
            ("reply b", "421 two", 13),
            ("reply b", "not there", 11),
            ("reply a.pattern", "p", 8),
            ("settings.max-smtp-out", "many", 4),
            ("name", "y", 1),
        ] {
            assert_eq!(find(TEXT, field, value), Some(line), "{field} {value}");
        }
        assert_eq!(find(TEXT, "reply c", ""), None);
        assert_eq!(find("", "name", ""), None);
    }
}
