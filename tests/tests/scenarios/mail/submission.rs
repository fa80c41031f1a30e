//! The fleet submits under TLS, to hosts that its own authority vouches for, and to nobody else.

use std::collections::BTreeSet;
use std::fs;

use email_engine_tests::mail::{
    Client, DeliveryServer, Identity, Letter, MailFleet, MailWizz, RECIPIENT, addresses, alone,
};
use email_engine_tests::wait_until;

/// Of the host that sends.
const OWN: &str = "/etc/pmta/tls/own.pem";

#[test]
fn a_renewed_certificate_reaches_the_listener_without_losing_a_message() {
    alone(addresses(), async {
        let mail = MailFleet::of(&MailFleet::past_warm_up(MailFleet::document())).await;
        let application = mail.mailwizz1().clone();
        let server = application.server("vmta-mail1");
        let mut before = application.connect(&server).await;
        let first = before.shown().unwrap().to_vec();
        let mut accepted = BTreeSet::new();
        for n in 0..20 {
            accepted.insert(submit(&mut before, &server, &format!("before-{n}")).await);
        }

        // The host is called otherwise: those who submit learn of it, then it has another certificate.
        let renamed = MailFleet::labelled("host-name", "mta9.sos-holidays.com");
        let feeding = tokio::spawn({
            let server = server.clone();
            async move {
                let mut accepted = BTreeSet::new();
                for n in 0..60 {
                    accepted.insert(submit(&mut before, &server, &format!("during-{n}")).await);
                }
                (before, accepted)
            }
        });
        mail.fleet
            .apply_for("pmta1", &MailFleet::past_warm_up(renamed), false)
            .await;
        wait_until("the configuration names another certificate", async || {
            mail.powermta.configuration().contains("/submission-2.pem")
        })
        .await;
        mail.fleet.converged("the certificate was renewed").await;
        mail.powermta.take_over();

        let mut after = application.connect(&server).await;
        assert_ne!(
            after.shown().unwrap(),
            first,
            "new connections are shown the new one"
        );
        for n in 0..20 {
            accepted.insert(submit(&mut after, &server, &format!("after-{n}")).await);
        }
        let (mut before, during) = feeding.await.unwrap();
        accepted.extend(during);
        accepted.insert(submit(&mut before, &server, "last").await);

        let arrived = mail.readers.mails_when(accepted.len()).await;
        let seen: BTreeSet<_> = arrived
            .iter()
            .map(|one| one.header("Message-ID").unwrap())
            .collect();
        assert_eq!(seen, accepted);
        assert_eq!(arrived.len(), accepted.len(), "one came twice");
        let files = fs::read_dir(mail.root().join("etc/pmta/tls")).unwrap();
        let files: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, ["submission-2.pem"], "the key of before is gone");
    });
}

#[test]
fn who_does_not_show_a_certificate_of_the_cluster_is_sent_nothing() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let own = mail.root().join(OWN.trim_start_matches('/'));
        fs::write(own, Identity::of("198.51.100.20").pem).unwrap();
        let server = mail.mailwizz1().server("vmta-mail1");
        mail.mailwizz1().try_connect(&server).await.unwrap();

        mail.change(&MailFleet::labelled("smtp-certificate", OWN), false)
            .await;
        let text = mail.powermta.configuration();
        assert!(text.contains(&format!("tls-certificate {OWN}\n")), "{text}");
        let refusal = mail.mailwizz1().try_connect(&server).await.unwrap_err();
        assert!(refusal.to_string().contains("certificate"), "{refusal}");
        let files = fs::read_dir(mail.root().join("etc/pmta/tls")).unwrap();
        let files: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(
            files,
            ["own.pem"],
            "an operator's own takes the place of the cluster's"
        );
    });
}

/// Submits a message that is accepted; its id.
async fn submit(client: &mut Client, server: &DeliveryServer, id: &str) -> String {
    let letter = Letter { to: RECIPIENT, id };
    let answer = MailWizz::submit(client, server, &letter).await;
    assert!(answer.starts_with("250 "), "{answer}");
    let domain = server.from_email.rsplit('@').next().unwrap();
    format!("<{id}@{domain}>")
}
