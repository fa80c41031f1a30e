//! A table of `/etc/cron.d`, as crontab(5) has it: settings, and lines of schedule, user and command.

use std::collections::{BTreeMap, BTreeSet};

use super::schedule;

/// Longest line of a setting and longest command that cron reads; what is longer it cuts off.
const LINE_BYTES: usize = 998;

const USER: &str =
    "a user's name: a letter or '_', then letters, digits, '_', '-' and '.', at most 32 characters";
const COMMAND: &str =
    "one line for /bin/sh, not empty, at most 998 bytes, without control characters";
const SETTING: &str = "a setting of one line without control characters, at most 998 bytes, with a value that is not \
     empty and begins with no quote, or stands between two quotes of a kind that is not in it, as in MAILTO=\"\"";
const KEY: &str = "a letter or '_', then letters, digits and '_', at most 64";
const VALUE: &str = "a text without '\"' and control characters, at most 900 bytes";

fn refuse(field: &str, value: &str, accepted: &str) -> String {
    let value: String = value.chars().take(120).collect();
    format!("{field} is {value:?}, accepted is {accepted}")
}

/// The lines of one job. A `%` of its command becomes one for the shell.
///
/// # Errors
/// Which part is wrong, with what would be accepted.
pub(super) fn line(
    environment: &BTreeMap<String, String>,
    when: &str,
    user: &str,
    command: &str,
) -> Result<String, String> {
    let mut text = String::new();
    for (key, value) in environment {
        check_key(key)?;
        if value.len() > 900 || value.contains('"') || value.chars().any(char::is_control) {
            return Err(refuse(&format!("environment {key}"), value, VALUE));
        }
        text.push_str(&format!("{key}=\"{value}\"\n"));
    }
    schedule::check(when)?;
    check_user(user)?;
    let command = escaped(command)?;
    check_command(&command)?;
    text.push_str(&format!("{when} {user} {command}\n"));
    Ok(text)
}

/// With a backslash before each `%`, where there is none: what would be left of two cannot be told apart.
fn escaped(command: &str) -> Result<String, String> {
    if command.contains("\\%") {
        let accepted = "a command whose '%' have no backslash before them: that is written for cron as it needs it";
        return Err(refuse("command", command, accepted));
    }
    Ok(command.replace('%', "\\%"))
}

/// A table whose lines end as cron wants them, however its author's editor ends them: cron takes what comes
/// before a line feed as the line, and a carriage return there as a part of the command.
pub(super) fn with_ends(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    // cron passes over a last line without an end.
    let end = if text.ends_with('\n') { "" } else { "\n" };
    text + end
}

/// Who runs the jobs of a whole table.
///
/// # Errors
/// Which line cron would not read, and why.
pub(super) fn users(text: &str) -> Result<BTreeSet<String>, String> {
    let mut users = BTreeSet::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        let bare = line.trim_matches([' ', '\t']);
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        match judged(bare) {
            Ok(user) => users.extend(user.map(str::to_owned)),
            Err(reason) => {
                return Err(format!(
                    "line {number} of the table that it makes: {reason}"
                ));
            }
        }
    }
    Ok(users)
}

/// The user of a line; none of a setting.
fn judged(line: &str) -> Result<Option<&str>, String> {
    if let Some((key, value)) = line.split_once('=')
        && is_key(key.trim_end_matches([' ', '\t']))
    {
        check_setting(line, value)?;
        return Ok(None);
    }
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let (when, rest) = split(line, fields);
    schedule::check(when)?;
    let (user, command) = split(rest, 1);
    check_user(user)?;
    check_command(command)?;
    Ok(Some(user))
}

/// cron takes a line that is none of its settings for a job, and then finds no schedule in it.
fn check_setting(line: &str, value: &str) -> Result<(), String> {
    let plain = |c: char| c == '\t' || !c.is_control();
    let value = value.trim_matches([' ', '\t']);
    let is_whole = match value.chars().next() {
        None => false,
        Some(quote @ ('"' | '\'')) => value[1..].find(quote).map(|at| at + 2) == Some(value.len()),
        Some(_) => true,
    };
    match is_whole && line.len() <= LINE_BYTES && line.chars().all(plain) {
        true => Ok(()),
        false => Err(refuse("setting", line, SETTING)),
    }
}

