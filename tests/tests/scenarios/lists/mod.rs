//! Who is on a list of bad senders is seen, confirmed by other eyes, and forgiven when the list forgives; a
//! list that is wrong or gone changes nothing.

mod failover;
mod liar;
mod policy;
mod replies;
mod resolver;
pub(crate) mod server;
mod trouble;
mod unclear;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use email_engine_tests::{Fleet, Haystack, Operator, every_file, samples, wait_until};
use serde_json::Value;

use server::{KEY, LISTS, Lists};

const ONE: &str = "198.51.100.1";
const TWO: &str = "198.51.100.2";

/// Sweeps every two seconds, confirmed after one.
pub(crate) const QUICK: [(&str, &str); 3] = [
    ("DNSBL_SWEEP_SECONDS", "2"),
    ("DNSBL_CONFIRM_SECONDS", "1"),
    ("DNSBL_TAKEOVER_SECONDS", "2"),
];

/// A cluster of one node with two resolvers, and two identities.
async fn alone(first: &Lists, second: &Lists) -> (Fleet, Operator) {
    let (first, second) = (first.address(), second.address());
    let own = [
        ("DNSBL_RESOLVER", &*first),
        ("DNSBL_SECOND_RESOLVER", &*second),
        ("DNSBL_REGISTERED", "barracuda"),
    ];
    let fleet = Fleet::configured(1, &[&QUICK[..], &own].concat()).await;
    fleet.apply(&samples::fleet(2)).await;
    let operator = Operator::of(&fleet);
    (fleet, operator)
}

