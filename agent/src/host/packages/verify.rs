//! What `rpm -V` and `dpkg --verify` answer, which is one form: nine signs, what kind of file, its path.

use super::{READ, failed};
use crate::host::spawn;
use crate::host::system::SystemError;

/// Bytes of an answer: some thousand files.
const ANSWER: usize = 256 * 1024;

/// Images are made without these, and dpkg is told to leave them out.
const LEFT_OUT: [&str; 7] = [
    "/usr/share/doc/",
    "/usr/share/gnome/",
    "/usr/share/help/",
    "/usr/share/info/",
    "/usr/share/lintian/",
    "/usr/share/locale/",
    "/usr/share/man/",
];

/// What a line says of a file.
#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    Fine,
    Missing(&'a str),
    Other(&'a str),
}

/// Files whose bytes are others, and then those that are missing. An answer that is not understood is none.
pub(super) fn changed(tool: &str, arguments: &[&str]) -> Result<Vec<String>, SystemError> {
    let answer = spawn::query_up_to(tool, arguments, READ, ANSWER)?;
    let odd = |line: &str| {
        let said = format!("{line:?} is not understood {}", answer.errors);
        failed(tool.to_owned(), answer.code, said)
    };
    if answer.output.len() >= ANSWER {
        return Err(odd("an answer without its beginning"));
    }
    if answer.output.is_empty() && answer.code != 0 {
        return Err(failed(tool.to_owned(), answer.code, answer.errors));
    }
    let (mut changed, mut missing) = (Vec::new(), Vec::new());
    for line in answer.output.lines() {
        match judge(line).ok_or_else(|| odd(line))? {
            Verdict::Fine => {}
            Verdict::Missing(path) => missing.push(path.to_owned()),
            Verdict::Other(path) => changed.push(path.to_owned()),
        }
    }
    changed.append(&mut missing);
    Ok(changed)
}

/// Nothing for a line that is not understood. Configuration does not count, and owners, modes and times are not
/// asked about: the scripts of packages change them.
fn judge(line: &str) -> Option<Verdict<'_>> {
    let at = line.find('/')?;
    let (signs, path) = line.split_at(at);
    let mut words = signs.split_whitespace();
    let signs = words.next()?;
    let kind = words.next();
    if words.next().is_some() {
        return None;
    }
    let verdict = match signs {
        "missing" if LEFT_OUT.iter().any(|folder| path.starts_with(folder)) => Verdict::Fine,
        "missing" => Verdict::Missing(path),
        signs if signs.len() < 8 => return None,
        signs if signs.as_bytes()[2] == b'5' => Verdict::Other(path),
        _ => Verdict::Fine,
    };
    let is_configuration = kind == Some("c");
    Some(if is_configuration {
        Verdict::Fine
    } else {
        verdict
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_and_missing_files_count_and_configuration_does_not() {
        let (other, missing) = (Verdict::Other, Verdict::Missing);
        for (line, expected) in [
            (
                "??5??????   /usr/sbin/pmtad",
                Some(other("/usr/sbin/pmtad")),
            ),
            ("S.5....T.    /usr/sbin/a b", Some(other("/usr/sbin/a b"))),
            (
                "missing     /usr/sbin/pmta",
                Some(missing("/usr/sbin/pmta")),
            ),
            ("??5?????? c /etc/pmta/config", Some(Verdict::Fine)),
            ("missing   c /etc/pmta/license", Some(Verdict::Fine)),
            (".M....G..    /etc/pmta", Some(Verdict::Fine)),
            ("missing     /usr/share/doc/pmta/a", Some(Verdict::Fine)),
            (
                "missing     /usr/share/man/man1/a.1.gz",
                Some(Verdict::Fine),
            ),
            (
                "missing     /usr/share/pmta/a",
                Some(missing("/usr/share/pmta/a")),
            ),
            (
                "??5??????   /usr/share/doc/a",
                Some(other("/usr/share/doc/a")),
            ),
            ("package pmta is not installed", None),
            ("rpm: a/b: odd words here", None),
            ("", None),
        ] {
            assert_eq!(judge(line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        assert_eq!(changed("/bin/true", &[]).unwrap(), Vec::<String>::new());
        assert!(changed("/bin/false", &[]).is_err());
        assert!(changed("/bin/echo", &["package x is not installed"]).is_err());
        let found = changed("/bin/echo", &["missing  /a\n??5?????? c /b\n??5??????  /c"]);
        assert_eq!(found.unwrap(), ["/c", "/a"], "other bytes come first");
    }
}
