//! Whatever a list says that is no answer makes nobody listed and nobody clean.

use std::net::Ipv4Addr;

use email_engine_tests::{Fleet, Operator, samples, wait_until};

use super::liar::{Liar, Lie};
use super::server::{LISTS, Lists};
use super::{ONE, QUICK, TWO, is_healthy, is_troubled, listing, status, zone};

const LIES: [(&str, Lie); 7] = [
    (
        "zen.spamhaus.org",
        Lie::Answers(Ipv4Addr::new(127, 255, 255, 252)),
    ),
    (
        "b.barracudacentral.org",
        Lie::Answers(Ipv4Addr::new(127, 255, 255, 255)),
    ),
    ("bl.spamcop.net", Lie::Error(5)),
    ("psbl.surriel.com", Lie::Error(2)),
    ("bl.mailspike.net", Lie::Silence),
    // What a resolver says that has never heard of the list, or hides it.
    ("dnsbl-1.uceprotect.net", Lie::Error(3)),
    ("dnsbl.dronebl.org", Lie::Nothing),
];

#[tokio::test(flavor = "multi_thread")]
async fn error_codes_refusals_failures_and_silence_are_neither_listed_nor_clean() {
    let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
        return;
    };
    let liar = Liar::before(&first.address()).await;
    let (resolver, second_resolver) = (liar.address(), second.address());
    let own = [
        ("DNSBL_RESOLVER", &*resolver),
        ("DNSBL_SECOND_RESOLVER", &*second_resolver),
        ("DNSBL_REGISTERED", "barracuda"),
    ];
    let fleet = Fleet::configured(1, &[&QUICK[..], &own].concat()).await;
    fleet.apply(&samples::fleet(2)).await;
    let operator = Operator::of(&fleet);
    for lists in [&first, &second] {
        lists.name("psbl", &[ONE]);
    }
    wait_until("a listing is confirmed", async || {
        listing(&operator, ONE, "psbl").is_some_and(|row| row["confirmed_at"].is_string())
    })
    .await;
    let nothing_changed = || {
        let row = listing(&operator, ONE, "psbl").unwrap();
        assert!(row["cleared_at"].is_null(), "{row}");
        let all = operator.answer(&["listings", "--all"]);
        assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    };

    // All of it, the lists' test points too: nothing that they say is believed.
    liar.tell(&LIES, false);
    for (list, _) in LISTS {
        is_troubled(&operator, list).await;
    }
    nothing_changed();
    let metrics = fleet.api().metrics().await;
    for (list, _) in LISTS {
        assert!(!metrics.contains(&status(TWO, list)), "{list}: {metrics}");
    }

    liar.tell(&[], false);
    for (list, _) in LISTS {
        is_healthy(&operator, list).await;
    }
    // Test points are as they must be, and addresses are answered like that: the list is well, and nothing is
    // known of them. A name that is not there is how a list says clean, and no lie.
    let some: Vec<_> = LIES
        .into_iter()
        .filter(|(_, lie)| !matches!(lie, Lie::Error(3)))
        .collect();
    liar.tell(&some, true);
    for (list, origin) in LISTS {
        if !some.iter().any(|(zone, _)| *zone == origin) {
            continue;
        }
        let unknown = status(TWO, list).replace("_status{", "_unknown{") + " 1";
        let known = status(TWO, list);
        wait_until(&format!("{list} says nothing of anybody"), async || {
            let metrics = fleet.api().metrics().await;
            metrics.lines().any(|line| line == unknown) && !metrics.contains(&known)
        })
        .await;
        let zone = zone(&operator, list);
        assert!(zone["trouble"].is_null(), "{zone}");
    }
    nothing_changed();
    let identities = operator.answer(&["ips", "list"]).to_string();
    assert!(
        !identities.contains("\"status\":\"quarantine\""),
        "{identities}"
    );
}
