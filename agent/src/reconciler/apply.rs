//! Walking through a plan: in order, stopping behind what failed, telling who is to be told.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{HostConfig, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use super::bind::Turns;
use super::order::Order;
use super::plan::{Decision, state_of};
use super::under_way::UnderWay;
use crate::host::Machine;
use crate::resources::{self, ApplyError, Contents, Finding};
use crate::transaction::{Transactions, Turn, Verdict};

/// One walk, and what it left.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    config: &'a HostConfig,
    order: &'a Order,
    under_way: &'a UnderWay,
    states: Vec<Option<ResourceState>>,
    /// Transactions of which a good content is in force: they block nobody, whatever is said of
    /// another content.
    serving: BTreeSet<usize>,
    /// Owed a notification by this walk.
    told: BTreeSet<ResourceId>,
    /// Owed one by an earlier walk.
    owed: BTreeSet<ResourceId>,
    /// What was seen after each change.
    pub(super) findings: BTreeMap<ResourceId, Finding>,
    /// Drifts that were undone.
    pub(super) repaired: Vec<ResourceId>,
    /// Files, folders and links whose repair was undone by somebody before it was looked at.
    pub(super) undone: Vec<ResourceId>,
    /// Resources that were changed.
    pub(super) changed: usize,
    /// Whether it was stopped on the way.
    pub(super) interrupted: bool,
    /// Whether a check that has not answered yet was told as such.
    pub(super) untold: bool,
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
            serving: BTreeSet::new(),
            told: BTreeSet::new(),
            owed,
            findings: BTreeMap::new(),
            repaired: Vec::new(),
            undone: Vec::new(),
            changed: 0,
            interrupted: false,
            untold: false,
        }
    }

    pub(super) fn run(
        &mut self,
        machine: &mut Machine,
        transactions: &mut Transactions,
        contents: &dyn Contents,
        decisions: &[Decision],
        turns: &Turns,
    ) {
        for at in &self.order.sequence {
            if self.under_way.is_stopping() {
                self.interrupted = true;
                return;
            }
            let resource = &self.config.resources[*at];
            let is_member = self.order.member_of.contains_key(at);
            if is_member && matches!(decisions[*at], Decision::Make { .. }) {
                // Its transaction makes it right, or says why it is not.
                self.states[*at] = self.blocked(*at);
                continue;
            }
            let (state, ran) = match turns.get(&resource.id) {
                Some(turn) => self.transact(machine, transactions, contents, *at, decisions, turn),
                None => self.take(machine, contents, *at, &decisions[*at]),
            };
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
        if let Some(blocked) = self.blocked(at) {
            return (blocked, false);
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
                let is_entry = resource.spec.path().is_some();
                if repair && is_entry && matches!(error, ApplyError::Still(_)) {
                    self.undone.push(resource.id.clone());
                }
                (ResourceState::Failed(error.to_string()), false)
            }
        }
    }

    /// Lets a transaction take its turn, and sees what that made of its members.
    fn transact(
        &mut self,
        machine: &mut Machine,
        transactions: &mut Transactions,
        contents: &dyn Contents,
        at: usize,
        decisions: &[Decision],
        turn: &Turn,
    ) -> (ResourceState, bool) {
        let resource = &self.config.resources[at];
        let members = self.order.members.get(&at).into_iter().flatten();
        let made: Vec<usize> = members
            .copied()
            .filter(|member| matches!(decisions[*member], Decision::Make { .. }))
            .collect();
        let (state, ran) = match (&decisions[at], self.blocked(at)) {
            (Decision::Leave(state), _) => (state.clone(), false),
            (Decision::Make { .. }, Some(blocked)) => (blocked, false),
            (Decision::Make { diff, repair }, None) => {
                let members: Vec<_> = made.iter().map(|at| &self.config.resources[*at]).collect();
                let under_way = self.under_way;
                let take = || {
                    transactions.take(machine, contents, &resource.id, turn, &members, under_way)
                };
                match under_way.run(&resource.id, take) {
                    Ok(changed) => {
                        tracing::info!(transaction = %resource.id, diff, repair, "went through");
                        self.changed += 1 + changed.len();
                        self.told.extend(resource.notify.iter().cloned());
                        if *repair {
                            self.repaired.extend(changed);
                        }
                        let finding = if machine.system.is_simulated() {
                            Finding::Simulated
                        } else {
                            Finding::Right
                        };
                        let state = state_of(&finding);
                        self.findings.insert(resource.id.clone(), finding);
                        (state, true)
                    }
                    Err(untaken) => {
                        self.undone.extend(untaken.undone);
                        (ResourceState::Failed(untaken.reason), false)
                    }
                }
            }
        };
        let is_blocked = matches!(state, ResourceState::Blocked(_));
        for member in made {
            let resource = &self.config.resources[member];
            if is_blocked {
                let blocked = || ResourceState::Blocked("its transaction is blocked".to_owned());
                self.states[member].get_or_insert_with(blocked);
            } else {
                let finding = resources::observe(machine, contents, resource);
                self.states[member] = Some(state_of(&finding));
                self.findings.insert(resource.id.clone(), finding);
            }
        }
        if transactions.serves(&resource.id) {
            self.serving.insert(at);
        }
        (judged(state, transactions.verdict(&resource.id)), ran)
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
        !self.serving.contains(&at)
            && matches!(
                self.states[at],
                Some(ResourceState::Failed(_) | ResourceState::Blocked(_))
            )
    }

    /// Says who blocks a resource, if somebody does.
    pub(super) fn blocked(&self, at: usize) -> Option<ResourceState> {
        let mut needs = self.order.needs[at].iter();
        let blocker = needs.find(|need| self.is_bad(**need))?;
        let id = &self.config.resources[*blocker].id;
        Some(ResourceState::Blocked(format!("{id} is not right")))
    }

    /// How a resource was found that is not made right by walking.
    pub(super) fn found(&mut self, at: usize, state: ResourceState) {
        self.states[at] = Some(state);
    }

    /// The state of every resource, those that were not reached as unknown.
    pub(super) fn into_states(self) -> impl Iterator<Item = ResourceState> {
        self.states
            .into_iter()
            .map(|state| state.unwrap_or_else(|| ResourceState::Unknown("not reached".to_owned())))
    }
}

/// What is said of a transaction: how its files are, unless there is more to say of its content.
fn judged(state: ResourceState, verdict: Option<Verdict>) -> ResourceState {
    match (verdict, state) {
        (None, state)
        | (Some(_), state @ ResourceState::Blocked(_))
        | (Some(Verdict::Waits(_)), state @ ResourceState::Failed(_)) => state,
        (Some(Verdict::Stuck(text)), _) => ResourceState::Failed(text),
        (Some(Verdict::Refused(text)), ResourceState::Failed(reason)) if reason != text => {
            ResourceState::Failed(format!("{reason}; {text}"))
        }
        (Some(Verdict::Refused(text)), _) => ResourceState::Failed(text),
        (Some(Verdict::Waits(text)), _) => ResourceState::Drifted(text),
    }
}
