//! One entry of `commands`.

use email_engine_protocol::desired::HostPath;

/// As the last word of an entry: no further words.
const END: &str = "$";

/// The words that a command must begin with, or that it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandRule {
    words: Vec<String>,
    is_whole: bool,
}

impl CommandRule {
    /// Reads an entry as it is written in a list. No words at all allow every command.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(mut words: Vec<String>) -> Result<Self, String> {
        match words.first() {
            Some(program) => HostPath::new(program.as_str())
                .map(drop)
                .map_err(|error| format!("commands: {error}"))?,
            None => tracing::warn!("the allow-list allows every command"),
        }
        let is_whole = words.pop_if(|last| last == END).is_some();
        if words.iter().any(|word| word == END) {
            // Taken for an argument, it would be an entry that says less than it seems to.
            return Err(format!(
                "commands: {words:?} has {END:?} among its words: it is accepted as the last one alone, \
                 where it says that no further ones may follow"
            ));
        }
        Ok(Self { words, is_whole })
    }

    /// Whether it allows a command of these words.
    #[must_use]
    pub fn allows(&self, words: &[&str]) -> bool {
        let begins = self
            .words
            .iter()
            .zip(words)
            .all(|(one, other)| one == other);
        let fits = if self.is_whole {
            self.words.len() == words.len()
        } else {
            self.words.len() <= words.len()
        };
        begins && fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(words: &[&str]) -> Result<CommandRule, String> {
        CommandRule::read(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn further_words_are_free_unless_the_last_one_says_that_there_are_none() {
        let open = rule(&["/bin/a", "b"]).unwrap();
        let whole = rule(&["/bin/a", "b", "$"]).unwrap();
        for (words, expected) in [
            (&["/bin/a", "b"][..], (true, true)),
            (&["/bin/a", "b", "c"], (true, false)),
            (&["/bin/a", "b", "$"], (true, false)),
            (&["/bin/a"], (false, false)),
            (&["/bin/a", "c"], (false, false)),
            (&["/bin/a", "b c"], (false, false)),
        ] {
            assert_eq!(
                (open.allows(words), whole.allows(words)),
                expected,
                "{words:?}"
            );
        }
        let alone = rule(&["/bin/a", "$"]).unwrap();
        assert!(alone.allows(&["/bin/a"]) && !alone.allows(&["/bin/a", "b"]));
        let all = rule(&[]).unwrap();
        assert!(all.allows(&["/bin/a"]) && all.allows(&["/bin/b", "c"]));
    }

    #[test]
    fn the_sign_for_the_end_stands_at_the_end_and_behind_a_program() {
        for words in [
            &["/bin/a", "$", "b"][..],
            &["/bin/a", "$", "$"],
            &["$", "/bin/a"],
            &["$"],
        ] {
            let refused = rule(words).unwrap_err();
            assert!(refused.starts_with("commands: "), "{words:?}: {refused}");
            assert!(refused.contains('$'), "{words:?}: {refused}");
        }
    }
}
