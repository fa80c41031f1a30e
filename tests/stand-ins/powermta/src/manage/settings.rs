//! `show settings D/V`: what holds for a queue.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::command::Arguments;
use crate::engine::Engine;
use crate::queue::QueueKey;

pub(super) fn settings(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let config = engine.config();
    let named = arguments.first().unwrap_or_default();
    let key = match named.split_once('/') {
        Some(_) => QueueKey::parse(named),
        None => QueueKey {
            domain: named.to_lowercase(),
            vmta: crate::spool::NO_VMTA.to_owned(),
        },
    };
    let own = config.virtual_mtas.get(&key.vmta.to_lowercase());
    if own.is_none() && key.vmta != crate::spool::NO_VMTA {
        return Answer::fault(format!("virtual MTA '{}' does not exist", key.vmta));
    }
    let of_vmta: Vec<(&str, String)> = ["max-smtp-msg-rate", "max-smtp-out"]
        .into_iter()
        .map(|name| {
            let written = own.and_then(|own| own.settings.written(name));
            (name, written.unwrap_or("unlimited").to_owned())
        })
        .collect();
    let of_queue = config.domain_settings(&key.domain, &key.vmta).shown();
    let mut text = String::from("Virtual MTA Settings\n--------------------\n");
    for (name, value) in &of_vmta {
        text.push_str(&format!("{name} {value}\n"));
    }
    text.push_str("Queue Settings\n--------------\n");
    for (name, value) in &of_queue {
        text.push_str(&format!("{name} {value}\n"));
    }
    let data = json!({ "vmtaSettings": object(&of_vmta), "queueSettings": object(&of_queue) });
    Answer::with(text, data)
}

fn object(pairs: &[(&str, String)]) -> Value {
    let fields: Map<_, _> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value.trim_matches('"'))))
        .collect();
    Value::Object(fields)
}
