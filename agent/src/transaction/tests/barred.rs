//! What the kernel refuses beside a transaction: first of all, whatever becomes of the content, and until
//! another one is in force.

use std::collections::BTreeSet;

use email_engine_protocol::desired::{
    BarSpec, CommandCheck, HaltSpec, HostConfig, OnRemove, Policy, Question, Resource, Sought,
    Spec, SuspensionSpec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use super::bed::Bed;
use super::{check, shell};
use crate::host::Bar;

const GOOD: [(&str, &str); 1] = [("config", "good")];
const BAD: [(&str, &str); 1] = [("config", "bad")];
const THREE: &str = "192.0.2.3";

/// A suspension of an address, and what its own product is told.
fn suspension(address: &str, ports: &[u16], set: CommandCheck) -> Resource {
    let halt = HaltSpec {
        set,
        unset: check(&format!(": {address}")),
        is_set: Question {
            command: shell("echo '[]'"),
            seconds: 20,
            list: String::new(),
            sought: Sought::Nothing,
        },
        theirs: None,
    };
    let bar = BarSpec {
        address: address.parse().unwrap(),
        ports: ports.to_vec(),
    };
    Resource {
        id: ResourceId::new(format!("suspension:{address}")).unwrap(),
        spec: Spec::Suspension(SuspensionSpec {
            halts: vec![halt],
            bars: vec![bar],
        }),
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

/// A state of this content in which these stand still; its content is refused where it says so.
fn state(bed: &Bed, members: &[(&str, &str)], suspended: Vec<Resource>) -> HostConfig {
    let config = bed.place("config").display().to_string();
    let mut state = bed.state_with(members, |spec| {
        spec.test = check(&format!(
            "grep -q bad {config} && echo Error in line 1; exit 0"
        ));
        spec.activate = check(":");
        spec.unit = None;
    });
    state.resources.extend(suspended);
    state.resources.sort_by(|one, two| one.id.cmp(&two.id));
    state
}

fn refused(bed: &mut Bed) -> BTreeSet<Bar> {
    bed.reconciler.machine.filter.refused().unwrap()
}

fn bars(address: &str, ports: &[u16]) -> BTreeSet<Bar> {
    let address = address.parse().unwrap();
    ports.iter().map(|port| (address, *port)).collect()
}

fn three(set: &str) -> Resource {
    suspension(THREE, &[25, 2525], check(set))
}

#[test]
fn an_address_is_refused_at_once_although_the_content_is_refused_and_the_product_fails() {
    let mut bed = Bed::with_programs();
    let good = state(&bed, &GOOD, Vec::new());
    assert!(bed.accept(&good).is_good());
    assert_eq!(refused(&mut bed), BTreeSet::new());
    let bad = state(&bed, &BAD, vec![three("echo error: nobody there")]);
    assert!(!bed.accept(&bad).is_good());
    assert_eq!(refused(&mut bed), bars(THREE, &[25, 2525]));

    // Somebody lets everything go, and the machine starts anew.
    bed.reconciler
        .machine
        .filter
        .refuse(&BTreeSet::new())
        .unwrap();
    bed.look(&bad);
    assert_eq!(refused(&mut bed), bars(THREE, &[25, 2525]));
    bed.restart();
    bed.look(&bad);
    assert_eq!(refused(&mut bed), bars(THREE, &[25, 2525]));
}

#[test]
fn it_is_let_go_once_the_content_that_says_so_is_in_force_and_others_stay() {
    let mut bed = Bed::with_programs();
    let one = || suspension("2001:db8::1", &[25], check(":"));
    let both = state(&bed, &GOOD, vec![three(":"), one()]);
    assert!(bed.accept(&both).is_good());
    let all: BTreeSet<Bar> = &bars(THREE, &[25, 2525]) | &bars("2001:db8::1", &[25]);
    assert_eq!(refused(&mut bed), all);

    let bad = state(&bed, &BAD, vec![one()]);
    bed.accept(&bad);
    assert_eq!(refused(&mut bed), all, "the content before knows of both");
    let good = state(&bed, &[("config", "other")], vec![one()]);
    assert!(bed.accept(&good).is_good());
    assert_eq!(refused(&mut bed), bars("2001:db8::1", &[25]));
    let none = state(&bed, &GOOD, Vec::new());
    assert!(bed.accept(&none).is_good());
    assert_eq!(refused(&mut bed), BTreeSet::new());
}

#[test]
fn what_an_earlier_life_had_refused_and_no_state_names_is_let_go() {
    let mut bed = Bed::with_programs();
    let left = bars("192.0.2.9", &[25]);
    bed.reconciler.machine.filter.refuse(&left).unwrap();
    let good = state(&bed, &GOOD, Vec::new());
    assert!(bed.accept(&good).is_good());
    assert_eq!(refused(&mut bed), BTreeSet::new());
}

#[test]
fn a_kernel_that_cannot_be_told_is_an_alarm_and_the_product_is_told_all_the_same() {
    let mut bed = Bed::with_programs();
    let told = bed.dir.path().join("told");
    let ports: Vec<u16> = (1..=12).collect();
    let set = check(&format!("touch {}", told.display()));
    let state = state(&bed, &GOOD, vec![suspension(THREE, &ports, set)]);
    let outcome = bed.accept(&state);
    let id = format!("suspension:{THREE}");
    let said = outcome.statuses.iter().find(|one| one.id.as_str() == id);
    let Some(ResourceState::Failed(why)) = said.map(|one| &one.state) else {
        panic!("{outcome:?}");
    };
    assert!(
        why.contains("12 addresses and ports are to be refused"),
        "{why}"
    );
    assert!(told.exists() && outcome.is_good_beside_halts());
}
