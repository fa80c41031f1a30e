//! The key of an identity is changed while it sends, and then once more because others know it. Every message
//! is signed, and every signature verifies by what was published when the message arrived.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use email_engine_tests::mail::{
    Letter, Mail, MailFleet, MailWizz, RECIPIENT, Verdict, addresses, alone,
};
use email_engine_tests::{wait_for, wait_until};
use serde_json::{Value, json};

const DOMAIN: &str = "mail3.sos-holidays.com";
const ADDRESS: &str = "192.0.2.3";
const VMTA: &str = "vmta-mail3";
/// From one message to the next: as fast as it goes would keep the machine from everything else.
const PACE: Duration = Duration::from_millis(200);
/// Messages that arrive between two steps.
const BETWEEN: usize = 5;

/// No rate holds back what is sent here.
fn document() -> Value {
    let mut document = MailFleet::past_warm_up(MailFleet::document());
    document["ips"][2]["planned_daily"] = json!(1_000_000);
    document
}

/// What was published from when on.
type History = Vec<(Instant, Value)>;

/// The application sends one message after the other at an even pace, until it is told to stop. Gives how
/// many were taken.
async fn feed(mail: &MailFleet, stop: &AtomicBool) -> usize {
    let server = mail.mailwizz1().server(VMTA);
    let mut client = mail.mailwizz1().connect(&server).await;
    let mut pace = tokio::time::interval(PACE);
    let mut taken = 0;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let id = format!("rotation-{taken}");
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        let answer = MailWizz::submit(&mut client, &server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
        taken += 1;
    }
    taken
}

async fn some_arrive(mail: &MailFleet) {
    let before = mail.readers.mails().len();
    mail.readers.mails_when(before + BETWEEN).await;
}

/// Publishes what the cluster wants published, and nothing else.
async fn publish(mail: &MailFleet, history: &mut History) {
    let domains = mail.fleet.api().get("/domains").await.ok();
    mail.names.publish_keys(&domains).await;
    history.push((Instant::now(), domains));
}

async fn stage(mail: &MailFleet, wanted: &str) -> Value {
    let path = format!("/ips/{ADDRESS}/dkim");
    wait_for(&format!("the rotation is {wanted}"), async || {
        let view = mail.fleet.api().try_get(&path).await?.body;
        match view["rotation"]["stage"] == wanted {
            true => Ok(view),
            false => Err(view.to_string()),
        }
    })
    .await
}

/// Changes the key, step by step, while mail flows. Gives the new selector.
async fn rotate(mail: &MailFleet, history: &mut History, emergency: bool) -> String {
    let api = mail.fleet.api();
    let asked = json!({"emergency": emergency});
    let path = format!("/ips/{ADDRESS}/dkim/rotate");
    let begun = api.post(&path, &asked).await.ok();
    let (new, old) = (
        begun["rotation"]["new_selector"].clone(),
        begun["selector"].clone(),
    );
    assert_eq!(begun["rotation"]["stage"], "publish");
    some_arrive(mail).await;
    publish(mail, history).await;
    some_arrive(mail).await;
    // Nothing has switched by itself.
    assert_eq!(stage(mail, "publish").await["selector"], old);
    let seen = json!({"checks": {"next_dkim": "valid"}, "selector": new});
    api.post(&format!("/ips/{ADDRESS}/checks"), &seen)
        .await
        .ok();
    let over = if emergency { "retired" } else { "switched" };
    assert_eq!(stage(mail, over).await["selector"], new);
    publish(mail, history).await;
    mail.fleet.converged("the old key's file is gone").await;
    some_arrive(mail).await;
    new.as_str().unwrap().to_owned()
}

/// The selector of a message's signature.
fn selector(mail: &Mail) -> String {
    let signature = mail.header("DKIM-Signature");
    let signature = signature.unwrap_or_else(|| panic!("it is not signed: {}", mail.text));
    let mut tags = signature.split(';').map(str::trim);
    let found = tags.find_map(|tag| tag.strip_prefix("s="));
    found.unwrap().to_owned()
}

/// Verifies each message by what was published when it arrived, and counts them by selector.
async fn verified(mail: &MailFleet, mails: &[Mail], history: &History) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (at, (since, domains)) in history.iter().enumerate() {
        mail.names.publish_keys(domains).await;
        let until = history.get(at + 1).map(|(until, _)| *until);
        let of_then = mails.iter().filter(|one| {
            let arrived = one.at.unwrap();
            let began = at == 0 || arrived >= *since;
            began && until.is_none_or(|until| arrived < until)
        });
        for one in of_then {
            let verdict = Verdict::of(one).await;
            assert!(verdict.is_clean(DOMAIN), "{at}: {verdict:?} {}", one.text);
            *counts.entry(selector(one)).or_default() += 1;
        }
    }
    counts
}

#[test]
fn while_keys_change_no_message_is_unsigned_and_none_cannot_be_verified() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&document()).await;
        let mut history = History::new();
        publish(&mail, &mut history).await;
        let stop = AtomicBool::new(false);
        let change = async {
            some_arrive(&mail).await;
            let first = rotate(&mail, &mut history, false).await;
            let second = rotate(&mail, &mut history, true).await;
            stop.store(true, Ordering::Relaxed);
            [first, second]
        };
        let (taken, [first, second]) = tokio::join!(feed(&mail, &stop), change);

        let mails = mail.readers.mails_when(taken).await;
        assert_eq!(mails.len(), taken);
        let counts = verified(&mail, &mails, &history).await;
        assert_eq!(counts.values().sum::<usize>(), taken);
        for selector in ["mail", &first, &second] {
            assert!(counts[selector] >= BETWEEN, "{counts:?}");
        }
        assert_eq!(counts.len(), 3, "{counts:?}");

        // The keys that do not sign any more are nowhere.
        wait_until("the host has the last key alone", async || {
            let folder = fs::read_dir(mail.root().join("etc/pmta/dkim")).unwrap();
            let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let own: Vec<_> = names.filter(|name| name.starts_with("mail3.")).collect();
            own == [format!("mail3.{second}.pem")]
        })
        .await;
        let view = stage(&mail, "retired").await;
        let withdrawn = view["withdraw"].as_array().unwrap();
        let withdrawn: Vec<_> = withdrawn.iter().map(|one| &one["value"]).collect();
        assert_eq!(withdrawn, ["\"v=DKIM1; k=rsa; p=\""; 2], "{view}");
        let explained = mail
            .fleet
            .api()
            .get(&format!("/ips/{ADDRESS}/explain"))
            .await;
        let rules = explained.ok()["rules"].to_string();
        assert!(
            rules.contains(&format!("it signs with selector {second}")),
            "{rules}"
        );
    });
}
