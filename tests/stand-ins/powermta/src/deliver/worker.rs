//! Opens the connections that the queues ask for, and works each until it has nothing to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::timeout;

use super::client::{Client, Patience, connect, extensions, line};
use super::decide::{self, Verdict, Via};
use super::local;
use super::route::{self, Hop, NoRoute};
use super::seat;
use super::transfer::{Next, Transfer};
use crate::clock;
use crate::config::{Config, Layered, ReplyAction};
use crate::engine::Engine;
use crate::queue::{Assignment, Item, QueueKey, Taken, millis};

/// Longest time between two looks at the queues.
const LONGEST_SLEEP: i64 = 60_000;

/// Assigns connections for ever.
pub(crate) async fn run(engine: Arc<Engine>) {
    loop {
        let config = engine.config();
        let now = clock::now();
        bounce_orphans(&engine, &config);
        let (assigned, wake, faults) = {
            let mut queues = engine.queues();
            let (assigned, wake) = queues.assign(&config, now);
            (assigned, wake, std::mem::take(&mut queues.faults))
        };
        faults.iter().for_each(|fault| engine.log(fault));
        let more = !assigned.is_empty();
        for assignment in assigned {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { work(&engine, assignment).await });
        }
        if more {
            continue;
        }
        let sleep = wake.map_or(LONGEST_SLEEP, |at| (at - now).clamp(1, LONGEST_SLEEP));
        let sleep = Duration::from_millis(sleep.unsigned_abs());
        // Either somebody has news, or it is time.
        drop(timeout(sleep, engine.work.notified()).await);
    }
}

/// Mail of a virtual MTA that is configured no more is bounced when its turn comes.
fn bounce_orphans(engine: &Arc<Engine>, config: &Config) {
    let gone = |vmta: &str| {
        vmta != crate::spool::NO_VMTA && !config.virtual_mtas.contains_key(&vmta.to_lowercase())
    };
    let orphans = engine.queues().drain(|key, _| gone(&key.vmta));
    let fallback = config
        .settings
        .text("invalid-virtual-mta-fallback")
        .map(str::to_owned);
    for (key, item) in orphans {
        if let Some(fallback) = &fallback {
            let mut envelope = (*item.envelope).clone();
            envelope.vmta.clone_from(fallback);
            let item = Item {
                envelope: Arc::new(envelope),
                ..item
            };
            let mut queues = engine.queues();
            queues.done(&key);
            let vmta = fallback.clone();
            queues.push(config, QueueKey { vmta, ..key }, item);
            continue;
        }
        let verdict = Verdict::own("5.3.5", "smtp;specified VirtualMTA does not exist");
        decide::bounce(engine, &key, &item, &verdict, &Via::default());
    }
}

async fn work(engine: &Arc<Engine>, assignment: Assignment) {
    let config = engine.config();
    let key = &assignment.key;
    let kind = engine
        .queues()
        .all
        .get(key)
        .map_or_else(String::new, |queue| queue.kind.clone());
    {
        let open: usize = engine
            .queues()
            .all
            .values()
            .map(|queue| queue.connections)
            .sum();
        let mut stats = engine.stats();
        stats.top_out = stats.top_out.max(open as u64);
    }
    if kind.is_empty() || kind == "smtp" {
        deliver(engine, &config, &assignment).await;
    } else {
        while let Taken::Batch(batch) = take(engine, &config, &assignment) {
            for item in batch.items {
                local::deliver(engine, key, item, &kind).await;
            }
        }
    }
    engine.queues().closed(key, assignment.source);
    engine.work.notify_one();
}

fn take(engine: &Engine, config: &Config, assignment: &Assignment) -> Taken {
    let now = clock::now();
    let taken = engine
        .queues()
        .take(config, &assignment.key, assignment.source, now);
    let Taken::Batch(batch) = &taken else {
        return taken;
    };
    let paused = crate::engine::locked(&engine.paused_jobs);
    let job = &batch.items[0].envelope.job_id;
    if job.is_empty() || !paused.contains(job) {
        return taken;
    }
    // Looked at again when the job is resumed, or in a while.
    if let Taken::Batch(batch) = taken {
        for item in batch.items {
            let due = now + LONGEST_SLEEP;
            engine.queues().put_back(&assignment.key, item, due, false);
        }
    }
    Taken::Nothing
}

async fn deliver(engine: &Arc<Engine>, config: &Config, assignment: &Assignment) {
    let key = &assignment.key;
    let settings = config.domain_settings(&key.domain, &key.vmta);
    let resolver = engine.resolver();
    let mut via = Via {
        kind: "smtp".to_owned(),
        source: assignment
            .source
            .map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string()),
        ..Via::default()
    };
    let hops = match route::hops(&resolver, config, &settings, &key.domain).await {
        Ok(hops) => hops,
        Err(NoRoute::Later(why)) => {
            let verdict = Verdict::own("4.4.3", format!("smtp;{why}"));
            return queue_failed(engine, key, &verdict, &via);
        }
        Err(NoRoute::Never(why)) => {
            return no_mail_host(engine, &settings, key, &why, &via);
        }
    };
    let patience = patience(&settings);
    let mut last = Verdict::own("4.4.1", "smtp;no answer from host");
    let mut full = None;
    for hop in &hops {
        let _seat = match seat::take(engine, config, assignment.source, hop) {
            Ok(seat) => seat,
            Err(why) => {
                full = Some(why);
                continue;
            }
        };
        via.mta = format!("{} ({})", hop.host, hop.address.ip());
        via.destination = hop.address.ip().to_string();
        match greet(engine, &settings, assignment, hop, patience).await {
            Ok(client) => {
                via.extensions = extensions(client.capabilities);
                via.tls = client.tls();
                let transfer = Transfer {
                    engine,
                    config,
                    key,
                    settings: &settings,
                    via: &via,
                    source: assignment.source,
                    helo: &assignment.helo,
                    patience,
                    errors: AtomicU64::new(0),
                };
                match converse(&transfer, client, assignment).await {
                    Some(verdict) => last = verdict,
                    None => return,
                }
            }
            Err(Refusal::Next(verdict)) => last = verdict,
            Err(Refusal::Bounce(verdict)) => {
                let waiting = engine.queues().drain(|other, _| other == key);
                for (key, item) in waiting {
                    decide::bounce(engine, &key, &item, &verdict, &via);
                }
                return;
            }
        }
    }
    match full {
        // Another host may take it yet: the queue is not at fault.
        Some(full) => seat::wait(engine, key, full, clock::now() + LONGEST_SLEEP),
        None => queue_failed(engine, key, &last, &via),
    }
}

