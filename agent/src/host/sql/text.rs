//! Statements: checked names, quoted all the same; values are never part of a statement.

use email_engine_protocol::desired::{SqlCell, SqlValue};
use ring::digest;

use super::SqlError;

/// Longest password, in characters.
const PASSWORD: usize = 64;

/// A password is a word of letters and digits: no server takes it for anything else.
pub(super) fn check_password(password: &str) -> Result<(), SqlError> {
    let good = (1..=PASSWORD).contains(&password.len())
        && password.bytes().all(|b| b.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    Err(SqlError::Refused(format!(
        "the password is not one: 1 to {PASSWORD} letters and digits are accepted"
    )))
}

/// A name between these signs, which are doubled in it.
pub(super) fn quoted(name: &str, sign: char) -> String {
    let doubled = name.replace(sign, &format!("{sign}{sign}"));
    format!("{sign}{doubled}{sign}")
}

/// A database's name where MySQL takes `_` and `%` for any sign.
pub(super) fn pattern(name: &str) -> String {
    quoted(&name.replace('_', "\\_").replace('%', "\\%"), '`')
}

/// What MySQL stores of a password (`mysql_native_password`): nobody who reads it can log in by it.
pub(super) fn native_hash(password: &str) -> String {
    let sha = |bytes: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let hash = sha(sha(password.as_bytes()).as_ref());
    let hex: String = hash.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    format!("*{hex}")
}

/// Rights of an account beyond its own database, and whether it has that. `lines` are those of
/// `SHOW GRANTS`; of each only what stands before the account is looked at, because a hash may follow.
pub(super) fn grants(lines: &[String], database: &str) -> (bool, Vec<String>) {
    let own = format!("GRANT ALL PRIVILEGES ON {}.*", pattern(database));
    let (mut has, mut more) = (false, Vec::new());
    for line in lines {
        let head = line.split(" TO ").next().unwrap_or_default();
        let is_handed_on = line.contains("WITH GRANT OPTION");
        if is_handed_on {
            more.push(format!("{head} with grant option"));
        } else if head == own {
            has = true;
        } else if head != "GRANT USAGE ON *.*" {
            more.push(head.to_owned());
        }
    }
    (has, more)
}

/// Whether a column holds what it shall.
pub(super) fn is_same(value: &SqlValue, seen: Option<&[u8]>) -> bool {
    let Some(seen) = seen else {
        return matches!(value, SqlValue::Null | SqlValue::Unclaimed);
    };
    let text = || std::str::from_utf8(seen).ok();
    match value {
        SqlValue::Null => false,
        // Set once, never looked at.
        SqlValue::Now => true,
        SqlValue::Bool(true) => matches!(seen, b"1" | b"t" | b"true" | b"\x01"),
        SqlValue::Bool(false) => matches!(seen, b"0" | b"f" | b"false" | b"\x00"),
        SqlValue::Integer(number) => {
            text().is_some_and(|text| plain(text) == plain(&number.to_string()))
        }
        SqlValue::Decimal(number) => text().is_some_and(|text| plain(text) == plain(number)),
        SqlValue::Text(wanted) => wanted.as_bytes() == seen,
        SqlValue::Unclaimed => matches!(seen, b"" | b"0"),
        SqlValue::OneOf(all) => all.iter().any(|one| one.as_bytes() == seen),
        SqlValue::Json(wanted) => {
            let read = serde_json::from_slice::<serde_json::Value>;
            matches!((read(wanted.as_bytes()), read(seen)), (Ok(one), Ok(other)) if one == other)
        }
    }
}

/// Columns that do not hold what they shall.
#[must_use]
pub fn differing<'a>(cells: &'a [SqlCell], seen: &[super::SeenCell]) -> Vec<&'a SqlCell> {
    let pairs = cells.iter().zip(seen);
    let wrong = pairs.filter(|(cell, seen)| !is_same(&cell.value, seen.as_deref()));
    wrong.map(|(cell, _)| cell).collect()
}

