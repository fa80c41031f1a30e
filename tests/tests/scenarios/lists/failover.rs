//! A listed identity is out and safely replaced within a moment, once, whoever leads; and nothing of that
//! happens because a list is mad, a name is listed, or nobody is left.

use std::fs;
use std::time::{Instant, UNIX_EPOCH};

use email_engine_tests::{Fleet, Operator, samples, wait_for, wait_until};
use serde_json::{Value, json};

use super::server::Lists;
use super::{QUICK, is_healthy, listing};

/// The one that is listed, and the one that waits.
pub(super) const LISTED: &str = "198.51.100.1";
pub(super) const STANDBY: &str = "198.51.100.7";
/// All that preflight asks, as an operator states it.
const CHECKS: [&str; 7] = ["a", "ptr", "spf", "dkim", "dmarc", "address", "listing"];

/// Six that send and one on the bench that is fit for service.
pub(super) async fn with_standby(fleet: &Fleet) {
    let mut document = samples::fleet(6);
    let mut standby = samples::identity(7);
    standby["status"] = "standby".into();
    document["ips"].as_array_mut().unwrap().push(standby);
    fleet.apply(&document).await;
    fit(fleet, STANDBY).await;
}

async fn fit(fleet: &Fleet, address: &str) {
    let checks: serde_json::Map<String, Value> = CHECKS
        .iter()
        .map(|check| ((*check).to_owned(), "valid".into()))
        .collect();
    let path = format!("/ips/{address}/checks");
    fleet
        .api()
        .post(&path, &json!({ "checks": checks }))
        .await
        .ok();
}

async fn of_one_node(first: &Lists, second: &Lists) -> (Fleet, Operator) {
    let (first, second) = (first.address(), second.address());
    let own = [
        ("DNSBL_RESOLVER", &*first),
        ("DNSBL_SECOND_RESOLVER", &*second),
        ("DNSBL_REGISTERED", "barracuda"),
    ];
    let fleet = Fleet::configured(1, &[&QUICK[..], &own].concat()).await;
    let operator = Operator::of(&fleet);
    (fleet, operator)
}

pub(super) fn status(operator: &Operator, address: &str) -> String {
    let all = operator.answer(&["ips", "list"]);
    let mut all = all.as_array().unwrap().iter();
    let found = all.find(|one| one["address"] == address).unwrap();
    found["status"].as_str().unwrap().to_owned()
}

pub(super) fn events(operator: &Operator) -> Vec<Value> {
    let view = operator.answer(&["failover"]);
    view["events"].as_array().unwrap().clone()
}

pub(super) fn alerts(operator: &Operator, kind: &str) -> Vec<Value> {
    let all = operator.answer(&["alerts", "list"]);
    let all = all.as_array().unwrap().iter();
    all.filter(|alert| alert["kind"] == kind).cloned().collect()
}

/// Alerts that tell of a listing. That nobody took the place at first, because a list was slow to answer, is another.
pub(super) fn confirmed(operator: &Operator) -> Vec<Value> {
    let told = alerts(operator, "listing-confirmed").into_iter();
    told.filter(|alert| !alert.to_string().contains("nothing replaces it"))
        .collect()
}

