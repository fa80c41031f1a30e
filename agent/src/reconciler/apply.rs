//! Walking through a plan: in order, stopping behind what failed, telling who is to be told.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{HostConfig, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use super::order::Order;
use super::plan::{Decision, state_of};
use super::under_way::UnderWay;
use crate::host::Machine;
use crate::resources::{self, Contents, Finding};

/// One walk, and what it left.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    config: &'a HostConfig,
    order: &'a Order,
    under_way: &'a UnderWay,
    states: Vec<Option<ResourceState>>,
    /// Owed a notification by this walk.
    told: BTreeSet<ResourceId>,
    /// Owed one by an earlier walk.
    owed: BTreeSet<ResourceId>,
    /// What was seen after each change.
    pub(super) findings: BTreeMap<ResourceId, Finding>,
    /// Drifts that were undone.
    pub(super) repaired: Vec<ResourceId>,
    /// Resources that were changed.
    pub(super) changed: usize,
    /// Whether it was stopped on the way.
    pub(super) interrupted: bool,
}

impl<'a> Walk<'a> {
    /// `owed` holds whom an earlier walk could not tell.
    pub(super) fn new(
        config: &'a HostConfig,
        order: &'a Order,
        owed: BTreeSet<ResourceId>,
        under_way: &'a UnderWay,
    ) -> Self {
        Self {
            config,
            order,
            under_way,
            states: vec![None; config.resources.len()],
            told: BTreeSet::new(),
            owed,
            findings: BTreeMap::new(),
            repaired: Vec::new(),
            changed: 0,
            interrupted: false,
        }
    }

    pub(super) fn run(
        &mut self,
        machine: &mut Machine,
        contents: &dyn Contents,
        decisions: &[Decision],
    ) {
        for at in &self.order.sequence {
            if self.under_way.is_stopping() {
                self.interrupted = true;
                return;
            }
            let resource = &self.config.resources[*at];
            let (state, ran) = self.take(machine, contents, *at, &decisions[*at]);
            let state = self.tell(machine, *at, state, ran);
            if let ResourceState::Failed(reason) = &state {
                tracing::warn!(resource = %resource.id, reason, "resource failed");
            }
            self.states[*at] = Some(state);
        }
    }

    fn take(
        &mut self,
        machine: &mut Machine,
        contents: &dyn Contents,
        at: usize,
        decision: &Decision,
    ) -> (ResourceState, bool) {
        let resource = &self.config.resources[at];
        let (diff, repair) = match decision {
            Decision::Leave(state) => return (state.clone(), false),
            Decision::Make { diff, repair } => (diff, *repair),
        };
        if let Some(blocker) = self.order.needs[at].iter().find(|need| self.is_bad(**need)) {
            let id = &self.config.resources[*blocker].id;
            return (ResourceState::Blocked(format!("{id} is not right")), false);
        }
        let ensure = || resources::ensure(machine, contents, resource);
        match self.under_way.run(&resource.id, ensure) {
            Ok(ensured) => {
                let state = state_of(&ensured.finding);
                self.findings.insert(resource.id.clone(), ensured.finding);
                if ensured.changed {
                    tracing::info!(resource = %resource.id, diff, repair, "made right");
                    self.changed += 1;
                    self.told.extend(resource.notify.iter().cloned());
                    if repair {
                        self.repaired.push(resource.id.clone());
                    }
                }
                (state, ensured.changed)
            }
            Err(error) => {
                // It may have been changed before it failed: better told once too often.
                self.told.extend(resource.notify.iter().cloned());
                (ResourceState::Failed(error.to_string()), false)
            }
        }
    }

    /// Tells a resource what it is owed, once everything that tells it is right.
    fn tell(
        &mut self,
        machine: &mut Machine,
        at: usize,
        state: ResourceState,
        ran: bool,
    ) -> ResourceState {
        let resource = &self.config.resources[at];
        let due = self.told.contains(&resource.id) || self.owed.contains(&resource.id);
        let bad = |state: &ResourceState| {
            matches!(state, ResourceState::Failed(_) | ResourceState::Blocked(_))
        };
        if !due
            || bad(&state)
            || self.order.notifiers[at]
                .iter()
                .any(|from| self.is_bad(*from))
        {
            return state;
        }
        // A command that ran just now has seen the change already.
        let seen = ran && matches!(resource.spec, Spec::Step(_));
        let answer = if seen {
            Ok(())
        } else {
            let notify = || resources::notify(machine, resource);
            self.under_way.run(&resource.id, notify)
        };
        match answer {
            Ok(()) => {
                tracing::info!(resource = %resource.id, "notified");
                self.owed.remove(&resource.id);
                self.told.remove(&resource.id);
                state
            }
            Err(error) => ResourceState::Failed(format!("notification: {error}")),
        }
    }

    /// Who is still owed a notification.
    pub(super) fn still_owed(&self) -> BTreeSet<ResourceId> {
        self.owed.union(&self.told).cloned().collect()
    }

    fn is_bad(&self, at: usize) -> bool {
        matches!(
            self.states[at],
            Some(ResourceState::Failed(_) | ResourceState::Blocked(_))
        )
    }

    /// The state of every resource, those that were not reached as unknown.
    pub(super) fn into_states(self) -> impl Iterator<Item = ResourceState> {
        self.states
            .into_iter()
            .map(|state| state.unwrap_or_else(|| ResourceState::Unknown("not reached".to_owned())))
    }
}