/// A decimal number without what does not change it.
fn plain(number: &str) -> (bool, &str, &str) {
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    // There is one zero.
    let is_zero = whole.is_empty() && fraction.is_empty();
    (negative && !is_zero, whole, fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> SqlValue {
        SqlValue::Decimal(text.to_owned())
    }

    #[test]
    fn values_are_compared_by_what_they_mean_and_texts_by_their_bytes() {
        let same = |value: &SqlValue, seen: &str| is_same(value, Some(seen.as_bytes()));
        assert!(same(&decimal("1.50"), "01.5") && same(&decimal("-0"), "0.00"));
        assert!(!same(&decimal("1.5"), "-1.5") && !same(&decimal("1.5"), "15"));
        assert!(same(&SqlValue::Integer(7), "7.000") && !same(&SqlValue::Integer(7), "70"));
        assert!(same(&SqlValue::Bool(true), "t") && same(&SqlValue::Bool(false), "0"));
        let text = |text: &str| SqlValue::Text(text.to_owned());
        assert!(same(&text("a"), "a") && !same(&text("a"), "A") && !same(&text("a"), "a "));
        let json = SqlValue::Json("{\"b\": 1, \"a\": [null]}".to_owned());
        assert!(same(&json, "{\"a\":[null],\"b\":1}") && !same(&json, "{}"));
        assert!(!same(&json, "nonsense"));
        assert!(is_same(&SqlValue::Null, None) && !same(&SqlValue::Null, ""));
        assert!(!is_same(&text(""), None));
        let either = SqlValue::OneOf(vec!["active".to_owned(), "in-use".to_owned()]);
        assert!(same(&either, "in-use") && !same(&either, "inactive"));
        let unclaimed = SqlValue::Unclaimed;
        assert!(is_same(&unclaimed, None) && same(&unclaimed, "0") && !same(&unclaimed, "3"));
    }

    #[test]
    fn an_account_has_its_database_and_nothing_else() {
        let lines = |lines: &[&str]| -> Vec<String> {
            lines.iter().map(|line| (*line).to_owned()).collect()
        };
        let usage = "GRANT USAGE ON *.* TO `mw`@`localhost` IDENTIFIED BY PASSWORD '*00AB'";
        let own = "GRANT ALL PRIVILEGES ON `my\\_db`.* TO `mw`@`localhost`";
        assert_eq!(grants(&lines(&[usage, own]), "my_db"), (true, Vec::new()));
        assert_eq!(grants(&lines(&[usage]), "my_db"), (false, Vec::new()));
        let (_, more) = grants(
            &lines(&[
                "GRANT SELECT ON *.* TO `mw`@`localhost` IDENTIFIED BY PASSWORD '*00AB'",
                "GRANT ALL PRIVILEGES ON `my_db`.* TO `mw`@`localhost`",
                "GRANT ALL PRIVILEGES ON `my\\_db`.* TO `mw`@`localhost` WITH GRANT OPTION",
            ]),
            "my_db",
        );
        assert_eq!(more.len(), 3, "{more:?}");
        assert!(!more.concat().contains("00AB"), "{more:?}");
    }

    #[test]
    fn a_native_hash_is_the_one_that_servers_store() {
        // SELECT PASSWORD('password') of MariaDB.
        let known = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
        assert_eq!(native_hash("password"), known);
    }

    #[test]
    fn a_password_is_a_word() {
        assert_eq!(check_password("abcXYZ019"), Ok(()));
        for bad in ["", "a b", "a'b", "a\\b", "é", "a\0", &"a".repeat(65)] {
            let error = check_password(bad).unwrap_err().to_string();
            assert!(error.contains("letters and digits"), "{error}");
            assert!(bad.len() < 2 || !error.contains(bad), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_name_ends_where_it_ends(name in ".{0,40}", sign in "[`\"]") {
            let sign = sign.chars().next().unwrap();
            let text = quoted(&name, sign);
            let inner = &text[1..text.len() - 1];
            let without = inner.replace(&format!("{sign}{sign}"), "");
            prop_assert!(!without.contains(sign));
            prop_assert_eq!(inner.replace(&format!("{sign}{sign}"), &sign.to_string()), name);
        }

        #[test]
        fn a_number_is_itself_however_it_is_written(
            number in any::<i64>(), zeros in 0_usize..5, point in any::<bool>(),
        ) {
            let sign = if number < 0 { "-" } else { "" };
            let digits = number.unsigned_abs();
            let fraction = if point { format!(".{}", "0".repeat(zeros)) } else { String::new() };
            let written = format!("{sign}{}{digits}{fraction}", "0".repeat(zeros));
            prop_assert!(is_same(&SqlValue::Integer(number), Some(written.as_bytes())));
            let other = format!("{written}1");
            prop_assert_eq!(
                is_same(&SqlValue::Integer(number), Some(other.as_bytes())),
                false
            );
        }
    }
}
