//! What becomes of recipients: delivered, bounced, or tried again; each with its record.

use std::sync::Arc;

use crate::accounting::{Record, category, status_text};
use crate::clock;
use crate::config::ReplyAction;
use crate::engine::Engine;
use crate::queue::{Item, Mode, QueueKey, millis};

/// What is known of the conversation in which it was decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Via {
    /// `smtp`, `discard`, `file` or `pipe`.
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    /// `host (address)`.
    pub(crate) mta: String,
    pub(crate) extensions: String,
    pub(crate) tls: Option<(String, String)>,
}

/// `smtp;550 5.1.1 text` and the status that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: String,
    pub(crate) diagnostic: String,
}

impl Verdict {
    /// From a receiver's answer; without an enhanced code, `X.0.0`.
    pub(crate) fn of_reply(reply: &smtp_proto::Response<String>) -> Self {
        let [class, subject, detail] = reply.esc;
        let status = if class == 0 {
            format!("{}.0.0", reply.code / 100)
        } else {
            format!("{class}.{subject}.{detail}")
        };
        Self {
            status,
            diagnostic: format!("smtp;{}", super::client::line(reply)),
        }
    }

    /// Of the product's own making.
    pub(crate) fn own(status: &str, diagnostic: impl Into<String>) -> Self {
        Self {
            status: status.to_owned(),
            diagnostic: diagnostic.into(),
        }
    }
}

fn record(
    engine: &Engine,
    kind: &'static str,
    key: &QueueKey,
    item: &Item,
    verdict: &Verdict,
) -> Record {
    let envelope = &item.envelope;
    let mut record = Record::new(kind, clock::now())
        .with("orig", &envelope.orig)
        .with("rcpt", item.address())
        .with("orcpt", &envelope.recipients[item.index].orcpt)
        .with("dsnStatus", status_text(&verdict.status))
        .with("dsnDiag", &verdict.diagnostic)
        .with("srcType", "smtp")
        .with("srcMta", &envelope.src_mta)
        .with("vmta", envelope.vmta_or_empty())
        .with("vmtaPool", &envelope.pool)
        .with("jobId", &envelope.job_id)
        .with("envId", &envelope.env_id)
        .with("queue", key.to_string())
        .with("rcvSmtpUser", &envelope.user);
    record.queued = Some(envelope.queued_at);
    // Without the text, `header_X` stays empty; the record is worth more than its header.
    record.message = engine.store.body(envelope.id).unwrap_or_default();
    record
}

fn with_via(record: Record, via: &Via) -> Record {
    let (protocol, cipher) = via.tls.clone().unwrap_or_default();
    record
        .with("dsnMta", &via.mta)
        .with("dlvType", &via.kind)
        .with("dlvSourceIp", &via.source)
        .with("dlvDestinationIp", &via.destination)
        .with("dlvEsmtpAvailable", &via.extensions)
        .with("dlvTlsProtocol", protocol)
        .with("dlvTlsCipher", cipher)
}

/// Types that `disable-acct-records` switches off for a queue are not written.
fn account(engine: &Engine, key: &QueueKey, record: &Record) {
    let config = engine.config();
    let off = config
        .domain_settings(&key.domain, &key.vmta)
        .list("disable-acct-records");
    if !off.iter().any(|kind| kind == record.kind) {
        engine.account(record);
    }
}

/// The receiver has it.
pub(crate) fn delivered(
    engine: &Engine,
    key: &QueueKey,
    item: &Item,
    verdict: &Verdict,
    via: &Via,
) {
    let size = item.envelope.size as u64;
    let record = with_via(record(engine, "d", key, item, verdict), via)
        .with("dsnAction", "relayed")
        .with("dlvSize", size.to_string());
    account(engine, key, &record);
    engine.stats().outward.add(clock::now(), 1, size);
    finish(engine, key, item, "delivered", verdict, via);
    engine
        .queues()
        .delivered(&engine.config(), key, clock::now());
}

/// Nobody will have it.
pub(crate) fn bounce(
    engine: &Arc<Engine>,
    key: &QueueKey,
    item: &Item,
    verdict: &Verdict,
    via: &Via,
) {
    let config = engine.config();
    let record = record(engine, "b", key, item, verdict)
        .with("dsnAction", "failed")
        .with("dsnMta", &via.mta)
        .with(
            "bounceCat",
            category(&config, &verdict.status, &verdict.diagnostic),
        )
        // The guide has no data here but for where it would have gone.
        .with("dlvType", &via.kind)
        .with("dlvSourceIp", &via.source);
    account(engine, key, &record);
    let recipient = &item.envelope.recipients[item.index];
    let status = status_text(&verdict.status);
    engine.notify_sender(&item.envelope, recipient, &status, &verdict.diagnostic);
    finish(engine, key, item, "bounced", verdict, via);
}

fn finish(engine: &Engine, key: &QueueKey, item: &Item, what: &str, verdict: &Verdict, via: &Via) {
    let mut queues = engine.queues();
    queues.done(key);
    if let Some(queue) = queues.all.get_mut(key) {
        queue.event(event(item, what, verdict, via));
    }
    drop(queues);
    engine.settle(item, true);
}

