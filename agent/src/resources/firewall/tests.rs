//! What becomes of new rules, confirmed ones and those that nothing confirmed, on a wall of paper.

use email_engine_protocol::desired::{
    AddressSet, Direction, Fate, FirewallRule, PortRange, Protocol,
};

use super::*;
use crate::host::walls::{Shared, Told};

pub(super) fn spec() -> FirewallSpec {
    let set = |name: &str, networks: &[&str]| AddressSet {
        name: name.to_owned(),
        networks: networks.iter().map(|one| one.parse().unwrap()).collect(),
    };
    let rule = |name: &str, direction, protocol, from: &[&str], to: &[&str]| FirewallRule {
        name: name.to_owned(),
        direction,
        protocol,
        ports: Vec::new(),
        from: from.iter().map(|one| (*one).to_owned()).collect(),
        to: to.iter().map(|one| (*one).to_owned()).collect(),
        fate: Fate::Accept,
    };
    let range = |first, last| PortRange { first, last };
    let mut ssh = rule("ssh", Direction::In, Protocol::Tcp, &["admin"], &["self"]);
    ssh.ports = vec![range(22, 22), range(2200, 2210)];
    let mut web = rule("web", Direction::In, Protocol::Tcp, &[], &[]);
    web.ports = vec![range(443, 443)];
    let mut quiet = rule("quiet", Direction::Out, Protocol::Udp, &["self"], &[]);
    quiet.fate = Fate::Reject;
    FirewallSpec {
        input: Fate::Drop,
        output: Fate::Accept,
        sets: vec![
            set("admin", &["198.51.100.0/24", "2001:db8::/48"]),
            set("self", &["192.0.2.5/32"]),
        ],
        rules: vec![ssh, web, quiet],
        rollback_seconds: 60,
        attempt: 0,
    }
}

struct Bed {
    _dir: tempfile::TempDir,
    machine: Machine,
    wall: Shared,
    id: ResourceId,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let wall = Shared::default();
        machine.wall = Box::new(wall.clone());
        Self {
            _dir: dir,
            machine,
            wall,
            id: ResourceId::new("firewall:host").unwrap(),
        }
    }

    /// So many new connections are made; none after that.
    fn reached(&mut self, times: usize) -> &mut Self {
        let address = Ok("203.0.113.1:7443".parse().unwrap());
        let told = std::iter::repeat_n(address, times).collect();
        self.machine.reconnect = Box::new(Told(told));
        self
    }

    fn apply(&mut self, spec: &FirewallSpec) -> Result<(), String> {
        let applied = apply(&mut self.machine, &self.id, spec);
        applied.map_err(|error| error.to_string())
    }

    fn finding(&mut self, spec: &FirewallSpec) -> Finding {
        observe(&mut self.machine, spec)
    }

    fn text(&self) -> Option<String> {
        self.wall.0.lock().unwrap().text.clone()
    }

    fn changes(&self) -> usize {
        self.wall.0.lock().unwrap().changes
    }

    fn at_boot(&self, spec: &FirewallSpec) -> bool {
        boot::keeps(&self.machine, &render::render(spec)).unwrap()
    }
}

fn other() -> FirewallSpec {
    let mut other = spec();
    other.rules.pop();
    other
}

#[test]
fn rules_stand_once_a_new_connection_was_made_through_them() {
    let mut bed = Bed::new();
    let spec = spec();
    assert!(!bed.finding(&spec).is_satisfied());
    assert_eq!(bed.reached(2).apply(&spec), Ok(()));
    assert_eq!(bed.finding(&spec), Finding::Right);
    assert!(bed.at_boot(&spec));
    assert_eq!(bed.text(), Some(render::render(&spec)));
    let link = link_of(&bed);
    assert_eq!(link.as_deref(), Some(boot::unit().as_str()));
    remove(&mut bed.machine, &bed.id).unwrap();
    assert_eq!((bed.text(), bed.at_boot(&spec)), (None, false));
    assert_eq!(link_of(&bed), None);
    remove(&mut bed.machine, &bed.id).unwrap();
}

fn link_of(bed: &Bed) -> Option<String> {
    let path = "/etc/systemd/system/sysinit.target.wants/email-engine-firewall.service";
    bed.machine
        .files
        .read_link(&HostPath::new(path).unwrap())
        .unwrap()
}

#[test]
fn what_nothing_confirms_is_taken_back_and_not_tried_again_until_somebody_says_so() {
    let mut bed = Bed::new();
    bed.reached(2).apply(&other()).unwrap();
    let error = bed.reached(1).apply(&spec()).unwrap_err();
    assert!(error.contains("within 60 s: no answer"), "{error}");
    assert_eq!(bed.finding(&other()), Finding::Right);
    assert!(bed.at_boot(&other()));
    let changes = bed.changes();
    let again = bed.reached(2).apply(&spec()).unwrap_err();
    assert_eq!(again, error);
    assert_eq!(bed.changes(), changes, "nothing was set");
    let mut asked = spec();
    asked.attempt += 1;
    assert_eq!(bed.reached(2).apply(&asked), Ok(()));
    assert_eq!(bed.text(), Some(render::render(&spec())));
}

