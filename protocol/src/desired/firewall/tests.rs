//! Rules: what is refused as one, and what becomes of packets.

use proptest::prelude::*;

use super::super::{ConfigError, Disposition, HostConfig, OnRemove, Policy, Resource, Spec};
use super::*;
use crate::id::{ClusterId, HostId, ResourceId, Role};
use crate::limits;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn set(name: &str, networks: &[&str]) -> AddressSet {
    AddressSet {
        name: name.to_owned(),
        networks: networks.iter().map(|one| net(one)).collect(),
    }
}

fn rule(name: &str, port: u16, from: &[&str]) -> FirewallRule {
    FirewallRule {
        name: name.to_owned(),
        direction: Direction::In,
        protocol: Protocol::Tcp,
        ports: vec![PortRange {
            first: port,
            last: port,
        }],
        from: from.iter().map(|one| (*one).to_owned()).collect(),
        to: Vec::new(),
        fate: Fate::Accept,
    }
}

fn spec() -> FirewallSpec {
    FirewallSpec {
        input: Fate::Drop,
        output: Fate::Accept,
        sets: vec![set("admin", &["192.0.2.0/25", "2001:db8::/48"])],
        rules: vec![rule("ssh", 22, &["admin"]), rule("web", 443, &[])],
        rollback_seconds: 60,
        attempt: 0,
    }
}

fn checked(spec: FirewallSpec) -> Result<(), String> {
    let resource = Resource {
        id: ResourceId::new("firewall:host").unwrap(),
        spec: Spec::Firewall(spec),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    };
    let config = HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("pmta1").unwrap(),
        role: Role::Powermta,
        disposition: Disposition::Active,
        resources: vec![resource],
        large_removal: false,
        accounting: None,
    };
    let bytes = config.to_bytes();
    HostConfig::from_bytes(&bytes)
        .map(|read| assert_eq!(read, config))
        .map_err(|error: ConfigError| error.to_string())
}

fn entering(from: Option<&str>, port: u16) -> Packet {
    Packet {
        direction: Direction::In,
        protocol: Protocol::Tcp,
        from: from.map(|from| from.parse().unwrap()),
        to: None,
        port,
    }
}

fn changed(change: fn(&mut FirewallSpec)) -> String {
    let mut spec = spec();
    change(&mut spec);
    checked(spec).unwrap_err()
}

