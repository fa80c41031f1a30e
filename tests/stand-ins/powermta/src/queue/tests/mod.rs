//! Queues under limits, pauses and back-off, by a clock of their own.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

mod rates;
mod reroute;

use super::{Assignment, Mode, QueueKey, Queues, Taken};
use crate::config::Config;
use crate::spool::{Envelope, Recipient};

fn config(text: &str) -> Config {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    fs::write(
        &file,
        format!("log-file /x/log\n<spool /x>\n</spool>\n{text}\n"),
    )
    .unwrap();
    Config::read(&file).unwrap()
}

const SOURCE: &str = "127.0.0.2";

const VMTA: &str = "<virtual-mta v>\nsmtp-source-host 127.0.0.2 v.example\n";

fn mail(id: u64, count: usize) -> Arc<Envelope> {
    Arc::new(Envelope {
        id,
        orig: "a@a.example".to_owned(),
        env_id: String::new(),
        job_id: String::new(),
        vmta: "v".to_owned(),
        pool: String::new(),
        size: 100,
        queued_at: 0,
        src_mta: String::new(),
        user: String::new(),
        suppress_dsn: true,
        recipients: (0..count)
            .map(|n| Recipient {
                address: format!("r{n}@b.example"),
                orcpt: String::new(),
                never_notify: false,
                queue: "b.example".to_owned(),
                attempts: 0,
                done: false,
            })
            .collect(),
    })
}

fn key() -> QueueKey {
    QueueKey::parse("b.example/v")
}

fn take(queues: &mut Queues, config: &Config, now: i64) -> Option<usize> {
    match queues.take(config, &key(), SOURCE.parse().ok(), now) {
        Taken::Batch(batch) => Some(batch.items.len()),
        Taken::Nothing => None,
    }
}

#[test]
fn a_connection_is_assigned_with_the_address_and_name_of_the_virtual_mta() {
    let config = config(&format!("{VMTA}</virtual-mta>"));
    let mut queues = Queues::default();
    queues.enqueue(&config, &mail(1, 3), 0);
    let (assigned, _) = queues.assign(&config, 0);
    let wanted = Assignment {
        key: key(),
        source: "127.0.0.2".parse().ok(),
        helo: "v.example".to_owned(),
    };
    assert_eq!(assigned, [wanted]);
    assert_eq!(
        take(&mut queues, &config, 0),
        Some(3),
        "one transaction for one message"
    );
    assert_eq!(take(&mut queues, &config, 0), None);
}

#[test]
fn rates_count_attempts_and_say_when_to_look_again() {
    let config = config(&format!(
        "{VMTA}<domain *>\nmax-msg-rate 2/m\n</domain>\n</virtual-mta>"
    ));
    let mut queues = Queues::default();
    queues.enqueue(&config, &mail(1, 3), 0);
    assert_eq!(queues.assign(&config, 0).0.len(), 1);
    assert_eq!(
        take(&mut queues, &config, 0),
        Some(2),
        "no more recipients than the rate leaves"
    );
    assert_eq!(take(&mut queues, &config, 0), None);
    queues.closed(&key(), SOURCE.parse().ok());
    assert_eq!(queues.assign(&config, 1_000), (vec![], Some(60_001)));
    assert_eq!(queues.assign(&config, 60_001).0.len(), 1);
}

#[test]
fn a_paused_queue_gets_no_connection_and_a_disabled_source_is_not_used() {
    let config = config(&format!("{VMTA}</virtual-mta>"));
    let mut queues = Queues::default();
    queues.enqueue(&config, &mail(1, 1), 0);
    queues.all.get_mut(&key()).unwrap().paused = true;
    assert_eq!(queues.assign(&config, 0), (vec![], None));
    let queue = queues.all.get_mut(&key()).unwrap();
    queue.paused = false;
    queue
        .disabled
        .insert("127.0.0.2".parse().unwrap(), Some(500));
    assert_eq!(queues.assign(&config, 0), (vec![], Some(500)));
    assert_eq!(queues.assign(&config, 500).0.len(), 1);
}

#[test]
fn a_deferred_queue_walks_its_list_of_retries() {
    let config = config("<domain *>\nretry-after 1m,1h\nbackoff-retry-after 2h\n</domain>");
    let mut queues = Queues::default();
    queues.all.entry(key()).or_default();
    let wait = |queues: &mut Queues| {
        queues.defer(&config, &key(), "no answer", 0);
        queues.all[&key()].retry_at.unwrap()
    };
    assert_eq!(
        [wait(&mut queues), wait(&mut queues), wait(&mut queues)],
        [60_000, 3_600_000, 3_600_000]
    );
    queues
        .all
        .get_mut(&key())
        .unwrap()
        .set_mode(Mode::Backoff, 0);
    assert_eq!(wait(&mut queues), 7_200_000);
}

#[test]
fn back_off_ends_by_time_or_by_delivery_only_when_said() {
    let silent = config("");
    let mut queues = Queues::default();
    queues.enqueue(&silent, &mail(1, 1), 0);
    queues
        .all
        .get_mut(&key())
        .unwrap()
        .set_mode(Mode::Backoff, 0);
    queues.delivered(&silent, &key(), 1);
    queues.assign(&silent, i64::from(u32::MAX));
    assert_eq!(
        queues.all[&key()].mode,
        Mode::Backoff,
        "never is the default"
    );

    let timed = config("<domain *>\nbackoff-to-normal-after 1h\n</domain>");
    queues.assign(&timed, 3_600_000);
    assert_eq!(queues.all[&key()].mode, Mode::Normal);

    let by_delivery = config("<domain *>\nbackoff-to-normal-after-delivery yes\n</domain>");
    queues
        .all
        .get_mut(&key())
        .unwrap()
        .set_mode(Mode::Backoff, 0);
    queues.delivered(&by_delivery, &key(), 1);
    assert_eq!(queues.all[&key()].mode, Mode::Normal);
}
