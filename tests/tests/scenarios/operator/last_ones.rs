//! The last identity that serves a tenant's purpose: it is not lost by a file that omits it, nor by a
//! removal that was not meant so.

use email_engine_tests::{Fleet, Operator, samples};
use serde_json::{Value, json};

const FIRST: &str = "198.51.100.1";

/// Three identities, the first of which alone sends newsletters.
fn document() -> Value {
    let mut document = samples::fleet(3);
    document["ips"][0]["purpose"] = json!("newsletter");
    document
}

fn status(operator: &Operator, address: &str) -> Value {
    operator.answer(&["ips", "show", address])["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_keeps_the_last_of_a_purpose_paused_and_says_so() {
    let fleet = Fleet::single().await;
    fleet.apply(&document()).await;
    let operator = Operator::of(&fleet);
    let mut less = document();
    // The newsletter's only one, and one of two for marketing.
    let ips = less["ips"].as_array_mut().unwrap();
    ips.remove(2);
    ips.remove(0);
    let file = operator.file("less.toml", &less);
    let kept = "ip 198.51.100.1 is kept although the file omits it, and takes no mail: it is the last of \
                tenant client-1 for purpose newsletter";
    let lost = "tenant client-1: purpose newsletter has no usable identity any more; 198.51.100.1 is \
                kept, paused (resting)";
    for (code, arguments) in [
        (2, &["plan", "-f", file, "--prune"][..]),
        (0, &["apply", "-f", file, "--prune", "--yes"]),
    ] {
        let told = operator.notes(code, arguments);
        for line in [kept, lost] {
            assert!(told.contains(&format!("warning: {line}")), "{told}");
        }
    }
    assert_eq!(status(&operator, FIRST), "resting");
    let left = operator.answer(&["ips", "list"]);
    assert_eq!(left.as_array().unwrap().len(), 2, "{left}");
    // It stays, however often the file is applied.
    let _ = operator.prints(0, &["apply", "-f", file, "--prune", "--yes"]);
    assert_eq!(status(&operator, FIRST), "resting");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_a_purpose_is_removed_only_with_last() {
    let fleet = Fleet::single().await;
    fleet.apply(&document()).await;
    let operator = Operator::of(&fleet);
    for now in [&[][..], &["--now"]] {
        let remove = [&["ips", "remove", FIRST, "--yes"], now].concat();
        let refused = operator.notes(1, &remove);
        for part in [
            "nobody else serves tenant client-1 for purpose newsletter",
            "email-engine ips remove 198.51.100.1 --last",
            "(HTTP 409)",
        ] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }
    assert_eq!(status(&operator, FIRST), "warming");
    // Of two for marketing one goes unasked.
    let _ = operator.prints(0, &["ips", "remove", "198.51.100.2", "--yes"]);

    let told = operator.notes(0, &["ips", "remove", FIRST, "--yes", "--last"]);
    let lost = "warning: tenant client-1: purpose newsletter has no usable identity any more";
    assert!(told.contains(lost), "{told}");
    let told = operator.notes(
        0,
        &["ips", "remove", "198.51.100.3", "--yes", "--last", "--now"],
    );
    assert!(
        told.contains("purpose marketing has no usable identity any more"),
        "{told}"
    );
    assert_eq!(operator.answer(&["ips", "list"]), json!([]));
}
