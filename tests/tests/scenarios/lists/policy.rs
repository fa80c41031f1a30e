//! That an address is no mail server's keeps it from entering service, and takes nobody out of it; nor does an
//! answer that nobody knows.

use email_engine_tests::{Operator, wait_until};

use super::server::Lists;
use super::{ONE, TWO, alone, is_healthy, listing};

fn status(operator: &Operator, address: &str) -> String {
    let view = operator.answer(&["ips", "show", address]);
    view["status"].as_str().unwrap().to_owned()
}

/// What is known of its listings: the kind of the verdict, and the words.
fn known(operator: &Operator, address: &str) -> String {
    operator.answer(&["ips", "show", address])["checks"]["listing"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_listing_keeps_an_identity_on_the_bench_and_takes_none_out() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (_fleet, operator) = alone(&first, &second).await;
    is_healthy(&operator, "spamhaus-zen").await;
    // One on the bench, one that sends.
    let _ = operator.prints(0, &["ips", "rest", ONE]);
    let _ = operator.prints(0, &["ips", "release", ONE]);
    let _ = operator.prints(
        0,
        &[
            "ips",
            "state-dns",
            ONE,
            "--valid",
            "a,ptr,spf,dkim,dmarc,address",
        ],
    );
    wait_until("a sweep says that it is on no list", async || {
        known(&operator, ONE).contains("\"valid\"")
    })
    .await;
    for lists in [&first, &second] {
        lists.name_as("spamhaus-zen", "127.0.0.10", &[ONE, TWO]);
    }
    for address in [ONE, TWO] {
        wait_until("both are listed by policy, as two see", async || {
            let row = listing(&operator, address, "spamhaus-zen");
            row.is_some_and(|row| row["class"] == "policy" && row["confirmed_at"].is_string())
        })
        .await;
    }
    let refused = operator.notes(1, &["ips", "activate", ONE]);
    assert!(
        refused.contains("listing") && refused.contains("PBL"),
        "{refused}"
    );
    assert_eq!(status(&operator, ONE), "standby");
    assert_eq!(status(&operator, TWO), "warming");

    for lists in [&first, &second] {
        lists.name("spamhaus-zen", &[]);
    }
    wait_until("a sweep says that it is over", async || {
        known(&operator, ONE).contains("\"valid\"")
    })
    .await;
    let _ = operator.prints(0, &["ips", "activate", ONE]);
    assert_eq!(status(&operator, ONE), "warming");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_knows_lists_nobody_and_is_told_once() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let (_fleet, operator) = alone(&first, &second).await;
    is_healthy(&operator, "psbl").await;
    for lists in [&first, &second] {
        lists.name_as("psbl", "127.0.0.77", &[ONE]);
    }
    let told = || {
        let all = operator.answer(&["alerts", "list"]);
        let all = all.as_array().unwrap().iter();
        let told = all.filter(|alert| alert["kind"] == "new-code");
        told.map(ToString::to_string).collect::<Vec<_>>()
    };
    wait_until("it is told", async || !told().is_empty()).await;
    let swept = || operator.answer(&["dnsbl", "sweep", "--show"])["number"].as_u64();
    let before = swept();
    wait_until("it is answered again and again", async || {
        swept() > before.map(|number| number + 2)
    })
    .await;
    let told = told();
    assert!(
        told.len() == 1 && told[0].contains("127.0.0.77") && told[0].contains("psbl"),
        "{told:?}"
    );
    assert!(listing(&operator, ONE, "psbl").is_none());
    assert_eq!(status(&operator, ONE), "warming");
}