pub(super) async fn is_replaced(operator: &Operator) -> Value {
    wait_for("another takes its place", async || {
        let events = events(operator);
        let found = events
            .iter()
            .find(|event| event["search"]["state"] == "replaced");
        found.cloned().ok_or(events)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_identity_is_out_at_once_and_another_stands_in() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (mut fleet, operator) = of_one_node(&first, &second).await;
    with_standby(&fleet).await;
    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("the fleet stands").await;
    is_healthy(&operator, "spamhaus-zen").await;
    let plan = wait_for("all lists have said what they know", async || {
        let plan = operator.answer(&["failover", "plan", "--listed", LISTED]);
        let fits = plan["candidates"][0]["fits"] == true;
        if fits { Ok(plan) } else { Err(plan) }
    })
    .await;
    assert_eq!(
        (&plan["taken_out"], &plan["obstacle"]),
        (&true.into(), &Value::Null),
        "{plan}"
    );
    assert_eq!(plan["candidates"][0]["address"], STANDBY, "{plan}");

    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let before = fs::read(&config).unwrap();
    let running = async || fleet.host("pmta1").await["running"]["number"].as_u64();
    let earlier = running().await;
    first.name("spamhaus-zen", &[LISTED]);
    second.name("spamhaus-zen", &[LISTED]);
    wait_until("it is out", async || {
        status(&operator, LISTED) == "quarantine"
    })
    .await;
    wait_until("its host says that it is so", async || {
        running().await > earlier
    })
    .await;
    let reported = UNIX_EPOCH.elapsed().unwrap().as_millis();
    assert_ne!(fs::read(&config).unwrap(), before);
    let event = is_replaced(&operator).await;
    let row = listing(&operator, LISTED, "spamhaus-zen").unwrap();
    let at = |value: &Value| {
        let at: email_engine_protocol::time::Timestamp =
            serde_json::from_value(value.clone()).unwrap();
        u128::from(at.0)
    };
    eprintln!(
        "out {} ms after the confirmation, said by its host after {} ms, replaced after {} ms",
        at(&event["at"]) - at(&row["confirmed_at"]),
        reported - at(&row["confirmed_at"]),
        at(&event["search"]["at"]) - at(&row["confirmed_at"]),
    );
    assert_eq!(
        (&event["address"], &event["search"]["by"]),
        (&LISTED.into(), &STANDBY.into())
    );
    assert_eq!(status(&operator, STANDBY), "warming");
    fleet.converged("both are on their host").await;
    // It is told once each, in words that say who and by whom.
    let listed = confirmed(&operator);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let words = listed[0].to_string();
    assert!(
        words.contains(LISTED) && words.contains("127.0.0.2"),
        "{words}"
    );
    let promoted = alerts(&operator, "promoted");
    assert_eq!(promoted.len(), 1, "{promoted:?}");
    assert!(promoted[0].to_string().contains(STANDBY), "{promoted:?}");
    let explained = operator.prints(0, &["explain", "ip", LISTED]);
    assert!(
        explained.contains("spamhaus-zen had it, confirmed")
            && explained.contains(&format!("{STANDBY} took its place")),
        "{explained}"
    );
    let explained = operator.prints(0, &["explain", "ip", STANDBY]);
    assert!(
        explained.contains(&format!("it took the place of {LISTED}")),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_left_an_alert_says_so_and_a_second_listing_opens_the_breaker() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = of_one_node(&first, &second).await;
    fleet.apply(&samples::fleet(6)).await;
    is_healthy(&operator, "spamhaus-zen").await;
    first.name("spamhaus-zen", &[LISTED]);
    second.name("spamhaus-zen", &[LISTED]);
    let told = wait_for("an alert says that nobody is left", async || {
        let told = alerts(&operator, "listing-confirmed");
        let found = told
            .iter()
            .map(Value::to_string)
            .find(|told| told.contains("nothing replaces it"));
        found.ok_or(told)
    })
    .await;
    assert!(
        told.contains("nobody is on the bench or in reserve"),
        "{told}"
    );
    // One that comes is taken.
    let mut standby = samples::identity(7);
    standby["status"] = "standby".into();
    // One that is not fit yet is looked at again a minute later.
    let why = ["--tenant", "client-1", "--why", "one comes"];
    let _ = operator.answer(&[&["failover", "freeze"], &why[..]].concat());
    fleet.api().post("/ips", &standby).await.ok();
    fit(&fleet, STANDBY).await;
    let _ = operator.answer(&[&["failover", "thaw"], &why[..]].concat());
    is_replaced(&operator).await;

    // Two of seven are more than a fifth; the promotion of the day is spent besides.
    let two = [LISTED, "198.51.100.2"];
    first.name("spamhaus-zen", &two);
    second.name("spamhaus-zen", &two);
    wait_until("the breaker is open", async || {
        let breakers = operator.answer(&["breaker"]);
        breakers[0]["open_since"].is_string()
    })
    .await;
    let breakers = operator.answer(&["breaker"]);
    assert!(
        breakers[0]["cause"].to_string().contains("2 of its 7"),
        "{breakers}"
    );
    let paused = operator.answer(&["ips", "show", "198.51.100.3"]);
    assert_eq!(paused["daily_quota"], 0, "{paused}");
    let refused = operator.notes(64, &["breaker", "release", "--tenant", "client-1"]);
    assert!(refused.contains("--why"), "{refused}");
    let why = ["--why", "the list was cleaned"];
    let released =
        operator.answer(&[&["breaker", "release", "--tenant", "client-1"], &why[..]].concat());
    assert_eq!(released[0]["released_reason"], "the list was cleaned");
    let goes_on = operator.answer(&["ips", "show", "198.51.100.3"]);
    assert!(goes_on["daily_quota"].as_u64().unwrap() > 0, "{goes_on}");
    // Whose word it was let the tenant send on, and not promote on: of that, a day's is done.
    wait_for("the budget is what stands in the way", async || {
        let events = events(&operator);
        let obstacle = events[0]["search"]["obstacle"].to_string();
        let told = obstacle.contains("promotions of 24 hours are spent");
        told.then_some(()).ok_or(events)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_gone_mad_moves_nothing_and_is_told_once() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = of_one_node(&first, &second).await;
    with_standby(&fleet).await;
    is_healthy(&operator, "spamhaus-zen").await;
    let everybody: Vec<String> = (1..=7).map(|at| format!("198.51.100.{at}")).collect();
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    first.name("spamhaus-zen", &everybody);
    second.name("spamhaus-zen", &everybody);
    wait_until("the brake is pulled", async || {
        alerts(&operator, "mass-brake").len() == 1
    })
    .await;
    wait_until("all of it is confirmed", async || {
        everybody.iter().all(|address| {
            listing(&operator, address, "spamhaus-zen")
                .is_some_and(|row| row["confirmed_at"].is_string())
        })
    })
    .await;
    assert_eq!(events(&operator), Vec::<Value>::new());
    assert!((1..=6).all(|at| status(&operator, &format!("198.51.100.{at}")) == "warming"));
    first.name("spamhaus-zen", &[]);
    second.name("spamhaus-zen", &[]);
    wait_until("the list took it all back", async || {
        let view = operator.answer(&["failover"]);
        view["brakes"].as_array().unwrap().is_empty()
    })
    .await;
    assert_eq!(alerts(&operator, "mass-brake").len(), 1);
    assert_eq!(events(&operator), Vec::<Value>::new());
    // It is believed again.
    first.name("spamhaus-zen", &[LISTED]);
    second.name("spamhaus-zen", &[LISTED]);
    wait_until("one is out", async || {
        status(&operator, LISTED) == "quarantine"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_domain_is_on_a_list_is_given_nobody() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = of_one_node(&first, &second).await;
    with_standby(&fleet).await;
    is_healthy(&operator, "spamhaus-dbl").await;
    first.name_domain("dbl.spamhaus.org", "mail3.example.net");
    second.name_domain("dbl.spamhaus.org", "mail3.example.net");
    wait_until("the name is seen", async || {
        listing(&operator, "mail3.example.net", "spamhaus-dbl").is_some()
    })
    .await;
    first.name("spamhaus-zen", &[LISTED]);
    second.name("spamhaus-zen", &[LISTED]);
    let event = wait_for(
        "the listed one is out, and why nobody replaces it is told",
        async || {
            let events = events(&operator);
            let found = events
                .iter()
                .find(|event| event["search"]["obstacle"].is_string());
            found.cloned().ok_or(events)
        },
    )
    .await;
    let obstacle = event["search"]["obstacle"].as_str().unwrap();
    assert!(
        obstacle.contains("mail3.example.net is on spamhaus-dbl"),
        "{obstacle}"
    );
    assert_eq!(status(&operator, STANDBY), "standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_frozen_a_listed_one_is_out_and_nobody_comes() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (fleet, operator) = of_one_node(&first, &second).await;
    with_standby(&fleet).await;
    let why = ["--tenant", "client-1", "--why", "we move"];
    let frozen = operator.answer(&[&["failover", "freeze"], &why[..]].concat());
    assert_eq!(frozen["frozen"][0]["reason"], "we move");
    is_healthy(&operator, "spamhaus-zen").await;
    first.name("spamhaus-zen", &[LISTED]);
    second.name("spamhaus-zen", &[LISTED]);
    wait_until("the listed one is out, and nobody comes", async || {
        let events = events(&operator);
        events.first().is_some_and(|event| {
            event["search"]["obstacle"]
                .to_string()
                .contains("frozen by an operator")
        })
    })
    .await;
    assert_eq!(status(&operator, STANDBY), "standby");
    let thawed = operator.answer(&[&["failover", "thaw"], &why[..]].concat());
    assert_eq!(thawed["frozen"], json!([]));
    is_replaced(&operator).await;
}

/// A leader is killed as soon as something is seen: a sighting, its confirmation, the quarantine.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_a_leader_is_killed_one_is_out_and_one_stands_in_once() {
    let Some(lists) = Lists::serve().await else {
        return;
    };
    let address = lists.address();
    let own = [("DNSBL_RESOLVER", &*address)];
    let mut fleet = Fleet::configured(3, &[&QUICK[..], &own].concat()).await;
    with_standby(&fleet).await;
    let operator = Operator::of(&fleet);
    is_healthy(&operator, "spamhaus-zen").await;
    lists.name("spamhaus-zen", &[LISTED]);
    for step in ["it is seen", "it is confirmed", "it is out"] {
        // What is asked of the three is answered by whichever lives.
        wait_until(step, async || {
            let row = listing(&operator, LISTED, "spamhaus-zen");
            match step {
                "it is seen" => row.is_some(),
                "it is confirmed" => row.is_some_and(|row| row["confirmed_at"].is_string()),
                _ => !events(&operator).is_empty(),
            }
        })
        .await;
        let leader = fleet.leader().await;
        let node = fleet.nodes.get_mut(&leader).unwrap();
        node.kill();
        node.start().await;
    }
    let begun = Instant::now();
    is_replaced(&operator).await;
    eprintln!("replaced {:?} after the last kill", begun.elapsed());
    let events = events(&operator);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(confirmed(&operator).len(), 1);
    assert_eq!(alerts(&operator, "promoted").len(), 1);
    assert_eq!(status(&operator, STANDBY), "warming");
}
