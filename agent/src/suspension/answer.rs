//! What an answer says to a question. A form that is not the expected one is never read as a yes or
//! a no.

use email_engine_protocol::desired::Sought;
use serde_json::Value;

use crate::transaction::shape::{mentions, parse};

/// How deep a list is looked into.
const DEPTH: usize = 16;
/// Characters of an answer of an unknown form.
const SHOWN: usize = 200;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is nothing that could hold what is sought.
    Nowhere,
    /// It is not as sought.
    No,
    /// It is.
    Yes,
}

/// Reads an answer.
///
/// # Errors
/// When it is no JSON, or has no list at the place.
pub fn read(answer: &str, list: &str, sought: &Sought) -> Result<Found, String> {
    let shown = || -> String { answer.chars().take(SHOWN).collect() };
    let value = parse(answer)?;
    let found = value.pointer(list).and_then(Value::as_array);
    let found =
        found.ok_or_else(|| format!("its form is unknown: no list at {list}: {:?}", shown()))?;
    let yes = match sought {
        Sought::Nothing => found.is_empty(),
        Sought::Something => !found.is_empty(),
        Sought::Text(_) if found.is_empty() => return Ok(Found::Nowhere),
        Sought::Text(text) => found.iter().any(|one| mentions(one, text, DEPTH)),
    };
    Ok(if yes { Found::Yes } else { Found::No })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_judged_by_what_is_sought() {
        let empty = r#"{"data":{"source":[]}}"#;
        let one = r#"{"data":{"source":[{"ip":"2001:DB8::1","queue":"a.example/vmta-1"}]}}"#;
        let text = |text: &str| Sought::Text(text.to_owned());
        for (answer, sought, found) in [
            (empty, Sought::Nothing, Found::Yes),
            (one, Sought::Nothing, Found::No),
            (empty, Sought::Something, Found::No),
            (one, Sought::Something, Found::Yes),
            (empty, text("2001:db8::1"), Found::Nowhere),
            (one, text("2001:db8::1"), Found::Yes),
            (one, text("2001:db8::11"), Found::No),
            (one, text("2001:db8::"), Found::No),
        ] {
            let read = read(answer, "/data/source", &sought);
            assert_eq!(read, Ok(found), "{answer} {sought:?}");
        }
    }

    #[test]
    fn another_form_is_neither_yes_nor_no() {
        for answer in [
            "",
            "0 of 0 matching queues.",
            r#"{"data":{}}"#,
            r#"{"data":{"queue":{"name":"a.example/vmta-1"}}}"#,
            r#"{"data":{"queue":null}}"#,
            r#"{"queue":[]}"#,
        ] {
            let error = read(answer, "/data/queue", &Sought::Nothing).unwrap_err();
            assert!(error.contains("its form is unknown"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_is_read_as_an_answer_without_its_list(words in ".{0,80}") {
            prop_assert!(read(&words, "/data/queue", &Sought::Nothing).is_err());
        }
    }
}