/// A file that its owner alone may read.
fn private(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn listing(operator: &Operator, address: &str, list: &str) -> Option<Value> {
    let all = operator.answer(&["listings", "--all"]);
    let mut all = all.as_array().unwrap().iter();
    all.find(|row| row["subject"] == address && row["list"] == list)
        .cloned()
}

fn zone(operator: &Operator, list: &str) -> Value {
    let all = operator.answer(&["dnsbl", "zones"]);
    let mut all = all.as_array().unwrap().iter();
    all.find(|row| row["id"] == list).unwrap().clone()
}

pub(crate) async fn is_healthy(operator: &Operator, list: &str) {
    wait_until(&format!("{list} answers as it must"), async || {
        let zone = zone(operator, list);
        zone["healthy_at"].is_string() && zone["trouble"].is_null()
    })
    .await;
}

async fn is_troubled(operator: &Operator, list: &str) {
    wait_until(&format!("{list} is not believed"), async || {
        zone(operator, list)["trouble"].is_string()
    })
    .await;
}

fn status(address: &str, list: &str) -> String {
    format!("email_engine_blacklist_status{{ip=\"{address}\",dnsbl=\"{list}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_confirmed_by_other_eyes_shown_and_over_when_the_list_says_so() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = alone(&first, &second).await;
    is_healthy(&operator, "spamhaus-zen").await;
    assert_eq!(operator.answer(&["listings"]), Value::Array(vec![]));

    // What only one of two resolvers says stays unconfirmed.
    first.name("spamhaus-zen", &[ONE]);
    wait_until("the first resolver's word is seen", async || {
        listing(&operator, ONE, "spamhaus-zen").is_some()
    })
    .await;
    assert!(listing(&operator, ONE, "spamhaus-zen").unwrap()["confirmed_at"].is_null());
    second.name("spamhaus-zen", &[ONE]);
    wait_until("the second resolver confirms it", async || {
        let row = listing(&operator, ONE, "spamhaus-zen");
        row.is_some_and(|row| row["confirmed_at"].is_string() && row["cleared_at"].is_null())
    })
    .await;
    let row = listing(&operator, ONE, "spamhaus-zen").unwrap();
    assert_eq!(
        (&row["class"], &row["codes"][0]),
        (&"a".into(), &"127.0.0.2".into())
    );
    assert_eq!(
        row["reason"],
        "sent spam, see https://example.org/spamhaus-zen"
    );
    assert_eq!(row["observers"].as_array().unwrap().len(), 2);
    assert!(listing(&operator, TWO, "spamhaus-zen").is_none());
    let metrics = fleet.api().metrics().await;
    let shown = |line: String| metrics.lines().any(|shown| shown == line);
    assert!(
        shown(format!("{} 1", status(ONE, "spamhaus-zen"))),
        "{metrics}"
    );
    assert!(
        shown(format!("{} 0", status(TWO, "spamhaus-zen"))),
        "{metrics}"
    );
    assert!(
        !metrics.contains("abusix"),
        "a list that is not configured says nothing of anybody"
    );
    let abusix = zone(&operator, "abusix-black");
    assert!(
        abusix["missing"]
            .as_str()
            .unwrap()
            .contains("a key is needed"),
        "{abusix}"
    );

    let tests = operator.answer(&["dnsbl", "test", ONE]);
    let verdict = |list: &str| {
        let mut all = tests.as_array().unwrap().iter();
        all.find(|test| test["list"] == list).unwrap()["verdict"].clone()
    };
    assert_eq!(verdict("spamhaus-zen"), "listed");
    assert_eq!(verdict("spamcop"), "clean");
    assert_eq!(verdict("abusix-black"), "not configured");

    first.name("spamhaus-zen", &[]);
    second.name("spamhaus-zen", &[]);
    wait_until("it is over", async || {
        listing(&operator, ONE, "spamhaus-zen").is_some_and(|row| row["cleared_at"].is_string())
    })
    .await;
    assert_eq!(operator.answer(&["listings"]), Value::Array(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_wrong_or_gone_lists_nobody_and_forgives_nobody() {
    let (Some(mut first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = alone(&first, &second).await;
    first.name("psbl", &[ONE]);
    second.name("psbl", &[ONE]);
    wait_until("a listing is confirmed", async || {
        listing(&operator, ONE, "psbl").is_some_and(|row| row["confirmed_at"].is_string())
    })
    .await;
    for (list, answer) in [
        ("spamhaus-zen", "127.255.255.254"),
        ("barracuda", "127.0.0.2"),
        ("spamcop", "127.0.0.1"),
        ("mailspike", "192.0.2.80"),
    ] {
        first.lists_the_world(list, answer);
        is_troubled(&operator, list).await;
    }
    let confirmed = || {
        let row = listing(&operator, ONE, "psbl").unwrap();
        assert!(
            row["confirmed_at"].is_string() && row["cleared_at"].is_null(),
            "{row}"
        );
    };
    confirmed();
    let all = operator.answer(&["listings", "--all"]);
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    let metrics = fleet.api().metrics().await;
    assert!(
        !metrics.contains(&status(TWO, "spamcop")),
        "neither listed nor clean: {metrics}"
    );

    first.stop();
    // Each list's run ends in its own time.
    for (list, _) in LISTS {
        is_troubled(&operator, list).await;
    }
    confirmed();
    let metrics = fleet.api().metrics().await;
    assert!(
        !metrics.contains("email_engine_blacklist_status{"),
        "nothing is known: {metrics}"
    );
    assert!(
        metrics.contains("email_engine_blacklist_unknown{"),
        "{metrics}"
    );
    let identities = operator.answer(&["ips", "list"]).to_string();
    assert!(
        !identities.contains("\"status\":\"quarantine\""),
        "{identities}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_are_shared_out_and_go_on_when_a_leader_is_killed() {
    let Some(lists) = Lists::serve().await else {
        return;
    };
    let address = lists.address();
    let own = [("DNSBL_RESOLVER", &*address)];
    let mut fleet = Fleet::configured(3, &[&QUICK[..], &own].concat()).await;
    fleet.apply(&samples::fleet(2)).await;
    lists.name("spamcop", &[TWO]);
    let leader = fleet.leader().await;
    let operator = Operator::at(&fleet, 1 + leader % 3);
    wait_until("another node confirms what one saw", async || {
        listing(&operator, TWO, "spamcop").is_some_and(|row| row["confirmed_at"].is_string())
    })
    .await;
    wait_until("several nodes take part", async || {
        let sweep = operator.answer(&["dnsbl", "sweep", "--show"]);
        let lists = sweep["lists"].as_array().unwrap();
        let nodes: std::collections::BTreeSet<u64> = lists
            .iter()
            .filter_map(|list| list["node"].as_u64())
            .collect();
        nodes.len() > 1
    })
    .await;
    fleet.nodes.get_mut(&leader).unwrap().kill();
    let number = || {
        operator.answer(&["dnsbl", "sweep", "--show"])["number"]
            .as_u64()
            .unwrap()
    };
    let before = number();
    lists.name("spamcop", &[]);
    wait_until(
        "the others ask all lists, those of the dead node too",
        async || {
            let sweep = operator.answer(&["dnsbl", "sweep", "--show"]);
            let lists = sweep["lists"].as_array().unwrap();
            let all = lists
                .iter()
                .all(|list| list["node"].as_u64().is_some_and(|node| node != leader));
            sweep["number"].as_u64().unwrap() > before && all
        },
    )
    .await;
    wait_until("the end of the listing is seen", async || {
        listing(&operator, TWO, "spamcop").is_some_and(|row| row["cleared_at"].is_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_list_opens_it_and_is_nowhere_to_be_read() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = alone(&first, &second).await;
    is_healthy(&operator, "spamhaus-zen").await;
    let file = operator.folder().join("key");
    private(&file, KEY);
    let given = operator.answer(&["dnsbl", "key", "spamhaus-zen", "--from-file", "key"]);
    assert_eq!(given["has_key"], true);
    fs::remove_file(&file).unwrap();
    first.name("spamhaus-zen", &[ONE]);
    // With the key the open zone is asked no more.
    wait_until("the list is asked with its key", async || {
        let zone = zone(&operator, "spamhaus-zen");
        zone["has_key"] == true && listing(&operator, ONE, "spamhaus-zen").is_some()
    })
    .await;
    let tests = operator.prints(0, &["dnsbl", "test", ONE]);
    let zones = operator.prints(0, &["dnsbl", "zones"]);
    let metrics = fleet.api().metrics().await;
    for text in [&tests, &zones, &metrics] {
        assert!(!text.contains(KEY), "{text}");
    }
    for path in every_file(fleet.dir()) {
        assert!(
            !Haystack::of(&path).holds(KEY.as_bytes()),
            "{}",
            path.display()
        );
    }
    // What is no key is refused without being said again.
    private(&file, "not a key, 12345678");
    let refused = operator.notes(1, &["dnsbl", "key", "spamhaus-zen", "--from-file", "key"]);
    assert!(
        refused.contains("(not shown)") && !refused.contains("12345678"),
        "{refused}"
    );
}
