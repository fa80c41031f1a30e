//! Laws over any text.

use std::fmt::Write;

use proptest::prelude::*;

use super::{Limits, parse};

/// Lines as they occur, whole and broken, in any order.
fn texts() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => "[ \t]{0,3}[a-z-]{1,12} [ -~é]{0,20}",
        3 => "[ \t]{0,2}<[a-z-]{0,8} ?[ -~]{0,8}>",
        3 => "[ \t]{0,2}</[a-z-]{0,8}>",
        2 => "<(a|b|pattern-list) x>",
        2 => "</(a|b|pattern-list)>",
        1 => "(mail-from|rcpt-to) /[a-z#/]{0,4}/ <pattern-list>",
        1 => "#.{0,10}",
        1 => ".{0,12}",
    ];
    let end = prop_oneof![6 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r"), 1 => Just("")];
    prop::collection::vec((line, end), 0..40).prop_map(|lines| {
        lines
            .into_iter()
            .fold(String::new(), |mut text, (line, end)| {
                let _ = write!(text, "{line}{end}");
                text
            })
    })
}

/// Lines that always form a whole.
fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z-]{1,9} [ -;=?-~]{0,12}\n",
        "[ \t]{0,3}#.{0,9}\r?\n",
        Just("\n".to_owned())
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        (
            "[a-z-]{1,6}",
            "[a-z0-9*./]{0,6}",
            prop::collection::vec(inner, 0..6),
        )
            .prop_map(|(name, argument, nodes)| {
                format!("<{name} {argument}>\n{}</{name}>\n", nodes.concat())
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_written_as_it_was_read(text in texts()) {
        let parsed = parse("x", &text, Limits::default());
        let written = parsed.document.to_string();
        prop_assert_eq!(&written, &text);
        prop_assert_eq!(&parse("x", &written, Limits::default()), &parsed);
    }

    #[test]
    fn any_unicode_is_read_without_panic(text in ".{0,200}") {
        let parsed = parse("x", &text, Limits::default());
        prop_assert_eq!(parsed.document.to_string(), text);
    }

    #[test]
    fn a_whole_of_sections_is_well_formed(texts in prop::collection::vec(well_formed(), 0..8)) {
        let text = texts.concat();
        let parsed = parse("x", &text, Limits::default());
        prop_assert_eq!(&parsed.errors, &[]);
        prop_assert_eq!(parsed.document.to_string(), text);
    }
}
