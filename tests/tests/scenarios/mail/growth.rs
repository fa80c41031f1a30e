//! A sixth identity touches nothing of the five, and no message in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use email_engine_tests::mail::{
    Letter, MailFleet, MailWizz, RECIPIENT, Verdict, addresses, alone, identities,
};
use serde_json::{Value, json};

/// Messages of each identity.
const EACH: usize = 60;

/// The example with everybody past the warm-up, so that no rate holds mail back.
fn five() -> Value {
    let mut document = MailFleet::document();
    for ip in document["ips"].as_array_mut().unwrap() {
        ip["status"] = json!("active");
        ip["phase"] = json!("active");
    }
    document
}

fn six() -> Value {
    let mut document = five();
    let mut sixth = document["ips"][4].clone();
    sixth["address"] = json!("192.0.2.6");
    sixth["domain"] = json!("mail6.sos-holidays.com");
    sixth["vmta"] = json!("vmta-mail6");
    document["ips"].as_array_mut().unwrap().push(sixth);
    document
}

#[test]
fn a_sixth_identity_touches_nothing_of_the_five_and_loses_no_message_in_flight() {
    alone(addresses(), async {
        let mail = MailFleet::of(&five()).await;
        let before = mail.powermta.configuration();
        let keys = keys(mail.root());
        assert_eq!(keys.len(), 5);

        // Some messages wait for their answer, others in queues, others still come in.
        mail.readers.close();
        let senders = mail.mailwizz1().servers().into_values();
        let feeds: Vec<_> = senders
            .map(|server| tokio::spawn(feed(mail.mailwizz1().clone(), server)))
            .collect();
        mail.readers.somebody_waits().await;
        mail.change(&six(), false).await;
        mail.readers.open();
        let mut accepted = BTreeSet::new();
        for feed in feeds {
            accepted.extend(feed.await.unwrap());
        }
        assert_eq!(accepted.len(), 5 * EACH);

        let own = identities(&six());
        let arrived = mail.readers.mails_when(accepted.len()).await;
        let mut seen = BTreeSet::new();
        for one in &arrived {
            assert_eq!(one.client, Some(own[&one.helo]), "{}", one.from);
            assert_eq!(one.from, format!("bounce@{}", one.helo));
            let id = one.header("Message-ID").unwrap();
            assert!(seen.insert(id.clone()), "{id} arrived twice");
        }
        assert_eq!(seen, accepted);
        let delivered = mail.powermta.rows_when("acct", "d", accepted.len()).await;
        assert_eq!(delivered.len(), accepted.len());
        assert_eq!(mail.powermta.rows("acct", "b"), []);
        assert_eq!(mail.powermta.rows("acct", "t"), []);

        assert_only_added(&before, &mail.powermta.configuration(), "mail6");
        let after = self::keys(mail.root());
        assert!(keys.iter().all(|(key, stamp)| after[key] == *stamp));
        assert_eq!(after.len(), 6);
        sixth_sends(&mail).await;
    });
}

/// Submits one identity's messages over one connection; the ids of those that were accepted.
async fn feed(
    application: MailWizz,
    server: email_engine_tests::mail::DeliveryServer,
) -> Vec<String> {
    let mut accepted = Vec::new();
    let mut client = application.connect(&server).await;
    let domain = server.from_email.rsplit('@').next().unwrap();
    for n in 0..EACH {
        let id = format!("load-{n}");
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        let answer = MailWizz::submit(&mut client, &server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
        accepted.push(format!("<{id}@{domain}>"));
    }
    accepted
}

async fn sixth_sends(mail: &MailFleet) {
    let count = mail.readers.mails().len();
    let server = mail.mailwizz1().server("vmta-mail6");
    let letter = Letter {
        to: RECIPIENT,
        id: "first",
    };
    mail.mailwizz1().send(&server, &letter).await;
    let arrived = mail.readers.mails_when(count + 1).await.pop().unwrap();
    assert_eq!(arrived.client, Some("192.0.2.6".parse().unwrap()));
    let verdict = Verdict::of(&arrived).await;
    assert!(verdict.is_clean("mail6.sos-holidays.com"), "{verdict:?}");
}

/// Every line but the hash stays, in its order; what is new belongs to the newcomer.
fn assert_only_added(before: &str, after: &str, newcomer: &str) {
    let of = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.contains("sha256"));
        lines.map(str::to_owned).collect()
    };
    let (before, after) = (of(before), of(after));
    let mut old = before.iter().peekable();
    let mut added = Vec::new();
    for line in &after {
        if old.peek() == Some(&line) {
            old.next();
        } else {
            added.push(line.as_str());
        }
    }
    assert_eq!(old.next(), None, "a line of the five is gone or moved");
    // The rest is what a section of its own is made of.
    let plain = [
        "</virtual-mta>",
        "    max-smtp-msg-rate 625/h",
        "    </domain>",
        "        type discard",
    ];
    for line in added {
        let own = line.contains(newcomer) || line.contains("192.0.2.6");
        assert!(own || plain.contains(&line), "{line}");
    }
}

/// Inode and time of change of every key.
fn keys(root: &Path) -> BTreeMap<String, (u64, i64)> {
    let folder = fs::read_dir(root.join("etc/pmta/dkim")).unwrap();
    folder
        .map(|entry| {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, (found.ino(), found.ctime_nsec()))
        })
        .collect()
}
