//! The machine with its inventory, and one pass over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use email_engine_protocol::desired::{Disposition, HostConfig, Resource};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{ResourceState, ResourceStatus};

use super::apply::Walk;
use super::contest::Contest;
use super::order::Order;
use super::pending::Pending;
use super::plan::{self, Decision, Plan};
use super::removal;
use crate::host::{Cabinet, Machine, RecordError};
use crate::inventory::{Inventory, Thing};
use crate::resources::{self, Contents, Finding};

/// What a pass looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything: the guarantee.
    All,
    /// Only these, because something was seen to happen to them. Removals and retries wait.
    Some(BTreeSet<ResourceId>),
}

impl Scope {
    fn covers(&self, id: &ResourceId) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(id),
        }
    }
}

/// What a pass left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every resource of the state, and what could not be removed.
    pub statuses: Vec<ResourceStatus>,
    /// Resources that were changed.
    pub changed: usize,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Outcome {
    /// Whether nothing failed and nothing is blocked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.interrupted
            && !self.statuses.iter().any(|status| {
                matches!(
                    status.state,
                    ResourceState::Failed(_) | ResourceState::Blocked(_)
                )
            })
    }
}

/// Why a pass changed nothing: what must be durable first could not be written.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed, because {what} could not be written first: {source}")]
pub struct PassError {
    /// What.
    pub what: &'static str,
    /// Why.
    pub source: RecordError,
}

/// The machine and what is known about it.
#[derive(Debug)]
pub struct Reconciler {
    /// The machine.
    pub machine: Machine,
    pub(super) cabinet: Cabinet,
    pub(super) inventory: Inventory,
    pending: Pending,
    contest: Contest,
    findings: BTreeMap<ResourceId, Finding>,
    states: BTreeMap<ResourceId, ResourceState>,
    repairs: u64,
    begin: Instant,
}

impl Reconciler {
    /// Goes on from what an earlier life left in the data folder. What is damaged there is said and
    /// begun anew: everything that the desired state names is claimed again.
    #[must_use]
    pub fn open(machine: Machine, cabinet: Cabinet) -> Self {
        let inventory = Inventory::read(&cabinet).unwrap_or_else(|error| {
            tracing::error!(%error, "inventory is lost: things no longer wanted may stay behind");
            Inventory::default()
        });
        let pending = Pending::read(&cabinet).unwrap_or_else(|error| {
            tracing::error!(%error, "owed notifications are lost");
            Pending::default()
        });
        Self {
            machine,
            cabinet,
            inventory,
            pending,
            contest: Contest::default(),
            findings: BTreeMap::new(),
            states: BTreeMap::new(),
            repairs: 0,
            begin: Instant::now(),
        }
    }

    /// What is owned.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Drifts repaired in this life.
    #[must_use]
    pub const fn repairs(&self) -> u64 {
        self.repairs
    }

    /// Another state is enforced from now on: nothing is known about it yet.
    pub fn change_state(&mut self) {
        self.contest.clear();
        self.findings.clear();
        self.states.clear();
    }

    /// One pass: observe, plan, apply.
    ///
    /// # Errors
    /// When inventory or owed notifications cannot be written; then nothing was changed.
    pub fn pass(
        &mut self,
        config: &HostConfig,
        order: &Order,
        contents: &dyn Contents,
        scope: &Scope,
        stop: &AtomicBool,
    ) -> Result<Outcome, PassError> {
        if *scope == Scope::All {
            self.sweep(config);
        }
        self.observe(config, contents, scope);
        let mut plan = self.plan(config);
        if *scope != Scope::All {
            self.narrow(config, scope, &mut plan);
        }
        let owed = self.pending.owed().clone();
        self.make_durable(config, &plan)?;
        let retiring = config.disposition == Disposition::Retired;
        let mut left = removal::run(self, &plan.early, retiring, true);
        let mut walk = Walk::new(config, order, owed, stop);
        let now = self.begin.elapsed();
        walk.run(&mut self.machine, contents, &plan.decisions);
        for id in &walk.repaired {
            self.contest.repaired(id, now);
        }
        self.repairs += walk.repaired.len() as u64;
        if !walk.interrupted {
            left.extend(removal::run(self, &plan.late, retiring, false));
        }
        self.settle(config, scope, &walk)?;
        let outcome = self.outcome(config, walk, left);
        tracing::debug!(
            changed = outcome.changed,
            good = outcome.is_good(),
            whole = *scope == Scope::All,
            "pass ended"
        );
        Ok(outcome)
    }