fn event(item: &Item, what: &str, verdict: &Verdict, via: &Via) -> String {
    format!(
        "{what} | {} | {} | {} | {} | {} | {}",
        clock::plain(clock::now()),
        via.source,
        item.address(),
        item.envelope.job_id,
        via.mta,
        verdict.diagnostic
    )
}

/// Tried again after a while, or bounced when it has grown too old.
pub(crate) fn transient(
    engine: &Arc<Engine>,
    key: &QueueKey,
    item: Item,
    verdict: &Verdict,
    via: &Via,
) {
    let config = engine.config();
    let settings = config.domain_settings(&key.domain, &key.vmta);
    let now = clock::now();
    let record = with_via(record(engine, "t", key, &item, verdict), via)
        .with("dsnAction", "delayed")
        .with(
            "bounceCat",
            category(&config, &verdict.status, &verdict.diagnostic),
        );
    account(engine, key, &record);
    let after = settings.time("retry-recipients-after").unwrap_or_default();
    let line = event(&item, "deferred", verdict, via);
    if !keep(engine, key, item, now + millis(after), true, verdict, via) {
        return;
    }
    if let Some(queue) = engine.queues().all.get_mut(key) {
        queue.event(line);
        verdict.diagnostic.clone_into(&mut queue.last_error);
    }
}

/// Puts an item back unless `bounce-after` is over; says whether it is still there.
pub(crate) fn keep(
    engine: &Arc<Engine>,
    key: &QueueKey,
    item: Item,
    due: i64,
    attempted: bool,
    last: &Verdict,
    via: &Via,
) -> bool {
    let config = engine.config();
    let settings = config.domain_settings(&key.domain, &key.vmta);
    let limit = settings.time("bounce-after").unwrap_or_default();
    if item.envelope.queued_at + millis(limit) <= clock::now() {
        let expired = Verdict::own(
            "4.4.7",
            format!(
                "smtp;delivery time expired; last error: {}",
                last.diagnostic
            ),
        );
        bounce(engine, key, &item, &expired, via);
        return false;
    }
    engine.settle(&item, false);
    engine.queues().put_back(key, item, due, attempted);
    true
}

/// The whole queue waits; said in a record of its own.
pub(crate) fn defer_queue(engine: &Engine, key: &QueueKey, verdict: &Verdict, via: &Via) {
    let config = engine.config();
    let vmta = if key.vmta == crate::spool::NO_VMTA {
        ""
    } else {
        &key.vmta
    };
    let record = Record::new("tq", clock::now())
        .with("dsnStatus", status_text(&verdict.status))
        .with("dsnDiag", &verdict.diagnostic)
        .with("dsnMta", &via.mta)
        .with("dlvType", &via.kind)
        .with("dlvSourceIp", &via.source)
        .with("dlvDestinationIp", &via.destination)
        .with("vmta", vmta)
        .with("queue", key.to_string());
    account(engine, key, &record);
    engine
        .queues()
        .defer(&config, key, &verdict.diagnostic, clock::now());
}

/// Which actions the queue's reply patterns have for an answer: of conflicting ones the first.
pub(crate) fn actions(engine: &Engine, key: &QueueKey, reply: &str) -> Vec<ReplyAction> {
    let config = engine.config();
    let name = config
        .domain_settings(&key.domain, &key.vmta)
        .text("smtp-pattern-list");
    let Some(rules) = config.reply_lists.get(&name.to_lowercase()) else {
        return Vec::new();
    };
    let mut all: Vec<ReplyAction> = Vec::new();
    for action in rules
        .iter()
        .filter(|rule| rule.reply.matches(reply))
        .flat_map(|r| &r.actions)
    {
        if !all.iter().any(|earlier| conflict(earlier, action)) {
            all.push(action.clone());
        }
    }
    all
}

/// Whether two lines ask for what cannot both be done, or for the same.
fn conflict(one: &ReplyAction, other: &ReplyAction) -> bool {
    use ReplyAction::{Backoff, BounceQueue, DisableSource, Normal, SkipMx};
    let any = |these: [&ReplyAction; 2]| these.contains(&one) && these.contains(&other);
    one == other
        || any([&Backoff, &Normal])
        || any([&SkipMx, &BounceQueue])
        || matches!((one, other), (DisableSource(_), DisableSource(_)))
}

/// Carries out those actions that are about the queue and its sources.
pub(crate) fn act(
    engine: &Engine,
    key: &QueueKey,
    source: Option<std::net::IpAddr>,
    all: &[ReplyAction],
) {
    let config = engine.config();
    let settings = config.domain_settings(&key.domain, &key.vmta);
    let now = clock::now();
    let mut queues = engine.queues();
    let Some(queue) = queues.all.get_mut(key) else {
        return;
    };
    for action in all {
        match (action, source) {
            (ReplyAction::Backoff, _) => queue.set_mode(Mode::Backoff, now),
            (ReplyAction::Normal, _) => queue.set_mode(Mode::Normal, now),
            (ReplyAction::DisableSource(after), Some(source)) => {
                let after = after.or_else(|| settings.time("reenable-source-ip-after"));
                queue
                    .disabled
                    .insert(source, after.map(|after| now + millis(after)));
                let sources = crate::queue::limits::sources(&config, &key.vmta).len();
                if queue.disabled.len() >= sources
                    && settings.flag("backoff-upon-all-sources-disabled")
                {
                    queue.set_mode(Mode::Backoff, now);
                }
            }
            _ => {}
        }
    }
}
