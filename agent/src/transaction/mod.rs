//! Files that change together or not at all (`Spec::Transaction`).
//!
//! A change keeps what is there, writes a journal, lays new files beside the live ones, renames them
//! in order, has the product test, activate, read back and prove them, and commits; whatever fails or
//! is cut off is undone. So a host has the content before or the content after, and says which.
//!
//! - `drain` asks the product what is left under names that go.
//! - [`content`], [`decide`], [`settle`] and [`shape`] are pure: what is wanted, what comes next,
//!   what is enforced while a content is held back, what an answer must look like.
//! - [`standing`] is what is known of one transaction, [`shelf`] where that lies on disk.
//! - `swap` moves files, `stages` asks the product, `run` goes from one standing to the next.
//! - [`Transactions`] is all of it, as the reconciler uses it.
//!
//! A content that was refused is not tried again until it changes (an operator's word changes it
//! too), and drift is mended to the last good one, not to it.

pub mod content;
pub mod decide;
mod drain;
mod quiet;
mod run;
pub mod settle;
pub mod shape;
pub mod shelf;
mod stages;
pub mod standing;
mod swap;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use email_engine_protocol::desired::{HostConfig, Resource, Spec, TransactionSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::DrainStatus;

use crate::host::{self, Cabinet, Machine};
use crate::reconciler::UnderWay;
use crate::reconciler::order::{self, Order};
use crate::resources::Contents;
use content::Content;
pub use decide::Verdict;
use decide::{Held, Next, UndoneBy};
use drain::{Asked, Drains};
use run::{Run, RunError};
use settle::Keeps;
use shelf::Shelf;
use standing::Standing;

/// A state with its order.
pub type Ordered = Arc<(HostConfig, Order)>;

/// What a transaction needs in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its wanted content goes through all stages.
    Change,
    /// Nothing.
    Rest,
    /// What somebody touched is put back.
    Repair,
    /// A change that was begun could not be undone: nothing of it is touched until it is.
    Stuck,
}

/// Every transaction of a host.
#[derive(Debug)]
pub struct Transactions {
    shelf: Shelf,
    standings: BTreeMap<ResourceId, Standing>,
    /// What the enforced state wants.
    wanted: BTreeMap<ResourceId, (Content, TransactionSpec)>,
    /// The state with what is kept in the place of what is held back, when something is.
    settled: Option<Ordered>,
    /// Whether something changed since that was made.
    stale: bool,
    /// Why a change that was begun is neither through nor undone.
    stuck: BTreeMap<ResourceId, String>,
    /// Names of good contents that wanted ones lack.
    missing: BTreeMap<ResourceId, Vec<String>>,
    /// What is left under names.
    drains: BTreeMap<ResourceId, Drains>,
}

impl Transactions {
    /// Goes on from what an earlier life left. Nothing is undone yet: that takes the machine.
    #[must_use]
    pub fn open(cabinet: Cabinet) -> Self {
        let shelf = Shelf::new(cabinet);
        let standings = shelf.standings();
        let mut tidied = standings.values().map(|standing| shelf.tidy(standing));
        if let Err(error) = shelf.sweep().and_then(|()| tidied.try_for_each(|one| one)) {
            tracing::warn!(%error, "copies of a transaction stay until the next life");
        }
        Self {
            shelf,
            standings,
            wanted: BTreeMap::new(),
            settled: None,
            stale: true,
            stuck: BTreeMap::new(),
            missing: BTreeMap::new(),
            drains: BTreeMap::new(),
        }
    }

    /// Another state is enforced from now on.
    pub fn change_state(&mut self) {
        self.wanted.clear();
        self.missing.clear();
        self.settled = None;
        self.stale = true;
    }

    /// Undoes every change that was begun and has not ended. Before anything else: what an earlier
    /// life was cut off in is put back first.
    pub fn recover(&mut self, machine: &mut Machine, contents: &dyn Contents) {
        let quiet = UnderWay::default();
        for (id, standing) in &mut self.standings {
            if standing.journal.is_none() {
                continue;
            }
            let mut run = Run {
                machine,
                contents,
                shelf: &self.shelf,
                standing,
                under_way: &quiet,
            };
            self.stale = true;
            match run.undo(UndoneBy::Finder) {
                Ok(_) => {
                    self.stuck.remove(id);
                }
                Err(error) => {
                    tracing::error!(transaction = %id, %error, "a change is not undone");
                    self.stuck.insert(id.clone(), error.to_string());
                }
            }
        }
    }

