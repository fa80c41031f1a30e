//! A host's firewall: every direction, protocol and fate once.

use email_engine_protocol::desired::{
    AddressSet, Direction, Fate, FirewallRule, FirewallSpec, OnRemove, Policy, PortRange, Protocol,
    Resource, Spec,
};

use super::samples::resource;

pub(crate) fn sample() -> Resource {
    let rule = |name: &str, direction, protocol, fate| FirewallRule {
        name: name.to_owned(),
        direction,
        protocol,
        ports: Vec::new(),
        from: vec!["admin".to_owned()],
        to: Vec::new(),
        fate,
    };
    let mut ssh = rule("ssh", Direction::In, Protocol::Tcp, Fate::Accept);
    ssh.ports.push(PortRange {
        first: 22,
        last: 23,
    });
    let networks = ["192.0.2.0/24", "2001:db8::/32"];
    let spec = FirewallSpec {
        input: Fate::Drop,
        output: Fate::Accept,
        sets: vec![AddressSet {
            name: "admin".to_owned(),
            networks: networks.iter().map(|one| one.parse().unwrap()).collect(),
        }],
        rules: vec![
            ssh,
            rule("udp", Direction::Out, Protocol::Udp, Fate::Drop),
            rule("icmp", Direction::Out, Protocol::Icmp, Fate::Reject),
            rule("all", Direction::In, Protocol::Any, Fate::Accept),
        ],
        rollback_seconds: 60,
        attempt: 1,
    };
    let spec = Spec::Firewall(spec);
    resource("firewall:host", spec, OnRemove::Delete, Policy::Enforce)
}
