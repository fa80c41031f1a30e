//! Verdicts over made-up facts.

use std::collections::BTreeMap;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;

use super::{Check, Finding, Severity, preflight};
use crate::facts::{
    Facts, Installed, Machine, MailTrouble, Member, Membership, Os, Port, Program, UnitState,
};
use crate::layout::{AGENT, COORDINATOR, layout};
use crate::plan::History;
use crate::request::{Entry, Part, Request, Ticket};

const NOW: Timestamp = Timestamp(1000);
const LARGE: u64 = 1 << 50;

fn ticket(admission: Admission) -> Entry {
    Entry::Join(Box::new(Ticket {
        cluster: ClusterId([1; 16]),
        endpoints: vec!["192.0.2.1:7443".to_owned(), "192.0.2.2:7443".to_owned()],
        admission,
        expires_at: NOW.plus(1),
    }))
}

fn host(role: Role) -> Admission {
    let host = HostId::new("host1").unwrap();
    Admission::Host { host, role }
}

fn request(role: Role) -> Request {
    Request {
        part: Part::Agent,
        entry: ticket(host(role)),
        patience: None,
        awaits_convergence: true,
        advertise: None,
        mail_probe: None,
    }
}

fn node_request() -> Request {
    Request {
        part: Part::Coordinator,
        entry: Entry::Init,
        patience: None,
        awaits_convergence: true,
        advertise: Some("192.0.2.9".to_owned()),
        mail_probe: None,
    }
}

fn os(id: &str, version: &str) -> Os {
    Os {
        id: id.to_owned(),
        version: version.to_owned(),
        name: format!("{id} {version}"),
    }
}

/// A machine on which nothing is wrong.
fn facts() -> Facts {
    let program = || Program {
        path: "/opt/program".into(),
        hash: ContentHash([1; 32]),
    };
    Facts {
        machine: Machine {
            os: Ok(os("debian", "12")),
            is_root: true,
            has_systemd: true,
            cpus: Ok(64),
            memory: Ok(LARGE),
            disk: Ok(LARGE),
            free: BTreeMap::from([("/var".into(), Ok(LARGE))]),
            clock_synchronised: Ok(true),
            ports_taken: BTreeMap::new(),
            unwritable: BTreeMap::new(),
        },
        installed: Installed {
            users: ["root".to_owned()].into(),
            paths: BTreeMap::new(),
            units: BTreeMap::new(),
            membership: Ok(Membership::default()),
        },
        bundle: [AGENT, COORDINATOR]
            .map(|name| (name, Ok(program())))
            .into(),
        reach: vec![
            ("192.0.2.1:7443".to_owned(), Ok(())),
            ("192.0.2.2:7443".to_owned(), Ok(())),
        ],
        mail: None,
    }
}

fn judge(request: &Request, facts: &Facts) -> Vec<Finding> {
    let layout = layout(request, &facts.bundle);
    preflight(request, &layout, facts, &History::default(), NOW)
}

fn refused(request: &Request, facts: &Facts) -> Vec<Check> {
    let findings = judge(request, facts).into_iter();
    findings
        .filter(|finding| finding.severity == Severity::Refusal)
        .map(|finding| finding.check)
        .collect()
}

fn member(facts: &mut Facts, cluster: u8, name: &str) {
    facts.installed.membership.as_mut().unwrap().enrolled = Some(Member {
        cluster: ClusterId([cluster; 16]),
        name: name.to_owned(),
        role: Some(Role::Api),
    });
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for request in [request(Role::Api), request(Role::Powermta), node_request()] {
        assert_eq!(judge(&request, &facts()), []);
    }
}

