//! An answer: words for people, and data in the forms that the guide shows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a command answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    pub(crate) text: String,
    pub(crate) data: Value,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `--dom`: `a.b="c"` lines.
    Dom,
    /// `--json`.
    Json,
    /// For people.
    Text,
    /// `--xml`.
    Xml,
}

impl Answer {
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::with(text, json!({}))
    }

    pub(crate) fn with(text: impl Into<String>, data: Value) -> Self {
        Self {
            succeeded: true,
            text: text.into(),
            data,
        }
    }

    pub(crate) fn fault(text: impl Into<String>) -> Self {
        Self {
            succeeded: false,
            text: text.into(),
            data: json!({}),
        }
    }

    /// The answer as it is printed.
    pub(crate) fn printed(&self, format: Format) -> String {
        match format {
            Format::Text => self.text.clone(),
            Format::Json => {
                let (status, message) = if self.succeeded {
                    ("success", "")
                } else {
                    ("error", self.text.as_str())
                };
                json!({ "data": self.data, "status": status, "message": message }).to_string()
            }
            Format::Xml => {
                let mut out = String::from("<rsp>");
                if self.succeeded {
                    xml(&mut out, "data", &self.data);
                    out.push_str("<succ/>");
                } else {
                    element(&mut out, "err", &escaped(&self.text));
                }
                out.push_str("</rsp>");
                out
            }
            Format::Dom if self.succeeded => {
                let mut out = String::new();
                dom(&mut out, "", &self.data);
                out
            }
            Format::Dom => format!("error=\"{}\"\n", self.text.replace('"', "\\\"")),
        }
    }
}

/// Numbers and truths as the guide's XML and DOM have them: `0` and `1`.
fn plain(value: &Value) -> String {
    match value {
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn xml(out: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut inner = String::new();
            for (key, value) in map {
                xml(&mut inner, key, value);
            }
            element(out, name, &inner);
        }
        Value::Array(list) => list.iter().for_each(|value| xml(out, name, value)),
        other => element(out, name, &escaped(&plain(other))),
    }
}

fn element(out: &mut String, name: &str, inner: &str) {
    if inner.is_empty() {
        out.push_str(&format!("<{name}/>"));
    } else {
        out.push_str(&format!("<{name}>{inner}</{name}>"));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn dom(out: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                dom(out, &path, value);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                dom(out, &format!("{path}[{index}]"), value);
            }
        }
        other => {
            let text = plain(other).replace('"', "\\\"");
            out.push_str(&format!("{path}=\"{text}\"\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_those_of_the_guide() {
        let data = json!({ "status": { "up": true, "host": [{ "name": "a<b" }] } });
        let answer = Answer::with("fine", data);
        assert_eq!(answer.printed(Format::Text), "fine");
        assert_eq!(
            answer.printed(Format::Json),
            r#"{"data":{"status":{"host":[{"name":"a<b"}],"up":true}},"message":"","status":"success"}"#
        );
        assert_eq!(
            answer.printed(Format::Xml),
            "<rsp><data><status><host><name>a&lt;b</name></host><up>1</up></status></data>\
             <succ/></rsp>"
        );
        assert_eq!(
            answer.printed(Format::Dom),
            "status.host[0].name=\"a<b\"\nstatus.up=\"1\"\n"
        );
    }
}
