//! Every list of a sweep is somebody's, and somebody else's when that one is gone.

use std::collections::BTreeSet;

use email_engine_protocol::id::NodeId;
use proptest::prelude::*;

use super::*;
use crate::command::Command;
use crate::command::fixture::listing::{list, observer, run, subject, sweep};
use crate::command::fixture::{Fleet, SECOND};
use crate::state::{SweepRules, SweptList};

proptest! {
    #[test]
    fn each_list_has_one_node_for_each_turn_and_goes_round(
        number: u64,
        members in proptest::collection::btree_set(1..200u64, 1..7),
        lists in 1..30usize,
    ) {
        let sweep = Sweep {
            number,
            began_at: Timestamp(0),
            closed_at: None,
            members: members.iter().copied().map(NodeId).collect(),
            lists: (0..lists).map(|at| (list(&format!("l{at}")), SweptList::default())).collect(),
            rules: SweepRules::default(),
        };
        let next = Sweep { number: number.wrapping_add(1), ..sweep.clone() };
        let mut firsts = std::collections::BTreeMap::<NodeId, usize>::new();
        for list in sweep.lists.keys() {
            let turns: BTreeSet<_> = sweep.members.iter().map(|node| turn_of(&sweep, list, *node).unwrap()).collect();
            prop_assert_eq!(turns, (0..members.len() as u64).collect::<BTreeSet<_>>());
            let first = |sweep: &Sweep| sweep.members.iter().copied().find(|node| turn_of(sweep, list, *node) == Some(0));
            *firsts.entry(first(&sweep).unwrap()).or_default() += 1;
            if members.len() > 1 && number < u64::MAX {
                prop_assert_ne!(first(&sweep), first(&next));
            }
        }
        // Nobody has two more than another.
        let most = firsts.values().max().unwrap();
        let least = sweep.members.iter().map(|node| firsts.get(node).copied().unwrap_or_default()).min().unwrap();
        prop_assert!(most - least <= 1, "{:?}", firsts);
        prop_assert_eq!(turn_of(&sweep, &list("l0"), NodeId(999)), None);
    }
}

#[test]
fn a_list_of_a_node_that_is_gone_is_taken_over_and_no_other_is() {
    let mut fleet = Fleet::with_identities(1);
    let begin = sweep(&fleet, 2);
    fleet.accept(begin);
    let now = fleet.state.now;
    let of = |fleet: &Fleet, node, at| due(&fleet.state, NodeId(node), at);
    let (first, second) = (of(&fleet, 1, now), of(&fleet, 2, now));
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    let late = now.plus(15 * 60 * SECOND);
    assert_eq!(of(&fleet, 1, late).len(), 2);
    let mine = first[0].as_str();
    fleet.accept(Command::RecordListings(Box::new(run(
        Some(1),
        mine,
        1,
        &[],
    ))));
    assert_eq!(of(&fleet, 1, late), second);
    assert!(of(&fleet, 9, late).is_empty());
}

#[test]
fn what_one_node_saw_another_is_asked_to_confirm_when_it_is_time() {
    let mut fleet = Fleet::with_identities(2);
    let begin = sweep(&fleet, 2);
    fleet.accept(begin);
    fleet.accept(Command::RecordListings(Box::new(run(
        Some(1),
        "one",
        1,
        &[0],
    ))));
    let now = fleet.state.now;
    let late = now.plus(10 * 60 * SECOND);
    assert!(to_confirm(&fleet.state, &observer(2), now).is_empty());
    assert!(to_confirm(&fleet.state, &observer(1), late).is_empty());
    let wanted = to_confirm(&fleet.state, &observer(2), late);
    assert_eq!(wanted, [(list("one"), [subject(0)].into())]);
}

#[test]
fn lists_are_asked_about_what_they_know() {
    let fleet = Fleet::with_identities(2);
    let names = |kind| {
        subjects(&fleet.state, kind)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(Kind::Ip).len(), 2);
    let spec = &fleet.state.identities.values().next().unwrap().spec;
    assert!(names(Kind::Host).contains(&spec.hostname.to_string()));
    assert!(names(Kind::Domain).contains(&spec.zone.to_string()));
}
