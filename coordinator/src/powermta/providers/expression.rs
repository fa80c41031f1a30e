//! Expressions as the product reads them.

use fancy_regex::{Regex, RegexBuilder};

/// An expression that goes back too often is taken for one that does not match.
const BACKTRACKS: usize = 100_000;
/// Longest expression, in bytes.
const LONGEST: usize = 2_000;

/// Compiles an expression: PCRE, whatever the case of letters.
///
/// # Errors
/// Why it is none.
pub(in crate::powermta) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("(?i){}", pattern.replace("\\/", "/")))
        .backtrack_limit(BACKTRACKS)
        .build()
        .map_err(|error| error.to_string())
}

/// Whether an expression takes a text.
pub(in crate::powermta) fn takes(expression: &Regex, text: &str) -> bool {
    expression.is_match(text).unwrap_or(false)
}

/// What keeps an expression from being written on a line, whatever it means.
pub(super) fn unwritable(pattern: &str) -> Option<&'static str> {
    if pattern.len() > LONGEST {
        return Some("an expression of at most 2000 bytes");
    }
    if pattern.contains('#') {
        return Some("an expression with \\x23 for the number sign, which begins a comment");
    }
    if pattern.chars().any(char::is_control) {
        return Some("an expression without line ends and control characters");
    }
    let mut escaped = false;
    for c in pattern.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => return Some("an expression with \\/ for the slash, which would end it"),
            _ => {}
        }
    }
    escaped.then_some("an expression that does not end in a single backslash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_read_as_pcre_reads_it() {
        assert!(takes(
            &compile(r"\[ts0[12]\]").unwrap(),
            "421 4.7.0 [TS01] x"
        ));
        assert!(takes(&compile(r"block(?!chain)").unwrap(), "IP block"));
        assert!(!takes(&compile(r"block(?!chain)").unwrap(), "blockchain"));
        assert!(takes(&compile(r"a\/b").unwrap(), "a/b"));
        assert!(compile("(").is_err());
    }

    #[test]
    fn what_would_end_the_line_or_the_expression_is_refused() {
        for good in ["", r"a\x23b", r"a\/b", r"\\"] {
            assert_eq!(unwritable(good), None, "{good}");
        }
        for bad in ["a#b", "a/b", "a\nb", r"a\", &"a".repeat(2001)] {
            assert!(unwritable(bad).is_some(), "{bad}");
        }
    }
}
