//! What stands still within a pass: set first, looked at again after whatever ran, let go last; and what is
//! thrown away of it then.

use std::time::Duration;

use email_engine_protocol::desired::{HostConfig, ResourceKind};
use email_engine_protocol::observed::{ResourceState, ResourceStatus};

use super::bind::Turns;
use super::under_way::UnderWay;
use super::{Outcome, Reconciler};
use crate::resources::Finding;
use crate::transaction::Turn;

/// From one pass to the next over what stands still while the content that says so is not in force; what
/// the product begins anew is halted sooner.
const HALT_AGAIN: Duration = Duration::from_secs(5);

impl Outcome {
    /// Whether nothing is bad but, perhaps, what shall stand still and does not surely or is not thrown away,
    /// or a firewall that waits or was taken back. An older state would be worse for that: the same is halted beside it, but
    /// its content may let it send; and its rules are those that hold anyway.
    #[must_use]
    pub fn is_good_beside_halts(&self) -> bool {
        let beside = [
            ResourceKind::Discard,
            ResourceKind::Suspension,
            ResourceKind::Firewall,
        ];
        let is_beside = |status: &ResourceStatus| beside.contains(&status.kind);
        !self.interrupted && self.bad().all(is_beside)
    }
}

impl Reconciler {
    /// Sets what shall stand still, where that is due.
    pub(super) fn halt(&mut self, config: &HostConfig, due: bool, under_way: &UnderWay) -> usize {
        if !due {
            return 0;
        }
        let halted = self.suspensions.set(&mut self.machine, config, under_way);
        for resource in &config.resources {
            if let Some(state) = self.suspensions.state(&resource.id) {
                let finding = match state {
                    ResourceState::Converged => Finding::Right,
                    ResourceState::Simulated => Finding::Simulated,
                    _ => Finding::Unknown("it does not surely stand still".to_owned()),
                };
                self.findings.insert(resource.id.clone(), finding);
            }
        }
        halted
    }

    /// Before whatever takes its time: what stands still is looked at meanwhile, and from then on until
    /// its content is in force.
    pub(super) fn keep_halted(&mut self, config: &HostConfig, turns: &Turns) {
        let through = self.are_through(turns);
        self.suspensions.keep(&self.machine, config, through);
    }

    /// Nothing is looked at or asked between passes any more.
    pub(crate) fn rest(&mut self) {
        self.suspensions.rest();
        self.health.rest();
    }

    fn are_through(&self, turns: &Turns) -> bool {
        let mut ids = turns.keys();
        !self.suspensions.is_fallen_back() && ids.all(|id| self.transactions.is_through(id))
    }

    /// Throws away what waited for too long. Only where nothing new comes meanwhile: the content that takes
    /// nothing for it is in force, nothing of it was touched, and it is the newest state's, whatever is fallen
    /// back on.
    pub(super) fn throw_away(&mut self, config: &HostConfig, turns: &Turns, under_way: &UnderWay) {
        let rests = turns.values().all(|turn| *turn == Turn::Rest);
        let mut halts = config
            .resources
            .iter()
            .filter(|one| one.spec.kind() == ResourceKind::Suspension);
        let stands_still = halts.all(|one| {
            let state = self.suspensions.state(&one.id);
            state.is_some_and(ResourceState::is_right)
        });
        let hindrance = if !(rests && self.are_through(turns)) {
            Some("the content that takes nothing new for it is not in force")
        } else if !stands_still {
            Some("not all that shall stand still does so surely")
        } else {
            None
        };
        let again = self
            .discards
            .settle(&mut self.machine, config, hindrance, under_way);
        if let Some(again) = again {
            let again = again.saturating_duration_since(self.begin);
            self.due = Some(self.due.map_or(again, |due| due.min(again)));
        }
    }

    /// Lets go what stands still and shall no more, and looks again soon as long as the product goes
    /// on with a content that knows nothing of that: what it begins anew is not halted by itself. The
    /// content of a state that is fallen back on is such a one, though it is all that that state wants.
    pub(super) fn let_go(&mut self, config: &HostConfig, turns: &Turns) -> Vec<ResourceStatus> {
        let through = self.are_through(turns);
        self.suspensions.keep(&self.machine, config, through);
        let left = self.suspensions.release(&mut self.machine, config, through);
        if !through && self.suspensions.is_any() {
            let soon = self.begin.elapsed() + HALT_AGAIN;
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
        left
    }
}
