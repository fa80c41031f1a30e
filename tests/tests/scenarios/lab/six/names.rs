//! What the machines of the lab are told about names.

use email_engine_tests::lab::{LIST, MAILWIZZ, POWERMTA, World};
use email_engine_tests::wait_until;

/// Nobody writes into a zone without the operator's key.
pub(super) fn are_the_operators(world: &World) {
    let update = "update add www.example.com. 60 IN A 198.51.100.10\nsend\n";
    let output = world.authorities.update(update, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("update failed: REFUSED"), "{output:?}");
    assert_eq!(address_of(world, "www.example.com"), None);
}

/// Whoever asks about an address as RFC 5782 has it is told whether it is listed, also when that changes.
pub(super) async fn tell_who_is_listed(world: &World) {
    assert!(
        is_listed(world, "127.0.0.2"),
        "its first test point is on it"
    );
    assert!(!is_listed(world, "127.0.0.1"), "its second one is not");
    let sender = "192.0.2.200";
    assert!(!is_listed(world, sender));
    world.authorities.list(sender);
    wait_until(
        "an address that was put on the list is listed",
        async || is_listed(world, sender),
    )
    .await;
    assert!(!is_listed(world, "127.0.0.1"), "nobody else is");
    // Another machine, the same names.
    let exchanger = world
        .guest(POWERMTA.0)
        .run(&["getent", "ahostsv4", "mx.rcpt.example"]);
    assert!(exchanger.starts_with("203.0.113.25"), "{exchanger}");
}

fn is_listed(world: &World, address: &str) -> bool {
    let octets: Vec<&str> = address.rsplit('.').collect();
    let answer = address_of(world, &format!("{}.{LIST}", octets.join(".")));
    match answer.as_deref() {
        Some("127.0.0.2") => true,
        None => false,
        other => panic!("{address}: {other:?}"),
    }
}

/// What the application's host resolves a name to; nothing when there is no such name.
fn address_of(world: &World, name: &str) -> Option<String> {
    let words = ["getent", "ahostsv4", name];
    let output = world.guest(MAILWIZZ.0).try_run(&words).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let first = said.split_whitespace().next();
    first.map(str::to_owned)
}
