//! `list`, `delete` and `set priority`: recipients by queue, sender, recipient, job or age.

use std::sync::Arc;

use serde_json::json;

use super::answer::Answer;
use super::command::Arguments;
use crate::clock;
use crate::config::interval;
use crate::deliver::{Verdict, Via, bounce};
use crate::engine::Engine;
use crate::queue::{Item, QueueKey, millis};

fn means(arguments: &Arguments, key: &QueueKey, item: &Item, now: i64) -> bool {
    let same = |name: &str, own: &str| {
        arguments
            .option(name)
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(own))
    };
    let old = arguments
        .option("older-than")
        .and_then(interval)
        .is_none_or(|age| item.envelope.queued_at + millis(age) <= now);
    QueueKey::parse(arguments.option("queue").unwrap_or("*/*")).means(key)
        && same("orig", &item.envelope.orig)
        && same("rcpt", item.address())
        && same("jobid", &item.envelope.job_id)
        && same("envid", &item.envelope.env_id)
        && old
}

fn bad_age(arguments: &Arguments) -> Option<Answer> {
    let text = arguments.option("older-than")?;
    let fault = || Answer::fault(format!("time interval expected instead of '{text}'"));
    interval(text).is_none().then(fault)
}

pub(super) fn list(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    if let Some(fault) = bad_age(arguments) {
        return fault;
    }
    let now = clock::now();
    let most = arguments
        .option("maxitems")
        .and_then(|text| text.parse().ok())
        .unwrap_or(100);
    let mut text = String::new();
    let mut list = Vec::new();
    for (key, queue) in &engine.queues().all {
        let wanted = queue
            .items
            .iter()
            .filter(|item| means(arguments, key, item, now));
        for item in wanted.take(most - list.len()) {
            text.push_str(&format!(
                "{} {key} {}\n",
                item.address(),
                item.envelope.orig
            ));
            list.push(json!({
                "rcpt": item.address(),
                "orig": item.envelope.orig,
                "queue": key.to_string(),
                "jobId": item.envelope.job_id,
                "envId": item.envelope.env_id
            }));
        }
    }
    Answer::with(text, json!({ "rcpt": list }))
}

/// An accident must not empty every queue: which ones has to be said.
pub(super) fn delete(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    if arguments.option("queue").is_none() && arguments.option("jobid").is_none() {
        return Answer::fault("--queue or --jobId is needed");
    }
    if let Some(fault) = bad_age(arguments) {
        return fault;
    }
    let now = clock::now();
    let taken = engine
        .queues()
        .drain(|key, item| means(arguments, key, item, now));
    let count = taken.len();
    let verdict = Verdict::own("5.0.0", "smtp;deleted by administrator");
    let silent = arguments.option("no-accounting").is_some();
    for (key, item) in taken {
        if silent {
            engine.queues().done(&key);
            engine.settle(&item, true);
        } else {
            bounce(engine, &key, &item, &verdict, &Via::default());
        }
    }
    Answer::with(
        format!("{count} recipient(s) deleted."),
        json!({ "count": count }),
    )
}

/// Who has more goes first among what is due in a queue; a restart forgets it.
pub(super) fn set_priority(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let text = arguments.first().unwrap_or_default();
    let Some(priority) = text.parse().ok().filter(|number| *number <= 100) else {
        return Answer::fault(format!("number from 0 to 100 expected instead of '{text}'"));
    };
    let now = clock::now();
    let mut count = 0;
    for (key, queue) in &mut engine.queues().all {
        let mut items = queue.items.iter_mut();
        while let Some(item) = items.find(|item| means(arguments, key, item, now)) {
            item.priority = priority;
            count += 1;
        }
    }
    Answer::with(
        format!("Priority of {count} recipient(s) set."),
        json!({ "count": count }),
    )
}
