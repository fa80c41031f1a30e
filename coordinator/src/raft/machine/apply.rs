//! The one place where Raft meets the rules of the fleet.

use crate::command::{Answer, BodyChange, Proposal};
use crate::state::FleetState;

/// What a committed proposal does to the state.
pub(crate) type Apply = fn(&mut FleetState, &Proposal) -> (Answer, Vec<BodyChange>);

/// The rules of [`crate::command`].
pub(crate) const fn fleet_rules() -> Apply {
    FleetState::apply
}
