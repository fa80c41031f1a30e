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

/// Fields that change to what they are where nothing is said: empty, or as in `default`.
pub(super) fn reset<T: Serialize>(old: &T, new: &T, default: Option<&T>) -> Vec<String> {
    let (before, default) = (fields(old), default.map(fields).unwrap_or_default());
    let is_reset = |(name, value): &(String, Value)| {
        before.get(name) != Some(value) && (is_empty(value) || default.get(name) == Some(value))
    };
    let after = fields(new).into_iter();
    after.filter(is_reset).map(|(name, _)| name).collect()
}

fn fields<T: Serialize>(value: &T) -> serde_json::Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
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
