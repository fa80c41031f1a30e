//! Who is meant by the names in a firewall's rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::id::Role;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

use super::super::error::BundleFault;
use super::super::routes;
use crate::state::{FleetState, Host};

/// Where a bundle lists the networks that only an operator knows, for every host at that release.
const NETWORKS: &str = "firewall.toml";

/// `on` or `off` for one host, whatever the bundle says.
const LABEL: &str = "firewall";
const ON: &str = "on";
const OFF: &str = "off";
const LABELS: &str = "firewall-";
/// Where sshd listens on a host, when that is elsewhere.
const SSH_LABEL: &str = "ssh-port";
const SSH_PORT: u16 = 22;
/// Words for ports.
pub(super) const PORTS: [&str; 4] = ["api", "coordinators", "raft", "ssh"];

/// Networks by the name of their set.
pub(super) type Networks = BTreeMap<String, BTreeSet<IpNet>>;

/// What the fleet knows.
#[derive(Debug, Default)]
pub(in super::super) struct Known {
    /// What the host's label says.
    label: Option<bool>,
    /// By name.
    sets: Networks,
    /// By label, in place of the bundle's.
    labels: BTreeMap<String, String>,
    /// Ports that a rule may name: where nodes are called, and where people log in.
    pub(super) ports: BTreeMap<&'static str, BTreeSet<u16>>,
}

impl Known {
    /// For rules that name these sets: of others no host is looked at, because there may be as many as relays.
    pub(in super::super) fn of(state: &FleetState, host: &Host, named: &BTreeSet<&str>) -> Self {
        let working = |set: &str, roles: &'static [Role]| {
            let roles = roles.iter().filter(|_| named.contains(set));
            let hosts = roles.flat_map(|role| state.hosts_of(*role));
            let hosts: Vec<_> = hosts.filter(|other| routes::works(other)).collect();
            hosts
        };
        let of_roles = |set: &str, roles| -> BTreeSet<IpNet> {
            let hosts = working(set, roles).into_iter();
            let addresses = hosts.flat_map(|other| &other.spec.addresses);
            addresses.map(alone).collect()
        };
        let id = &host.spec.id;
        let placed = state.identities_on(id).map(|one| one.spec.address);
        let leaving = state.leaving_on(id).map(|one| one.spec().address);
        let relays = working("relays", &[Role::Powermta]).into_iter();
        let relays = relays.filter_map(|other| routes::admin_address(other).ok());
        let nodes = Nodes::of(state);
        let ssh = host
            .spec
            .labels
            .get(SSH_LABEL)
            .and_then(|port| port.parse().ok());
        let ssh = ssh.unwrap_or(SSH_PORT);
        // The fleet submits to the first one of IPv4, whichever is listed first of all.
        let submission = routes::admin_address(host).ok().map(IpAddr::from);
        let own = host.spec.addresses.iter().take(1).copied();
        let own = own.chain(submission);
        let sets = [
            ("apis", of_roles("apis", &[Role::Api])),
            ("node", nodes.on(host)),
            ("peers", nodes.peers()),
            ("coordinators", nodes.addresses),
            (
                "identities",
                placed.chain(leaving).map(|one| alone(&one)).collect(),
            ),
            ("relays", relays.map(|one| alone(&one.into())).collect()),
            ("self", own.map(|one| alone(&one)).collect()),
            (
                "submitters",
                of_roles("submitters", &[Role::Api, Role::Mailwizz]),
            ),
        ];
        let mut ports = nodes.ports;
        ports.insert("ssh", BTreeSet::from([ssh]));
        let labels = host.spec.labels.iter().filter_map(|(label, value)| {
            let name = label.strip_prefix(LABELS)?;
            Some((name.to_owned(), value.clone()))
        });
        Self {
            label: match host.spec.labels.get(LABEL).map(String::as_str) {
                Some(ON) => Some(true),
                Some(OFF) => Some(false),
                _ => None,
            },
            sets: sets.map(|(name, set)| (name.to_owned(), set)).into(),
            labels: labels.collect(),
            ports,
        }
    }
}

/// The nodes as rules mean them.
struct Nodes {
    /// Their addresses. None at all where one of them goes by a name: what that is for a host, only the
    /// host knows.
    addresses: BTreeSet<IpNet>,
    /// Whether one of them goes by a name.
    by_name: bool,
    ports: BTreeMap<&'static str, BTreeSet<u16>>,
}

impl Nodes {
    fn of(state: &FleetState) -> Self {
        let mut nodes = Self {
            addresses: BTreeSet::new(),
            by_name: false,
            ports: BTreeMap::new(),
        };
        let working = state.nodes.values();
        for node in working.filter(|node| node.role != MemberRole::Removed) {
            nodes.learn("coordinators", &node.agent_endpoint);
            nodes.learn("raft", &node.raft_endpoint);
            nodes.learn("api", &node.api_endpoint);
        }
        if nodes.by_name {
            nodes.addresses.clear();
        }
        nodes
    }

    fn learn(&mut self, word: &'static str, endpoint: &str) {
        let port = if let Ok(address) = endpoint.parse::<SocketAddr>() {
            self.addresses.insert(alone(&address.ip()));
            Some(address.port())
        } else {
            self.by_name = true;
            let port = endpoint.rsplit_once(':');
            port.and_then(|(_, port)| port.parse().ok())
        };
        self.ports.entry(word).or_default().extend(port);
    }

    /// Where a node may live on a host.
    fn on(&self, host: &Host) -> BTreeSet<IpNet> {
        let own = host.spec.addresses.iter().map(alone);
        own.filter(|own| self.by_name || self.addresses.contains(own))
            .collect()
    }

