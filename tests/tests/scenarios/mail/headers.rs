//! `X-Virtual-MTA` is obeyed and removed where one tenant is served.

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict, addresses, alone};
use serde_json::json;

/// No identity of the fleet, but its owner lets the third address send for it.
const PARTNER: &str = "bounce@partner.example";

#[test]
fn the_header_is_obeyed_and_removed_on_a_host_of_one_tenant() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let policy = "\"v=spf1 ip4:192.0.2.3 -all\"";
        mail.names.add("partner.example", "TXT", policy).await;
        let application = mail.mailwizz1();
        let server = application.server("vmta-mail3").with_return_path(PARTNER);
        let letter = |id| Letter { to: RECIPIENT, id };

        let answer = application.send(&server, &letter("obeyed")).await;
        assert!(answer.starts_with("250 "), "{answer}");
        let arrived = mail.readers.mails_when(1).await.remove(0);
        assert_eq!(arrived.from, PARTNER, "no pattern of the list knows it");
        assert_eq!(arrived.client, Some("192.0.2.3".parse().unwrap()));
        assert_eq!(arrived.helo, "mail3.sos-holidays.com");
        assert_eq!(arrived.header("X-Virtual-MTA"), None, "{}", arrived.text);
        let verdict = Verdict::of(&arrived).await;
        assert_eq!(verdict.signed_by, ["mail3.sos-holidays.com"]);

        // Only by the header did it leave.
        let bare = server.without_header("X-Virtual-MTA");
        application.send(&bare, &letter("bare")).await;
        let refused = mail.powermta.rows_when("acct", "b", 1).await.remove(0);
        assert_eq!(refused["vmta"], "reject-sos-holidays");
        assert_eq!(mail.readers.mails().len(), 1);
    });
}

#[test]
fn the_header_opens_no_way_to_an_identity_in_quarantine_nor_past_the_lists_names() {
    alone(addresses(), async {
        let mut document = MailFleet::document();
        document["ips"][2]["status"] = json!("quarantine");
        let mail = MailFleet::of(&document).await;
        let application = mail.mailwizz1();
        let own = application.server("vmta-mail1");
        for (id, name) in [
            ("quarantine", "vmta-mail3"),
            ("forwarder", "fleet-inbound"),
            ("nobody", "vmta-mail7"),
        ] {
            let server = own.clone().with_header("X-Virtual-MTA", name);
            let answer = application
                .send(&server, &Letter { to: RECIPIENT, id })
                .await;
            assert!(answer.starts_with("250 "), "{answer}");
        }
        // Each is passed over, and the sender decides.
        for arrived in mail.readers.mails_when(3).await {
            assert_eq!(arrived.client, Some("192.0.2.1".parse().unwrap()));
            assert_eq!(arrived.header("X-Virtual-MTA"), None, "{}", arrived.text);
        }
        assert_eq!(mail.powermta.queued("vmta-mail3"), 0);
    });
}

#[test]
fn a_header_that_contradicts_the_sender_bounces_here_and_hurts_nobody() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let application = mail.mailwizz1();
        let server = application.server("vmta-mail1");
        let crossed = server.with_header("X-Virtual-MTA", "vmta-mail2");
        let letter = Letter {
            to: RECIPIENT,
            id: "crossed",
        };
        application.send(&crossed, &letter).await;
        let row = mail.powermta.rows_when("acct", "b", 1).await.remove(0);
        assert_eq!(row["vmta"], "vmta-mail2", "the header was obeyed");
        assert!(row["dsnDiag"].contains("SPF"), "{row:?}");
        assert_eq!(mail.readers.mails(), []);
    });
}
