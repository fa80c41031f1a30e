//! A sender that is none of the tenant's identities is recorded as bounced, and never sent.

use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, addresses, alone};

#[test]
fn an_unknown_sender_is_discarded_as_a_bounce_and_never_sent_from_a_default() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let application = mail.mailwizz1();
        let server = application
            .server("vmta-mail1")
            .without_header("X-Virtual-MTA");
        let senders = [
            "a@stranger.example",
            // Names that look like an identity's.
            "a@mail1.sos-holidays.com.stranger.example",
            "a@xmail1.sos-holidays.com",
            "a@mail1-sos-holidays.com",
        ];
        for (n, sender) in senders.iter().enumerate() {
            let server = server.clone().with_return_path(sender);
            let id = n.to_string();
            let letter = Letter {
                to: RECIPIENT,
                id: &id,
            };
            let answer = application.send(&server, &letter).await;
            assert!(answer.starts_with("250 "), "{answer}");
        }
        // What may be sent comes after it and is the only mail that arrives.
        let letter = Letter {
            to: RECIPIENT,
            id: "known",
        };
        application.send(&server, &letter).await;
        let arrived = mail.readers.mails_when(1).await;
        let mut rows = mail.powermta.rows_when("acct", "b", senders.len()).await;
        rows.sort_by_key(|row| senders.iter().position(|sender| row["orig"] == **sender));
        assert_eq!((arrived.len(), rows.len()), (1, senders.len()));
        assert_eq!(arrived[0].from, "bounce@mail1.sos-holidays.com");
        for (row, sender) in rows.iter().zip(senders) {
            assert_eq!(row["orig"], sender);
            assert_eq!(row["vmta"], "reject-sos-holidays");
            assert_eq!(row["dlvType"], "discard");
            assert_eq!(row["dlvSourceIp"], "");
        }
        // MailWizz can tell which message it was.
        let told = mail
            .powermta
            .rows_when("feedback", "b", senders.len())
            .await;
        let first = told.iter().find(|row| row["orig"] == senders[0]).unwrap();
        assert!(first["header_Message-Id"].starts_with("<0@"), "{told:?}");
        assert_eq!(mail.powermta.rows("acct", "d").len(), 1);
    });
}