    /// Where nodes call each other from.
    fn peers(&self) -> BTreeSet<IpNet> {
        match self.by_name {
            true => [
                IpNet::from(Ipv4Net::default()),
                IpNet::from(Ipv6Net::default()),
            ]
            .into(),
            false => self.addresses.clone(),
        }
    }
}

fn alone(address: &IpAddr) -> IpNet {
    IpNet::from(address.to_canonical())
}

/// What an operator wrote into the bundle.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    networks: BTreeMap<String, Vec<String>>,
}

/// Whether a host has a firewall: as its label says, else as the bundle does.
pub(super) fn is_wanted(
    files: &BTreeMap<String, String>,
    known: &Known,
) -> Result<bool, BundleFault> {
    let of_bundle = written(files)?.enabled;
    Ok(known.label.unwrap_or(of_bundle))
}

/// Everything that rules may name on a host.
pub(super) fn networks(
    files: &BTreeMap<String, String>,
    known: &Known,
) -> Result<Networks, BundleFault> {
    let mut all = named(&written(files)?)?;
    for (name, value) in &known.labels {
        // Checked when it was declared; one that was declared before there was a check means nobody.
        all.insert(name.clone(), listed(value).unwrap_or_default());
    }
    // What the fleet knows is not for anybody to say otherwise.
    all.extend(known.sets.clone());
    Ok(all)
}

fn fault(line: Option<usize>, reason: String) -> BundleFault {
    BundleFault {
        file: NETWORKS.to_owned(),
        line,
        reason,
    }
}

fn written(files: &BTreeMap<String, String>) -> Result<Written, BundleFault> {
    let Some(text) = files.get(NETWORKS) else {
        return Ok(Written::default());
    };
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        fault(line, error.message().to_owned())
    })
}

fn named(written: &Written) -> Result<Networks, BundleFault> {
    let mut all = Networks::new();
    for (name, texts) in &written.networks {
        let networks = texts.iter().map(|text| {
            network(text).ok_or_else(|| {
                let reason = format!("{name}: {text:?} is no network such as \"192.0.2.0/24\"");
                fault(None, reason)
            })
        });
        all.insert(name.clone(), networks.collect::<Result<_, _>>()?);
    }
    Ok(all)
}

/// A network, or an address for itself alone. Bits behind the prefix are nobody's mistake but a habit.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(|one| alone(&one));
    let network = text.parse::<IpNet>().ok().map(|network| network.trunc());
    network.or_else(address).filter(|network| match network {
        IpNet::V4(_) => true,
        IpNet::V6(six) => six.network().to_ipv4_mapped().is_none(),
    })
}

/// Networks with blanks or commas between them.
fn listed(value: &str) -> Option<BTreeSet<IpNet>> {
    let texts = value.split([' ', ',']).filter(|text| !text.is_empty());
    texts.map(network).collect()
}

/// In order, without those that lie within another.
pub(super) fn apart(networks: BTreeSet<IpNet>) -> Vec<IpNet> {
    let mut kept: Vec<IpNet> = Vec::new();
    for network in networks {
        if !kept.last().is_some_and(|last| last.contains(&network)) {
            kept.push(network);
        }
    }
    kept
}

/// Whether a label is about the firewall.
pub(in super::super) fn is_label(label: &str) -> bool {
    [LABEL, SSH_LABEL].contains(&label) || label.starts_with(LABELS)
}

/// What a label about the firewall would have to be, unless it is.
pub(in super::super) fn label_fault(label: &str, value: &str) -> Option<&'static str> {
    if label == LABEL {
        (![ON, OFF].contains(&value)).then_some("\"on\" or \"off\"")
    } else if label == SSH_LABEL {
        let good = value.parse().is_ok_and(|port: u16| port > 0);
        (!good).then_some("a port, 1 to 65535")
    } else {
        let accepted = "networks with blanks between them, such as 192.0.2.0/24 2001:db8::/48";
        listed(value).is_none().then_some(accepted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNet {
        network(text).unwrap()
    }

    #[test]
    fn networks_are_read_as_people_write_them() {
        assert_eq!(net("192.0.2.9/24").to_string(), "192.0.2.0/24");
        assert_eq!(net("192.0.2.9").to_string(), "192.0.2.9/32");
        assert_eq!(net("2001:db8::1").to_string(), "2001:db8::1/128");
        for odd in ["", "x", "192.0.2.0/33", "admin", "::ffff:192.0.2.0/120"] {
            assert_eq!(network(odd), None, "{odd}");
        }
        assert_eq!(label_fault("firewall", "off"), None);
        assert_eq!(label_fault("firewall", "on"), None);
        assert!(label_fault("firewall", "yes").unwrap().contains("off"));
        assert_eq!(
            label_fault("firewall-admin", "192.0.2.0/24, 2001:db8::/48"),
            None
        );
        assert_eq!(label_fault("firewall-admin", ""), None);
        assert_eq!(label_fault("ssh-port", "2222"), None);
        assert!(label_fault("ssh-port", "0").is_some());
        assert!(label_fault("firewall-admin", "office").is_some());
    }

    proptest! {
        #[test]
        fn what_lies_within_another_goes_and_nobody_is_lost(
            all in proptest::collection::btree_set((any::<u32>(), 0_u8..=32), 0..20),
        ) {
            let all = all.into_iter().map(|(bits, prefix)| {
                let address = std::net::Ipv4Addr::from_bits(bits & 0xFF00_FF0F);
                IpNet::new(address.into(), prefix).unwrap().trunc()
            });
            let all: BTreeSet<IpNet> = all.collect();
            let kept = apart(all.clone());
            for pair in kept.windows(2) {
                prop_assert!(pair[0] < pair[1] && !pair[0].contains(&pair[1]));
            }
            for network in &all {
                prop_assert!(kept.iter().any(|one| one.contains(network)), "{network}");
            }
        }
    }
}
