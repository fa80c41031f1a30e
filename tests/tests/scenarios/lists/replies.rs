//! A receiver's reply that names a list has that list asked at once, long before the next sweep.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use email_engine_tests::{Fleet, Operator, samples, wait_until};
use serde_json::Value;

use super::server::Lists;
use super::{ONE, TWO, listing};

const FILE: &str = "acct-2026-11-21-0000.csv";
const HEADER: &str = "type,timeLogged,orig,rcpt,dsnDiag,vmta\n";

/// One record of the identity with this number.
fn write(folder: &Path, kind: &str, number: u8, reply: &str) {
    let path = folder.join(FILE);
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.as_mut().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let header = if is_new { HEADER } else { "" };
    let record = format!(
        "{kind},{now},bounce@mail{number}.example.net,somebody@rcpt.example,\"{reply}\",\
         vmta-mail{number}-example-net\n"
    );
    file.write_all((header.to_owned() + &record).as_bytes())
        .unwrap();
}

/// Replies to mail of an address that name a list.
fn replies(operator: &Operator, address: &str) -> Option<Value> {
    let all = operator.answer(&["listings", "--replies"]);
    let mut all = all.as_array().unwrap().iter();
    all.find(|row| row["subject"] == address).cloned()
}

fn verdict(operator: &Operator, address: &str, list: &str) -> Value {
    let tests = operator.answer(&["dnsbl", "test", address]);
    let mut tests = tests.as_array().unwrap().iter();
    tests.find(|test| test["list"] == list).unwrap()["verdict"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_names_a_list_has_it_asked_about_that_identity_and_no_other() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (resolver, second_resolver) = (first.address(), second.address());
    let settings = [
        ("DNSBL_RESOLVER", &*resolver),
        ("DNSBL_SECOND_RESOLVER", &*second_resolver),
        // One sweep at the beginning, and none more while this lasts.
        ("DNSBL_SWEEP_SECONDS", "14400"),
        ("DNSBL_CONFIRM_SECONDS", "1"),
        ("DNSBL_REPLY_SECONDS", "1"),
    ];
    let mut fleet = Fleet::configured(1, &settings).await;
    fleet.apply(&samples::fleet(2)).await;
    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("its first document was applied").await;
    let operator = Operator::of(&fleet);
    wait_until("the first sweep is over", async || {
        operator.answer(&["dnsbl", "sweep", "--show"])["closed_at"].is_string()
    })
    .await;
    for lists in [&first, &second] {
        lists.name("psbl", &[ONE, TWO]);
    }
    wait_until("the list names both", async || {
        verdict(&operator, ONE, "psbl") == "listed"
    })
    .await;
    assert_eq!(operator.answer(&["listings"]), Value::Array(vec![]));

    let folder = fleet.agents["pmta1"].file("/var/log/pmta");
    std::fs::create_dir_all(&folder).unwrap();
    let refused = "smtp;550 5.7.1 <somebody@rcpt.example>: blocked using psbl.surriel.com";
    write(&folder, "b", 1, refused);
    write(&folder, "b", 2, "smtp;550 5.1.1 no such user");
    wait_until(
        "the list was asked, and other eyes confirm it",
        async || listing(&operator, ONE, "psbl").is_some_and(|row| row["confirmed_at"].is_string()),
    )
    .await;
    let told = replies(&operator, ONE).unwrap();
    assert_eq!((&told["list"], &told["count"]), (&"psbl".into(), &1.into()));
    assert!(told["checked_at"].is_string() && told["current"] == true);
    let sample = told["sample"].as_str().unwrap();
    assert!(sample.ends_with("blocked using psbl.surriel.com") && !sample.contains('@'));
    assert!(replies(&operator, TWO).is_none());
    assert!(
        listing(&operator, TWO, "psbl").is_none(),
        "nobody asked about it"
    );
    assert_eq!(
        operator.answer(&["dnsbl", "sweep", "--show"])["number"],
        1,
        "no sweep found it"
    );

    // More of them are counted once each, also by an agent that begins anew, and the list is left in peace.
    write(&folder, "t", 1, refused);
    fleet.agents.get_mut("pmta1").unwrap().kill();
    write(&folder, "b", 1, refused);
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    wait_until("all replies are counted", async || {
        replies(&operator, ONE).unwrap()["count"] == 3
    })
    .await;
    let more = replies(&operator, ONE).unwrap();
    assert_eq!(more["checked_at"], told["checked_at"]);
    assert!(more["wanted_since"].is_string(), "{more}");
}
