//! Mail that is handed in while the product takes its time to judge the configuration of a quarantine: the
//! old one is in force, which takes it. New mail leaves the address no more a second after the cluster has
//! taken the word, and queues that begin meanwhile are halted as well.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use email_engine_tests::mail::{Letter, Mail, MailFleet, MailWizz, RECIPIENT, addresses, alone};
use email_engine_tests::wait_until;
use serde_json::{Value, json};

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
/// Nobody has written to them.
const NEW: [&str; 2] = ["begun0.example", "begun1.example"];

/// No rate holds back what is sent here.
fn document() -> Value {
    let mut document = MailFleet::past_warm_up(MailFleet::document());
    document["ips"][2]["planned_daily"] = json!(1_000_000);
    document["ips"][2]["status"] = json!("active");
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
        mail.fleet.take_out(ADDRESS).await;
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
        let mail = MailFleet::on_a_machine(&document()).await;
        let mut lasts = Vec::new();
        for round in 0..TRIES {
            lasts.push(quarantine(&mail, round).await);
            if lasts[round] <= SECOND {
                return;
            }
            mail.take_up(ADDRESS).await;
        }
        panic!("mail left for {lasts:?} after the cluster's answer");
    });
}

/// Hands in many messages for one new domain, and waits until its queue is halted.
async fn begin_queue(mail: &MailFleet, domain: &str) {
    mail.read_for(domain).await;
    let server = mail.mailwizz1().server(VMTA);
    let mut client = mail.mailwizz1().connect(&server).await;
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
}

/// The old configuration takes the mail, and nothing is there that could have been paused before.
#[test]
fn not_one_message_leaves_for_domains_that_had_no_queue_when_the_product_began_to_judge() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&document()).await;
        mail.machine().hold("test-config");
        mail.fleet.take_out(ADDRESS).await;
        mail.machine().waiting("test-config").await;
        for domain in NEW {
            begin_queue(&mail, domain).await;
        }
        let all = BURST * NEW.len();
        assert_eq!(mail.powermta.queued(VMTA), all as u64);
        mail.machine().release("test-config");
        mail.fleet.converged("the product has judged").await;
        assert_eq!(from_it(&mail).len(), 0);

        // Another identity was never kept from anything.
        super::sends(&mail, "vmta-mail1", "another").await;
        mail.take_up(ADDRESS).await;
        // Its tries were in vain; the next ones would be made after `retry-after`.
        let scheduled = mail.powermta.pmta(&["schedule", &format!("*/{VMTA}")]);
        assert!(scheduled.status.success(), "{scheduled:?}");
        let arrived = mail.readers.mails_when(all + 1).await;
        let ids: BTreeSet<_> = arrived
            .iter()
            .filter_map(|one| one.header("Message-ID"))
            .collect();
        assert_eq!((arrived.len(), ids.len()), (all + 1, all + 1));
        assert_eq!(from_it(&mail).len(), all);
    });
}
