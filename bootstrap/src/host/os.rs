//! `os-release`, as os-release(5) writes it.

use crate::facts::Os;

/// Reads the keys that matter; one that is not there is empty.
pub(super) fn parse(text: &str) -> Os {
    let mut os = Os::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let slot = match key.trim() {
            "ID" => &mut os.id,
            "VERSION_ID" => &mut os.version,
            "PRETTY_NAME" => &mut os.name,
            _ => continue,
        };
        *slot = unquoted(value.trim()).chars().take(100).collect();
    }
    if os.name.is_empty() {
        os.name = format!("{} {}", os.id, os.version).trim().to_owned();
    }
    os
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off_and_a_name_is_made_up() {
        let os = parse("# x\nID=\"rocky\"\nVERSION_ID='9.4'\nPRETTY_NAME=\"Rocky Linux 9.4\"\n");
        assert_eq!((os.id.as_str(), os.version.as_str()), ("rocky", "9.4"));
        assert_eq!(os.name, "Rocky Linux 9.4");
        let os = parse("ID=arch\nBROKEN\n");
        assert_eq!((os.name.as_str(), os.version.as_str()), ("arch", ""));
    }
}
