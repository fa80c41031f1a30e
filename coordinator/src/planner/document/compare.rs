//! What differs between two declarations, field by field.

use serde::Serialize;
use serde_json::Value;

/// One `field: old -> new` each, in order of field; for something new one `field: value` each.
pub(super) fn details<T: Serialize>(old: Option<&T>, new: &T) -> Vec<String> {
    let (before, after) = (old.map(fields).unwrap_or_default(), fields(new));
    after
        .iter()
        .filter_map(|(name, value)| match (old, before.get(name)) {
            (None, _) => (!is_empty(value)).then(|| format!("{name}: {}", shown(value))),
            (Some(_), Some(was)) if was == value => None,
            (Some(_), was) => {
                let was = was.map_or_else(|| "nothing".to_owned(), shown);
                Some(format!("{name}: {was} -> {}", shown(value)))
            }
        })
        .collect()
}

/// Fields that are gone, or change to what they are where nothing is said: empty, or as in `default`. Those of
/// parts are named with them, such as `labels.host-name`.
pub(super) fn reset<T: Serialize>(old: &T, new: &T, default: Option<&T>) -> Vec<String> {
    let default = default.map(fields).unwrap_or_default();
    let mut names = Vec::new();
    reset_in("", (&fields(old), &fields(new)), &default, &mut names);
    names
}

type Fields = serde_json::Map<String, Value>;

fn reset_in(part: &str, (old, new): (&Fields, &Fields), default: &Fields, names: &mut Vec<String>) {
    for (name, was) in old {
        let (is, usual) = (new.get(name).unwrap_or(&Value::Null), default.get(name));
        if is == was {
            continue;
        }
        match (was, is) {
            (Value::Object(was), Value::Object(is)) if !is.is_empty() => {
                let part = format!("{part}{name}.");
                let usual = usual.and_then(Value::as_object).cloned();
                reset_in(&part, (was, is), &usual.unwrap_or_default(), names);
            }
            _ if is_empty(is) || usual == Some(is) => names.push(format!("{part}{name}")),
            _ => {}
        }
    }
}

fn fields<T: Serialize>(value: &T) -> Fields {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => Fields::new(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
