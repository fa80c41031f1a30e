//! `show queues`, `domains`, `vmtas`, `jobs` and `disabled sources`.
//!
//! The guide shows the tables, not the names of their JSON fields; those here follow `show status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::Answer;
use super::command::Arguments;
use crate::clock;
use crate::engine::Engine;
use crate::queue::{Mode, Queue, QueueKey};

const ITEMS: usize = 20;

fn most(arguments: &Arguments, otherwise: usize) -> usize {
    arguments
        .option("maxitems")
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn named(arguments: &Arguments) -> QueueKey {
    QueueKey::parse(arguments.first().unwrap_or("*/*"))
}

fn mode(queue: &Queue) -> &'static str {
    match queue.mode {
        Mode::Backoff => "backoff",
        Mode::Normal => "normal",
    }
}

fn is_wanted(arguments: &Arguments, queue: &Queue) -> bool {
    let agrees = |name: &str, is: bool| {
        arguments
            .option(name)
            .is_none_or(|wanted| (wanted == "yes") == is)
    };
    agrees("connected", queue.connections > 0)
        && agrees("paused", queue.paused)
        && arguments
            .option("mode")
            .is_none_or(|wanted| wanted == mode(queue))
}

pub(super) fn queues(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let name = named(arguments);
    let queues = engine.queues();
    let mut found: Vec<(&QueueKey, &Queue)> = queues
        .all
        .iter()
        .filter(|(key, queue)| name.means(key) && is_wanted(arguments, queue))
        .collect();
    match arguments.option("sort") {
        Some("rcpt") => found.sort_by_key(|(_, queue)| std::cmp::Reverse(queue.recipients())),
        Some("size") => found.sort_by(|(_, a), (_, b)| b.kilobytes().total_cmp(&a.kilobytes())),
        _ => {}
    }
    let all = found.len();
    found.truncate(most(arguments, ITEMS));
    let events = arguments.option("no-rcpt-events").is_none();
    let mut text =
        String::from("queue                          #rcpt kbytes conn st retry    last error\n");
    let mut list = Vec::new();
    for (key, queue) in &found {
        text.push_str(&line(key, queue));
        if events {
            queue.events.iter().for_each(|event| {
                text.push_str(event);
                text.push('\n');
            });
        }
        list.push(data(key, queue, events));
    }
    text.push_str(&format!("{} of {all} matching queues.\n", found.len()));
    Answer::with(text, json!({ "queue": list }))
}

fn line(key: &QueueKey, queue: &Queue) -> String {
    let state = match (queue.paused, queue.mode) {
        (true, _) => "P",
        (false, Mode::Backoff) => "B",
        (false, Mode::Normal) => "",
    };
    let retry = queue.retry_at.map_or_else(String::new, |at| {
        clock::plain(at)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    });
    format!(
        "{:<30} {:>5} {:>6.1} {:>4} {state:<2} {retry:<8} {}\n",
        key.to_string(),
        queue.recipients(),
        queue.kilobytes(),
        queue.connections,
        queue.last_error
    )
}

fn data(key: &QueueKey, queue: &Queue, events: bool) -> Value {
    let mut data = json!({
        "name": key.to_string(),
        "rcp": queue.recipients(),
        "kb": queue.kilobytes(),
        "conn": queue.connections,
        "paused": queue.paused,
        "mode": mode(queue),
        "retryTime": queue.retry_at.map_or_else(String::new, clock::plain),
        "lastError": queue.last_error
    });
    if events {
        data["event"] = json!(queue.events);
    }
    data
}

/// Recipients, kilobytes and connections of some queues together.
#[derive(Default)]
struct Sum {
    queues: usize,
    recipients: usize,
    kilobytes: f64,
    connections: usize,
    last_error: String,
}

fn sums(engine: &Engine, name: impl Fn(&QueueKey) -> Option<String>) -> BTreeMap<String, Sum> {
    let mut sums = BTreeMap::<String, Sum>::new();
    for (key, queue) in &engine.queues().all {
        let Some(name) = name(key) else { continue };
        let sum = sums.entry(name).or_default();
        sum.queues += 1;
        sum.recipients += queue.recipients();
        sum.kilobytes += queue.kilobytes();
        sum.connections += queue.connections;
        if !queue.last_error.is_empty() {
            sum.last_error.clone_from(&queue.last_error);
        }
    }
    sums
}

