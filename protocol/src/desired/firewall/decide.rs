//! What the rules make of one packet. Pure, so that whoever sets them can tell beforehand whom they
//! would cut off.

use std::net::IpAddr;

use super::{Direction, Fate, FirewallRule, FirewallSpec, Protocol};

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which way it goes.
    pub direction: Direction,
    /// What it speaks.
    pub protocol: Protocol,
    /// Who sends it; absent: anybody who is in no set.
    pub from: Option<IpAddr>,
    /// Who receives it; absent: as `from`.
    pub to: Option<IpAddr>,
    /// The port that it goes to.
    pub port: u16,
}

impl FirewallSpec {
    /// What becomes of a packet, and by which rule; without one by the chain's own fate.
    #[must_use]
    pub fn decide(&self, packet: &Packet) -> (Fate, Option<&FirewallRule>) {
        match self.rules.iter().find(|rule| self.fits(rule, packet)) {
            Some(rule) => (rule.fate, Some(rule)),
            None => match packet.direction {
                Direction::In => (self.input, None),
                Direction::Out => (self.output, None),
            },
        }
    }

    /// Whether somebody at all may send such a packet, to whichever end of it: one that no set knows, or
    /// one of those that a rule names.
    #[must_use]
    pub fn lets_somebody(&self, packet: &Packet) -> bool {
        let mut accepting = self.rules.iter().filter(|rule| rule.fate == Fate::Accept);
        let anybody = self.decide(&Packet {
            from: None,
            to: None,
            ..*packet
        });
        anybody.0 == Fate::Accept
            || accepting.any(|rule| {
                let (from, to) = (self.some_of(&rule.from), self.some_of(&rule.to));
                from.iter().any(|from| {
                    let packet = |to: &Option<IpAddr>| Packet {
                        from: *from,
                        to: *to,
                        ..*packet
                    };
                    to.iter()
                        .any(|to| self.decide(&packet(to)).0 == Fate::Accept)
                })
            })
    }

    /// One address of each network in these sets; where none are named, one that no set knows.
    fn some_of(&self, names: &[String]) -> Vec<Option<IpAddr>> {
        if names.is_empty() {
            return vec![None];
        }
        let sets = names.iter().filter_map(|name| self.set(name));
        let networks = sets.flat_map(|set| &set.networks);
        networks.map(|network| Some(network.network())).collect()
    }

    fn fits(&self, rule: &FirewallRule, packet: &Packet) -> bool {
        rule.direction == packet.direction
            && (rule.protocol == Protocol::Any || rule.protocol == packet.protocol)
            && (rule.ports.is_empty() || rule.ports.iter().any(|one| one.contains(packet.port)))
            && self.has(&rule.from, packet.from)
            && self.has(&rule.to, packet.to)
    }

    fn has(&self, names: &[String], address: Option<IpAddr>) -> bool {
        let has = |name: &String| {
            let networks = self.set(name).map(|set| &set.networks);
            let (Some(networks), Some(address)) = (networks, address) else {
                return false;
            };
            networks.iter().any(|network| network.contains(&address))
        };
        names.is_empty() || names.iter().any(has)
    }
}