    /// Whether a change that was begun has not ended.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        let mut standings = self.standings.values();
        standings.any(|standing| standing.journal.is_some())
    }

    /// Learns what a state wants, and asks what would be lost with it. The same state is given until
    /// [`change_state`](Self::change_state).
    pub fn learn(&mut self, config: &HostConfig, machine: &mut Machine) {
        for resource in &config.resources {
            if let Spec::Transaction(spec) = &resource.spec
                && !self.wanted.contains_key(&resource.id)
            {
                let content = Content::wanted(config, spec);
                self.wanted
                    .insert(resource.id.clone(), (content, spec.clone()));
                self.compare(&resource.id);
            }
        }
        self.ask(machine);
    }

    /// The state to enforce when it is not the given one: with the good content in the place of one
    /// that is held back. The same state as [`learn`](Self::learn) was given.
    pub fn settle(&mut self, config: &HostConfig, order: &Order) -> Option<Ordered> {
        if std::mem::take(&mut self.stale) {
            let keeps = self.keeps();
            self.settled = (!keeps.is_empty()).then(|| {
                let settled = settle::settle(config, &keeps);
                Arc::new(match order::order(&settled.resources) {
                    Ok(order) => (settled, order),
                    Err(error) => {
                        tracing::error!(%error, "a good content does not fit: it is left alone");
                        let alone = keeps.into_keys().map(|id| (id, None)).collect();
                        (settle::settle(config, &alone), order.clone())
                    }
                })
            });
        }
        self.settled.clone()
    }

    /// What stands in for contents that are held back; without any, the files are left alone.
    fn keeps(&self) -> Keeps {
        let held = self.wanted.keys().filter(|id| self.held(id).is_some());
        let kept = |id: &ResourceId| self.shelf.good(self.standings.get(id)?);
        held.map(|id| (id.clone(), kept(id))).collect()
    }

    /// Finds the names of what is in force that the wanted content lacks.
    fn compare(&mut self, id: &ResourceId) {
        let Some((_, spec)) = self.wanted.get(id) else {
            return;
        };
        let Some(wanted) = &spec.drain else { return };
        if !self.standings.contains_key(id)
            && let Some(salvaged) = self.shelf.salvage(id, spec.attempt)
        {
            self.standings.insert(id.clone(), salvaged);
        }
        let holds = self.standings.get(id).and_then(Standing::holds);
        let Some(holds) = holds.filter(|_| !self.is_through(id)) else {
            return;
        };
        let missing = drain::missing(holds, wanted);
        if let Some(drains) = self.drains.get_mut(id) {
            drains.doubt(&missing, Instant::now());
        }
        self.missing.insert(id.clone(), missing);
    }

    fn asked(&self, id: &ResourceId) -> Option<Asked<'_>> {
        let drain = self.wanted.get(id)?.1.drain.as_ref()?;
        let through = self.is_through(id);
        let missing = self.missing.get(id).filter(|_| !through);
        Some(Asked {
            leaving: if through { &drain.leaving } else { &[] },
            missing: missing.map_or(&[], Vec::as_slice),
            question: &drain.question,
        })
    }

    /// Asks the product about names, as far as that is due. Says whether another content may be put
    /// into force than before.
    pub fn ask(&mut self, machine: &mut Machine) -> bool {
        let now = (Instant::now(), host::clock());
        let ids: Vec<ResourceId> = self.wanted.keys().cloned().collect();
        let mut changes = false;
        for id in ids {
            let before = self.held(&id).is_some();
            let mut drains = self.drains.remove(&id).unwrap_or_default();
            if let Some(asked) = self.asked(&id) {
                let stage = stages::id_of(&id, "drain");
                drains.ask(machine.system.as_mut(), &stage, &asked, now);
                self.drains.insert(id.clone(), drains);
            }
            if before != self.held(&id).is_some() {
                self.stale = true;
                changes = true;
            }
        }
        changes
    }

    /// When there is something to ask.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let none = Drains::default();
        let due = |id| {
            let drains = self.drains.get(id).unwrap_or(&none);
            drains.due(&self.asked(id)?, now)
        };
        self.wanted.keys().filter_map(due).min()
    }

    /// What is left under names that are leaving, those that are empty first.
    #[must_use]
    pub fn drains(&self) -> Vec<DrainStatus> {
        let statuses = self.drains.iter().filter_map(|(id, drains)| {
            let asked = self.asked(id)?;
            Some(drains.statuses(asked.leaving).collect::<Vec<_>>())
        });
        let mut statuses: Vec<DrainStatus> = statuses.flatten().collect();
        statuses.sort_by_key(|status| !status.is_over);
        statuses.truncate(limits::DRAINS_PER_REPORT);
        statuses
    }

    fn held(&self, id: &ResourceId) -> Option<Held> {
        let (content, spec) = self.wanted.get(id)?;
        let standing = self.standings.get(id)?;
        let held = decide::held(standing, &content.digest, spec);
        held.or_else(|| {
            let missing = self.missing.get(id).filter(|_| !self.is_through(id))?;
            let holding = match self.drains.get(id) {
                Some(drains) => drains.holding(missing),
                None => Drains::default().holding(missing),
            };
            (!holding.is_empty()).then_some(Held::Drains(holding))
        })
    }

    /// What the state beside the enforced one is whose contents must stay at hand.
    #[must_use]
    pub fn kept(&self) -> Option<&HostConfig> {
        self.settled.as_ref().map(|settled| &settled.0)
    }

    /// What is to be done for a transaction whose members are, or are not, as they shall be.
    #[must_use]
    pub fn turn(&self, id: &ResourceId, differs: bool) -> Turn {
        let Some((content, _)) = self.wanted.get(id) else {
            return Turn::Rest;
        };
        if self.stuck.contains_key(id) {
            return Turn::Stuck;
        }
        let unseen = Standing::new(id.clone());
        let standing = self.standings.get(id).unwrap_or(&unseen);
        match decide::next(standing, &content.digest, self.held(id).is_some(), differs) {
            Next::Change => Turn::Change,
            Next::Nothing => Turn::Rest,
            Next::Repair => Turn::Repair,
        }
    }

    /// What is to be said of a transaction although nothing is to be done, or nothing can be: a
    /// content is held back, or a change is not undone.
    #[must_use]
    pub fn verdict(&self, id: &ResourceId) -> Option<Verdict> {
        if let Some(reason) = self.stuck.get(id) {
            return Some(Verdict::Stuck(reason.clone()));
        }
        let standing = self.standings.get(id)?;
        Some(decide::verdict(standing, &self.held(id)?))
    }

    /// Whether a wanted content is held back without having been refused.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let mut held = self.wanted.keys().filter_map(|id| self.held(id));
        held.any(|held| !matches!(held, Held::Refused(_)))
    }

    /// Whether a good content is in force, the wanted one or another: then nobody is blocked.
    #[must_use]
    pub fn serves(&self, id: &ResourceId) -> bool {
        let standing = self.standings.get(id);
        standing.is_some_and(|one| one.good.is_some() && !self.stuck.contains_key(id))
    }

    /// Takes a turn. Says which members were changed.
    ///
    /// # Errors
    /// Why the content is not in force.
    pub fn take(
        &mut self,
        machine: &mut Machine,
        contents: &dyn Contents,
        id: &ResourceId,
        turn: &Turn,
        members: &[&Resource],
        under_way: &UnderWay,
    ) -> Result<Vec<ResourceId>, Untaken> {
        let Some((wanted, spec)) = self.wanted.get(id) else {
            return Ok(Vec::new());
        };
        let standing = self.standings.entry(id.clone());
        let standing = standing.or_insert_with(|| Standing::new(id.clone()));
        let mut run = Run {
            machine,
            contents,
            shelf: &self.shelf,
            standing,
            under_way,
        };
        self.stale = true;
        let done = match turn {
            Turn::Change => run
                .change(wanted, spec)
                .map(|()| members.iter().map(|member| member.id.clone()).collect()),
            Turn::Repair => run.repair(members, spec),
            Turn::Rest | Turn::Stuck => Ok(Vec::new()),
        };
        if let Err(error) = &done
            && self
                .standings
                .get(id)
                .is_some_and(|one| one.journal.is_some())
        {
            self.stuck.insert(id.clone(), error.to_string());
        }
        done.map_err(|error| Untaken {
            reason: cut(error.to_string()),
            undone: match error {
                RunError::Undone { member, .. } => Some(member),
                _ => None,
            },
        })
    }

    /// Whether the wanted content is in force. Until then what an older one names must stay.
    #[must_use]
    pub fn is_through(&self, id: &ResourceId) -> bool {
        let wanted = self.wanted.get(id).map(|(content, _)| content.digest);
        let good = self.standings.get(id).and_then(|one| one.good.as_ref());
        good.map(|good| good.digest) == wanted
    }

    /// Forgets every transaction that a state does not name, and wipes its copies. Says which could
    /// not be.
    pub fn forget_others(&mut self, config: &HostConfig) -> Vec<(ResourceId, String)> {
        let is_named = |id: &ResourceId| {
            let listed = config.resources.binary_search_by(|known| known.id.cmp(id));
            listed.is_ok_and(|at| matches!(config.resources[at].spec, Spec::Transaction(_)))
        };
        let others: BTreeSet<ResourceId> = self.standings.keys().cloned().collect();
        let mut left = Vec::new();
        for id in others.into_iter().filter(|id| !is_named(id)) {
            match self.shelf.forget(&id) {
                Ok(()) => {
                    self.standings.remove(&id);
                    self.stuck.remove(&id);
                }
                Err(error) => left.push((id, error.to_string())),
            }
        }
        left
    }
}

/// Why a turn did not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untaken {
    /// In words.
    pub reason: String,
    /// The member that somebody changed again as soon as it was put back.
    pub undone: Option<ResourceId>,
}

/// A reason, cut to what a report may carry.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::REASON_BYTES));
    text
}
