//! An identity in quarantine sends nothing more from the moment its agent hears of it, its queue waits,
//! and goes from its own address once it is released; or is deleted after twelve hours, and its recipients
//! listed.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict, addresses, alone};
use email_engine_tests::{Clock, wait_until};
use serde_json::{Value, json};

const DOMAIN: &str = "mail3.sos-holidays.com";
const ADDRESS: &str = "192.0.2.3";
const VMTA: &str = "vmta-mail3";
/// More than there are connections at once.
const WAITING: usize = 60;
/// From the acceptance of a state to the product's word that the queue is paused.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The machine may be busy with something else; what is promised is what it can do.
const TRIES: usize = 5;

fn document() -> Value {
    let mut document = MailFleet::past_warm_up(MailFleet::document());
    document["ips"][2]["status"] = json!("active");
    document
}

/// When a line of the agent's log was written, since midnight.
fn time_of(line: &str) -> Duration {
    let (_, time) = line.split_once('T').unwrap();
    let (time, _) = time.split_once('Z').unwrap();
    let mut parts = time.split(':').map(|part| part.parse::<f64>().unwrap());
    let mut next = || parts.next().unwrap();
    Duration::from_secs_f64(next() * 3600.0 + next() * 60.0 + next())
}

/// From each acceptance of a state that its queues were paused and its address disabled for, to the last
/// of the two.
fn pauses(log: &str) -> Vec<Duration> {
    let (mut accepted, mut is_paused) = (Duration::ZERO, false);
    let mut found = Vec::new();
    for line in log.lines() {
        let is_set = line.contains(&format!(" set suspension=suspension:{VMTA} "));
        if line.contains(": accepted generation=") {
            (accepted, is_paused) = (time_of(line), false);
        } else if is_set && line.contains("=/usr/sbin/pmta pause queue ") {
            is_paused = true;
        } else if is_paused && is_set && line.contains("=/usr/sbin/pmta disable source ") {
            let day = Duration::from_secs(24 * 3600);
            found.push((time_of(line) + day - accepted).min(time_of(line).abs_diff(accepted)));
        }
    }
    found
}

/// Queues of the identity that the product works on, and how many recipients wait in all.
fn standing(mail: &MailFleet) -> (usize, u64) {
    let words = ["show", "queues", "--paused=no", &format!("*/{VMTA}")];
    let running = mail.powermta.json(&words);
    let running = running["queue"].as_array().unwrap().len();
    (running, mail.powermta.queued(VMTA))
}

/// What arrived from the identity.
fn arrived(mail: &MailFleet) -> usize {
    let own = Some(ADDRESS.parse().unwrap());
    let mails = mail.readers.mails();
    mails.iter().filter(|one| one.client == own).count()
}

async fn send(mail: &MailFleet, vmta: &str, id: &str) {
    let application = mail.mailwizz1();
    let letter = Letter { to: RECIPIENT, id };
    let answer = application.send(&application.server(vmta), &letter).await;
    assert!(answer.starts_with("250 "), "{answer}");
}

#[test]
fn quarantine_stops_mail_from_an_address_at_once_and_release_lets_its_queue_go() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&document()).await;
        send(&mail, VMTA, "flows").await;
        mail.readers.mails_when(1).await;
        mail.readers.close();
        for n in 0..WAITING {
            send(&mail, VMTA, &format!("waiting-{n}")).await;
        }
        mail.readers.somebody_waits().await;

        let own = mail.mailwizz1().server(VMTA);
        mail.take_out(ADDRESS).await;
        // Its configuration takes nothing more for it.
        let late = Letter {
            to: RECIPIENT,
            id: "late",
        };
        mail.mailwizz1().send(&own, &late).await;
        let refused = mail.powermta.rows_when("acct", "b", 1).await.remove(0);
        assert_eq!(refused["vmta"], "reject-sos-holidays", "{refused:?}");
        // What was on the wire ends there, the rest stays.
        mail.readers.open();
        wait_until("nothing of it is on the wire", async || {
            let queues = mail
                .powermta
                .json(&["show", "queues", &format!("*/{VMTA}")]);
            let queues = queues["queue"].as_array().unwrap();
            queues.iter().all(|queue| queue["conn"] == 0)
        })
        .await;
        let (running, waiting) = standing(&mail);
        let sent = arrived(&mail);
        assert_eq!(running, 0);
        assert!(waiting > 0, "all {WAITING} were on the wire");
        assert_eq!(sent + usize::try_from(waiting).unwrap(), WAITING + 1);
        let sources = mail
            .powermta
            .json(&["show", "disabled", "sources", &format!("*/{VMTA}")]);
        assert_eq!(sources["source"][0]["ip"], ADDRESS, "{sources}");

        // Another change has the product read everything again; others send meanwhile.
        let mut other = document();
        other["ips"][4]["status"] = json!("resting");
        mail.change_by_agent(&other).await;
        send(&mail, "vmta-mail1", "another").await;
        mail.readers.mails_when(sent + 1).await;
        assert_eq!(standing(&mail), (0, waiting));
        assert_eq!(arrived(&mail), sent);

        mail.take_up(ADDRESS).await;
        let all = mail.readers.mails_when(WAITING + 2).await;
        let of_it: Vec<_> = all
            .iter()
            .filter(|one| one.from.ends_with(DOMAIN))
            .collect();
        let ids: BTreeSet<_> = of_it
            .iter()
            .filter_map(|one| one.header("Message-ID"))
            .collect();
        assert_eq!((of_it.len(), ids.len()), (WAITING + 1, WAITING + 1));
        for one in [of_it[0], of_it[WAITING]] {
            assert_eq!(one.client, Some(ADDRESS.parse().unwrap()));
            assert!(Verdict::of(one).await.is_clean(DOMAIN));
        }
        within_a_second(&mail).await;
    });
}

