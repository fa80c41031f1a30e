//! Whether an answer has the expected shape. What is no JSON, or has nothing at a place where
//! something is expected, is told as such: an unknown form is never read as an answer.

use email_engine_protocol::desired::{CountSpec, Expectation, Holds, NAME};
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
    let value = parse(answer)?;
    expect.iter().try_for_each(|one| meets(&value, one))
}

/// How much a product holds under a name, by its answer to a question.
///
/// # Errors
/// Why the answer is of no known form.
pub fn count(answer: &str, question: &CountSpec, name: &str) -> Result<u64, String> {
    let value = parse(answer)?;
    let place = &question.list;
    let single;
    let items = match value.pointer(place) {
        Some(Value::Array(items)) => &items[..],
        Some(item @ Value::Object(_)) => {
            single = [item.clone()];
            &single[..]
        }
        Some(Value::Null) | None if question.absent_is_none && has_parent(&value, place) => &[],
        Some(Value::Null) | None => {
            return Err(format!("its form is unknown: nothing is at {place}"));
        }
        Some(_) => return Err(format!("its form is unknown: at {place} is no list")),
    };
    let belongs = question.belongs.replace(NAME, name).to_ascii_lowercase();
    let mut sum = 0_u64;
    for item in items {
        let told = item.pointer(&question.name).and_then(Value::as_str);
        let Some(told) = told else {
            return Err(format!(
                "its form is unknown: an item has no {}",
                question.name
            ));
        };
        if !told.to_ascii_lowercase().ends_with(&belongs) {
            let shown: String = told.chars().take(SHOWN).collect();
            return Err(format!("it tells of {shown:?}, which was not asked about"));
        }
        let counted = item.pointer(&question.count).and_then(plain);
        let counted = counted.and_then(|text| text.parse::<u64>().ok());
        let Some(counted) = counted else {
            return Err(format!(
                "its form is unknown: {} is no count",
                question.count
            ));
        };
        sum = sum.saturating_add(counted);
    }
    Ok(sum)
}

fn has_parent(value: &Value, place: &str) -> bool {
    let parent = place.rsplit_once('/').map(|(parent, _)| parent);
    parent.is_some_and(|parent| value.pointer(parent).is_some_and(|found| !found.is_null()))
}

/// An answer.
///
/// # Errors
/// When it is no JSON.
pub fn parse(answer: &str) -> Result<Value, String> {
    serde_json::from_str(answer).map_err(|error| {
        let shown: String = answer.chars().take(SHOWN).collect();
        format!("its form is unknown: no JSON ({error}): {shown:?}")
    })
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

/// Whether a text is a whole value somewhere in an answer, whatever its case.
pub fn mentions(value: &Value, text: &str, depth: usize) -> bool {
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
    use email_engine_protocol::desired::{CommandLine, HostPath};
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

    fn question() -> CountSpec {
        CountSpec {
            command: CommandLine {
                program: HostPath::new("/usr/sbin/pmta").unwrap(),
                arguments: Vec::new(),
            },
            seconds: 1,
            list: text("/data/queue"),
            name: text("/name"),
            belongs: text("/{name}"),
            count: text("/rcp"),
            absent_is_none: false,
        }
    }

    #[test]
    fn what_a_name_holds_is_added_up_over_its_items() {
        for (answer, counted) in [
            (r#"{"data":{"queue":[]}}"#, 0),
            (
                r#"{"data":{"queue":{"name":"a.example/vmta-1","rcp":"3"}}}"#,
                3,
            ),
            (
                r#"{"data":{"queue":[{"name":"a.example/VMTA-1","rcp":3},{"name":"b.example/vmta-1","rcp":4}]}}"#,
                7,
            ),
        ] {
            assert_eq!(
                count(answer, &question(), "vmta-1"),
                Ok(counted),
                "{answer}"
            );
        }
        let absent = CountSpec {
            absent_is_none: true,
            ..question()
        };
        assert_eq!(count(r#"{"data":{}}"#, &absent, "vmta-1"), Ok(0));
    }

    #[test]
    fn an_answer_of_another_form_or_to_another_question_counts_nothing() {
        for (answer, why) in [
            ("no queues", "no JSON"),
            (r#"{"data":{}}"#, "nothing is at /data/queue"),
            (r#"{"data":{"queue":0}}"#, "is no list"),
            (r#"{"data":{"queue":[{"rcp":1}]}}"#, "an item has no /name"),
            (
                r#"{"data":{"queue":[{"name":"a.example/vmta-11","rcp":1}]}}"#,
                "not asked about",
            ),
            (
                r#"{"data":{"queue":[{"name":"a.example/vmta-1"}]}}"#,
                "/rcp is no count",
            ),
            (
                r#"{"data":{"queue":[{"name":"a.example/vmta-1","rcp":-1}]}}"#,
                "/rcp is no count",
            ),
        ] {
            let error = count(answer, &question(), "vmta-1").unwrap_err();
            assert!(error.contains(why), "{answer}: {error}");
        }
        let absent = CountSpec {
            absent_is_none: true,
            ..question()
        };
        assert!(count(r#"{"status":"error"}"#, &absent, "vmta-1").is_err());
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
