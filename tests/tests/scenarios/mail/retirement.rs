//! An identity that is removed sends what it has taken, takes nothing more, and only then goes.

use std::collections::BTreeSet;
use std::fs;

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict, addresses, alone};
use email_engine_tests::{wait_for, wait_until};
use serde_json::{Value, json};

const DOMAIN: &str = "mail3.sos-holidays.com";
const ADDRESS: &str = "192.0.2.3";
const VMTA: &str = "vmta-mail3";
/// Within the rate of its phase.
const WAITING: usize = 5;

/// The simulated machine of the host answers what the product says now.
fn relay_answer(mail: &MailFleet) {
    let queues = format!("*/{VMTA}");
    let words = [
        "--json",
        "show",
        "queues",
        "--no-rcpt-events",
        "--sort=rcpt",
        &queues,
    ];
    let output = mail.powermta.pmta(&words);
    assert!(output.status.success(), "{output:?}");
    let answer = String::from_utf8(output.stdout).unwrap();
    let line = format!("transaction:pmta/drain {queues}: {}\n", answer.trim());
    let folder = mail.fleet.agents["pmta1"].data_dir();
    fs::write(folder.join("executor/simulated-answers"), line).unwrap();
}

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

async fn send_while_nobody_reads(mail: &MailFleet) {
    let application = mail.mailwizz1();
    let server = application.server(VMTA);
    mail.readers.close();
    for n in 0..WAITING {
        let id = format!("waiting-{n}");
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        application.send(&server, &letter).await;
    }
    mail.readers.somebody_waits().await;
    relay_answer(mail);
}

#[test]
fn a_removed_identity_sends_its_queue_from_its_own_address_and_then_goes_by_itself() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let server = mail.mailwizz1().server(VMTA);
        send_while_nobody_reads(&mail).await;

        let path = format!("/ips/{ADDRESS}");
        let last = format!("{path}?last=true");
        mail.fleet.api().delete(&last).await.ok();
        wait_until("nothing more is taken for it", async || {
            !mail.powermta.configuration().contains(r"/@mail3\.")
        })
        .await;
        mail.fleet.converged("an identity was removed").await;
        mail.powermta.take_over();
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

        mail.readers.open();
        let arrived = mail.readers.mails_when(WAITING).await;
        let ids: BTreeSet<_> = arrived
            .iter()
            .filter_map(|one| one.header("Message-ID"))
            .collect();
        assert_eq!((arrived.len(), ids.len()), (WAITING, WAITING));
        for one in &arrived {
            assert_eq!(one.client, Some(ADDRESS.parse().unwrap()));
            assert!(Verdict::of(one).await.is_clean(DOMAIN));
        }
        wait_until("its queue is empty", async || {
            mail.powermta.queued(VMTA) == 0
        })
        .await;
        let nobody_said_so = mail.powermta.configuration().contains(section);
        assert!(nobody_said_so && key.exists());

        relay_answer(&mail);
        wait_until("section and key go by themselves", async || {
            !mail.powermta.configuration().contains(VMTA) && !key.exists()
        })
        .await;
        mail.powermta.take_over();
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
        let mail = MailFleet::sending().await;
        send_while_nobody_reads(&mail).await;
        let path = format!("/ips/{ADDRESS}");
        let last = format!("{path}?last=true");
        mail.fleet.api().delete(&last).await.ok();
        told(&mail).await;
        let now = format!("{path}?now=true");
        let given_up = mail.fleet.api().delete(&now).await.ok();
        assert_eq!(given_up, json!({ "messages": WAITING }));
        wait_until(
            "the section goes although its queue holds mail",
            async || !mail.powermta.configuration().contains(VMTA),
        )
        .await;
        let audit = mail.fleet.api().get("/audit?limit=1000").await.ok();
        let audit = audit.to_string();
        let line = "ip 192.0.2.3 with 5 messages in its queue";
        assert!(audit.contains(line), "{audit}");
    });
}
