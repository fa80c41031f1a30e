//! An identity that is removed sends what it has taken, takes nothing more, and only then goes: by the
//! answers of the product to the role's own question. What is not to go yet does not go by mistake
//! either.

use std::collections::BTreeSet;
use std::fs;

use email_engine_tests::mail::{Letter, Mail, MailFleet, RECIPIENT, Verdict, addresses, alone};
use email_engine_tests::{wait_for, wait_until};
use serde_json::{Value, json};

use super::{knows, live, said};

const DOMAIN: &str = "mail3.sos-holidays.com";
const ADDRESS: &str = "192.0.2.3";
const VMTA: &str = "vmta-mail3";
/// Within the rate of its phase.
const WAITING: usize = 5;
/// What the role has the product asked.
const QUESTION: &str = "--json show queues --no-rcpt-events --sort=rcpt --maxitems=1000";

async fn leaving(mail: &MailFleet) -> Value {
    mail.fleet.api().get("/leaving").await.ok()
}

/// Waits until the cluster knows what is left in the queue.
async fn told(mail: &MailFleet) -> Value {
    wait_for("the host says what is left", async || {
        let told = leaving(mail).await;
        if told[0]["messages"]["known"]["value"] == json!(WAITING) {
            Ok(told[0].clone())
        } else {
            Err(told)
        }
    })
    .await
}

async fn send_while_nobody_reads(mail: &MailFleet, vmta: &str) {
    let application = mail.mailwizz1();
    let server = application.server(vmta);
    mail.readers.close();
    for n in 0..WAITING {
        let id = format!("waiting-{n}");
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        let answer = application.send(&server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
    }
    mail.readers.somebody_waits().await;
}

/// Everything that waited arrives, once, from one address.
async fn all_arrive(mail: &MailFleet, address: &str) -> Vec<Mail> {
    mail.readers.open();
    let arrived = mail.readers.mails_when(WAITING).await;
    let ids: BTreeSet<_> = arrived
        .iter()
        .filter_map(|one| one.header("Message-ID"))
        .collect();
    assert_eq!((arrived.len(), ids.len()), (WAITING, WAITING));
    let from = Some(address.parse().unwrap());
    assert!(arrived.iter().all(|one| one.client == from), "{arrived:?}");
    arrived
}

fn questions(mail: &MailFleet, vmta: &str) -> usize {
    mail.machine().times(&format!("{QUESTION} */{vmta}"))
}

#[test]
fn a_removed_identity_sends_its_queue_from_its_own_address_and_then_goes_by_itself() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&MailFleet::document()).await;
        let server = mail.mailwizz1().server(VMTA);
        send_while_nobody_reads(&mail, VMTA).await;

        let path = format!("/ips/{ADDRESS}");
        let last = format!("{path}?last=true");
        mail.fleet.api().delete(&last).await.ok();
        wait_until("nothing more is taken for it", async || {
            !mail.powermta.configuration().contains(r"/@mail3\.")
        })
        .await;
        mail.fleet.converged("an identity was removed").await;
        let late = Letter {
            to: RECIPIENT,
            id: "late",
        };
        mail.mailwizz1().send(&server, &late).await;
        let refused = mail.powermta.rows_when("acct", "b", 1).await.remove(0);
        assert_eq!(refused["vmta"], "reject-sos-holidays", "{refused:?}");
        let left = told(&mail).await;
        assert_eq!(left["ip"]["address"], ADDRESS);
        assert_eq!(left["moved"], false);
        let section = "<virtual-mta vmta-mail3>";
        let key = mail.root().join("etc/pmta/dkim/mail3.pem");
        assert!(mail.powermta.configuration().contains(section) && key.exists());
        // Nobody else gets what is its own still.
        let thief = json!({
            "address": "192.0.2.6", "domain": DOMAIN, "tenant": "sos-holidays"
        });
        let refused = mail.fleet.api().post("/ips", &thief).await;
        let why = refused.body.to_string();
        assert!(why.contains("still draining on pmta1"), "{refused:?}");

        for one in all_arrive(&mail, ADDRESS).await {
            assert!(Verdict::of(&one).await.is_clean(DOMAIN));
        }
        wait_until("its queue is empty", async || {
            mail.powermta.queued(VMTA) == 0
        })
        .await;
        // The product has to say so twice, with a pause in between.
        let asked = questions(&mail, VMTA);
        assert!(mail.powermta.configuration().contains(section) && key.exists());
        wait_until("section and key go by themselves", async || {
            !mail.powermta.configuration().contains(VMTA) && !key.exists()
        })
        .await;
        mail.fleet.converged("what was removed is gone").await;
        assert!(questions(&mail, VMTA) >= asked + 2, "{asked}");
        assert!(!knows(&mail, VMTA));
        assert_eq!(leaving(&mail).await, json!([]));
        assert_eq!(mail.powermta.rows("acct", "d").len(), WAITING);
        let bounced = mail.powermta.rows("acct", "b").len();
        assert_eq!(bounced, 1, "nothing but what came late");
        assert_eq!(mail.powermta.rows("acct", "t"), []);
    });
}

