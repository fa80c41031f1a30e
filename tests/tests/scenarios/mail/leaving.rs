//! Mail of each identity leaves from its own address, under its own name and signature.

use std::collections::BTreeSet;

use email_engine_tests::mail::{
    Letter, MailFleet, RECIPIENT, Verdict, addresses, alone, dkimpy_verifies, identities,
};

#[test]
fn mail_of_each_identity_leaves_from_its_own_address_with_its_own_name_and_signature() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let own = identities(&MailFleet::document());
        for server in mail.mailwizz1().servers().values() {
            let id = server.return_path().replace('@', "-");
            let letter = Letter {
                to: RECIPIENT,
                id: &id,
            };
            let answer = mail.mailwizz1().send(server, &letter).await;
            assert!(answer.starts_with("250 "), "{answer}");
        }
        let arrived = mail.readers.mails_when(own.len()).await;
        let domains: BTreeSet<_> = arrived.iter().map(|one| domain_of(&one.from)).collect();
        assert_eq!(domains, own.keys().map(String::as_str).collect());
        for one in &arrived {
            let domain = domain_of(&one.from);
            assert_eq!(one.client, Some(own[domain]), "{domain}");
            assert_eq!(one.helo, domain);
            assert!(one.secured, "the receiver offered STARTTLS");
            assert_eq!(one.from, format!("bounce@{domain}"));
            assert_eq!(
                domain_of(&one.header("From").unwrap()),
                format!("{domain}>")
            );
            let verdict = Verdict::of(one).await;
            assert!(verdict.is_clean(domain), "{verdict:?}\n{}", one.text);
            for header in [
                "from",
                "list-unsubscribe",
                "list-unsubscribe-post",
                "feedback-id",
            ] {
                assert!(
                    verdict.signed_headers.iter().any(|own| own == header),
                    "{header} is not signed: {verdict:?}"
                );
            }
            assert!(dkimpy_verifies(mail.root(), &one.text), "{}", one.text);
            // Both checks can fail.
            let mut forged = one.clone();
            forged.text = one.text.replace("Good day", "Good night");
            assert_eq!(Verdict::of(&forged).await.signed_by, [""; 0]);
            assert!(!dkimpy_verifies(mail.root(), &forged.text));
        }
        let rows = mail.powermta.rows_when("acct", "d", own.len()).await;
        for row in &rows {
            let domain = domain_of(&row["orig"]);
            assert_eq!(row["dlvSourceIp"], own[domain].to_string());
            assert_eq!(row["vmta"], format!("vmta-{}", &domain[..5]));
            assert_eq!(row["jobId"], format!("campaign-{domain}"));
        }
        assert_eq!(rows.len(), own.len());
    });
}

fn domain_of(address: &str) -> &str {
    address.rsplit('@').next().unwrap()
}
