//! An identity that retires sends what it has taken, takes nothing more, and then goes.

use std::collections::BTreeSet;

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict, addresses, alone};
use email_engine_tests::wait_until;
use serde_json::json;

const DOMAIN: &str = "mail3.sos-holidays.com";
const VMTA: &str = "vmta-mail3";
/// Within the rate of its phase.
const WAITING: usize = 5;

#[test]
fn a_retiring_identity_sends_its_queue_from_its_own_address_and_takes_no_new_mail() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
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

        let mut document = MailFleet::document();
        document["ips"][2]["status"] = json!("retiring");
        mail.change(&document, false).await;
        assert_eq!(application.server(VMTA).status, "inactive");
        let late = Letter {
            to: RECIPIENT,
            id: "late",
        };
        application.send(&server, &late).await;
        let refused = mail.powermta.rows_when("acct", "b", 1).await.remove(0);
        assert_eq!(refused["vmta"], "reject-sos-holidays", "{refused:?}");
        let text = mail.powermta.configuration();
        assert!(
            text.contains("<virtual-mta vmta-mail3>"),
            "its queue has mail"
        );

        mail.readers.open();
        let arrived = mail.readers.mails_when(WAITING).await;
        let ids: BTreeSet<_> = arrived
            .iter()
            .filter_map(|one| one.header("Message-ID"))
            .collect();
        assert_eq!((arrived.len(), ids.len()), (WAITING, WAITING));
        for one in &arrived {
            assert_eq!(one.client, Some("192.0.2.3".parse().unwrap()));
            assert!(Verdict::of(one).await.is_clean(DOMAIN));
        }
        wait_until("its queue is empty", async || {
            mail.powermta.queued(VMTA) == 0
        })
        .await;

        // Now it can go: nothing is bounced by that.
        document["ips"].as_array_mut().unwrap().remove(2);
        mail.change(&document, true).await;
        assert!(!mail.powermta.configuration().contains(VMTA));
        assert!(!mail.root().join("etc/pmta/dkim/mail3.pem").exists());
        assert_eq!(mail.powermta.rows("acct", "d").len(), WAITING);
        assert_eq!(mail.powermta.rows("acct", "b").len(), 1);
        assert_eq!(mail.powermta.rows("acct", "t"), []);
    });
}