#[test]
fn sets_that_nft_could_take_for_something_else_are_refused_with_what_would_do() {
    assert_eq!(checked(spec()), Ok(()));
    for (error, said) in [
        (
            changed(|spec| spec.input = Fate::Reject),
            "a chain does not reject",
        ),
        (changed(|spec| spec.rollback_seconds = 9), "10 to 600"),
        (
            changed(|spec| spec.sets[0].name = "a-b".to_owned()),
            "lower-case",
        ),
        (
            changed(|spec| spec.sets[0].name = "}".to_owned()),
            "lower-case",
        ),
        (
            changed(|spec| spec.sets.push(set("admin", &[]))),
            "each once",
        ),
        (
            changed(|spec| spec.sets.insert(0, set("b", &[]))),
            "in order of name",
        ),
        (
            changed(|spec| spec.sets[0] = set("admin", &["192.0.2.1/25"])),
            "behind the prefix",
        ),
        (
            changed(|spec| spec.sets[0] = set("admin", &["192.0.2.0/24", "192.0.2.0/25"])),
            "none within another",
        ),
        (
            changed(|spec| spec.sets[0] = set("admin", &["::ffff:192.0.2.1/128"])),
            "IPv4 not written as IPv6",
        ),
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn rules_that_nft_could_take_for_something_else_are_refused_too() {
    for (error, said) in [
        (
            changed(|spec| spec.rules[0].from = vec!["who".to_owned()]),
            "name of a set",
        ),
        (
            changed(|spec| spec.rules[0].name = "a \" b".to_owned()),
            "lower-case",
        ),
        (
            changed(|spec| spec.rules[1].name = "ssh".to_owned()),
            "names that differ",
        ),
        (
            changed(|spec| spec.rules[0].ports[0].first = 0),
            "1 to 65535",
        ),
        (
            changed(|spec| spec.rules[0].ports[0].last = 21),
            "1 to 65535",
        ),
        (
            changed(|spec| spec.rules[0].protocol = Protocol::Icmp),
            "only with tcp",
        ),
        (
            changed(|spec| {
                spec.rules[0].ports = vec![
                    PortRange {
                        first: 22,
                        last: 22
                    };
                    2
                ]
            }),
            "do not overlap",
        ),
        (
            changed(|spec| spec.rules = vec![rule("a", 1, &[]); limits::FIREWALL_RULES + 1]),
            "at most 128",
        ),
        (
            changed(|spec| {
                let all = (0..=limits::FIREWALL_NETWORKS as u32)
                    .map(|n| IpNet::new(std::net::Ipv4Addr::from_bits(n << 4).into(), 28).unwrap());
                spec.sets[0].networks = all.collect();
            }),
            "at most 4096",
        ),
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn the_first_rule_that_fits_decides_and_else_the_chain_does() {
    let spec = spec();
    let fate = |packet: &Packet| spec.decide(packet).0;
    assert_eq!(fate(&entering(Some("192.0.2.9"), 22)), Fate::Accept);
    assert_eq!(fate(&entering(Some("2001:db8::9"), 22)), Fate::Accept);
    assert_eq!(fate(&entering(Some("192.0.2.200"), 22)), Fate::Drop);
    assert_eq!(fate(&entering(None, 22)), Fate::Drop);
    assert_eq!(fate(&entering(None, 443)), Fate::Accept);
    assert_eq!(fate(&entering(None, 444)), Fate::Drop);
    let leaving = Packet {
        direction: Direction::Out,
        ..entering(None, 25)
    };
    assert_eq!(spec.decide(&leaving), (Fate::Accept, None));
    assert!(spec.lets_somebody(&entering(None, 22)));
    assert!(!spec.lets_somebody(&entering(None, 23)));
    let mut bound = spec.clone();
    bound.sets.push(set("self", &["192.0.2.200/32"]));
    bound.rules[0].to = vec!["self".to_owned()];
    assert!(bound.lets_somebody(&entering(None, 22)));
    let mut closed = spec.clone();
    closed.sets[0].networks.clear();
    assert!(!closed.lets_somebody(&entering(None, 22)));
}

#[test]
fn rules_read_as_lines() {
    let mut spec = spec();
    spec.sets.push(set("nobody_yet", &[]));
    assert_eq!(
        spec.lines(),
        [
            "in tcp 22 from admin: accept (ssh)",
            "in tcp 443: accept (web)",
            "in anything else: drop",
            "out anything else: accept",
            "admin = 192.0.2.0/25 2001:db8::/48",
            "nobody_yet = nobody",
        ]
    );
}

proptest! {
    /// Whoever a set has not is as one whom no set knows, and a rule changes nothing for ports that
    /// it does not name.
    #[test]
    fn nobody_gains_by_rules_that_do_not_mean_them(
        address in any::<std::net::Ipv4Addr>(), port in 1_u16.., open in 1_u16..,
    ) {
        let mut spec = spec();
        spec.rules.push(rule("more", open, &["admin"]));
        let packet = |from| Packet { from, ..entering(None, port) };
        let somebody = packet(Some(std::net::IpAddr::V4(address)));
        if !spec.sets[0].networks[0].contains(&std::net::IpAddr::V4(address)) {
            prop_assert_eq!(spec.decide(&somebody), spec.decide(&packet(None)));
        } else if ![22, 443, open].contains(&port) {
            prop_assert_eq!(spec.decide(&somebody).0, Fate::Drop);
        }
    }
}