#[test]
fn everything_is_found_at_once_and_the_worst_is_said_first() {
    let mut facts = facts();
    facts.machine.os = Ok(os("arch", ""));
    facts.machine.is_root = false;
    facts.machine.has_systemd = false;
    facts.machine.cpus = Ok(1);
    facts.machine.memory = Ok(1 << 30);
    facts.machine.disk = Err("no such device".to_owned());
    facts.machine.free = BTreeMap::from([("/var".into(), Ok(1 << 20))]);
    facts.machine.clock_synchronised = Ok(false);
    facts.machine.unwritable = BTreeMap::from([("/etc".into(), "read-only".to_owned())]);
    facts.bundle.insert(AGENT, Err("no such file".to_owned()));
    for (_, answer) in &mut facts.reach {
        *answer = Err("no answer".to_owned());
    }
    let mut request = request(Role::Api);
    if let Entry::Join(ticket) = &mut request.entry {
        ticket.expires_at = NOW;
    }
    let findings = judge(&request, &facts);
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    for check in [
        Check::OperatingSystem,
        Check::Root,
        Check::Systemd,
        Check::Cpus,
        Check::Memory,
        Check::Disk,
        Check::Clock,
        Check::Writable,
        Check::Program,
        Check::Reach,
        Check::Token,
    ] {
        assert!(checks.contains(&check), "{check:?} in {checks:?}");
    }
    assert!(findings.is_sorted_by_key(|finding| finding.severity));
    assert!(findings[0].text.contains("arch"), "{findings:?}");
}

#[test]
fn each_role_has_its_systems() {
    let verdict = |request: &Request, id: &str, version: &str| {
        let mut facts = facts();
        facts.machine.os = Ok(os(id, version));
        refused(request, &facts).is_empty()
    };
    let (api, powermta, node) = (request(Role::Api), request(Role::Powermta), node_request());
    assert!(verdict(&api, "ubuntu", "24.04") && !verdict(&powermta, "ubuntu", "24.04"));
    assert!(verdict(&powermta, "rocky", "9.4") && !verdict(&api, "rocky", "9.4"));
    assert!(verdict(&node, "almalinux", "8.10") && verdict(&node, "ubuntu", "22.04"));
    assert!(!verdict(&node, "debian", "11") && !verdict(&node, "debian", "120"));
    let mut old = facts();
    old.machine.os = Ok(os("centos", "7"));
    let text = &judge(&powermta, &old)[0].text;
    assert!(text.contains("CentOS 7 is past its end"), "{text}");
}

#[test]
fn smaller_machines_are_warned_of_and_not_refused() {
    let mut facts = facts();
    facts.machine.cpus = Ok(4);
    // Sold as 8 GB.
    facts.machine.memory = Ok(7_700_000_000);
    assert_eq!(judge(&request(Role::Api), &facts), []);
    let findings = judge(&request(Role::Powermta), &facts);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning)
    );
}

#[test]
fn another_clusters_identity_is_never_overwritten() {
    let mut facts = facts();
    member(&mut facts, 2, "host1");
    assert_eq!(refused(&request(Role::Api), &facts), [Check::Installation]);
    member(&mut facts, 1, "host2");
    assert_eq!(refused(&request(Role::Api), &facts), [Check::Installation]);
    member(&mut facts, 1, "host1");
    assert_eq!(refused(&request(Role::Api), &facts), [] as [Check; 0]);
    facts.installed.membership = Err("checksum".to_owned());
    assert_eq!(refused(&request(Role::Api), &facts), [Check::Installation]);
}

#[test]
fn a_token_that_was_redeemed_here_may_have_ended() {
    let mut facts = facts();
    let mut late = request(Role::Api);
    if let Entry::Join(ticket) = &mut late.entry {
        ticket.expires_at = NOW;
    }
    assert_eq!(refused(&late, &facts), [Check::Token]);
    member(&mut facts, 1, "host1");
    assert!(refused(&late, &facts).is_empty());
    late.entry = Entry::Already;
    assert!(refused(&late, &facts).is_empty());
    facts.installed.membership = Ok(Membership::default());
    assert_eq!(refused(&late, &facts), [Check::Token]);
}