    /// A crash may have left a staged copy, with a secret in it, beside any file of ours.
    fn sweep(&self, config: &HostConfig) {
        let wanted = config.resources.iter().map(Thing::of);
        let owned = self.inventory.iter().map(|(thing, _)| thing.clone());
        let files: BTreeSet<Thing> = wanted.chain(owned).collect();
        for thing in files {
            if let Thing::File(path) = thing
                && let Err(error) = self.machine.files.sweep(&path)
            {
                tracing::warn!(%path, %error, "a staged copy may be left");
            }
        }
    }

    fn observe(&mut self, config: &HostConfig, contents: &dyn Contents, scope: &Scope) {
        for resource in &config.resources {
            if scope.covers(&resource.id) || !self.findings.contains_key(&resource.id) {
                let finding = resources::observe(&mut self.machine, contents, resource);
                self.findings.insert(resource.id.clone(), finding);
            }
        }
    }

    fn plan(&self, config: &HostConfig) -> Plan {
        let now = self.begin.elapsed();
        let contested = self
            .findings
            .iter()
            .filter(|(_, finding)| !finding.is_satisfied())
            .map(|(id, _)| id)
            .filter(|id| self.contest.is_contested(id, now))
            .cloned()
            .collect();
        plan::plan(config, &self.findings, &self.inventory, &contested)
    }

    /// What failed before waits for its own turn; a touched neighbour is no reason to try again.
    fn narrow(&self, config: &HostConfig, scope: &Scope, plan: &mut Plan) {
        plan.early.clear();
        plan.late.clear();
        for (resource, decision) in config.resources.iter().zip(&mut plan.decisions) {
            let differed = self
                .findings
                .get(&resource.id)
                .is_some_and(|finding| !finding.is_satisfied());
            if differed
                && !scope.covers(&resource.id)
                && let Some(state) = self.states.get(&resource.id)
            {
                *decision = Decision::Leave(state.clone());
            }
        }
    }

    fn make_durable(&mut self, config: &HostConfig, plan: &Plan) -> Result<(), PassError> {
        if self.inventory.claim(config) {
            self.write_inventory()?;
        }
        let mut owed = plan.to_be_told(config);
        owed.extend(self.pending.owed().iter().cloned());
        let known: BTreeSet<&ResourceId> = config.resources.iter().map(|r| &r.id).collect();
        owed.retain(|id| known.contains(id));
        self.owe(owed)
    }

    fn settle(
        &mut self,
        config: &HostConfig,
        scope: &Scope,
        walk: &Walk<'_>,
    ) -> Result<(), PassError> {
        let mut news = false;
        for resource in &config.resources {
            if let Some(finding) = walk.findings.get(&resource.id) {
                self.findings.insert(resource.id.clone(), finding.clone());
            } else if !scope.covers(&resource.id) {
                continue;
            }
            let right = self
                .findings
                .get(&resource.id)
                .is_some_and(Finding::is_satisfied);
            news |= right && self.inventory.mark_applied(resource);
        }
        if news {
            self.write_inventory()?;
        }
        self.owe(walk.still_owed())
    }

    fn outcome(
        &mut self,
        config: &HostConfig,
        walk: Walk<'_>,
        left: Vec<ResourceStatus>,
    ) -> Outcome {
        let status = |(resource, state): (&Resource, ResourceState)| ResourceStatus {
            id: resource.id.clone(),
            kind: resource.spec.kind(),
            state,
        };
        let changed = walk.changed;
        let interrupted = walk.interrupted;
        let mut statuses: Vec<ResourceStatus> = config
            .resources
            .iter()
            .zip(walk.into_states())
            .map(status)
            .collect();
        self.states = statuses
            .iter()
            .map(|status| (status.id.clone(), status.state.clone()))
            .collect();
        statuses.extend(left);
        Outcome {
            statuses,
            changed,
            interrupted,
        }
    }

    fn owe(&mut self, owed: BTreeSet<ResourceId>) -> Result<(), PassError> {
        self.pending
            .set(&self.cabinet, owed)
            .map_err(|source| PassError {
                what: "the list of owed notifications",
                source,
            })
    }

    pub(super) fn write_inventory(&self) -> Result<(), PassError> {
        self.inventory
            .write(&self.cabinet)
            .map_err(|source| PassError {
                what: "the inventory",
                source,
            })
    }
}
