//! Which names in archives are taken. Pure.

/// Longest name, and longest target of a link, in bytes.
const NAME: usize = 1024;
/// Longest part of a name, in bytes: what file systems take.
const PART: usize = 255;
/// Deepest name.
const DEPTH: usize = 64;
/// What we write beside and into trees begins so.
const OURS: &str = ".email-engine.";

/// The parts of a name without the leading ones that are left out; nothing when it has no others.
pub(super) fn inside(name: &[u8], strip: u8) -> Result<Option<Vec<String>>, &'static str> {
    let text = plain(name)?;
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("it leads upwards"),
            _ if part.len() > PART => return Err("a part of it has more than 255 bytes"),
            _ if part.starts_with(OURS) => return Err("names that begin so are the agent's"),
            _ => parts.push(part.to_owned()),
        }
    }
    if parts.len() > DEPTH {
        return Err("it has more than 64 parts");
    }
    let strip = usize::from(strip);
    if parts.len() <= strip {
        return Ok(None);
    }
    Ok(Some(parts.split_off(strip)))
}

/// The target of a link that stands so many folders deep, when it stays in the tree whatever other links
/// there are: it goes up first, never above the top, and down after that. Going up below another link
/// could leave the tree.
pub(super) fn leads_inside(target: &[u8], depth: usize) -> Result<&str, &'static str> {
    let text = plain(target)?;
    let (mut up, mut down) = (0, false);
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if down => return Err("a link goes up first and down after that"),
            ".." => up += 1,
            _ => down = true,
        }
    }
    if up > depth {
        return Err("it leads out of the folder");
    }
    Ok(text)
}

fn plain(name: &[u8]) -> Result<&str, &'static str> {
    if name.len() > NAME {
        return Err("it has more than 1024 bytes");
    }
    let text = std::str::from_utf8(name).map_err(|_| "it is not UTF-8")?;
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.starts_with('/') {
        return Err("it is absolute");
    }
    if text.contains('\\') {
        return Err("it has a backslash, which some take for a slash");
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    Ok(text)
}

/// A name for people.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars()
        .take(120)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leading_folders_are_left_out() {
        let parts = |name: &str, strip| inside(name.as_bytes(), strip).unwrap();
        let all = |parts: &[&str]| Some(parts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parts("a/b/c", 0), all(&["a", "b", "c"]));
        assert_eq!(parts("./a//b/./c", 2), all(&["c"]));
        assert_eq!(parts("a/b/", 2), None);
        assert_eq!(parts("./", 0), None);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "a/".repeat(65);
        let wide = "a".repeat(256);
        for bad in [
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "",
            "a\\..\\b",
            "a\nb",
            "a\0b",
            ".email-engine.x",
            "a/.email-engine.unpacked",
            &long,
            &wide,
        ] {
            assert!(inside(bad.as_bytes(), 0).is_err(), "{bad:?}");
        }
        assert!(inside(b"\xff", 0).is_err());
    }

    #[test]
    fn links_go_up_first_and_stay_inside() {
        for (good, depth) in [
            ("b", 0),
            ("../b", 1),
            ("../../b/c", 2),
            ("./b/./c", 0),
            (".", 0),
        ] {
            assert_eq!(leads_inside(good.as_bytes(), depth), Ok(good));
        }
        for (bad, depth) in [
            ("..", 0),
            ("../../b", 1),
            ("/etc", 9),
            ("b/../c", 5),
            ("b/../../c", 5),
            ("", 1),
        ] {
            assert!(leads_inside(bad.as_bytes(), depth).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_has_plain_parts(name in "[a./\\\\]{0,24}", strip in 0..3_u8) {
            if let Ok(Some(parts)) = inside(name.as_bytes(), strip) {
                prop_assert!(!parts.is_empty());
                for part in parts {
                    prop_assert!(!part.is_empty() && part != "." && part != ".." && !part.contains('/'));
                }
            }
        }
    }
}
