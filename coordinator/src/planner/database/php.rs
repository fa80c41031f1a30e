//! Arrays in PHP's own serialisation, for applications that keep settings in a column that way.
//!
//! Six forms are enough for what JSON can say, so that they are written here: the crates for it read and
//! write Rust types by serde, and write a list of pairs or a key of digits otherwise than PHP does.

use std::fmt::Write as _;

use serde_json::Value;

/// What `serialize()` gives for the value that `json_decode($text, true)` gives.
pub(super) fn serialized(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("N;"),
        Value::Bool(value) => out.push_str(if *value { "b:1;" } else { "b:0;" }),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => push(out, &format!("i:{whole};")),
            (None, Some(float)) => push(out, &format!("d:{float:?};")),
            (None, None) => out.push_str("N;"),
        },
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            push(out, &format!("a:{}:{{", items.len()));
            for (at, item) in items.iter().enumerate() {
                push(out, &format!("i:{at};"));
                write(item, out);
            }
            out.push('}');
        }
        Value::Object(items) => {
            push(out, &format!("a:{}:{{", items.len()));
            for (key, item) in items {
                match index(key) {
                    Some(number) => push(out, &format!("i:{number};")),
                    None => string(key, out),
                }
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// Its length is in bytes, and nothing in it is escaped.
fn string(text: &str, out: &mut String) {
    // Writing into a text does not fail.
    let _ = write!(out, "s:{}:\"{text}\";", text.len());
}

fn push(out: &mut String, text: &str) {
    out.push_str(text);
}

/// A key that PHP makes a number of: written as it would write that number, and no other.
fn index(key: &str) -> Option<i64> {
    let number: i64 = key.parse().ok()?;
    (number.to_string() == key).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_what_php_writes() {
        // php -r 'echo serialize(...);' of PHP 8.2.
        let headers =
            json!({ "additional_headers": [{ "name": "X-Virtual-MTA", "value": "é\"';😀" }] });
        assert_eq!(
            serialized(&headers),
            "a:1:{s:18:\"additional_headers\";a:1:{i:0;a:2:{s:4:\"name\";s:13:\"X-Virtual-MTA\";\
             s:5:\"value\";s:9:\"é\"';😀\";}}}"
        );
        let all = json!({ "7": null, "07": true, "-3": -9, "-0": 1.5 });
        let text = serialized(&all);
        for part in [
            "i:7;N;",
            "s:2:\"07\";b:1;",
            "i:-3;i:-9;",
            "s:2:\"-0\";d:1.5;",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(serialized(&json!([])), "a:0:{}");
        assert_eq!(serialized(&json!("a\0b")), "s:3:\"a\0b\";");
    }

    /// Reads one value back, after PHP's own description of the format.
    fn read(text: &mut &[u8]) -> Value {
        let (kind, rest) = text.split_first().unwrap();
        *text = rest;
        match kind {
            b'N' => {
                take(text, b";");
                Value::Null
            }
            b'b' => Value::Bool(until(text, b';') == "1"),
            b'i' => Value::from(until(text, b';').parse::<i64>().unwrap()),
            b'd' => Value::from(until(text, b';').parse::<f64>().unwrap()),
            b's' => {
                let length: usize = until(text, b':').parse().unwrap();
                take(text, b"\"");
                let (inner, rest) = text.split_at(length);
                *text = rest;
                take(text, b"\";");
                Value::String(String::from_utf8(inner.to_vec()).unwrap())
            }
            b'a' => {
                let count: usize = until(text, b':').parse().unwrap();
                take(text, b"{");
                let mut items = serde_json::Map::new();
                for _ in 0..count {
                    let key = match read(text) {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    let value = read(text);
                    assert!(items.insert(key, value).is_none());
                }
                take(text, b"}");
                Value::Object(items)
            }
            other => panic!("{other}"),
        }
    }

    fn take(text: &mut &[u8], wanted: &[u8]) {
        *text = text.strip_prefix(wanted).unwrap();
    }

    fn until(text: &mut &[u8], end: u8) -> String {
        take(text, b":");
        let at = text.iter().position(|b| *b == end).unwrap();
        let (inner, rest) = text.split_at(at);
        *text = &rest[1..];
        String::from_utf8(inner.to_vec()).unwrap()
    }

    /// A list is to PHP an array whose keys are numbers.
    fn as_php_sees_it(value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(at, item)| (at.to_string(), as_php_sees_it(item)));
                Value::Object(items.collect())
            }
            Value::Object(items) => {
                let items = items.iter();
                let items = items.map(|(key, item)| (key.clone(), as_php_sees_it(item)));
                Value::Object(items.collect())
            }
            other => other.clone(),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-z0-9\"';:{}]{0,6}|-?[0-9]{1,3}", inner, 0..5)
                    .prop_map(|items| Value::Object(items.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(value in any_value()) {
            let text = serialized(&value);
            let mut rest = text.as_bytes();
            prop_assert_eq!(read(&mut rest), as_php_sees_it(&value));
            prop_assert!(rest.is_empty());
        }
    }
}
