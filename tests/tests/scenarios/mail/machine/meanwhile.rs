//! Mail that is handed in while the product takes its time to judge the configuration of a quarantine: the
//! old one is in force, which takes it. New mail leaves the address no more a second after the cluster has
//! taken the word, and queues that begin meanwhile are halted as well.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use email_engine_tests::mail::{Letter, Mail, MailFleet, MailWizz, RECIPIENT, addresses, alone};
use email_engine_tests::wait_until;
use serde_json::{Value, json};

use super::HOST;

const ADDRESS: &str = "192.0.2.3";
const VMTA: &str = "vmta-mail3";
const SECOND: Duration = Duration::from_secs(1);
/// The best of a few is what the product can do. A machine that is busy with something else makes the
/// others slower; nothing makes one quicker than it is.
const TRIES: usize = 5;
/// From one message to the next: as fast as it goes would keep the machine from everything else.
const PACE: Duration = Duration::from_millis(200);
/// More than there are connections at once.
const BURST: usize = 60;

/// No rate holds back what is sent here.
fn document(status: &str) -> Value {
    let mut document = MailFleet::past_warm_up(MailFleet::document());
    document["ips"][2]["planned_daily"] = json!(1_000_000);
    document["ips"][2]["status"] = json!(status);
    document
}

fn from_it(mail: &MailFleet) -> Vec<Mail> {
    let mut mails = mail.readers.mails();
    mails.retain(|one| one.client == Some(ADDRESS.parse().unwrap()));
    mails
}

/// The application sends one message after the other at an even pace, until it is told to stop.
async fn feed(mail: &MailFleet, round: usize, stop: &AtomicBool) {
    let server = mail.mailwizz1().server(VMTA);
    let mut client = mail.mailwizz1().connect(&server).await;
    let mut pace = tokio::time::interval(PACE);
    for n in 0.. {
        pace.tick().await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("{round}-{n}");
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        let answer = MailWizz::submit(&mut client, &server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
    }
}

/// Sets the identity's quarantine while mail for it comes in, and the product is slow to judge it. Gives
/// how long after the cluster's answer the last message left.
async fn quarantine(mail: &MailFleet, round: usize) -> Duration {
    let stop = AtomicBool::new(false);
    let before = from_it(mail).len();
    let refused = mail.powermta.rows("acct", "b").len();
    let change = async {
        wait_until("mail flows", async || from_it(mail).len() > before).await;
        mail.machine().hold("test-config");
        mail.fleet.apply(&document("quarantine")).await;
        let answered = Instant::now();
        mail.machine().waiting("test-config").await;
        // The second is over, and mail is taken for it still: several messages wait.
        wait_until("a second has passed", async || answered.elapsed() > SECOND).await;
        wait_until("new mail waits", async || mail.powermta.queued(VMTA) > 5).await;
        let left = from_it(mail).len();
        mail.machine().release("test-config");
        mail.fleet.converged("it is in quarantine").await;
        wait_until("new mail for it is refused", async || {
            mail.powermta.rows("acct", "b").len() > refused
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        assert_eq!(
            from_it(mail).len(),
            left,
            "something left although it waited"
        );
        answered
    };
    let ((), answered) = tokio::join!(feed(mail, round, &stop), change);
    let last = from_it(mail).iter().filter_map(|one| one.at).max().unwrap();
    last.saturating_duration_since(answered)
}

#[test]
fn new_mail_leaves_no_more_a_second_after_the_word_however_long_the_product_judges() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&document("active")).await;
        let mut lasts = Vec::new();
        for round in 0..TRIES {
            lasts.push(quarantine(&mail, round).await);
            if lasts[round] <= SECOND {
                return;
            }
            mail.change_by_agent(&document("active")).await;
        }
        panic!("mail left for {lasts:?} after the cluster's answer");
    });
}

/// Hands in many messages for one new domain, and gives how long its queue was not halted.
async fn begin_queue(mail: &MailFleet, domain: &str) -> Duration {
    mail.read_for(domain).await;
    let server = mail.mailwizz1().server(VMTA);
    let mut client = mail.mailwizz1().connect(&server).await;
    let begin = Instant::now();
    let to = format!("reader@{domain}");
    for n in 0..BURST {
        let id = format!("{domain}-{n}");
        let letter = Letter { to: &to, id: &id };
        let answer = MailWizz::submit(&mut client, &server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
    }
    let queue = format!("{domain}/{VMTA}");
    wait_until("the new queue is halted", async || {
        let paused = mail
            .powermta
            .json(&["show", "queues", "--paused=yes", &queue]);
        !paused["queue"].as_array().unwrap().is_empty()
    })
    .await;
    begin.elapsed()
}

#[test]
fn queues_that_begin_while_the_product_still_judges_are_halted_too() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&document("active")).await;
        mail.readers.close();
        mail.machine().hold("test-config");
        mail.fleet
            .apply_for(HOST, &document("quarantine"), false)
            .await;
        mail.machine().waiting("test-config").await;

        let mut domains = Vec::new();
        let mut took = Vec::new();
        while took.iter().all(|took| *took > SECOND) {
            assert!(took.len() < TRIES, "queues were worked for {took:?}");
            let domain = format!("begun{}.example", domains.len());
            took.push(begin_queue(&mail, &domain).await);
            domains.push(domain);
        }
        // What was on the wire ends there, the rest stays: now, and when the configuration is in force.
        mail.readers.open();
        wait_until("nothing of it is on the wire", async || {
            let all = mail
                .powermta
                .json(&["show", "queues", &format!("*/{VMTA}")]);
            let all = all["queue"].as_array().unwrap();
            all.iter().all(|queue| queue["conn"] == 0)
        })
        .await;
        let (all, left) = (BURST * domains.len(), from_it(&mail).len());
        assert!((1..all).contains(&left), "{left} of {all}");
        mail.machine().release("test-config");
        mail.fleet.converged("the product has judged").await;
        assert_eq!(from_it(&mail).len(), left);

        mail.change_by_agent(&document("active")).await;
        let arrived = mail.readers.mails_when(all).await;
        let ids: BTreeSet<_> = arrived
            .iter()
            .filter_map(|one| one.header("Message-ID"))
            .collect();
        assert_eq!((arrived.len(), ids.len()), (all, all));
    });
}
