//! What packages, versions and units may be called. Their tools take more than names: a path, a
//! pattern, or a name with a sign at its end that means an action.

use super::{ConfigError, Resource};

/// What [`is_package`] accepts.
pub(super) const PACKAGE: &str = "a package's name: lower-case letters, digits, '+', '-' and '.', beginning with a letter or \
     digit, not ending with '-', at most 128 characters";
/// What [`is_version`] accepts.
pub(super) const VERSION: &str = "a package's version: letters, digits, '.', '+', '-', ':' and '~', beginning with a letter or \
     digit, not ending with '+' or '-', at most 128 characters";
/// What [`is_unit`] accepts.
pub(super) const UNIT: &str = "a unit's name and not its path: letters, digits, ':', '_', '.', '@' and '-', then .service, \
     .timer, .socket, .path, .target or .mount, at most 255 characters";

/// What [`is_variable`] accepts.
pub(super) const VARIABLE: &str = "a variable's name: upper-case letters, digits and '_', beginning with a letter, at most 64 characters";

const UNIT_KINDS: [&str; 6] = [
    ".service", ".timer", ".socket", ".path", ".target", ".mount",
];

/// Says what a name must be, unless it is.
pub(super) fn check(
    resource: &Resource,
    field: &'static str,
    value: &str,
    good: bool,
    accepted: &'static str,
) -> Result<(), ConfigError> {
    if good {
        return Ok(());
    }
    Err(ConfigError::Name {
        resource: resource.id.clone(),
        field,
        value: value.chars().take(120).collect(),
        accepted,
    })
}

/// A `+` at its end stays allowed, because `g++` is a name: whoever calls apt makes sure first that
/// there is a package of exactly this name. With `-` no package ends, and apt would remove.
pub(super) fn is_package(name: &str) -> bool {
    let begins = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 128
        && name.bytes().next().is_some_and(begins)
        && name.bytes().all(|b| begins(b) || b"+-.".contains(&b))
        && !name.ends_with('-')
}

pub(super) fn is_version(version: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".+-:~".contains(&b);
    version.len() <= 128
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.bytes().all(allowed)
        && !version.ends_with(['+', '-'])
}

pub(super) fn is_unit(unit: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":_.@-".contains(&b);
    let stem = UNIT_KINDS.iter().find_map(|kind| unit.strip_suffix(kind));
    unit.len() <= 255
        && stem.is_some_and(|stem| {
            !stem.is_empty() && !stem.starts_with('-') && stem.bytes().all(allowed)
        })
}

pub(super) fn is_variable(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_are_words_that_need_no_quoting() {
        for good in ["A", "API_KEY", "IP10"] {
            assert!(is_variable(good), "{good}");
        }
        let long = "A".repeat(65);
        for bad in ["", "1A", "_A", "a", "A B", "A=", "A\nB", &long] {
            assert!(!is_variable(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_packages_are_no_paths_patterns_or_actions() {
        for good in ["cron", "g++", "libstdc++6", "0ad", "python3.11", "a-b"] {
            assert!(is_package(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in [
            "",
            "/etc/pmta/x.deb",
            "./x.deb",
            "x/stable",
            "cron-",
            "-y",
            "+x",
            ".x",
            "Cron",
            "a b",
            "a=1",
            "lib*",
            "a^",
            "?all",
            "a:amd64",
            "a\n",
            &long,
        ] {
            assert!(!is_package(bad), "{bad:?}");
        }
    }

    #[test]
    fn versions_carry_no_action_either() {
        for good in ["5.0r8", "1:2.3~rc1-4+b1", "r1"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1.0-", "1.0+", "1/2", "*", "1 2", "-1"] {
            assert!(!is_version(bad), "{bad:?}");
        }
    }

    #[test]
    fn units_are_named_and_never_linked_from_a_path() {
        for good in [
            "pmta.service",
            "app@one.service",
            "a_b:c.timer",
            "x.y.socket",
        ] {
            assert!(is_unit(good), "{good}");
        }
        let long = format!("{}.service", "a".repeat(248));
        for bad in [
            "",
            "pmta",
            ".service",
            "/etc/pmta/evil.service",
            "a/b.service",
            "-x.service",
            "a*.service",
            "a b.service",
            "x.slice",
            "a.service\n",
            "a.service ",
            &long,
        ] {
            assert!(!is_unit(bad), "{bad:?}");
        }
    }
}
