//! A host gets what its version of PowerMTA knows, and mail flows from it.

use email_engine_tests::Operator;
use email_engine_tests::mail::{Letter, MailFleet, RECIPIENT, Verdict, addresses, alone};
use serde_json::{Value, json};

/// With an identity whose section differs: what takes no mail is slowed as far as a version can.
fn document(version: &str) -> Value {
    let mut document = MailFleet::document();
    let hosts = document["hosts"].as_array_mut().unwrap();
    let host = hosts.iter_mut().find(|host| host["id"] == "pmta1").unwrap();
    host["labels"]["powermta-version"] = json!(version);
    document["ips"][1]["status"] = json!("quarantine");
    document
}

#[test]
fn two_versions_render_only_what_each_knows() {
    alone(addresses(), async {
        let mail = MailFleet::of(&document("4.5")).await;
        let operator = Operator::at(&mail.fleet, 1);
        let lint = |code: i32, version: &str| {
            let file = mail.root().join("etc/pmta/config");
            let file = file.to_str().unwrap();
            let root = mail.root().to_str().unwrap();
            operator.prints(
                code,
                &["pmta", "lint", "--version", version, "--root", root, file],
            )
        };
        assert!(
            mail.powermta
                .configuration()
                .contains("max-smtp-msg-rate 1/h\n")
        );
        lint(0, "4.5");
        sends(&mail, 1).await;

        mail.change(&document("5.0"), false).await;
        assert!(
            mail.powermta
                .configuration()
                .contains("max-smtp-msg-rate 1/d\n")
        );
        lint(0, "5.0");
        let found = lint(2, "4.5");
        assert!(found.contains("PM108") && found.contains("1/d"), "{found}");
        sends(&mail, 2).await;
    });
}

async fn sends(mail: &MailFleet, count: usize) {
    let server = mail.mailwizz1().server("vmta-mail1");
    let letter = Letter {
        to: RECIPIENT,
        id: "news",
    };
    mail.mailwizz1().send(&server, &letter).await;
    let arrived = mail.readers.mails_when(count).await.pop().unwrap();
    let verdict = Verdict::of(&arrived).await;
    assert!(verdict.is_clean("mail1.sos-holidays.com"), "{verdict:?}");
}