#[test]
fn a_host_that_lost_its_identity_needs_what_one_needs_that_was_never_let_in() {
    let mut facts = facts();
    member(&mut facts, 1, "host1");
    let membership = facts.installed.membership.as_mut().unwrap();
    membership.identity_lost = true;
    let mut late = request(Role::Api);
    assert_eq!(judge(&late, &facts), []);
    if let Entry::Join(ticket) = &mut late.entry {
        ticket.expires_at = NOW;
    }
    assert_eq!(refused(&late, &facts), [Check::Token]);
    let mut away = facts.clone();
    for (_, answer) in &mut away.reach {
        *answer = Err("no answer".to_owned());
    }
    let unreached = refused(&request(Role::Api), &away);
    assert_eq!(unreached, [Check::Reach, Check::Reach]);
    // It is that host still, and without a token its programs may be renewed.
    member(&mut facts, 1, "host2");
    assert_eq!(refused(&request(Role::Api), &facts), [Check::Installation]);
    late.entry = Entry::Already;
    let findings = judge(&late, &facts);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].text.contains("--replace"), "{findings:?}");
}

#[test]
fn a_token_is_for_one_part() {
    let mut node = node_request();
    node.entry = ticket(host(Role::Api));
    assert_eq!(refused(&node, &facts()), [Check::Token]);
    let mut agent = request(Role::Api);
    agent.entry = ticket(Admission::Node);
    assert_eq!(refused(&agent, &facts()), [Check::Token]);
}

#[test]
fn one_coordinator_that_answers_is_enough() {
    let mut facts = facts();
    facts.reach[0].1 = Err("no answer".to_owned());
    let findings = judge(&request(Role::Api), &facts);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].text.contains("192.0.2.1:7443"));
    facts.reach[1].1 = Err("no answer".to_owned());
    assert_eq!(
        refused(&request(Role::Api), &facts),
        [Check::Reach, Check::Reach]
    );
}

#[test]
fn mail_that_cannot_leave_is_a_warning() {
    let server = "mx.example.com:25".to_owned();
    let mut facts = facts();
    facts.mail = Some((server.clone(), Ok(())));
    assert_eq!(judge(&request(Role::Powermta), &facts), []);
    let unknown = MailTrouble::Unknown("no such name".to_owned());
    facts.mail = Some((server.clone(), Err(unknown)));
    let findings = judge(&request(Role::Powermta), &facts);
    assert!(
        findings[0]
            .text
            .contains("is unknown: mx.example.com:25 cannot be called")
    );
    let shut = MailTrouble::Shut("timed out".to_owned());
    facts.mail = Some((server, Err(shut)));
    let findings = judge(&request(Role::Powermta), &facts);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].severity, findings[0].check),
        (Severity::Warning, Check::Mail)
    );
    let text = &findings[0].text;
    assert!(
        text.contains("mx.example.com:25 does not greet it (timed out)"),
        "{text}"
    );
}

#[test]
fn a_mail_server_is_called_by_hosts_that_send_and_by_nobody_else() {
    let server = Some("mx.example.com:25".to_owned());
    let called = |mut request: Request| {
        request.mail_probe = server.clone();
        request.mail_server().cloned()
    };
    assert_eq!(called(request(Role::Powermta)), server);
    assert_eq!(called(request(Role::Mailwizz)), None);
    assert_eq!(called(node_request()), None);
    let again = Request {
        entry: Entry::Already,
        ..request(Role::Powermta)
    };
    assert_eq!(called(again), None);
    assert_eq!(request(Role::Powermta).mail_server(), None);
}

#[test]
fn a_port_that_is_taken_is_refused_unless_it_is_our_own_node() {
    let mut facts = facts();
    facts.machine.ports_taken = BTreeMap::from([(Port::Udp(7444), "in use".to_owned())]);
    assert_eq!(refused(&node_request(), &facts), [Check::Port]);
    let state = UnitState {
        is_active: true,
        ..UnitState::default()
    };
    let unit = "email-engine-coordinator.service".to_owned();
    facts.installed.units.insert(unit, state);
    assert!(refused(&node_request(), &facts).is_empty());
}

#[test]
fn a_node_must_be_reachable_by_some_name() {
    let mut request = node_request();
    request.advertise = None;
    assert_eq!(refused(&request, &facts()), [Check::Advertise]);
}