/// The first words of a line, and what comes behind them.
fn split(line: &str, words: usize) -> (&str, &str) {
    let blank = [' ', '\t'];
    let mut rest = line;
    for _ in 0..words {
        rest = rest.trim_start_matches(blank);
        rest = rest.find(blank).map_or("", |at| &rest[at..]);
    }
    let first = &line[..line.len() - rest.len()];
    (first, rest.trim_start_matches(blank))
}

fn is_key(key: &str) -> bool {
    let begins = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    (1..=64).contains(&key.len())
        && key.bytes().next().is_some_and(begins)
        && key.bytes().all(|b| begins(b) || b.is_ascii_digit())
}

fn check_key(key: &str) -> Result<(), String> {
    match is_key(key) {
        true => Ok(()),
        false => Err(refuse("name of an environment's setting", key, KEY)),
    }
}

fn check_user(user: &str) -> Result<(), String> {
    let begins = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let inner = |b: u8| begins(b) || b.is_ascii_digit() || b"-.".contains(&b);
    let good =
        user.len() <= 32 && user.bytes().next().is_some_and(begins) && user.bytes().all(inner);
    match good {
        true => Ok(()),
        false => Err(refuse("user", user, USER)),
    }
}

fn check_command(command: &str) -> Result<(), String> {
    let plain = |c: char| c == '\t' || !c.is_control();
    let good = command.len() <= LINE_BYTES && command.chars().all(plain);
    match good && !command.trim().is_empty() {
        true => Ok(()),
        false => Err(refuse("command", command, COMMAND)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(command: &str) -> Result<String, String> {
        line(&BTreeMap::new(), "@daily", "app", command)
    }

    #[test]
    fn a_job_is_its_settings_and_one_line() {
        let environment = [("MAILTO", ""), ("PATH", "/usr/bin:/bin")];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let text = line(
            &environment.into(),
            "*/5 * * * *",
            "app",
            "/usr/bin/app run >/dev/null",
        );
        assert_eq!(
            text.unwrap(),
            "MAILTO=\"\"\nPATH=\"/usr/bin:/bin\"\n*/5 * * * * app /usr/bin/app run >/dev/null\n"
        );
    }

    #[test]
    fn a_percent_sign_reaches_the_shell_as_one() {
        assert_eq!(
            one("date +%F %% x").unwrap(),
            "@daily app date +\\%F \\%\\% x\n"
        );
        let refused = one("date +\\%F").unwrap_err();
        assert!(
            refused.contains("have no backslash before them"),
            "{refused}"
        );
    }

    #[test]
    fn what_cron_would_not_run_is_refused_by_the_part_that_is_wrong() {
        let long = "x".repeat(LINE_BYTES + 1);
        for bad in ["", "  ", "a\nb", "a\rb", &long] {
            let refused = one(bad).unwrap_err();
            assert!(refused.contains("command is"), "{refused}");
        }
        for user in ["", ".app", "a b", "1a", "a\n", "a:b", "-app"] {
            let refused = line(&BTreeMap::new(), "@daily", user, "x").unwrap_err();
            assert!(refused.contains("user is"), "{refused}");
        }
        for (key, value, words) in [
            ("A B", "x", "name of an environment's setting is \"A B\""),
            ("A", "x\ny", "environment A is"),
            ("A", "\"", "environment A is"),
        ] {
            let environment = [(key.to_owned(), value.to_owned())].into();
            let refused = line(&environment, "@daily", "app", "x").unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_whole_table_is_judged_line_by_line() {
        let good = "# jobs\n\nMAILTO=ops@example.com\nA = b\n* * * * * www-data /bin/true 50% x\n\
                    \t0 0  * * *\tapp  x=1 y\n@hourly root sh -c 'a=b'\n";
        let users = users(good).unwrap();
        assert_eq!(users, ["app", "root", "www-data"].map(str::to_owned).into());
        for (bad, words) in [
            (
                "* * * * * app\n",
                "line 1 of the table that it makes: command is",
            ),
            (
                "\n* * * * app /bin/true\n",
                "line 2 of the table that it makes: day of the week is \"app\"",
            ),
            ("@daily\n", "user is \"\""),
            ("61 * * * * app x\n", "minute is \"61\""),
            (
                "* * * * * app x\n\r\n",
                "line 2 of the table that it makes: ",
            ),
            (
                "#\n* * * * * app x\r\n",
                "line 2 of the table that it makes: command is \"x\\r\"",
            ),
            ("\nA=b\r\n", "line 2 of the table that it makes: setting is"),
            ("of www-data\n", "with 2 fields"),
            ("* * * * * /bin/true --all\n", "user is \"/bin/true\""),
        ] {
            let refused = super::users(bad).unwrap_err();
            assert!(refused.contains(words), "{bad:?}: {refused}");
        }
    }

    /// Each was given to cron's own judge: `crontab -n` of Debian's 3.0pl1-162.
    #[test]
    fn a_setting_is_one_that_cron_reads() {
        for good in [
            "MAILTO=\"\"",
            "MAILTO=''",
            "MAILTO=ops@example.com",
            "A='b' ",
            "A=b\"c",
            "A = b c  ",
            "A==",
            "A=\"b=c\"",
            "A=\"it's\"",
        ] {
            assert_eq!(users(good), Ok(BTreeSet::new()), "{good}");
        }
        for bad in [
            "MAILTO=",
            "MAILTO= \t",
            "MAILTO=\"ops@example.com",
            "MAILTO=\"",
            "MAILTO=\"\" x",
            "A='b",
            "A='b'c",
            "A='b\"",
            "A=\"b\" # c",
            "A=\"b\"c\"",
        ] {
            let refused = users(bad).unwrap_err();
            let said = format!(
                "line 1 of the table that it makes: setting is {:?}",
                bad.trim()
            );
            assert!(refused.starts_with(&said), "{refused}");
            assert!(refused.contains("as in MAILTO=\"\""), "{refused}");
        }
    }

    #[test]
    fn lines_end_as_cron_wants_them() {
        for (text, ends) in [
            ("a\r\n\r\nb", "a\n\nb\n"),
            ("a\n", "a\n"),
            ("a\rb\r\n", "a\rb\n"),
        ] {
            assert_eq!(with_ends(text), ends);
        }
    }

    #[test]
    fn accounts_of_distributions_are_users() {
        for user in ["Debian-exim", "www-data", "_apt", "first.last", "a1"] {
            let table = format!("@daily {user} x\n");
            assert_eq!(users(&table), Ok([user.to_owned()].into()));
        }
    }

    proptest! {
        /// Anything at all is judged without a panic, and whatever ends a line for cron alone is in nothing that
        /// is accepted.
        #[test]
        fn no_accepted_line_has_a_control_character(text in "[A=\"' \tb*@\r\n]{0,12}") {
            if users(&text).is_ok() {
                prop_assert!(!text.contains('\r'), "{:?}", text);
            }
        }

        /// Whatever a job is made of: it is one that a table may hold, of this user, and its command is the
        /// one that was meant once cron has read it.
        #[test]
        fn a_job_is_read_as_it_was_meant(
            value in "[ -~\n]{0,12}",
            user in "[a-z_\n -]{0,6}",
            command in "[a-z%\\\\ \n=#]{0,16}",
        ) {
            let environment = [("A".to_owned(), value)].into();
            if let Ok(text) = line(&environment, "0 4 * * 1", &user, &command) {
                prop_assert_eq!(text.lines().count(), 2);
                prop_assert_eq!(users(&text).unwrap(), BTreeSet::from([user.clone()]));
                let written = text.lines().nth(1).unwrap();
                let read = read_by_cron(written.strip_prefix(&format!("0 4 * * 1 {user} ")).unwrap());
                prop_assert_eq!(read, command);
            }
        }
    }

    /// What is left of a command: the backslash goes before a `%`, and one without ends it.
    fn read_by_cron(text: &str) -> String {
        let (mut read, mut is_escaped) = (String::new(), false);
        for c in text.chars() {
            match (is_escaped, c) {
                (true, '%') => {
                    read.pop();
                }
                (false, '%') => break,
                _ => {}
            }
            read.push(c);
            is_escaped = !is_escaped && c == '\\';
        }
        read
    }
}
