//! `show status`, `show version`, `show license`.

use std::fs;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::command::Arguments;
use crate::clock;
use crate::engine::{Engine, Traffic};

const VERSION: &str = "5.0r1";

pub(super) fn version(_: &Arc<Engine>, _: &Arguments) -> Answer {
    Answer::with(
        format!("PowerMTA v{VERSION} (2019-09-13 16:27:31, 64-bit; stand-in)."),
        json!({ "mta": { "product": product() } }),
    )
}

fn product() -> Value {
    json!({
        "name": "PowerMTA",
        "version": VERSION,
        "buildDate": "2019-09-13 16:27:31",
        "revision": "stand-in",
        "bits": 64
    })
}

/// From the text file `license` beside the configuration.
pub(super) fn license(engine: &Arc<Engine>, _: &Arguments) -> Answer {
    let path = engine.config().file.with_file_name("license");
    let Ok(text) = fs::read_to_string(&path) else {
        return Answer::fault(format!("cannot read {}", path.display()));
    };
    let mut fields = Map::new();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':') {
            fields.insert(name.trim().to_owned(), json!(value.trim()));
        }
    }
    Answer::with(text, json!({ "license": fields }))
}

/// Names are looked up when they are needed, and never before.
pub(super) fn precache(_: &Arc<Engine>, _: &Arguments) -> Answer {
    Answer::with("0 domains precached.", json!({ "domain": [] }))
}

pub(super) fn registration(_: &Arc<Engine>, _: &Arguments) -> Answer {
    Answer::with(
        "Not registered with PowerMTA Management Console.",
        json!({ "registered": false }),
    )
}

/// The console is a product of its own.
pub(super) fn no_console(_: &Arc<Engine>, _: &Arguments) -> Answer {
    Answer::fault("the stand-in has no PowerMTA Management Console")
}

fn kilobytes(bytes: u64) -> f64 {
    // Counters of tests are far below what a double holds exactly.
    let tenths = u32::try_from(bytes * 10 / 1_024).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}

fn counts((recipients, messages, bytes): (u64, u64, u64)) -> Value {
    json!({ "rcp": recipients, "msg": messages, "kb": kilobytes(bytes) })
}

fn total(traffic: &Traffic) -> Value {
    counts((traffic.recipients, traffic.messages, traffic.bytes))
}

pub(super) fn status(engine: &Arc<Engine>, _: &Arguments) -> Answer {
    let now = clock::now();
    let config = engine.config();
    let stats = engine.stats().clone();
    let queues = engine.queues();
    let waiting: usize = queues
        .all
        .values()
        .map(crate::queue::Queue::recipients)
        .sum();
    let with_mail = queues.all.values().filter(|queue| queue.recipients() > 0);
    let kilobytes: f64 = with_mail.clone().map(crate::queue::Queue::kilobytes).sum();
    let domains = with_mail.count();
    let connections: usize = queues.all.values().map(|queue| queue.connections).sum();
    drop(queues);
    let most =
        |name: &str, otherwise: u64| config.settings.count(name).flatten().unwrap_or(otherwise);
    let since = |ago: i64| {
        json!({
            "out": counts(stats.outward.since(now - ago)),
            "in": counts(stats.inward.since(now - ago)),
            "bounceProcessed": 0,
            "feedbackLoopProcessed": 0
        })
    };
    let host = config.host_names.first().cloned().unwrap_or_default();
    let data = json!({
        "mta": {
            "product": product(),
            "fullHostName": host,
            "userString": "",
            "hostId": 0
        },
        "status": {
            "timeNow": clock::plain(now),
            "startupTime": clock::plain(engine.started),
            "shuttingDown": false,
            "traffic": {
                "total": {
                    "out": total(&stats.outward),
                    "in": total(&stats.inward),
                    "bounceProcessed": stats.bounces_processed,
                    "feedbackLoopProcessed": stats.feedback_processed
                },
                "lastHr": since(3_600_000),
                "lastMin": since(60_000)
            },
            "conn": {
                "smtpIn": {
                    "cur": stats.connections_in,
                    "max": most("total-max-smtp-in", 100),
                    "top": stats.top_in
                },
                "smtpOut": {
                    "cur": connections,
                    "max": most("total-max-smtp-out", 1_200),
                    "top": stats.top_out
                }
            },
            "queue": { "smtp": { "rcp": waiting, "dom": domains, "kb": kilobytes } },
            "spool": {
                "initPct": 100,
                "dirs": config.spools.len(),
                "totalRcp": waiting,
                "maxRcp": 1_000_000
            },
            "status": "running"
        }
    });
    let text = format!(
        "PowerMTA v5.0 status on {host} on {}\n\
         Total in {} out {} recipients; {waiting} queued in {domains} queues\n\
         Status running Started {}\n",
        clock::plain(now),
        stats.inward.recipients,
        stats.outward.recipients,
        clock::plain(engine.started)
    );
    Answer::with(text, data)
}