/// Nothing could be delivered at all: the queue waits, and what is too old goes back.
fn queue_failed(engine: &Arc<Engine>, key: &QueueKey, verdict: &Verdict, via: &Via) {
    decide::defer_queue(engine, key, verdict, via);
    let waiting = engine.queues().drain(|other, _| other == key);
    for (key, item) in waiting {
        let due = item.due;
        decide::keep(engine, &key, item, due, true, verdict, via);
    }
}

fn no_mail_host(
    engine: &Arc<Engine>,
    settings: &Layered<'_>,
    key: &QueueKey,
    why: &str,
    via: &Via,
) {
    let verdict = Verdict::own("5.1.2", format!("smtp;{why}"));
    let after = settings.time("bounce-upon-no-mx");
    let now = clock::now();
    let waiting = engine.queues().drain(|other, _| other == key);
    let (gone, stay): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, item)| {
        // A domain that does not exist is bounced by default only when its time is over.
        after.is_some_and(|after| item.envelope.queued_at + millis(after) <= now)
    });
    for (key, item) in gone {
        decide::bounce(engine, &key, &item, &verdict, via);
    }
    if stay.is_empty() {
        return;
    }
    let later = Verdict::own("4.4.4", format!("smtp;{why}"));
    decide::defer_queue(engine, key, &later, via);
    for (key, item) in stay {
        let due = item.due;
        decide::keep(engine, &key, item, due, true, &later, via);
    }
}

fn patience(settings: &Layered<'_>) -> Patience {
    let time = |name: &str| settings.time(name).unwrap_or(Duration::from_secs(300));
    Patience {
        connect: time("connect-timeout"),
        greeting: time("smtp-greeting-timeout"),
        data: time("data-send-timeout"),
        data_end: time("smtp-data-termination-timeout"),
    }
}

/// Why a host is not talked to.
enum Refusal {
    /// The next one may.
    Next(Verdict),
    /// It is final for all that waits.
    Bounce(Verdict),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Next(Verdict::own("4.4.1", format!("smtp;{error}")))
    }
}

async fn greet(
    engine: &Arc<Engine>,
    settings: &Layered<'_>,
    assignment: &Assignment,
    hop: &Hop,
    patience: Patience,
) -> Result<Client, Refusal> {
    let stream = connect(assignment.source, hop.address, patience.connect).await?;
    let mut client = Client::new(stream);
    let refuse = |reply: &smtp_proto::Response<String>| {
        let actions = decide::actions(engine, &assignment.key, &line(reply));
        decide::act(engine, &assignment.key, assignment.source, &actions);
        let verdict = Verdict::of_reply(reply);
        let bounces = actions.contains(&ReplyAction::BounceQueue)
            || reply.code / 100 == 5
                && settings.flag("bounce-upon-5xx-greeting")
                && !actions.contains(&ReplyAction::SkipMx);
        if bounces {
            Refusal::Bounce(verdict)
        } else {
            Refusal::Next(verdict)
        }
    };
    let greeting = client.reply(patience.greeting).await?;
    if greeting.code != 220 {
        return Err(refuse(&greeting));
    }
    client
        .hello(&assignment.helo)
        .await?
        .map_err(|reply| refuse(&reply))?;
    let offered = client.capabilities & smtp_proto::EXT_START_TLS != 0;
    if !settings.flag("use-starttls") {
        return Ok(client);
    }
    if offered && client.say("STARTTLS").await?.code == 220 {
        let mut secured = client.secure(&hop.host).await?;
        secured
            .hello(&assignment.helo)
            .await?
            .map_err(|reply| refuse(&reply))?;
        return Ok(secured);
    }
    if settings.flag("require-starttls") {
        return Err(Refusal::Next(Verdict::own(
            "4.7.4",
            "smtp;TLS is required and not offered",
        )));
    }
    Ok(client)
}

/// What a host says that sends us on to the next one; otherwise the queue is served.
async fn converse(
    transfer: &Transfer<'_>,
    mut client: Client,
    assignment: &Assignment,
) -> Option<Verdict> {
    let most = transfer
        .settings
        .count("max-msg-per-connection")
        .filter(|&count| count > 0);
    let mut sent = 0;
    while most.is_none_or(|most| sent < most) {
        let Taken::Batch(batch) = take(transfer.engine, transfer.config, assignment) else {
            break;
        };
        match transfer.run(&mut client, batch).await {
            Next::GoOn => sent += 1,
            Next::OtherHost(verdict) => {
                client.quit().await;
                return Some(verdict);
            }
            Next::Stop => return None,
        }
    }
    client.quit().await;
    None
}
