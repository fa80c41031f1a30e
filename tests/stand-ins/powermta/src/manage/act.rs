//! Commands that change something at once.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::answer::Answer;
use super::command::Arguments;
use crate::clock;
use crate::config::interval;
use crate::engine::{Engine, locked};
use crate::queue::{Mode, Queue, QueueKey, millis};

/// Does something to every queue that is meant; a queue named in full is made when it is not there.
fn each(
    engine: &Engine,
    name: &str,
    mut change: impl FnMut(&QueueKey, &mut Queue),
) -> (usize, usize) {
    let name = QueueKey::parse(name);
    let mut queues = engine.queues();
    if !name.domain.contains('*') && !name.vmta.contains('*') {
        let known = queues.all.keys().any(|key| name.means(key));
        if !known {
            queues.all.entry(name.clone()).or_default();
        }
    }
    let all = queues.all.len();
    let mut count = 0;
    for (key, queue) in queues.all.iter_mut().filter(|(key, _)| name.means(key)) {
        change(key, queue);
        count += 1;
    }
    drop(queues);
    engine.work.notify_one();
    (count, all)
}

fn counted(text: &str, count: usize) -> Answer {
    Answer::with(text, json!({ "count": count }))
}

pub(super) fn pause_queue(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let name = arguments.first().unwrap_or_default();
    let (count, _) = each(engine, name, |_, queue| queue.paused = true);
    engine.log(&format!("pause queue {name}: {count} queue(s)"));
    counted("Queue(s) paused.", count)
}

pub(super) fn resume_queue(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let name = arguments.first().unwrap_or_default();
    let (count, _) = each(engine, name, |_, queue| queue.paused = false);
    engine.log(&format!("resume queue {name}: {count} queue(s)"));
    counted("Queue(s) resumed.", count)
}

pub(super) fn pause_job(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    locked(&engine.paused_jobs).extend(arguments.first().map(str::to_owned));
    Answer::said("paused job.")
}

pub(super) fn resume_job(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let job = arguments.first().unwrap_or_default();
    locked(&engine.paused_jobs).remove(job);
    let now = clock::now();
    for queue in engine.queues().all.values_mut() {
        for item in queue
            .items
            .iter_mut()
            .filter(|item| item.envelope.job_id == job)
        {
            item.due = item.due.min(now);
        }
    }
    engine.work.notify_one();
    Answer::said("resumed job.")
}

pub(super) fn set_queue(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let mode = match arguments.option("mode") {
        Some("normal") => Mode::Normal,
        Some("backoff") => Mode::Backoff,
        _ => return Answer::fault("--mode=normal or --mode=backoff is needed"),
    };
    let now = clock::now();
    let name = arguments.first().unwrap_or_default();
    let (count, _) = each(engine, name, |_, queue| queue.set_mode(mode, now));
    counted("Queue mode set.", count)
}

pub(super) fn schedule(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let recipients = arguments.option("retry-recipients").is_some();
    let now = clock::now();
    let (count, all) = each(engine, arguments.first().unwrap_or_default(), |_, queue| {
        queue.retry_at = None;
        if recipients {
            queue
                .items
                .iter_mut()
                .for_each(|item| item.due = item.due.min(now));
        }
    });
    let text = format!("{count} of {all} matching queues scheduled.");
    Answer::with(text, json!({ "count": count }))
}

fn source_and_queue(arguments: &Arguments) -> Result<(IpAddr, &str), Answer> {
    let address = arguments.first().unwrap_or_default();
    let address = address
        .parse()
        .map_err(|_| Answer::fault(format!("IP address expected instead of '{address}'")))?;
    Ok((
        address,
        arguments.plain.get(1).map_or("*/*", String::as_str),
    ))
}

pub(super) fn disable_source(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let (address, name) = match source_and_queue(arguments) {
        Ok(both) => both,
        Err(fault) => return fault,
    };
    let after: Option<Duration> = match arguments.option("reenable-after") {
        None => None,
        Some(text) => match interval(text) {
            Some(after) => Some(after),
            None => return Answer::fault(format!("time interval expected instead of '{text}'")),
        },
    };
    let until = after.map(|after| clock::now() + millis(after));
    let (count, _) = each(engine, name, |_, queue| {
        queue.disabled.insert(address, until);
    });
    engine.log(&format!(
        "disable source {address} {name}: {count} queue(s)"
    ));
    counted("Source disabled.", count)
}

pub(super) fn enable_source(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    let (address, name) = match source_and_queue(arguments) {
        Ok(both) => both,
        Err(fault) => return fault,
    };
    let (count, _) = each(engine, name, |_, queue| {
        queue.disabled.remove(&address);
    });
    counted("Source enabled.", count)
}

pub(super) fn reload(engine: &Arc<Engine>, _: &Arguments) -> Answer {
    match engine.reload() {
        Ok(()) => Answer::said("Configuration reloaded."),
        Err(error) => {
            engine.log(&format!("reload failed: {error}"));
            Answer::fault(error.to_string())
        }
    }
}

pub(super) fn reset(engine: &Arc<Engine>, _: &Arguments) -> Answer {
    let mut stats = engine.stats();
    let open = stats.connections_in;
    *stats = Default::default();
    stats.connections_in = open;
    Answer::said("Traffic counters reset.")
}

pub(super) fn rotate_accounting(engine: &Arc<Engine>, arguments: &Arguments) -> Answer {
    match locked(&engine.accounting).rotate(arguments.first(), clock::now()) {
        Ok(0) => Answer::fault("no such accounting file"),
        Ok(_) => Answer::said("Accounting file rotated."),
        Err(why) => Answer::fault(why),
    }
}

/// `pmta.log` becomes `pmta.log.1`, that `pmta.log.2`, as many as `log-rotate` keeps, the present one
/// among them; 0 keeps it as it is.
pub(super) fn rotate_log(engine: &Arc<Engine>, _: &Arguments) -> Answer {
    let config = engine.config();
    let keep = config.settings.count("log-rotate").flatten().unwrap_or(8);
    let numbered = |number: u64| {
        let mut name = config.log_file.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name
    };
    // A gap in the numbers is no fault.
    if keep > 0 {
        drop(fs::remove_file(numbered(keep - 1)));
    }
    for number in (1..keep).rev() {
        drop(fs::rename(numbered(number - 1), numbered(number)));
    }
    engine.log("log rotated");
    Answer::said("Logging file rotated.")
}

pub(super) fn clear_dns(_: &Arc<Engine>, arguments: &Arguments) -> Answer {
    // Nothing is cached: every answer is fresh.
    match arguments.first() {
        Some("*") => Answer::said("DNS cache cleared."),
        name => Answer::said(format!(
            "Cleared {} from DNS cache.",
            name.unwrap_or_default()
        )),
    }
}
