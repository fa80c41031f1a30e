//! A sixth identity touches nothing of the five, and no message in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use email_engine_tests::DEADLINE;
use email_engine_tests::mail::{
    Client, DeliveryServer, Letter, MailFleet, MailWizz, RECIPIENT, Verdict, addresses, alone,
    identities,
};
use tokio::sync::watch;

/// Messages of each identity before the change and after it.
const EACH: usize = 30;
/// The most that each sends while the change goes on: within its hourly rate.
const MEANWHILE: usize = 200;

#[test]
fn a_sixth_identity_touches_nothing_of_the_five_and_loses_no_message_in_flight() {
    alone(addresses(), async {
        let mail = MailFleet::of(&MailFleet::past_warm_up(MailFleet::document())).await;
        let before = mail.powermta.configuration();
        let keys = keys(mail.root());
        let records = mail.mailwizz1().servers();
        assert_eq!((keys.len(), records.len()), (5, 5));

        // Some messages wait for their answer, others in queues, others still come in: of each identity
        // one whose envelope is named before the change and its text after it.
        mail.readers.close();
        let (moment, _) = watch::channel(Moment::Before);
        let feeds: Vec<_> = records
            .values()
            .map(|server| Feed {
                application: mail.mailwizz1().clone(),
                server: server.clone(),
                moment: moment.subscribe(),
            })
            .map(|feed| tokio::spawn(feed.run(moment.clone())))
            .collect();
        mail.readers.somebody_waits().await;
        let mut now = moment.subscribe();
        let all_begun = now.wait_for(|now| matches!(now, Moment::Begun(5)));
        let all_begun = tokio::time::timeout(DEADLINE, all_begun).await;
        drop(all_begun.expect("a message of each is begun").unwrap());
        mail.change(&MailFleet::with_a_sixth(), false).await;
        moment.send_replace(Moment::After);
        mail.readers.open();
        let mut accepted = BTreeSet::new();
        for feed in feeds {
            accepted.extend(feed.await.unwrap());
        }
        assert!(accepted.len() > 5 * 2 * EACH, "{}", accepted.len());

        let own = identities(&MailFleet::with_a_sixth());
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
        let mut servers = mail.mailwizz1().servers();
        servers.remove("vmta-mail6").unwrap();
        assert_eq!(servers, records);
        sixth_sends(&mail).await;
    });
}

/// Where the change is.
#[derive(Clone, Copy)]
enum Moment {
    Before,
    /// It may come: so many have a message under way.
    Begun(usize),
    After,
}

/// One identity's messages over two connections: one that hands in a single message during the whole
/// change, and one that goes on all the time.
struct Feed {
    application: MailWizz,
    server: DeliveryServer,
    moment: watch::Receiver<Moment>,
}

impl Feed {
    /// The ids of those that were accepted.
    async fn run(mut self, moment: watch::Sender<Moment>) -> Vec<String> {
        let mut accepted = Vec::new();
        let mut client = self.application.connect(&self.server).await;
        for n in 0..EACH {
            accepted.push(self.submit(&mut client, &format!("before-{n}")).await);
        }
        let mut slow = self.application.connect(&self.server).await;
        let path = self.server.return_path();
        slow.begin(path, RECIPIENT).await.unwrap();
        moment.send_modify(|now| {
            *now = match now {
                Moment::Begun(count) => Moment::Begun(*count + 1),
                _ => Moment::Begun(1),
            }
        });
        for n in 0..MEANWHILE {
            if matches!(*self.moment.borrow(), Moment::After) {
                break;
            }
            accepted.push(self.submit(&mut client, &format!("meanwhile-{n}")).await);
        }
        let after = self.moment.wait_for(|now| matches!(now, Moment::After));
        drop(after.await.unwrap());
        let id = "across";
        let letter = Letter { to: RECIPIENT, id };
        let answer = slow.finish(&self.server.message(&letter)).await;
        assert!(answer.starts_with("250 "), "{answer}");
        accepted.push(self.id(id));
        for n in 0..EACH {
            accepted.push(self.submit(&mut client, &format!("after-{n}")).await);
        }
        accepted
    }

    fn id(&self, id: &str) -> String {
        let domain = self.server.from_email.rsplit('@').next().unwrap();
        format!("<{id}@{domain}>")
    }

    async fn submit(&self, client: &mut Client, id: &str) -> String {
        let letter = Letter { to: RECIPIENT, id };
        let answer = MailWizz::submit(client, &self.server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
        self.id(id)
    }
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