pub(super) fn domains(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let vmta = arguments.option("vmta").unwrap_or("*");
    let wanted = QueueKey::parse(&format!("{}/{vmta}", arguments.first().unwrap_or("*")));
    let sums = sums(engine, |key| wanted.means(key).then(|| key.domain.clone()));
    let all = sums.len();
    let mut text = String::from("domain                         #rcpt kbytes conn last error\n");
    let mut list = Vec::new();
    for (name, sum) in sums.into_iter().take(most(arguments, ITEMS)) {
        text.push_str(&format!(
            "{name:<30} {:>5} {:>6.1} {:>4} {}\n",
            sum.recipients, sum.kilobytes, sum.connections, sum.last_error
        ));
        list.push(json!({
            "name": name,
            "rcp": sum.recipients,
            "kb": sum.kilobytes,
            "conn": sum.connections,
            "lastError": sum.last_error
        }));
    }
    text.push_str(&format!("{} of {all} domains shown.\n", list.len()));
    Answer::with(text, json!({ "domain": list }))
}

/// Every configured virtual MTA, with mail or without.
pub(super) fn vmtas(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let config = engine.config();
    let mut sums = sums(engine, |key| Some(key.vmta.clone()));
    for vmta in config.virtual_mtas.values() {
        sums.entry(vmta.name.clone()).or_default();
    }
    let all = sums.len();
    let mut text = String::from("name                           domains #rcpt kbytes conn\n");
    let mut list = Vec::new();
    for (name, sum) in sums.into_iter().take(most(arguments, usize::MAX)) {
        text.push_str(&format!(
            "{name:<30} {:>7} {:>5} {:>6.1} {:>4}\n",
            sum.queues, sum.recipients, sum.kilobytes, sum.connections
        ));
        list.push(json!({
            "name": name,
            "dom": sum.queues,
            "rcp": sum.recipients,
            "kb": sum.kilobytes,
            "conn": sum.connections
        }));
    }
    text.push_str(&format!("{} of {all} virtual MTAs.\n", list.len()));
    Answer::with(text, json!({ "vmta": list }))
}

pub(super) fn jobs(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let mut jobs = BTreeMap::<String, (usize, usize)>::new();
    for queue in engine.queues().all.values() {
        for item in &queue.items {
            if !item.envelope.job_id.is_empty() {
                let job = jobs.entry(item.envelope.job_id.clone()).or_default();
                job.0 += 1;
                job.1 += item.envelope.size;
            }
        }
    }
    let paused = crate::engine::locked(&engine.paused_jobs).clone();
    let mut text = String::from("job-id                         #rcpt bytes\n");
    let mut list = Vec::new();
    for (name, (count, size)) in jobs.into_iter().take(most(arguments, usize::MAX)) {
        text.push_str(&format!("{name:<30} {count:>5} {size}\n"));
        list.push(json!({
            "id": name,
            "rcp": count,
            "bytes": size,
            "paused": paused.contains(&name)
        }));
    }
    text.push_str(&format!("Total of {} job(s).\n", list.len()));
    Answer::with(text, json!({ "job": list }))
}

pub(super) fn disabled_sources(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let name = named(arguments);
    let now = clock::now();
    let mut text = String::new();
    let mut list = Vec::new();
    for (key, queue) in &engine.queues().all {
        if !name.means(key) {
            continue;
        }
        for (address, until) in &queue.disabled {
            if until.is_some_and(|until| until <= now) {
                continue;
            }
            let until = until.map_or_else(|| "never".to_owned(), clock::plain);
            text.push_str(&format!("{address} {key} re-enabled: {until}\n"));
            list.push(json!({
                "ip": address.to_string(),
                "queue": key.to_string(),
                "reenableTime": until
            }));
        }
    }
    Answer::with(text, json!({ "source": list }))
}
