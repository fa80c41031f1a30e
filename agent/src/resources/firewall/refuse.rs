//! Whom rules would cut off. Pure: asked before anything is set.

use std::net::{IpAddr, SocketAddr};

use email_engine_protocol::desired::{Direction, Fate, FirewallSpec, Packet, Protocol};

use crate::host::Lifelines;

const DNS: u16 = 53;

/// Says whom rules would cut off, if they would: people at sshd, sshd from everybody, names.
pub(super) fn judge(spec: &FirewallSpec, lifelines: &Lifelines) -> Result<(), String> {
    for session in &lifelines.sessions {
        let packet = Packet {
            direction: Direction::In,
            protocol: Protocol::Tcp,
            from: Some(session.remote),
            to: Some(session.local),
            port: session.port,
        };
        let what = || {
            let (remote, local, port) = (session.remote, session.local, session.port);
            format!("who is logged in from {remote} at port {port} of {local} could not come again")
        };
        passes(spec, &packet, what)?;
    }
    for port in &lifelines.ssh_ports {
        let packet = Packet {
            direction: Direction::In,
            protocol: Protocol::Tcp,
            from: None,
            to: None,
            port: *port,
        };
        if !spec.lets_somebody(&packet) {
            let why = "sshd listens there, and a rule for nobody at all is a mistake";
            return Err(format!("nobody could reach tcp port {port}: {why}"));
        }
    }
    let out = |protocol, resolver| Packet {
        direction: Direction::Out,
        protocol,
        from: None,
        to: Some(resolver),
        port: DNS,
    };
    for resolver in &lifelines.resolvers {
        let what = || format!("{resolver} could not be asked for names");
        passes(spec, &out(Protocol::Udp, *resolver), what)?;
    }
    Ok(())
}

/// Says whether rules would cut off a coordinator that can be reached now.
pub(super) fn judge_coordinator(spec: &FirewallSpec, address: SocketAddr) -> Result<(), String> {
    let packet = Packet {
        direction: Direction::Out,
        protocol: Protocol::Udp,
        from: None,
        to: Some(plain(address.ip())),
        port: address.port(),
    };
    passes(spec, &packet, || {
        format!("the coordinator at {address} could not be reached")
    })
}

fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn passes(
    spec: &FirewallSpec,
    packet: &Packet,
    what: impl FnOnce() -> String,
) -> Result<(), String> {
    match spec.decide(packet) {
        (Fate::Accept, _) => Ok(()),
        (_, Some(rule)) => Err(format!("{}, by the rule `{rule}`", what())),
        (_, None) => Err(format!("{}: no rule lets it pass", what())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use email_engine_protocol::desired::PortRange;
    use proptest::prelude::*;

    use super::super::tests::spec;
    use super::*;
    use crate::host::Session;

    fn somebody(remote: Ipv4Addr, port: u16) -> Lifelines {
        Lifelines {
            ssh_ports: [port].into(),
            sessions: [Session {
                local: "192.0.2.5".parse().unwrap(),
                port,
                remote: remote.into(),
            }]
            .into(),
            resolvers: Default::default(),
        }
    }

    #[test]
    fn rules_are_refused_by_name_when_they_cut_off_people_names_or_coordinators() {
        let judged = |lifelines: &Lifelines| judge(&spec(), lifelines);
        let good = somebody([198, 51, 100, 9].into(), 22);
        assert_eq!(judged(&good), Ok(()));
        let error = judged(&somebody([203, 0, 113, 9].into(), 22)).unwrap_err();
        assert!(
            error.contains("203.0.113.9") && error.contains("no rule"),
            "{error}"
        );
        let listening = Lifelines {
            ssh_ports: [2222].into(),
            ..Lifelines::default()
        };
        let error = judged(&listening).unwrap_err();
        assert!(error.contains("tcp port 2222"), "{error}");
        let mut closed = spec();
        closed.output = Fate::Drop;
        let names = Lifelines {
            resolvers: ["192.0.2.53".parse().unwrap()].into(),
            ..Lifelines::default()
        };
        assert_eq!(judge(&spec(), &names), Ok(()));
        let error = judge(&closed, &names).unwrap_err();
        assert!(error.contains("192.0.2.53 could not be asked"), "{error}");
        let coordinator = "[::ffff:203.0.113.1]:7443".parse().unwrap();
        assert_eq!(judge_coordinator(&spec(), coordinator), Ok(()));
        let error = judge_coordinator(&closed, coordinator).unwrap_err();
        assert!(error.contains("203.0.113.1]:7443"), "{error}");
        let mut against = spec();
        against.rules[2].from.clear();
        let error = judge_coordinator(&against, coordinator).unwrap_err();
        assert!(error.contains("out udp: reject (quiet)"), "{error}");
    }

    proptest! {
        /// The judge lets through what the rules let through, and nothing else.
        #[test]
        fn nobody_is_judged_safe_whom_the_rules_drop(
            remote in prop_oneof![any::<u32>(), 0xC633_6400_u32..=0xC633_64FF], port in 1_u16.., first in 1_u16.., last in 1_u16..,
            open in any::<bool>(),
        ) {
            let mut spec = spec();
            spec.rules[0].ports = vec![PortRange { first: first.min(last), last: first.max(last) }];
            if open {
                spec.rules[0].from.clear();
                spec.rules[0].to.clear();
            }
            let remote = Ipv4Addr::from_bits(remote);
            let judged = judge(&spec, &somebody(remote, port));
            let listed = spec.sets[0].networks[0].contains(&IpAddr::V4(remote));
            let in_range = (first.min(last)..=first.max(last)).contains(&port);
            let expected = port == 443 || (in_range && (open || listed));
            prop_assert_eq!(judged.is_ok(), expected);
        }
    }
}
