//! What looks like a listing to nobody: a node that is cut off or stands still, a resolver that is gone. And of two
//! nodes that each lead for a while by their own word, one acts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_tests::trouble::Wires;
use email_engine_tests::{Clock, Fleet, Operator, wait_for, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::failover::{
    LISTED, STANDBY, alerts, confirmed, events, is_replaced, status, with_standby,
};
use super::server::Lists;
use super::{QUICK, is_healthy, is_troubled, listing};

/// Three nodes whose wires can be cut, with one resolver.
async fn wired(lists: &Lists) -> (Fleet, Wires) {
    let wires = Wires::new(3).await;
    let address = lists.address();
    let fleet = Fleet::prepared(3, |number, node| {
        for (key, value) in QUICK {
            node.set(key, value);
        }
        node.set("DNSBL_RESOLVER", &address);
        wires.connect(number, node);
    })
    .await;
    (fleet, wires)
}

fn sweeps(operator: &Operator) -> u64 {
    operator.answer(&["dnsbl", "sweep", "--show"])["number"]
        .as_u64()
        .unwrap()
}

/// Where everybody stands, and what was done and told.
fn standing(operator: &Operator) -> (BTreeMap<String, String>, Vec<Value>, usize) {
    let all = operator.answer(&["ips", "list"]);
    let all = all.as_array().unwrap().iter();
    let of = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let standing = all.map(|row| (of(row, "address"), of(row, "status")));
    let told = ["listing-confirmed", "promoted", "mass-brake"];
    let told = told.iter().map(|kind| alerts(operator, kind).len()).sum();
    (standing.collect(), events(operator), told)
}

/// Whom everybody but one asks: one of the others.
fn beside(fleet: &Fleet, node: u64) -> Operator {
    Operator::at(fleet, 1 + node % 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_a_pause_and_a_resolver_that_is_gone_move_nobody() {
    let Some(mut lists) = Lists::serve().await else {
        return;
    };
    let (mut fleet, wires) = wired(&lists).await;
    with_standby(&fleet).await;
    let all = Operator::of(&fleet);
    is_healthy(&all, "spamhaus-zen").await;
    let before = standing(&all);
    assert_eq!((before.1.len(), before.2), (0, 0));

    // Half a minute without its leader: the others elect one and go on asking.
    let leader = fleet.leader().await;
    let operator = beside(&fleet, leader);
    let (cut, swept) = (Instant::now(), sweeps(&operator));
    for other in (1..=3).filter(|other| *other != leader) {
        wires.cut_both(leader, other);
    }
    wait_until(
        "the others swept on for the whole of a partition of 30 s",
        async || {
            assert_eq!(standing(&operator), before);
            cut.elapsed() >= Duration::from_secs(30) && sweeps(&operator) > swept + 2
        },
    )
    .await;
    wires.heal();
    let swept = sweeps(&operator);
    wait_until("all three sweep again", async || {
        sweeps(&operator) > swept + 2
    })
    .await;
    assert_eq!(standing(&operator), before);

    // A leader that stands still, as a machine does that is moved, and then goes on where it was.
    let leader = fleet.leader().await;
    let operator = beside(&fleet, leader);
    let (paused, swept) = (Instant::now(), sweeps(&operator));
    fleet.nodes.get_mut(&leader).unwrap().daemon().pause();
    wait_until("the others swept on for a pause of 10 s", async || {
        paused.elapsed() >= Duration::from_secs(10) && sweeps(&operator) > swept + 2
    })
    .await;
    fleet.nodes.get_mut(&leader).unwrap().daemon().resume();
    let swept = sweeps(&operator);
    wait_until("all three sweep again", async || {
        sweeps(&operator) > swept + 2
    })
    .await;
    assert_eq!(standing(&operator), before);

    // Nobody can ask anybody.
    lists.stop();
    is_troubled(&all, "spamhaus-zen").await;
    let swept = sweeps(&all);
    wait_until("several sweeps came to nothing", async || {
        sweeps(&all) > swept + 2
    })
    .await;
    assert_eq!(standing(&all), before);
}

/// A leader that saw a listing stands still just before it acts; another acts, and then it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_lead_by_their_own_word_one_acts() {
    let Some(lists) = Lists::serve().await else {
        return;
    };
    let (mut fleet, _wires) = wired(&lists).await;
    with_standby(&fleet).await;
    let all = Operator::of(&fleet);
    is_healthy(&all, "spamhaus-zen").await;
    lists.name("spamhaus-zen", &[LISTED]);
    wait_until("it is seen", async || {
        listing(&all, LISTED, "spamhaus-zen").is_some()
    })
    .await;
    let leader = fleet.leader().await;
    fleet.nodes.get_mut(&leader).unwrap().daemon().pause();
    let operator = beside(&fleet, leader);
    is_replaced(&operator).await;
    fleet.nodes.get_mut(&leader).unwrap().daemon().resume();
    let swept = sweeps(&operator);
    wait_until("all three sweep again", async || {
        sweeps(&operator) > swept + 2
    })
    .await;
    // What it wanted to say as it was stopped was said too late.
    for node in 1..=3 {
        let own = Operator::at(&fleet, node);
        let events = events(&own);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(confirmed(&own).len(), 1);
        assert_eq!(alerts(&own, "promoted").len(), 1);
        assert_eq!(status(&own, STANDBY), "warming");
    }
}

/// One node whose clock shows an earlier time, with two resolvers and somebody on the bench.
async fn earlier(
    shift: &str,
    first: &Lists,
    second: &Lists,
) -> Option<(Fleet, Arc<Clock>, TempDir)> {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(Clock::new(folder.path())?);
    clock.show(shift);
    let (one, other, own) = (first.address(), second.address(), Arc::clone(&clock));
    let fleet = Fleet::prepared(1, move |_, node| {
        for (key, value) in QUICK {
            node.set(key, value);
        }
        node.set("DNSBL_RESOLVER", &one);
        node.set("DNSBL_SECOND_RESOLVER", &other);
        // Longer than any of these times, so that what it showed itself then is good now.
        node.set("CERTIFICATE_LIFE_SECONDS", "2592000");
        node.go_by(&own);
    })
    .await;
    with_standby(&fleet).await;
    Some((fleet, clock, folder))
}

/// Days pass at once, and whoever begins to lead looks at what is due.
async fn is_now(fleet: &mut Fleet, clock: &Clock) {
    clock.set_right();
    // The fleet's clock is not set by whoever leads alone, when it is more than a day.
    let path = "/tenants/client-1/failover/freeze?override_clock=true";
    let why = json!({ "reason": "its clock is right again" });
    fleet.api().post(path, &why).await.ok();
    let node = fleet.nodes.get_mut(&1).unwrap();
    node.kill();
    node.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_listed_rests_after_a_clean_week_and_then_waits_on_the_bench() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let Some((mut fleet, clock, _folder)) = earlier("-8d", &first, &second).await else {
        return;
    };
    let operator = Operator::of(&fleet);
    is_healthy(&operator, "spamhaus-zen").await;
    for lists in [&first, &second] {
        lists.name("spamhaus-zen", &[LISTED]);
    }
    is_replaced(&operator).await;
    for lists in [&first, &second] {
        lists.name("spamhaus-zen", &[]);
    }
    wait_until("the list lets go", async || {
        listing(&operator, LISTED, "spamhaus-zen").is_some_and(|row| row["cleared_at"].is_string())
    })
    .await;
    let swept = sweeps(&operator);
    wait_until("two sweeps and more were clean", async || {
        sweeps(&operator) > swept + 3
    })
    .await;
    let early = operator.notes(1, &["ips", "release", LISTED]);
    assert!(early.contains("7 days"), "{early}");
    assert_eq!(status(&operator, LISTED), "quarantine");

    is_now(&mut fleet, &clock).await;
    wait_for("it rests", async || match status(&operator, LISTED) {
        status if status == "resting" => Ok(()),
        status => Err(status),
    })
    .await;
    let explained = operator.prints(0, &["explain", "ip", LISTED]);
    assert!(explained.contains("two clean sweeps"), "{explained}");
    let _ = operator.answer(&["ips", "release", LISTED]);
    assert_eq!(status(&operator, LISTED), "standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn resolvers_that_are_cut_off_for_a_day_change_nothing_and_are_told() {
    let (Some(mut first), Some(mut second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let Some((mut fleet, clock, _folder)) = earlier("-30h", &first, &second).await else {
        return;
    };
    let operator = Operator::of(&fleet);
    is_healthy(&operator, "spamhaus-zen").await;
    let before = standing(&operator);
    first.stop();
    second.stop();
    is_troubled(&operator, "spamhaus-zen").await;
    assert_eq!(alerts(&operator, "zone-unknown").len(), 0);
    is_now(&mut fleet, &clock).await;
    let told = wait_for("it is told that nothing is known", async || {
        let told = alerts(&operator, "zone-unknown");
        let of_it = |alert: &&Value| alert.to_string().contains("spamhaus-zen");
        told.iter().find(of_it).cloned().ok_or(told)
    })
    .await;
    assert_eq!(standing(&operator), before, "{told}");
}
