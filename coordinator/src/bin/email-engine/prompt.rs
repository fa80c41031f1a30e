//! Asks a person, when there is one.

use std::io::{self, BufRead, IsTerminal, Write};

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Nobody is there to answer.
    Nobody,
    /// Anything but yes.
    No,
    /// `y` or `yes`.
    Yes,
}

/// Asks a yes-or-no question on the terminal; `yes` was said beforehand by `--yes`.
pub(crate) fn confirm(question: &str, yes: bool) -> Reply {
    if yes {
        return Reply::Yes;
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Reply::Nobody;
    }
    let mut stderr = io::stderr().lock();
    if write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .is_err()
    {
        return Reply::Nobody;
    }
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) => judge(&line),
        Err(_) => Reply::Nobody,
    }
}

fn judge(line: &str) -> Reply {
    if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Reply::Yes
    } else {
        Reply::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for line in ["y\n", "YES\n", " yes "] {
            assert_eq!(judge(line), Reply::Yes, "{line}");
        }
        for line in ["", "\n", "n\n", "yess\n", "ok\n"] {
            assert_eq!(judge(line), Reply::No, "{line}");
        }
    }
}
