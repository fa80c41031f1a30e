//! What the shipped tables let in and out of hosts, and what an operator may say about it.

use std::net::IpAddr;

use email_engine_coordinator::planner::{PlanError, builtin_bundle};
use email_engine_coordinator::state::Node;
use email_engine_protocol::api::MemberRole;
use email_engine_protocol::desired::{Direction, Fate, FirewallSpec, Packet, Protocol, Spec};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use crate::fixture::Fleet;

const MAILWIZZ: &str = "198.51.100.10";
const POWERMTA: &str = "198.51.100.20";
const API: &str = "198.51.100.30";
const STRANGER: &str = "203.0.113.99";
const NODE: &str = "203.0.113.1";
const IDENTITY: &str = "192.0.2.1";

fn node(at: &str) -> Node {
    Node {
        id: NodeId(1),
        raft_endpoint: format!("{at}:7444"),
        agent_endpoint: format!("{at}:7443"),
        api_endpoint: format!("{at}:7443"),
        role: MemberRole::Voter,
        joined_at: Timestamp(0),
        supports_version: 1,
    }
}

/// The example with a node, whose hosts have a firewall.
fn fleet(at: &str) -> Fleet {
    let shipped = &builtin_bundle()["firewall.toml"];
    let enabled = shipped.replace("enabled = false", "enabled = true");
    assert_ne!(&enabled, shipped);
    let mut fleet = Fleet::sos_holidays().with_file("firewall.toml", &enabled);
    fleet.state.nodes.insert(NodeId(1), node(at));
    fleet
}

fn rules(fleet: &Fleet, host: &str) -> Option<FirewallSpec> {
    let planned = fleet.plan(host);
    planned
        .config
        .resources
        .into_iter()
        .find_map(|one| match one.spec {
            Spec::Firewall(spec) => Some(spec),
            _ => None,
        })
}

/// Whether a packet passes.
fn passes(
    spec: &FirewallSpec,
    direction: Direction,
    what: (Protocol, u16),
    ends: [&str; 2],
) -> bool {
    let [from, to] = ends.map(|end| Some(end.parse::<IpAddr>().unwrap()));
    let packet = Packet {
        direction,
        protocol: what.0,
        from,
        to,
        port: what.1,
    };
    spec.decide(&packet).0 == Fate::Accept
}

const fn tcp(port: u16) -> (Protocol, u16) {
    (Protocol::Tcp, port)
}

const fn udp(port: u16) -> (Protocol, u16) {
    (Protocol::Udp, port)
}

#[test]
fn a_powermta_host_takes_mail_from_the_fleet_and_sends_from_its_identities_alone() {
    let spec = rules(&fleet(NODE), "pmta1").unwrap();
    let enters = |what, ends| passes(&spec, Direction::In, what, ends);
    let leaves = |what, ends| passes(&spec, Direction::Out, what, ends);
    for submitter in [MAILWIZZ, API] {
        assert!(enters(tcp(2525), [submitter, POWERMTA]), "{submitter}");
    }
    assert!(!enters(tcp(2525), [STRANGER, POWERMTA]));
    assert!(!enters(tcp(2525), [MAILWIZZ, IDENTITY]));
    assert!(enters(tcp(25), [STRANGER, IDENTITY]));
    assert!(!enters(tcp(25), [STRANGER, POWERMTA]));
    assert!(enters(tcp(9100), [API, POWERMTA]) && !enters(tcp(9100), [MAILWIZZ, POWERMTA]));
    assert!(
        !enters(tcp(1983), [API, POWERMTA]),
        "the monitor is for loopback"
    );
    assert!(leaves(tcp(25), [IDENTITY, STRANGER]));
    // What is forwarded to a tenant's mailbox leaves from the host's own address.
    assert!(leaves(tcp(25), [POWERMTA, STRANGER]));
    assert!(!leaves(tcp(25), ["198.51.100.21", STRANGER]));
    // Also to nodes that are elsewhere tomorrow.
    assert!(leaves(udp(7443), [POWERMTA, NODE]) && leaves(udp(7443), [POWERMTA, STRANGER]));
    assert!(!leaves(udp(7444), [POWERMTA, NODE]));
    for (what, ok) in [
        (udp(53), true),
        (tcp(443), true),
        (udp(123), true),
        (tcp(8080), false),
    ] {
        assert_eq!(leaves(what, [POWERMTA, STRANGER]), ok, "{what:?}");
    }
}