#[test]
fn a_queue_that_is_given_up_goes_at_once_and_the_audit_says_what_was_left() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&MailFleet::document()).await;
        send_while_nobody_reads(&mail, VMTA).await;
        let path = format!("/ips/{ADDRESS}");
        let last = format!("{path}?last=true");
        mail.fleet.api().delete(&last).await.ok();
        told(&mail).await;
        let now = format!("{path}?now=true");
        let given_up = mail.fleet.api().delete(&now).await.ok();
        assert_eq!(given_up, json!({ "messages": WAITING }));
        wait_until(
            "the section goes although its queue holds mail",
            async || !mail.powermta.configuration().contains(VMTA) && !knows(&mail, VMTA),
        )
        .await;
        let audit = mail.fleet.api().get("/audit?limit=1000").await.ok();
        let audit = audit.to_string();
        let line = "ip 192.0.2.3 with 5 messages in its queue";
        assert!(audit.contains(line), "{audit}");
    });
}

#[test]
fn a_content_that_forgot_an_identity_does_not_go_live_before_its_queue_is_empty() {
    alone(addresses(), async {
        let mut mail = MailFleet::on_a_machine(&MailFleet::document()).await;
        let backup = mail.fleet.dir().join("backup");
        let bytes = mail.fleet.download("/cluster/backup").await;
        fs::write(&backup, bytes).unwrap();

        let sixth = json!({
            "address": "192.0.2.6", "domain": "mail6.sos-holidays.com", "tenant": "sos-holidays",
            "vmta": "vmta-mail6", "status": "active", "phase": "active", "purpose": "marketing",
        });
        let mut document = MailFleet::document();
        document["ips"].as_array_mut().unwrap().push(sixth);
        mail.change_by_agent(&document).await;
        send_while_nobody_reads(&mail, "vmta-mail6").await;
        let (old, tests) = (live(&mail), mail.machine().times("test config"));

        // A cluster that never heard of it plans the host.
        mail.fleet.restore(&backup).await;
        let holds = format!("vmta-mail6 holds {WAITING} messages");
        let view = said(&mail, &holds).await;
        let trouble = view["trouble"].to_string();
        let waits = "waits until what would be lost with it is gone";
        assert!(trouble.contains(waits), "{view}");
        assert!(live(&mail) == old, "something was swapped");
        assert_eq!(mail.machine().times("test config"), tests);
        assert!(knows(&mail, "vmta-mail6"));
        assert!(questions(&mail, "vmta-mail6") > 0);

        for one in all_arrive(&mail, "192.0.2.6").await {
            assert!(Verdict::of(&one).await.is_clean("mail6.sos-holidays.com"));
        }
        mail.fleet.converged("nothing is in its queue").await;
        assert!(!mail.powermta.configuration().contains("vmta-mail6"));
        assert!(!knows(&mail, "vmta-mail6"));
        assert_eq!(mail.powermta.rows("acct", "b"), []);
    });
}
