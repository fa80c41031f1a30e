//! What the product itself refuses never becomes live, is told in its words and is not tried again; what
//! was in force before serves on.

use std::fs;

use email_engine_tests::mail::{MailFleet, addresses, alone};
use email_engine_tests::{Operator, wait_until};
use serde_json::{Value, json};

use super::{Files, HOST, live, planned, said, sends};

const CONFIG: &str = "/etc/pmta/config";
/// No file is there.
const ABSENT: &str = "/etc/pmta/tls/own.pem";
/// No product knows it.
const INVENTED: &str = "new-directive yes";

/// The line that the cluster wants in the configuration, by its number there.
async fn number_of(mail: &MailFleet, part: &str) -> usize {
    let text = planned(mail, CONFIG).await;
    let line = text.lines().position(|line| line.contains(part));
    line.unwrap_or_else(|| panic!("{part} is not in {text}")) + 1
}

/// The product's words are told, and nothing of what it refused is there.
async fn is_told_and_not_live(mail: &MailFleet, words: &str, old: &Files) {
    said(mail, "was refused at stage test").await;
    let shown = Operator::of(&mail.fleet).prints(0, &["hosts", "show", HOST]);
    let is_told = shown.contains("transaction:pmta failed: content") && shown.contains(words);
    assert!(is_told, "{words} is not in {shown}");
    assert!(live(mail) == *old, "something of it is live");
}

/// Neither an audit nor a repair nor another life of the agent tries it again.
async fn is_not_tried_again(mail: &mut MailFleet) {
    let machine = mail.machine();
    let (old, tests) = (live(mail), machine.times("test config"));
    let config = mail.root().join(CONFIG.trim_start_matches('/'));
    for life in ["first", "second"] {
        let reloads = machine.times("reload");
        fs::write(&config, "edited\n").unwrap();
        let why = format!("an edit in the agent's {life} life is undone");
        wait_until(&why, async || {
            live(mail) == old && machine.times("reload") > reloads
        })
        .await;
        mail.agent().kill();
        mail.agent().start(None);
    }
    said(mail, "was refused at stage test").await;
    assert!(live(mail) == old, "something of it is live");
    assert_eq!(machine.times("test config"), tests, "{:?}", machine.told());
}

/// Sets a bundle with these lines of an operator's own, and gives the one that was set before.
async fn release_with(mail: &MailFleet, lines: &str) -> Value {
    let api = mail.fleet.api();
    let known = api.get("/releases").await.ok()["default"]["bundle"].clone();
    let files = json!({ "from": known, "files": { "powermta/extra.conf": lines } });
    let bundle = api.post("/bundles", &files).await.ok()["bundle"].clone();
    release(mail, &bundle).await;
    wait_until("the host is planned by the bundle", async || {
        planned(mail, CONFIG).await.contains(lines)
    })
    .await;
    known
}

async fn release(mail: &MailFleet, bundle: &Value) {
    let release = json!({ "hosts": [HOST], "bundle": bundle });
    mail.fleet.api().post("/releases", &release).await.ok();
}

#[test]
fn what_the_product_refuses_never_becomes_live_and_the_old_one_still_serves() {
    alone(addresses(), async {
        let mut mail = MailFleet::on_a_machine(&MailFleet::document()).await;
        let old = live(&mail);
        sends(&mail, "vmta-mail1", "before").await;
        let tests = mail.machine().times("test config");

        let bundle = release_with(&mail, INVENTED).await;
        let line = number_of(&mail, INVENTED).await;
        let words = format!("Parse error in line {line} of {CONFIG}: unknown directive");
        is_told_and_not_live(&mail, &words, &old).await;
        sends(&mail, "vmta-mail2", "after-the-first").await;

        // Back to what is in force: for that nothing is to be tried.
        release(&mail, &bundle).await;
        mail.fleet.host_converged(HOST, "it has it already").await;
        assert_eq!(mail.machine().times("test config"), tests + 1);

        let absent = MailFleet::labelled("smtp-certificate", ABSENT);
        mail.fleet.apply_for(HOST, &absent, false).await;
        let line = number_of(&mail, ABSENT).await;
        let words = format!(
            "Error in line {line} of {CONFIG}: certificate {ABSENT}: cannot be read: No such file"
        );
        is_told_and_not_live(&mail, &words, &old).await;
        sends(&mail, "vmta-mail1", "after-the-second").await;
        is_not_tried_again(&mut mail).await;
        sends(&mail, "vmta-mail2", "after-another-life").await;
        assert_eq!(mail.machine().times("test config"), tests + 2);
        assert_eq!(mail.powermta.rows("acct", "b"), []);
    });
}
