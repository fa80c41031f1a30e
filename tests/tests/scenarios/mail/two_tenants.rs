//! Two tenants on one host: neither can send as the other.

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict, addresses, alone};
use serde_json::{Value, json};

/// The example's host shared with a second tenant, which has an application and an identity.
fn document() -> Value {
    let mut document = MailFleet::document();
    let push = |document: &mut Value, list: &str, value: Value| {
        document[list].as_array_mut().unwrap().push(value);
    };
    let host = document["hosts"].as_array_mut().unwrap();
    let host = host.iter_mut().find(|host| host["id"] == "pmta1").unwrap();
    host.as_object_mut().unwrap().remove("tenant");
    for ip in document["ips"].as_array_mut().unwrap() {
        ip["host"] = json!("pmta1");
    }
    let tenant = json!({ "id": "client-2", "name": "Client Two" });
    push(&mut document, "tenants", tenant);
    let host = json!({
        "id": "mailwizz2", "role": "mailwizz", "tenant": "client-2",
        "addresses": ["198.51.100.11"],
    });
    push(&mut document, "hosts", host);
    let ip = json!({
        "address": "192.0.2.6", "domain": "news.client2.example.com", "tenant": "client-2",
        "host": "pmta1", "vmta": "vmta-client2", "purpose": "newsletter", "status": "active",
        "phase": "active",
    });
    push(&mut document, "ips", ip);
    document
}

#[test]
fn one_tenants_mailwizz_cannot_use_the_others_identities() {
    alone(addresses(), async {
        let mail = MailFleet::of(&document()).await;
        let (first, second) = (&mail.mailwizz["mailwizz1"], &mail.mailwizz["mailwizz2"]);
        let letter = |id| Letter { to: RECIPIENT, id };
        // Records of one, sent by the other: by sender, and by sender and header.
        let (own, foreign) = (first.server("vmta-mail1"), second.server("vmta-client2"));
        let bare = |server: &email_engine_tests::mail::DeliveryServer| {
            server.clone().without_header("X-Virtual-MTA")
        };
        first.send(&bare(&foreign), &letter("1")).await;
        first.send(&foreign, &letter("2")).await;
        second.send(&bare(&own), &letter("3")).await;
        second.send(&own, &letter("4")).await;
        let rows = mail.powermta.rows_when("acct", "b", 4).await;
        let vmtas: Vec<_> = rows.iter().map(|row| row["vmta"].as_str()).collect();
        let (of_first, of_second) = ("reject-sos-holidays", "reject-client-2");
        assert_eq!(vmtas, [of_first, of_first, of_second, of_second]);
        assert_eq!(mail.readers.mails(), []);

        // Each one's own mail leaves.
        first.send(&own, &letter("5")).await;
        second.send(&foreign, &letter("6")).await;
        for arrived in mail.readers.mails_when(2).await {
            let domain = arrived.from.rsplit('@').next().unwrap();
            assert!(Verdict::of(&arrived).await.is_clean(domain));
        }
    });
}

#[test]
fn the_header_is_ignored_and_removed_on_a_shared_host() {
    alone(addresses(), async {
        let mail = MailFleet::of(&document()).await;
        let application = mail.mailwizz1();
        let server = application.server("vmta-mail1");
        for (id, name) in [("own", "vmta-mail3"), ("foreign", "vmta-client2")] {
            let named = server.clone().with_header("X-Virtual-MTA", name);
            application
                .send(&named, &Letter { to: RECIPIENT, id })
                .await;
        }
        for arrived in mail.readers.mails_when(2).await {
            assert_eq!(arrived.client, Some("192.0.2.1".parse().unwrap()));
            assert_eq!(arrived.header("X-Virtual-MTA"), None, "{}", arrived.text);
            assert!(
                Verdict::of(&arrived)
                    .await
                    .is_clean("mail1.sos-holidays.com")
            );
        }
        assert_eq!(mail.powermta.rows("acct", "b"), []);
    });
}