/// The quickest of a few is what was promised.
async fn within_a_second(mail: &MailFleet) {
    for _ in 0..TRIES {
        let pauses = pauses(&mail.agent_log());
        println!("paused after {pauses:?}");
        if pauses.iter().any(|took| *took <= AT_ONCE) {
            return;
        }
        mail.take_out(ADDRESS).await;
        mail.take_up(ADDRESS).await;
    }
    panic!("the queue was never paused within {AT_ONCE:?}");
}

/// What waits there while its identity stands still.
async fn waiting(mail: &MailFleet) -> u64 {
    mail.readers.open();
    wait_until("nothing of it is on the wire", async || {
        let words = ["show", "queues", &format!("*/{VMTA}")];
        let queues = mail.powermta.json(&words);
        let queues = queues["queue"].as_array().unwrap();
        queues.iter().all(|queue| queue["conn"] == 0)
    })
    .await;
    mail.powermta.queued(VMTA)
}

#[test]
fn mail_that_waited_for_twelve_hours_in_quarantine_is_deleted_listed_and_no_bounce() {
    alone(addresses(), async {
        let mut mail = MailFleet::on_a_machine(&document()).await;
        let Some(clock) = Clock::new(mail.fleet.dir()) else {
            return;
        };
        mail.readers.close();
        for n in 0..WAITING {
            send(&mail, VMTA, &format!("waiting-{n}")).await;
        }
        mail.readers.somebody_waits().await;
        mail.take_out(ADDRESS).await;
        let waited = waiting(&mail).await;
        assert!(waited > 0, "all {WAITING} were on the wire");
        let path = format!("/ips/{ADDRESS}");
        let shown = mail.fleet.api().get(&path).await.ok();
        assert!(
            shown["quarantine"]["mail_expires_at"].is_string(),
            "{shown}"
        );
        assert!(shown["quarantine"]["expired_mail"].is_null(), "{shown}");
        let arrived_before = arrived(&mail);

        // Twelve hours later; whoever begins to lead looks at what is due.
        clock.show("+12h");
        let node = mail.fleet.nodes.get_mut(&1).unwrap();
        node.go_by(&clock);
        node.kill();
        node.start().await;
        let told = wait_for_json(&mail, &path).await;
        let expired = &told["quarantine"]["expired_mail"];
        assert_eq!(expired["recipients"], waited, "{told}");
        assert_eq!(expired["host"], "pmta1");
        assert_eq!(mail.powermta.queued(VMTA), 0);
        let list = fs::read_to_string(expired["file"].as_str().unwrap()).unwrap();
        let rows: Vec<Value> = list
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len() as u64, waited);
        assert!(rows.iter().all(|row| row["rcpt"] == RECIPIENT), "{list}");
        assert_eq!(arrived(&mail), arrived_before, "none of it left");
        assert_eq!(mail.powermta.rows("acct", "b").len(), 0, "none bounced");
        let alerts = mail.fleet.api().get("/alerts").await.ok().to_string();
        assert!(alerts.contains("queue-expired"), "{alerts}");

        // Taken up again it sends what is new, and nothing old.
        mail.take_up(ADDRESS).await;
        send(&mail, VMTA, "afterwards").await;
        mail.readers.mails_when(arrived_before + 1).await;
        assert_eq!(arrived(&mail), arrived_before + 1);
    });
}

/// The identity, once its host said what it deleted.
async fn wait_for_json(mail: &MailFleet, path: &str) -> Value {
    let mut shown = Value::Null;
    wait_until("what expired is told", async || {
        shown = mail.fleet.api().get(path).await.ok();
        shown["quarantine"]["expired_mail"].is_object()
    })
    .await;
    shown
}
