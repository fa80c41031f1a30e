//! A sender that is none of the tenant's identities is recorded as bounced, never sent, and told to the
//! operator.

use email_engine_tests::mail::{
    DeliveryServer, Letter, MailFleet, MailWizz, RECIPIENT, addresses, alone,
};
use email_engine_tests::{Operator, has_converged, wait_for};
use serde_json::Value;

const HOST: &str = "pmta1";
/// Of the tenant's host for messages of its own.
const API_HOST: &str = "198.51.100.30";
const FROM_API: &str = "api@stranger.example";

/// None of them is an identity of the tenant.
const SENDERS: [&str; 6] = [
    "a@stranger.example",
    // Names that look like an identity's.
    "a@mail1.sos-holidays.com.stranger.example",
    "a@xmail1.sos-holidays.com",
    "a@mail1-sos-holidays.com",
    // Nobody, as a bounce has it.
    "",
    // From the tenant's other host.
    FROM_API,
];

/// What the operator is told of them.
const COUNTED: [(&str, u64); 5] = [
    ("stranger.example", 2),
    ("mail1.sos-holidays.com.stranger.example", 1),
    ("xmail1.sos-holidays.com", 1),
    ("mail1-sos-holidays.com", 1),
    ("the empty sender", 1),
];

/// One message under each of them; they are taken.
async fn submit_all(application: &MailWizz, server: &DeliveryServer) {
    for (n, sender) in SENDERS.iter().enumerate() {
        let server = server.clone().with_return_path(sender);
        let id = n.to_string();
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        let host = if *sender == FROM_API {
            application.at(API_HOST)
        } else {
            application.clone()
        };
        let answer = host.send(&server, &letter).await;
        assert!(answer.starts_with("250 "), "{sender}: {answer}");
    }
}

/// Waits until the host's accounting says so many unknown senders, and gives what is said of it.
async fn noticed(mail: &MailFleet, count: usize) -> Value {
    let why = format!("{count} messages from unknown senders were seen");
    wait_for(&why, async || {
        let host = mail
            .fleet
            .api()
            .try_get(&format!("/hosts/{HOST}"))
            .await?
            .body;
        let notice = &host["mail"]["notices"]["unknown_senders"];
        // Alerted is not broken: nothing that the host shall be waits for it.
        if notice["count"] == count && has_converged(&host) {
            Ok(notice.clone())
        } else {
            Err(host.to_string())
        }
    })
    .await
}

/// The alert, where an operator and a dashboard look.
async fn alert_is_seen(mail: &MailFleet, count: usize) {
    let operator = Operator::of(&mail.fleet);
    let shown = operator.prints(4, &["status", "--output", "json"]);
    let status: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(status["state"], "degraded");
    let begin = format!("{HOST}: {count} messages from unknown senders were discarded since 20");
    let reasons = status["reasons"].as_array().unwrap();
    let reasons = reasons.iter().map(|one| one.as_str().unwrap());
    let own: Vec<&str> = reasons.filter(|one| one.starts_with(HOST)).collect();
    assert!(
        matches!(own[..], [one] if one.starts_with(&begin) && one.contains(", last from ")),
        "{own:?}"
    );
    let metrics = mail.fleet.api().metrics().await;
    let line = format!("email_engine_mail_notices{{kind=\"unknown-sender\"}} {count}");
    assert!(metrics.lines().any(|one| one == line), "{metrics}");
}

/// An agent that is killed in the middle of a file goes on where it was.
async fn agent_begins_anew(mail: &mut MailFleet) {
    let agent = mail.fleet.agents.get_mut(HOST).unwrap();
    agent.kill();
    agent.start(None);
}

#[test]
fn an_unknown_sender_is_discarded_as_a_bounce_and_never_sent_from_a_default() {
    alone(addresses(), async {
        let mut mail = MailFleet::sending().await;
        let application = mail.mailwizz1();
        let server = application
            .server("vmta-mail1")
            .without_header("X-Virtual-MTA");
        let senders = SENDERS;
        submit_all(application, &server).await;
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
        let job = "campaign-mail1.sos-holidays.com";
        assert!(told.iter().all(|row| row["jobId"] == job), "{told:?}");
        assert_eq!(mail.powermta.rows("acct", "d").len(), 1);

        let notice = noticed(&mail, senders.len()).await;
        let most = notice["most"].as_array().unwrap();
        for (domain, count) in COUNTED {
            let counted = most.iter().any(|one| one[0] == domain && one[1] == count);
            assert!(counted, "{domain}: {most:?}");
        }
        alert_is_seen(&mail, senders.len()).await;

        agent_begins_anew(&mut mail).await;
        let server = mail.mailwizz1().server("vmta-mail1");
        let server = server.without_header("X-Virtual-MTA");
        let server = server.with_return_path("a@last.example");
        let letter = Letter {
            to: RECIPIENT,
            id: "last",
        };
        mail.mailwizz1().send(&server, &letter).await;
        let notice = noticed(&mail, senders.len() + 1).await;
        assert_eq!(notice["of"], "last.example");
        let host = mail.fleet.host(HOST).await;
        let day = &host["mail"]["days"][0];
        assert_eq!((&day["sent"], &day["delivered"]), (&1.into(), &1.into()));
    });
}
