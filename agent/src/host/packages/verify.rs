//! What `rpm -V` and `dpkg --verify` answer, which is one form: nine signs, what kind of file, its path.

use super::{READ, failed};
use crate::host::spawn;
use crate::host::system::SystemError;

/// Bytes of an answer: some thousand files.
const ANSWER: usize = 256 * 1024;

/// Files whose bytes are others, or that are missing. An answer that is not understood is none.
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
    let mut changed = Vec::new();
    for line in answer.output.lines() {
        let differs = judge(line).ok_or_else(|| odd(line))?;
        changed.extend(differs.map(str::to_owned));
    }
    Ok(changed)
}

/// The path of a line, if its bytes differ and it is no configuration. Owners, modes and times are not
/// asked about: the scripts of packages change them.
fn judge(line: &str) -> Option<Option<&str>> {
    let at = line.find('/')?;
    let (signs, path) = line.split_at(at);
    let mut words = signs.split_whitespace();
    let signs = words.next()?;
    let kind = words.next();
    if words.next().is_some() {
        return None;
    }
    let is_other = match signs {
        "missing" => true,
        signs if signs.len() >= 8 => signs.as_bytes().get(2) == Some(&b'5'),
        _ => return None,
    };
    Some((is_other && kind != Some("c")).then_some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_and_missing_files_count_and_configuration_does_not() {
        for (line, expected) in [
            ("??5??????   /usr/sbin/pmtad", Some(Some("/usr/sbin/pmtad"))),
            ("S.5....T.    /usr/sbin/a b", Some(Some("/usr/sbin/a b"))),
            ("missing     /usr/sbin/pmta", Some(Some("/usr/sbin/pmta"))),
            ("??5?????? c /etc/pmta/config", Some(None)),
            ("missing   c /etc/pmta/license", Some(None)),
            (".M....G..    /etc/pmta", Some(None)),
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
        assert_eq!(found.unwrap(), ["/a", "/c"]);
    }
}
