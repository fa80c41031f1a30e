//! One line of a configuration: a directive, the opening or closing of a section, or nothing.

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Blank,
    Directive { keyword: &'a str, rest: &'a str },
    Open { name: &'a str, argument: &'a str },
    Close { name: &'a str },
}

/// The guide knows no way to write `#` other than `\x23`: it starts a comment wherever it stands.
pub(super) fn read(line: &str) -> Result<Line<'_>, &'static str> {
    let text = line.split('#').next().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(Line::Blank);
    }
    let Some(tag) = text.strip_prefix('<') else {
        let (keyword, rest) = split_word(text);
        return Ok(Line::Directive { keyword, rest });
    };
    let tag = tag
        .strip_suffix('>')
        .ok_or("'>' expected at the end of the tag")?;
    if let Some(name) = tag.strip_prefix('/') {
        let name = name.trim();
        let bare = !name.is_empty() && !name.contains(char::is_whitespace);
        return if bare {
            Ok(Line::Close { name })
        } else {
            Err("a closing tag carries only the name of its section")
        };
    }
    let (name, argument) = split_word(tag.trim());
    if name.is_empty() {
        return Err("name of a section expected");
    }
    Ok(Line::Open { name, argument })
}

/// The first word, and what follows the blanks after it.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

/// Takes a value off the front: quoted with `\` as escape, or up to the next blank.
pub(super) fn take_value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = split_word(text);
        return Ok((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((value, quoted[at + 1..].trim_start())),
            _ => value.push(character),
        }
    }
    Err("closing quote missing")
}

/// Takes a regular expression off the front: between slashes, `\/` inside stands for a slash.
pub(super) fn take_expression(text: &str) -> Result<(String, &str), &'static str> {
    let inner = text
        .strip_prefix('/')
        .ok_or("regular expression expected")?;
    let mut escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => return Ok((inner[..at].to_owned(), inner[at + 1..].trim_start())),
            _ => {}
        }
    }
    Err("regular expression is not closed by '/'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_starts_anywhere() {
        assert_eq!(read("  # only a comment"), Ok(Line::Blank));
        assert_eq!(
            read("log-rotate 8 # files"),
            Ok(Line::Directive {
                keyword: "log-rotate",
                rest: "8"
            })
        );
        assert_eq!(
            read("password abc#def"),
            Ok(Line::Directive {
                keyword: "password",
                rest: "abc"
            })
        );
    }

    #[test]
    fn sections_open_with_an_argument_and_close_without() {
        assert_eq!(
            read("<mx-rollup-list >"),
            Ok(Line::Open {
                name: "mx-rollup-list",
                argument: ""
            })
        );
        assert_eq!(read("</domain>"), Ok(Line::Close { name: "domain" }));
        assert!(read("</domain a.example>").is_err());
        assert!(read("<domain *").is_err());
    }

    #[test]
    fn quotes_and_expressions_end_where_they_are_closed() {
        assert_eq!(
            take_value(r#""a \"b\" c" d"#),
            Ok(("a \"b\" c".to_owned(), "d"))
        );
        assert_eq!(take_value(r#""""#), Ok((String::new(), "")));
        assert!(take_value("\"open").is_err());
        assert_eq!(
            take_expression(r"/a\/b c/ virtual-mta=x"),
            Ok((r"a\/b c".to_owned(), "virtual-mta=x"))
        );
        assert!(take_expression("/open").is_err());
    }
}
