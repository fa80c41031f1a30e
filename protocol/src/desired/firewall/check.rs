//! What rules must be before anybody renders or sets them.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::super::config::at_most;
use super::super::names;
use super::super::{ConfigError, Resource};
use super::{AddressSet, Fate, FirewallRule, FirewallSpec, Protocol};
use crate::limits;

const NAME: &str =
    "lower-case letters, digits and '_', beginning with a letter, at most 32 characters";
const SETS: &str = "sets in order of name, each once";
const NETWORKS: &str = "networks in order, none within another, with no bit set behind the prefix, and \
     IPv4 not written as IPv6";
const KNOWN: &str = "the name of a set of this firewall";
const RULE: &str = "rules with names that differ";
const FATE: &str = "accept or drop: a chain does not reject";
const PORTS: &str = "ports 1 to 65535 in order, ranges that do not overlap, at most 16 of them, and only with \
     tcp or udp";
const SECONDS: &str = "10 to 600 seconds";

pub(in super::super) fn check(resource: &Resource, spec: &FirewallSpec) -> Result<(), ConfigError> {
    at_most(
        "number of a firewall's rules",
        spec.rules.len(),
        limits::FIREWALL_RULES,
    )?;
    at_most(
        "number of a firewall's sets",
        spec.sets.len(),
        limits::FIREWALL_SETS,
    )?;
    let networks = spec.sets.iter().map(|set| set.networks.len()).sum();
    at_most(
        "number of a firewall's networks",
        networks,
        limits::FIREWALL_NETWORKS,
    )?;
    for (field, fate) in [("input", spec.input), ("output", spec.output)] {
        names::check(resource, field, "reject", fate != Fate::Reject, FATE)?;
    }
    let seconds = spec.rollback_seconds;
    let good = (10..=600).contains(&seconds);
    names::check(
        resource,
        "rollback_seconds",
        &seconds.to_string(),
        good,
        SECONDS,
    )?;
    let names: Vec<&str> = spec.sets.iter().map(|set| set.name.as_str()).collect();
    let sorted = names.is_sorted_by(|one, next| one < next);
    names::check(resource, "sets", &names.join(" "), sorted, SETS)?;
    for set in &spec.sets {
        check_set(resource, set)?;
    }
    let mut seen = BTreeSet::new();
    for rule in &spec.rules {
        let name = rule.name.as_str();
        names::check(resource, "rule", name, is_name(name), NAME)?;
        names::check(resource, "rule", name, seen.insert(name), RULE)?;
        check_rule(resource, spec, rule)?;
    }
    Ok(())
}

fn check_set(resource: &Resource, set: &AddressSet) -> Result<(), ConfigError> {
    names::check(resource, "set", &set.name, is_name(&set.name), NAME)?;
    for network in &set.networks {
        let good = *network == network.trunc() && !is_mapped(network);
        names::check(resource, "networks", &network.to_string(), good, NETWORKS)?;
    }
    for pair in set.networks.windows(2) {
        let good = pair[0] < pair[1] && !pair[0].contains(&pair[1]);
        names::check(resource, "networks", &pair[1].to_string(), good, NETWORKS)?;
    }
    Ok(())
}

fn check_rule(
    resource: &Resource,
    spec: &FirewallSpec,
    rule: &FirewallRule,
) -> Result<(), ConfigError> {
    for name in rule.from.iter().chain(&rule.to) {
        names::check(
            resource,
            "from and to",
            name,
            spec.set(name).is_some(),
            KNOWN,
        )?;
    }
    for names in [&rule.from, &rule.to] {
        at_most(
            "number of a rule's sets",
            names.len(),
            limits::FIREWALL_SETS_OF_RULE,
        )?;
    }
    let ports: Vec<String> = rule.ports.iter().map(ToString::to_string).collect();
    let has_ports = matches!(rule.protocol, Protocol::Tcp | Protocol::Udp);
    let good = (rule.ports.is_empty() || has_ports)
        && rule.ports.len() <= limits::FIREWALL_PORTS
        && rule
            .ports
            .iter()
            .all(|one| 0 < one.first && one.first <= one.last)
        && rule.ports.is_sorted_by(|one, next| one.last < next.first);
    names::check(resource, "ports", &ports.join(" "), good, PORTS)
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=32).contains(&name.len())
        && name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().all(allowed)
}

fn is_mapped(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(six) if six.network().to_ipv4_mapped().is_some())
}
