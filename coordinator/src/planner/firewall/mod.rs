//! What may enter and leave a host, in a role file.
//!
//! ```toml
//! [firewall]
//! input = "drop"                      # what becomes of what fits no rule: accept or drop
//! output = "accept"
//! rollback_seconds = 60               # taken back unless a coordinator is reached anew within so long
//! on_remove = "delete"
//! after = ["package:nftables"]
//!
//! [[firewall.rule]]
//! name = "ssh"
//! direction = "in"
//! protocol = "tcp"                    # any, tcp, udp or icmp
//! ports = ["ssh", "2200-2210"]        # where the packet goes to; all when absent
//! from = ["admin", "192.0.2.0/24"]    # sets by name, networks; anybody when absent
//! to = ["self"]
//! when_empty = "anybody"              # when the sets that it names have nobody: else it is left out
//! fate = "accept"                     # or drop, or reject
//! ```
//!
//! Rules are judged in order. What the fleet knows is a set: `self` (the host's admin address),
//! `identities` (its sending addresses), `submitters` (where the fleet submits from), `relays` (where it
//! submits to), `apis` (the API hosts), `coordinators`, `node` (the host's addresses at which a node is
//! called), `peers` (where nodes call each other from). What only an operator knows is one too: the networks that the bundle's
//! `firewall.toml` lists, replaced for one host by its label `firewall-NAME`. The ports `coordinators`,
//! `raft` and `api` are those of the nodes, `ssh` is the host's label `ssh-port` or 22. A host has a firewall
//! where `firewall.toml` says `enabled = true`, or its own label `firewall = "on"`; with the label `off` it has
//! none.

mod sets;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{
    AddressSet, Direction, Fate, FirewallRule, FirewallSpec, OnRemove, PortRange, Protocol, Spec,
};
use ipnet::IpNet;
use serde::Deserialize;

use self::sets::Networks;
pub(super) use self::sets::{Known, is_label, label_fault};
use super::basics::Made;
use super::build::Build;
use super::error::BundleFault;

pub(super) const ID: &str = "firewall:host";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirewallEntry {
    input: Fate,
    output: Fate,
    #[serde(default = "rollback_seconds")]
    rollback_seconds: u16,
    on_remove: OnRemove,
    #[serde(default, rename = "rule")]
    rules: Vec<RuleEntry>,
    #[serde(default)]
    pub(super) after: Vec<String>,
    #[serde(default)]
    pub(super) notify: Vec<String>,
}

impl FirewallEntry {
    /// The sets, and networks, that its rules name.
    pub(super) fn named(&self) -> BTreeSet<&str> {
        let rules = self.rules.iter();
        let all = rules.flat_map(|rule| rule.from.iter().chain(&rule.to));
        all.map(String::as_str).collect()
    }
}

const fn rollback_seconds() -> u16 {
    60
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: String,
    direction: Direction,
    protocol: Protocol,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    when_empty: WhenEmpty,
    fate: Fate,
}

/// What becomes of a rule that names sets without anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WhenEmpty {
    /// It is for anybody.
    Anybody,
    /// It is left out.
    #[default]
    Nobody,
}

/// The firewall of a host, unless its role or its label wants none.
pub(super) fn made<'a>(
    build: &Build<'_>,
    files: &BTreeMap<String, String>,
    entry: Option<&'a FirewallEntry>,
) -> Result<Option<Made<'a>>, BundleFault> {
    let known = &build.values.firewall;
    let Some(entry) = entry else {
        return Ok(None);
    };
    if !sets::is_wanted(files, known)? {
        return Ok(None);
    }
    let mut making = Making {
        build,
        sets: BTreeMap::new(),
        networks: sets::networks(files, known)?,
    };
    let mut rules = Vec::new();
    for rule in &entry.rules {
        rules.extend(making.rule(rule)?);
    }
    let spec = FirewallSpec {
        input: entry.input,
        output: entry.output,
        sets: making.sets.into_values().collect(),
        rules,
        rollback_seconds: entry.rollback_seconds,
        attempt: build.values.attempt,
    };
    Ok(Some(Made {
        id: ID.to_owned(),
        spec: Spec::Firewall(spec),
        on_remove: entry.on_remove,
        after: &entry.after,
        notify: &entry.notify,
    }))
}

struct Making<'a> {
    build: &'a Build<'a>,
    /// Those that a rule names.
    sets: BTreeMap<String, AddressSet>,
    networks: Networks,
}

impl Making<'_> {
    fn rule(&mut self, entry: &RuleEntry) -> Result<Option<FirewallRule>, BundleFault> {
        let anybody = entry.when_empty == WhenEmpty::Anybody;
        let from = self.names(entry, "from", &entry.from)?;
        let to = self.names(entry, "to", &entry.to)?;
        let is_empty = |names: &[String], wanted: &[String]| names.is_empty() && !wanted.is_empty();
        if (is_empty(&from, &entry.from) || is_empty(&to, &entry.to)) && !anybody {
            return Ok(None);
        }
        let ports = self.ports(entry)?;
        // Without nodes their ports are none, which is not all.
        if ports.is_empty() && !entry.ports.is_empty() {
            return Ok(None);
        }
        Ok(Some(FirewallRule {
            name: entry.name.clone(),
            direction: entry.direction,
            protocol: entry.protocol,
            ports,
            from,
            to,
            fate: entry.fate,
        }))
    }

    /// The sets of a rule that have somebody. Networks that it lists are one of its own.
    fn names(
        &mut self,
        entry: &RuleEntry,
        end: &str,
        wanted: &[String],
    ) -> Result<Vec<String>, BundleFault> {
        let (mut names, mut own) = (BTreeSet::new(), BTreeSet::new());
        for text in wanted {
            if let Some(networks) = self.networks.get(text) {
                if !networks.is_empty() {
                    self.add(text, networks.clone());
                    names.insert(text.clone());
                }
            } else if let Some(network) = sets::network(text) {
                own.insert(network);
            } else {
                let known: Vec<&str> = self.networks.keys().map(String::as_str).collect();
                let rule = &entry.name;
                return Err(self.build.fault(&format!(
                    "firewall rule {rule}: {end} {text:?} is no network such as \"192.0.2.0/24\" and \
                     none of the sets {}",
                    known.join(", ")
                )));
            }
        }
        if !own.is_empty() {
            let name = format!("{}_{end}", entry.name);
            self.add(&name, own);
            names.insert(name);
        }
        Ok(names.into_iter().collect())
    }

    fn add(&mut self, name: &str, networks: BTreeSet<IpNet>) {
        let set = AddressSet {
            name: name.to_owned(),
            networks: sets::apart(networks),
        };
        self.sets.insert(name.to_owned(), set);
    }

    fn ports(&self, entry: &RuleEntry) -> Result<Vec<PortRange>, BundleFault> {
        let mut ports = BTreeSet::new();
        for text in &entry.ports {
            if sets::PORTS.contains(&text.as_str()) {
                let all = self.build.values.firewall.ports.get(text.as_str());
                let all = all.into_iter().flatten();
                ports.extend(all.map(|port| PortRange {
                    first: *port,
                    last: *port,
                }));
                continue;
            }
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = first.parse().ok().zip(last.parse().ok());
            let range = range.map(|(first, last)| PortRange { first, last });
            let fault = || {
                let rule = &entry.name;
                self.build.fault(&format!(
                    "firewall rule {rule}: port {text:?} is no number, no range such as \"8000-8010\", \
                     and none of coordinators, raft, api and ssh"
                ))
            };
            ports.insert(range.ok_or_else(fault)?);
        }
        Ok(ports.into_iter().collect())
    }
}