#[test]
fn the_first_rules_of_a_host_are_taken_back_to_none() {
    let mut bed = Bed::new();
    bed.reached(1).apply(&spec()).unwrap_err();
    assert_eq!((bed.text(), bed.at_boot(&spec())), (None, false));
}

#[test]
fn nothing_is_tried_while_no_coordinator_can_be_reached_but_what_stands_is_kept() {
    let mut bed = Bed::new();
    bed.reached(2).apply(&other()).unwrap();
    let error = bed.reached(0).apply(&spec()).unwrap_err();
    assert!(error.contains("wait until a coordinator"), "{error}");
    assert_eq!(bed.finding(&other()), Finding::Right);
    bed.wall.0.lock().unwrap().text = None;
    let expected = "the table inet email_engine is not there".to_owned();
    assert_eq!(bed.finding(&other()), Finding::Differs(expected));
    assert_eq!(bed.apply(&other()), Ok(()));
    assert_eq!(bed.finding(&other()), Finding::Right);
    // Reachable again: what waited was never taken back.
    assert_eq!(bed.reached(2).apply(&spec()), Ok(()));
}

#[test]
fn drift_is_seen_named_and_undone_and_a_pass_without_any_sets_nothing() {
    let mut bed = Bed::new();
    bed.reached(2).apply(&spec()).unwrap();
    let mut more = bed.text().unwrap();
    more.push_str("counter accept comment \"mine\"\n");
    bed.wall.0.lock().unwrap().text = Some(more);
    let expected = "the table inet email_engine was changed".to_owned();
    assert_eq!(bed.finding(&spec()), Finding::Differs(expected));
    bed.apply(&spec()).unwrap();
    assert_eq!(bed.finding(&spec()), Finding::Right);
    let changes = bed.changes();
    bed.machine.files.remove_file(&boot::unit()).unwrap();
    let expected = "not set at boot".to_owned();
    assert_eq!(bed.finding(&spec()), Finding::Differs(expected));
    bed.apply(&spec()).unwrap();
    assert!(bed.at_boot(&spec()));
    assert_eq!(bed.changes(), changes, "its counters go on");
}

#[test]
fn an_end_of_the_agent_in_between_ends_in_the_former_rules_and_no_loop() {
    let mut bed = Bed::new();
    bed.reached(2).apply(&other()).unwrap();
    // As a SIGKILL leaves it: written, set, and nothing after that.
    let mut record = Record::read(&bed.machine);
    record.trying = Some(spec_hash(&Spec::Firewall(spec())));
    record.write(&bed.machine).unwrap();
    bed.machine.wall.change(&render::render(&spec())).unwrap();
    boot::keep(&bed.machine, &render::render(&spec())).unwrap();
    assert!(!bed.finding(&spec()).is_satisfied());
    recover(&mut bed.machine).unwrap();
    assert_eq!(bed.finding(&other()), Finding::Right);
    let error = bed.reached(2).apply(&spec()).unwrap_err();
    assert!(error.contains("agent was ended"), "{error}");
    assert_eq!(bed.finding(&other()), Finding::Right);
    let changes = bed.changes();
    recover(&mut bed.machine).unwrap();
    assert_eq!(bed.changes(), changes, "once is enough");
}

#[test]
fn an_end_that_was_asked_for_takes_back_and_holds_nothing_against_the_rules() {
    let mut bed = Bed::new();
    let address = Ok("203.0.113.1:7443".parse().unwrap());
    bed.machine.reconnect = Box::new(Told([address, Err(Unreached::Stopping)].into()));
    bed.apply(&spec()).unwrap_err();
    assert_eq!(bed.text(), None);
    assert_eq!(bed.reached(2).apply(&spec()), Ok(()));
}

#[test]
fn rules_that_would_cut_somebody_off_are_never_set() {
    let mut bed = Bed::new();
    bed.wall.0.lock().unwrap().lifelines.ssh_ports.insert(2222);
    let error = bed.reached(2).apply(&spec()).unwrap_err();
    assert!(error.contains("tcp port 2222"), "{error}");
    let mut closed = spec();
    closed.output = Fate::Drop;
    bed.wall.0.lock().unwrap().lifelines.ssh_ports.clear();
    let error = bed.reached(2).apply(&closed).unwrap_err();
    assert!(error.contains("203.0.113.1:7443"), "{error}");
    assert_eq!(bed.changes(), 0);
}
