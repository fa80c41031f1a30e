//! Rules as nft reads them. Every name and number was checked before, so nothing in here is free text.

use std::fmt::Write as _;

use email_engine_protocol::desired::{
    Direction, Fate, FirewallRule, FirewallSpec, PortRange, Protocol,
};
use ipnet::IpNet;

/// Takes our table away, whether it is there or not; nothing of others.
pub(super) const REMOVE: &str = "table inet email_engine\ndelete table inet email_engine\n";

/// What no host can do without. Connections that were there before the first rules are not tracked: nobody
/// opens one without SYN, and what is on its way is not to be cut. DHCP is asked and answered between two ports of each kind.
const ALWAYS: &str = "\
    ct state established,related accept\n\
    tcp flags & (fin | syn | rst | ack) != syn accept\n\
    icmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request, echo-reply } accept\n\
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, \
     echo-request, echo-reply, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, \
     nd-neighbor-advert, mld-listener-query, mld-listener-report, mld2-listener-report } accept\n";

/// The comment of the counter behind the last rule.
const REST: &str = "anything else";

/// One text that nft takes as a whole: the table as it was goes in the same moment.
pub(super) fn render(spec: &FirewallSpec) -> String {
    let mut text = format!("{REMOVE}table inet email_engine {{\n");
    for set in &spec.sets {
        for family in Family::BOTH {
            let networks = set.networks.iter().filter(|one| family.has(one));
            let networks: Vec<String> = networks.map(ToString::to_string).collect();
            if !networks.is_empty() {
                let (name, kind) = (family.set(&set.name), family.kind());
                let networks = networks.join(", ");
                let _ = writeln!(
                    text,
                    "set {name} {{ type {kind}; flags interval; elements = {{ {networks} }}; }}"
                );
            }
        }
    }
    for direction in [Direction::In, Direction::Out] {
        chain(&mut text, spec, direction);
    }
    text.push_str("}\n");
    text
}

/// The comments of the rules that a text makes, in order: what tells whether a table is made of it.
pub(super) fn comments(text: &str) -> Vec<&str> {
    let comments = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("comment \"")?;
        rest.strip_suffix('"')
    });
    comments.collect()
}

fn chain(text: &mut String, spec: &FirewallSpec, direction: Direction) {
    let (hook, policy, loopback, dhcp) = match direction {
        Direction::In => ("input", spec.input, "iifname", [(67, 68), (547, 546)]),
        Direction::Out => ("output", spec.output, "oifname", [(68, 67), (546, 547)]),
    };
    let _ = writeln!(text, "chain {hook} {{");
    let _ = writeln!(
        text,
        "type filter hook {hook} priority filter; policy {policy};"
    );
    let _ = writeln!(text, "{loopback} \"lo\" accept");
    text.push_str(ALWAYS);
    for (from, to) in dhcp {
        let _ = writeln!(text, "udp sport {from} udp dport {to} accept");
    }
    for rule in spec.rules.iter().filter(|rule| rule.direction == direction) {
        for line in lines(spec, rule) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    let _ = writeln!(text, "counter comment \"{REST}\"\n}}");
}

/// A rule over several sets is as many lines: nft asks one set at a time.
fn lines(spec: &FirewallSpec, rule: &FirewallRule) -> Vec<String> {
    let fate = fate(rule.fate);
    let (what, name) = (matched(rule), &rule.name);
    let line = |ends: &str| format!("{ends}{what}counter {fate} comment \"{name}\"");
    if rule.from.is_empty() && rule.to.is_empty() {
        return vec![line("")];
    }
    let mut lines = Vec::new();
    for family in Family::BOTH {
        for from in family.ends(spec, &rule.from, "saddr") {
            for to in family.ends(spec, &rule.to, "daddr") {
                lines.push(line(&format!("{from}{to}")));
            }
        }
    }
    lines
}

const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Accept => "accept",
        Fate::Drop => "drop",
        Fate::Reject => "reject",
    }
}

fn matched(rule: &FirewallRule) -> String {
    let protocol = match rule.protocol {
        Protocol::Any => return String::new(),
        Protocol::Icmp => return "meta l4proto { icmp, ipv6-icmp } ".to_owned(),
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    if rule.ports.is_empty() {
        return format!("meta l4proto {protocol} ");
    }
    let ports: Vec<String> = rule.ports.iter().map(PortRange::to_string).collect();
    format!("{protocol} dport {{ {} }} ", ports.join(", "))
}

/// Sets of nft hold addresses of one kind.
#[derive(Clone, Copy)]
enum Family {
    Four,
    Six,
}

impl Family {
    const BOTH: [Self; 2] = [Self::Four, Self::Six];

    const fn has(self, network: &IpNet) -> bool {
        matches!(
            (self, network),
            (Self::Four, IpNet::V4(_)) | (Self::Six, IpNet::V6(_))
        )
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Four => "ipv4_addr",
            Self::Six => "ipv6_addr",
        }
    }

    fn set(self, name: &str) -> String {
        match self {
            Self::Four => format!("{name}_4"),
            Self::Six => format!("{name}_6"),
        }
    }

    /// What asks for one end of a packet: nothing where anybody may be, and no line at all where
    /// nobody of this family is meant.
    fn ends(self, spec: &FirewallSpec, names: &[String], field: &str) -> Vec<String> {
        if names.is_empty() {
            return vec![String::new()];
        }
        let ip = match self {
            Self::Four => "ip",
            Self::Six => "ip6",
        };
        let sets = names.iter().filter_map(|name| spec.set(name));
        let sets = sets.filter(|set| set.networks.iter().any(|one| self.has(one)));
        sets.map(|set| format!("{ip} {field} @{} ", self.set(&set.name)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    #[test]
    fn a_table_reads_as_a_person_would_write_it() {
        let text = render(&spec());
        let expected = "\
table inet email_engine
delete table inet email_engine
table inet email_engine {
set admin_4 { type ipv4_addr; flags interval; elements = { 198.51.100.0/24 }; }
set admin_6 { type ipv6_addr; flags interval; elements = { 2001:db8::/48 }; }
set self_4 { type ipv4_addr; flags interval; elements = { 192.0.2.5/32 }; }
chain input {
type filter hook input priority filter; policy drop;
iifname \"lo\" accept
";
        assert!(text.starts_with(expected), "{text}");
        for line in [
            "udp sport 67 udp dport 68 accept",
            "ip saddr @admin_4 ip daddr @self_4 tcp dport { 22, 2200-2210 } counter accept comment \"ssh\"",
            "tcp dport { 443 } counter accept comment \"web\"",
            "counter comment \"anything else\"",
            "type filter hook output priority filter; policy accept;",
            "ip saddr @self_4 meta l4proto udp counter reject comment \"quiet\"",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        // The other end of that rule has no address of IPv6.
        assert!(!text.contains("ip6 saddr"), "{text}");
        assert_eq!(
            comments(&text),
            ["ssh", "web", "anything else", "quiet", "anything else"]
        );
        assert_eq!(comments(REMOVE), [""; 0]);
    }

    #[test]
    fn a_rule_for_nobody_lets_nobody_in() {
        let mut spec = spec();
        for set in &mut spec.sets {
            set.networks.clear();
        }
        let text = render(&spec);
        assert!(!text.contains("ssh") && !text.contains("set "), "{text}");
    }
}
