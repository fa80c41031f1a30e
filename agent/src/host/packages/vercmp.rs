//! Which of two versions of the RPM family comes first: `[epoch:]version[-release]`.

use std::cmp::Ordering;

/// Compares whole versions. A release that one of them lacks does not count.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (Parts::of(one), Parts::of(other));
    let release = || match (one.release, other.release) {
        (Some(one), Some(other)) => segments(one, other),
        _ => Ordering::Equal,
    };
    segments(one.epoch, other.epoch)
        .then_with(|| segments(one.version, other.version))
        .then_with(release)
}

struct Parts<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        Self {
            epoch,
            version,
            release,
        }
    }
}

/// Digits are compared as numbers and letters as texts, one after the other; what stands between them
/// only parts them. `~` comes before the end of the text, `^` after it and before all else.
fn segments(mut one: &str, mut other: &str) -> Ordering {
    let between = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
    loop {
        one = one.trim_start_matches(between);
        other = other.trim_start_matches(between);
        match (one.strip_prefix('~'), other.strip_prefix('~')) {
            (Some(left), Some(right)) => {
                (one, other) = (left, right);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (one.strip_prefix('^'), other.strip_prefix('^')) {
            (Some(left), Some(right)) => {
                (one, other) = (left, right);
                continue;
            }
            (Some(_), None) if other.is_empty() => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) if one.is_empty() => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if one.is_empty() || other.is_empty() {
            return one.len().min(1).cmp(&other.len().min(1));
        }
        let is_number = one.starts_with(|c: char| c.is_ascii_digit());
        let kind = |c: char| {
            if is_number {
                c.is_ascii_digit()
            } else {
                c.is_ascii_alphabetic()
            }
        };
        let (left, right) = (take(&mut one, kind), take(&mut other, kind));
        if right.is_empty() {
            // A number is newer than letters.
            return if is_number {
                Ordering::Greater
            } else {
                Ordering::Less
            };
        }
        let found = if is_number {
            let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        } else {
            left.cmp(right)
        };
        if found.is_ne() {
            return found;
        }
    }
}

fn take<'a>(text: &mut &'a str, kind: impl Fn(char) -> bool) -> &'a str {
    let end = text.find(|c| !kind(c)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_of_the_product_stand_in_their_order() {
        let sorted = [
            "4.5-r8",
            "5.0~rc1-r1",
            "5.0-r1",
            "5.0-r2",
            "5.0-r8",
            "5.0-r10",
            "5.0^a-r1",
            "5.0.1-r1",
            "5.5-r2",
            "1:4.0-r1",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (to, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&to), "{one} {other}");
            }
        }
        assert_eq!(compare("5.0", "5.0-r1"), Ordering::Equal);
        assert_eq!(compare("5.00", "5.0"), Ordering::Equal);
    }

    /// What the tool itself says; nothing where it is not installed.
    fn rpm(pairs: &[(String, String)]) -> Option<Vec<i32>> {
        let calls = pairs
            .iter()
            .map(|(one, other)| format!("print(rpm.vercmp('{one}', '{other}'), '\\n') "));
        let script = format!("%{{lua: {}}}", calls.collect::<String>());
        let output = Command::new("rpm")
            .args(["--eval", &script])
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).unwrap();
        Some(
            text.split_whitespace()
                .map(|one| one.parse().unwrap())
                .collect(),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_order_is_that_of_the_tool(
            pairs in proptest::collection::vec(("[0-2a-b.~^_+]{1,6}", "[0-2a-b.~^_+]{1,6}"), 40),
        ) {
            let Some(said) = rpm(&pairs) else {
                eprintln!("NOT RUN: rpm is not installed");
                return Ok(());
            };
            for ((one, other), said) in pairs.iter().zip(said) {
                prop_assert_eq!(compare(one, other) as i32, said, "{} {}", one, other);
            }
        }

        #[test]
        fn it_is_an_order(one in "[0-9a-c.~^:-]{0,8}", other in "[0-9a-c.~^:-]{0,8}") {
            prop_assert_eq!(compare(&one, &other), compare(&other, &one).reverse());
            prop_assert_eq!(compare(&one, &one), Ordering::Equal);
        }
    }
}
