//! Commands as the log may bring them: whatever decodes is judged, and nothing is half done.

use std::sync::LazyLock;

use email_engine_fuzz::fuzz;

use super::fixture::Fleet;
use super::{Command, Proposal};
use crate::fleet;
use crate::state::{self, FleetState};

/// A fleet to which commands are put, and the beginning of a proposal to it.
static FLEET: LazyLock<(FleetState, Proposal)> = LazyLock::new(|| {
    let mut fleet = Fleet::with_identities(2);
    let command = fleet.stock(1);
    let proposal = fleet.proposal(command);
    (fleet.state, proposal)
});

fn samples() -> Vec<Vec<u8>> {
    let lines = include_str!("format.golden").lines();
    lines
        .map(|line| line.split_once(' ').unwrap().1)
        .map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())
        .collect()
}

/// Puts a proposal to the fleet: it is refused and changes nothing, or the invariants hold.
fn put(proposal: &Proposal) {
    let (before, _) = &*FLEET;
    let mut state = before.clone();
    let (answer, bodies) = state.apply(proposal);
    assert_eq!(fleet::check(&state), Ok(()), "{answer:?}");
    if answer.is_err() {
        assert!(bodies.is_empty());
        state.remembered.clone_from(&before.remembered);
        state.remembered_order.clone_from(&before.remembered_order);
        assert!(state == *before, "a refusal changed something");
    }
}

#[test]
fn any_command_is_refused_or_keeps_the_invariants() {
    fuzz!(samples(), |bytes| {
        let Ok(command) = postcard::from_bytes::<Command>(bytes) else {
            return false;
        };
        let again = postcard::to_stdvec(&command).unwrap();
        assert_eq!(postcard::from_bytes(&again).as_ref(), Ok(&command));
        let (_, proposal) = &*FLEET;
        put(&Proposal {
            command,
            ..proposal.clone()
        });
        true
    });
}

#[test]
fn any_proposal_is_refused_or_keeps_the_invariants() {
    let sample = postcard::to_stdvec(&FLEET.1).unwrap();
    fuzz!(vec![sample], |bytes| {
        postcard::from_bytes::<Proposal>(bytes).is_ok_and(|proposal| {
            put(&proposal);
            true
        })
    });
}

#[test]
fn any_state_is_read_or_refused_and_read_back() {
    fuzz!(vec![state::encode(&FLEET.0)], |bytes| {
        let decode = |bytes: &[u8]| state::decode(state::TABLES_VERSION, bytes);
        decode(bytes).is_ok_and(|read| {
            assert!(decode(&state::encode(&read)).is_ok_and(|again| again == read));
            true
        })
    });
}
