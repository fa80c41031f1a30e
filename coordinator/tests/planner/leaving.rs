//! Identities that are gone from the fleet and drain on their host.

use email_engine_coordinator::planner::Planned;
use email_engine_coordinator::state::GivenUp;
use email_engine_protocol::desired::{DrainSpec, Spec};
use email_engine_protocol::id::{HostId, VmtaName};

use crate::fixture::{Fleet, lint, sections, texts};
use crate::golden::golden;

const CONFIG: &str = "/etc/pmta/config";
const ADDRESS: &str = "192.0.2.3";
const KEY: &str = "file:/etc/pmta/dkim/mail3.pem";

fn drain(planned: &Planned) -> &DrainSpec {
    let mut specs = planned.config.resources.iter().map(|one| &one.spec);
    let found = specs.find_map(|spec| match spec {
        Spec::Transaction(spec) => spec.drain.as_ref(),
        _ => None,
    });
    found.unwrap()
}

fn has_key(planned: &Planned) -> bool {
    planned
        .config
        .resources
        .iter()
        .any(|one| one.id.as_str() == KEY)
}

/// Lines that only the first of two texts has.
fn lost(before: &str, after: &str) -> String {
    let lines = before.lines().filter(|line| !line.starts_with("# sha256"));
    let lost = lines.filter(|line| !after.lines().any(|other| other == *line));
    lost.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_drains_keeps_section_key_and_pace_and_takes_nothing_new() {
    let mut fleet = Fleet::sos_holidays();
    let before = texts(&fleet.plan("pmta1"))[CONFIG].clone();
    fleet.leave(ADDRESS, false);
    let planned = fleet.plan("pmta1");
    let text = &texts(&planned)[CONFIG];
    golden("leaving.conf", text);
    assert_eq!(lint(text), "");
    // Nothing is lost but the ways into it: its section is there, letter for letter.
    assert_eq!(
        lost(&before, text),
        "    header X-Virtual-MTA /^\\s*vmta-mail3\\s*$/ virtual-mta=vmta-mail3\n    \
         mail-from /@mail3\\.sos-holidays\\.com$/ virtual-mta=vmta-mail3"
    );
    let section = |text: &str| {
        let found = sections(text).into_iter();
        let mut own = found.filter(|(head, _)| *head == "<virtual-mta vmta-mail3>");
        let (_, lines) = own.next().unwrap();
        lines.join("\n")
    };
    assert_eq!(section(text), section(&before));
    assert!(has_key(&planned));
    let spec = drain(&planned);
    assert_eq!(spec.leaving, ["vmta-mail3"]);
    assert_eq!((spec.holds.len(), spec.given_up.len()), (5, 0));
    // The application that submits knows it no more.
    let mailwizz = texts(&fleet.plan("mailwizz1"));
    assert!(mailwizz.values().all(|text| !text.contains("vmta-mail3")));
}

#[test]
fn what_is_answered_to_the_last_one_of_a_tenant_is_forwarded_and_counted_while_it_drains() {
    let mut fleet = Fleet::sos_holidays();
    let aliases = |text: &str| -> Vec<String> {
        let of_domain = |line: &&str| line.starts_with("    alias ") && line.contains("@mail3.");
        text.lines().filter(of_domain).map(str::to_owned).collect()
    };
    let before = aliases(&texts(&fleet.plan("pmta1"))[CONFIG]);
    assert!(
        before.len() > 2,
        "the visible sender is among them: {before:?}"
    );
    let others: Vec<String> = fleet
        .state
        .identities
        .keys()
        .map(ToString::to_string)
        .collect();
    for address in &others {
        fleet.leave(address, false);
    }
    let planned = fleet.plan("pmta1");
    assert_eq!(aliases(&texts(&planned)[CONFIG]), before);
    let accounting = planned.config.accounting.unwrap();
    assert_eq!(accounting.identities.len(), others.len());
    assert!(accounting.rejecting.is_empty(), "nobody submits any more");
}

#[test]
fn when_it_is_empty_or_given_up_section_and_key_go() {
    let mut fleet = Fleet::sos_holidays();
    fleet.leave(ADDRESS, false);
    fleet.state.leaving.clear();
    fleet.state.reindex();
    let host = HostId::new("pmta1").unwrap();
    let vmta = VmtaName::new("vmta-mail3").unwrap();
    let names = fleet.state.given_up.or_default(&host);
    let given_up = GivenUp {
        address: ADDRESS.parse().unwrap(),
        revision: 7,
    };
    names.insert(vmta, given_up);
    let planned = fleet.plan("pmta1");
    assert!(!texts(&planned)[CONFIG].contains("mail3"));
    assert!(!has_key(&planned));
    let spec = drain(&planned);
    assert_eq!((spec.holds.len(), spec.leaving.len()), (4, 0));
    assert_eq!(spec.given_up, ["vmta-mail3"]);
}

#[test]
fn one_that_moved_drains_without_a_listener_on_the_address_that_it_took_along() {
    let mut fleet = Fleet::sos_holidays();
    fleet.leave(ADDRESS, true);
    fleet.edit(ADDRESS, |ip| ip.host = HostId::new("elsewhere").unwrap());
    fleet.state.reindex();
    let planned = fleet.plan("pmta1");
    let text = &texts(&planned)[CONFIG];
    assert!(text.contains("smtp-source-host 192.0.2.3 mail3.sos-holidays.com"));
    assert!(text.contains("smtp-listener 192.0.2.2:25"));
    assert!(!text.contains("smtp-listener 192.0.2.3:25"));
    assert_eq!(drain(&planned).leaving, ["vmta-mail3"]);
}
