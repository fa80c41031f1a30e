//! A text for people.

use email_engine_protocol::api::Phase;

/// A phase, for people.
pub(super) const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Week1 => "week 1",
        Phase::Week2 => "week 2",
        Phase::Week3 => "week 3",
        Phase::Week4 => "week 4",
        Phase::Week5 => "week 5",
        Phase::Week6 => "week 6",
        Phase::Active => "production",
    }
}

/// What is said of one alert: a title of one line, what there is to know, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// In one line.
    pub title: String,
    /// In more, each a line.
    pub lines: Vec<String>,
}

impl Words {
    /// Begins with a title.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        let (title, lines) = (title.into(), Vec::new());
        Self { title, lines }
    }

    /// One more line.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// A line for each.
    #[must_use]
    pub fn each(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// A line, where there is something to say.
    #[must_use]
    pub fn maybe(self, line: Option<String>) -> Self {
        match line {
            Some(line) => self.line(line),
            None => self,
        }
    }
}