#[test]
fn web_hosts_serve_anybody_and_send_no_mail_themselves() {
    for (host, own) in [("api1", API), ("mailwizz1", MAILWIZZ)] {
        let spec = rules(&fleet(NODE), host).unwrap();
        for port in [80, 443] {
            assert!(passes(&spec, Direction::In, tcp(port), [STRANGER, own]));
        }
        assert!(!passes(&spec, Direction::In, tcp(3306), [STRANGER, own]));
        assert!(!passes(&spec, Direction::In, udp(7443), [STRANGER, own]));
        assert!(passes(&spec, Direction::Out, tcp(2525), [own, POWERMTA]));
        assert!(!passes(&spec, Direction::Out, tcp(25), [own, STRANGER]));
    }
}

#[test]
fn nobody_is_locked_out_who_has_not_said_where_he_comes_from() {
    let ssh = |fleet: &Fleet, from, port| {
        let spec = rules(fleet, "pmta1").unwrap();
        passes(&spec, Direction::In, tcp(port), [from, POWERMTA])
    };
    assert!(ssh(&fleet(NODE), STRANGER, 22));
    let told = fleet(NODE).with_file(
        "firewall.toml",
        "enabled = true\n[networks]\nadmin = [\"198.51.100.128/25\"]\nscraper = []\n",
    );
    assert!(ssh(&told, "198.51.100.200", 22) && !ssh(&told, STRANGER, 22));
    // A host's own label is said of that host alone.
    let own = told
        .labelled("firewall-admin", "203.0.113.0/24")
        .labelled("ssh-port", "2222");
    assert!(ssh(&own, STRANGER, 2222) && !ssh(&own, STRANGER, 22));
    assert!(!ssh(&own, "198.51.100.200", 2222));
    let other = rules(&own, "api1").unwrap();
    assert!(passes(
        &other,
        Direction::In,
        tcp(22),
        ["198.51.100.200", API]
    ));
}

#[test]
fn a_host_that_is_also_a_node_lets_agents_operators_and_peers_in() {
    let spec = rules(&fleet(API), "api1").unwrap();
    let enters = |what, from| passes(&spec, Direction::In, what, [from, API]);
    assert!(enters(udp(7443), STRANGER) && enters(tcp(7443), STRANGER));
    assert!(enters(udp(7444), API) && !enters(udp(7444), STRANGER));
    // What a name means only a host knows: everywhere a node may be, and may be called.
    let named = fleet("node1.example.com");
    let spec = rules(&named, "pmta1").unwrap();
    assert!(passes(
        &spec,
        Direction::Out,
        udp(7443),
        [POWERMTA, STRANGER]
    ));
    let spec = rules(&named, "api1").unwrap();
    assert!(passes(&spec, Direction::In, udp(7444), [STRANGER, API]));
}

#[test]
fn a_host_may_have_no_firewall_and_a_retry_is_another_wish() {
    let mut fleet = fleet(NODE);
    assert_eq!(rules(&fleet, "pmta1").unwrap().attempt, 0);
    fleet
        .state
        .attempts
        .insert(fleet.plan("pmta1").config.host, 2);
    assert_eq!(rules(&fleet, "pmta1").unwrap().attempt, 2);
    let fleet = fleet.labelled("firewall", "off");
    assert_eq!(rules(&fleet, "pmta1"), None);
    assert!(rules(&fleet, "api1").is_some());
    // Where nobody asked for one there is none.
    let shipped = Fleet::sos_holidays();
    assert_eq!(rules(&shipped, "pmta1"), None);
    assert!(rules(&shipped.labelled("firewall", "on"), "pmta1").is_some());
}

#[test]
fn what_no_host_would_take_is_refused_where_it_is_planned() {
    let rule = |lines: &str| {
        format!(
            "\n[[firewall.rule]]\nname = \"mine\"\ndirection = \"in\"\nprotocol = \"tcp\"\n\
             fate = \"accept\"\n{lines}\n"
        )
    };
    let roles = builtin_bundle();
    for (lines, said) in [
        ("from = [\"office\"]", "\"office\" is no network"),
        ("ports = [\"http\"]", "port \"http\""),
        ("ports = [\"9-8\"]", "accepted is ports 1 to 65535"),
        ("ports = [\"0\"]", "accepted is ports 1 to 65535"),
        ("comment = \"x\"", "comment"),
        ("when_empty = \"all\"", "all"),
    ] {
        let role = format!("{}{}", roles["powermta/role.toml"], rule(lines));
        let refused: PlanError = fleet(NODE).with_file("powermta/role.toml", &role).refusal();
        assert!(refused.to_string().contains(said), "{lines}: {refused}");
    }
    let odd = fleet(NODE).with_file(
        "firewall.toml",
        "enabled = true\n[networks]\nadmin = [\"office\"]\n",
    );
    let refused = odd.refusal().to_string();
    assert!(
        refused.contains("firewall.toml") && refused.contains("office"),
        "{refused}"
    );
}
