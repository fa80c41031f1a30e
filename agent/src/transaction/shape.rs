//! Whether an answer has the expected shape. What is no JSON, or has nothing at a place where
//! something is expected, is told as such: an unknown form is never read as an answer.

use email_engine_protocol::desired::{Expectation, Holds};
use serde_json::Value;

/// How deep a place is looked into.
const DEPTH: usize = 64;
/// Characters of a value that is not the expected one.
const SHOWN: usize = 200;

/// Judges an answer.
///
/// # Errors
/// The first expectation that it does not meet.
pub fn judge(answer: &str, expect: &[Expectation]) -> Result<(), String> {
    let value: Value = serde_json::from_str(answer).map_err(|error| {
        let shown: String = answer.chars().take(SHOWN).collect();
        format!("its form is unknown: no JSON ({error}): {shown:?}")
    })?;
    expect.iter().try_for_each(|one| meets(&value, one))
}

fn meets(value: &Value, expectation: &Expectation) -> Result<(), String> {
    let pointer = &expectation.pointer;
    let place = if pointer.is_empty() { "it" } else { pointer };
    let found = value.pointer(pointer).filter(|found| !found.is_null());
    let Some(found) = found else {
        return Err(format!("its form is unknown: nothing is at {place}"));
    };
    let (fine, wanted) = match &expectation.holds {
        Holds::Present => return Ok(()),
        Holds::Equals(text) => {
            let plain = plain(found).ok_or_else(|| not_plain(place))?;
            (plain == *text, format!("is not {text:?}"))
        }
        Holds::Contains(text) => {
            let plain = found.as_str().ok_or_else(|| not_plain(place))?;
            (plain.contains(text.as_str()), format!("lacks {text:?}"))
        }
        Holds::Mentions(text) => {
            let fine = mentions(found, text, DEPTH);
            (fine, format!("does not name {text:?}"))
        }
    };
    if fine {
        return Ok(());
    }
    let shown: String = found.to_string().chars().take(SHOWN).collect();
    Err(format!("{place} {wanted}: {shown}"))
}

fn not_plain(place: &str) -> String {
    format!("its form is unknown: at {place} is no plain value")
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

fn mentions(value: &Value, text: &str, depth: usize) -> bool {
    match value {
        _ if depth == 0 => false,
        Value::String(found) => found.eq_ignore_ascii_case(text),
        Value::Array(list) => list.iter().any(|one| mentions(one, text, depth - 1)),
        Value::Object(map) => map.values().any(|one| mentions(one, text, depth - 1)),
        Value::Bool(_) | Value::Null | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = r#"{"data":{"mta":{"product":{"version":"5.0r1","bits":64}},
        "status":{"status":"running","up":true},"vmta":[{"name":"VMTA-mail1"},{"name":"vmta-mail2"}]}}"#;

    fn expect(pointer: &str, holds: Holds) -> Expectation {
        Expectation {
            pointer: pointer.to_owned(),
            holds,
        }
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn what_is_there_by_its_name_is_accepted() {
        let expected = [
            expect("/data/mta/product/version", Holds::Present),
            expect("/data/mta/product/version", Holds::Contains(text("5."))),
            expect("/data/mta/product/bits", Holds::Equals(text("64"))),
            expect("/data/status/up", Holds::Equals(text("true"))),
            expect("/data/status/status", Holds::Equals(text("running"))),
            expect("/data/vmta", Holds::Mentions(text("vmta-mail1"))),
            expect("", Holds::Mentions(text("vmta-mail2"))),
            expect("/data/vmta/1/name", Holds::Equals(text("vmta-mail2"))),
        ];
        assert_eq!(judge(ANSWER, &expected), Ok(()));
    }

    #[test]
    fn a_wrong_value_and_an_unknown_form_are_told_apart() {
        for (pointer, holds, why) in [
            (
                "/data/status/status",
                Holds::Equals(text("stopped")),
                "is not \"stopped\": \"running\"",
            ),
            (
                "/data/status/status",
                Holds::Contains(text("stop")),
                "lacks \"stop\"",
            ),
            (
                "/data/vmta",
                Holds::Mentions(text("vmta-mail")),
                "does not name \"vmta-mail\"",
            ),
            (
                "/data/license",
                Holds::Present,
                "its form is unknown: nothing is at /data/license",
            ),
            (
                "/data/vmta",
                Holds::Equals(text("x")),
                "its form is unknown: at /data/vmta is no plain",
            ),
            (
                "/data/status/up",
                Holds::Contains(text("t")),
                "its form is unknown",
            ),
        ] {
            let error = judge(ANSWER, &[expect(pointer, holds)]).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let error = judge("PowerMTA v5.0", &[]).unwrap_err();
        assert!(error.starts_with("its form is unknown: no JSON"), "{error}");
        let null = judge(r#"{"data":null}"#, &[expect("/data", Holds::Present)]);
        assert!(null.is_err());
    }

    proptest! {
        /// No answer of a product makes it panic, and only JSON is ever accepted.
        #[test]
        fn any_answer_is_judged(answer in ".{0,200}", pointer in "(/[a-z0-9~]{0,4}){0,3}") {
            let expected = [expect(&pointer, Holds::Present)];
            if judge(&answer, &expected).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&answer).is_ok());
            }
        }
    }
}
