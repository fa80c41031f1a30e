//! What stands still although its files stay (`Spec::Suspension`).
//!
//! Set at the very beginning of a pass, before any file changes and before anything is undone: it acts
//! although the content that comes with it takes its time, waits for a word or is refused. Looked at
//! again after whatever may have made the product forget it, and at every audit. Let go only once the
//! content of the state that names it no more is in force.
//!
//! - [`answer`] is pure: what an answer says.
//! - `bars` is what the kernel refuses, before anything else.
//! - `product` is whom it is told, and does not wait for one that is silent again and again.
//! - `keeper` looks at it between passes and while one waits, until the new content is in force.
//! - [`record`] is what we set, on disk before it is set. Only that is ever unset, and nothing that
//!   somebody else had set before.
//! - [`Suspensions`] is all of it, as the reconciler uses it.
//! - [`Discards`] is what waits behind it for too long, and is thrown away.

pub mod answer;
mod bars;
mod discards;
mod keeper;
mod product;
pub mod record;

use std::collections::BTreeMap;

use email_engine_protocol::desired::{
    CommandLine, Disposition, HaltSpec, HostConfig, ResourceKind, Sought, Spec, SuspensionSpec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{ResourceState, ResourceStatus};

use crate::host::{Cabinet, Machine};
use crate::reconciler::UnderWay;
use answer::Found;
use bars::Bars;
pub use discards::Discards;
use keeper::Keeper;
use product::{Product, id_of, words};
use record::{Halted, Record};

/// How often the product is told before what does not show is a failure.
const TELLINGS: u32 = 3;

/// Every suspension of a host.
#[derive(Debug)]
pub struct Suspensions {
    record: Record,
    states: BTreeMap<ResourceId, ResourceState>,
    /// Whether another state came since they were set.
    news: bool,
    /// Whether an older state than the accepted one is enforced.
    fallen_back: bool,
    bars: Bars,
    keeper: Keeper,
}

impl Suspensions {
    /// Goes on from what an earlier life set.
    #[must_use]
    pub fn open(cabinet: Cabinet) -> Self {
        Self {
            record: Record::open(cabinet),
            states: BTreeMap::new(),
            news: true,
            fallen_back: false,
            bars: Bars::default(),
            keeper: Keeper::default(),
        }
    }

    /// Another state is enforced from now on: the accepted one, or an older one.
    pub fn change_state(&mut self, fallen_back: bool) {
        self.states.clear();
        self.news = true;
        self.fallen_back = fallen_back;
    }

    /// Whether an older state than the accepted one is enforced.
    #[must_use]
    pub const fn is_fallen_back(&self) -> bool {
        self.fallen_back
    }

    /// Whether the enforced state was not yet looked at.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        self.news
    }

    /// Whether anything is set, or was and is not yet let go.
    #[must_use]
    pub fn is_any(&self) -> bool {
        !self.record.is_empty() || self.bars.is_any()
    }

    /// How a suspension was found last.
    #[must_use]
    pub fn state(&self, id: &ResourceId) -> Option<&ResourceState> {
        self.states.get(id)
    }

    /// Sets whatever a state names and is not set, and says how many were.
    pub fn set(
        &mut self,
        machine: &mut Machine,
        config: &HostConfig,
        under_way: &UnderWay,
    ) -> usize {
        let barred = self.bars.set(machine, config);
        let mut changed = *barred.as_ref().unwrap_or(&0);
        let barred = barred.err();
        let mut product = Product::new(machine.system.as_mut());
        for (id, spec) in named(config) {
            if under_way.is_stopping() {
                return changed;
            }
            let mut done = under_way.run(id, || self.ensure(&mut product, id, spec));
            if let Some(reason) = barred.as_ref().filter(|_| !spec.bars.is_empty()) {
                done.fail(reason);
            }
            changed += done.changed;
            let state = if let Some(reason) = done.failure {
                tracing::error!(suspension = %id, reason, "does not surely stand still");
                ResourceState::Failed(reason)
            } else if product.is_simulated() {
                ResourceState::Simulated
            } else {
                ResourceState::Converged
            };
            self.states.insert(id.clone(), state);
        }
        self.news = false;
        changed
    }

    fn ensure(
        &mut self,
        product: &mut Product<'_>,
        id: &ResourceId,
        spec: &SuspensionSpec,
    ) -> Done {
        let mut done = Done::default();
        for halt in &spec.halts {
            match self.halt(product, id, halt) {
                Ok(changed) => done.changed += usize::from(changed),
                // The others are set all the same.
                Err(reason) => done.fail(&reason),
            }
        }
        done
    }

    /// Sets one halt if it is not set, and says whether it was not.
    fn halt(
        &mut self,
        product: &mut Product<'_>,
        id: &ResourceId,
        halt: &HaltSpec,
    ) -> Result<bool, String> {
        let simulated = product.is_simulated();
        let mut kept = Ok(());
        if self.record.knows(&halt.unset.command) {
            self.record.renew(id, halt);
            // What cannot be told is set again: that does no harm.
            let is_set = simulated && product.system.has_run(&id_of(id, "set"));
            if is_set || product.ask(id, &halt.is_set) == Ok(Found::Yes) {
                return Ok(false);
            }
        } else {
            // Somebody who had stopped a part of it only cannot be left to: all would stay with them.
            let mut yes = |asked| product.ask(id, asked) == Ok(Found::Yes);
            let theirs = halt.theirs.as_ref().is_some_and(&mut yes);
            let whole = theirs && yes(&halt.is_set);
            if theirs && !whole {
                tracing::warn!(
                    suspension = %id, command = %words(&halt.set.command),
                    "somebody else had set it for a part: all of it is let go afterwards"
                );
            }
            // A disk that refuses to note it does not keep it from being set.
            kept = self.record.add(Halted {
                id: id.clone(),
                halt: halt.clone(),
                theirs: whole && !simulated,
            });
        }
        product.tell(id, "set", &halt.set)?;
        kept.map_err(|error| format!("is set, and cannot be noted: {error}"))?;
        if simulated {
            return Ok(true);
        }
        let mut told = 1;
        loop {
            match product.ask(id, &halt.is_set)? {
                Found::Yes => break,
                // Nothing is there that it could be seen at.
                Found::Nowhere if matches!(halt.is_set.sought, Sought::Text(_)) => {
                    return Ok(false);
                }
                // It may act on what is there when it is told, and more has come since.
                Found::Nowhere | Found::No if told < TELLINGS => {
                    product.tell(id, "set", &halt.set)?;
                    told += 1;
                }
                Found::Nowhere | Found::No => {
                    return Err(format!("{} did not set it", words(&halt.set.command)));
                }
            }
        }
        tracing::info!(suspension = %id, command = %words(&halt.set.command), "set");
        Ok(true)
    }

    /// Has what a state names looked at all the time, because the content that is in force is not that
    /// state's; or no more.
    pub fn keep(&mut self, machine: &Machine, config: &HostConfig, through: bool) {
        match machine.system.twin() {
            Some(twin) if !through && config.disposition != Disposition::Retired => {
                let kept = named(config).flat_map(|(id, spec)| {
                    spec.halts.iter().map(|halt| (id.clone(), halt.clone()))
                });
                self.keeper.keep(twin, kept.collect());
            }
            _ => self.keeper.rest(),
        }
    }

    /// Nothing is looked at all the time any more.
    pub fn rest(&mut self) {
        self.keeper.rest();
    }

    /// Lets go what we set and a state names no more; says what is still set. `through` says that the
    /// content of that state is in force.
    pub fn release(
        &mut self,
        machine: &mut Machine,
        config: &HostConfig,
        through: bool,
    ) -> Vec<ResourceStatus> {
        if config.disposition == Disposition::Retired {
            // Nobody would set it again.
            self.record.forget(|_| true);
            return Vec::new();
        }
        let wanted: Vec<&CommandLine> = named(config)
            .flat_map(|(_, spec)| spec.halts.iter().map(|halt| &halt.unset.command))
            .collect();
        let over = |halted: &&Halted| !wanted.contains(&&halted.halt.unset.command);
        let over: Vec<Halted> = self.record.iter().filter(over).cloned().collect();
        let mut left: BTreeMap<ResourceId, ResourceState> = BTreeMap::new();
        if through && let Err(reason) = self.bars.release(machine, config) {
            tracing::warn!(reason, "still refused to connect");
            if let Ok(id) = ResourceId::new("suspension:barred") {
                left.insert(id, ResourceState::Failed(cut(reason)));
            }
        }
        let mut product = Product::new(machine.system.as_mut());
        for halted in over {
            let Halted { id, halt, theirs } = &halted;
            let unset = words(&halt.unset.command);
            if !through {
                let text = "is named no more, and stays until the new content is in force";
                left.insert(id.clone(), ResourceState::Drifted(text.to_owned()));
                continue;
            }
            if *theirs {
                tracing::warn!(
                    suspension = %id, by_hand = unset,
                    "somebody else had set it before: it is left to them"
                );
            } else {
                if let Err(error) = product.tell(id, "unset", &halt.unset) {
                    let reason = cut(format!("could not be unset: {error}"));
                    tracing::warn!(suspension = %id, reason, "still stands still");
                    left.insert(id.clone(), ResourceState::Failed(reason));
                    continue;
                }
                tracing::info!(suspension = %id, command = unset, "unset");
            }
            self.record.forget(|one| one == &halted);
        }
        let is_named = |id: &ResourceId| named(config).any(|(one, _)| one == id);
        left.into_iter()
            .filter(|(id, _)| !is_named(id))
            .map(|(id, state)| ResourceStatus {
                id,
                kind: ResourceKind::Suspension,
                state,
            })
            .collect()
    }
}

/// What setting one made of it.
#[derive(Debug, Default)]
struct Done {
    changed: usize,
    failure: Option<String>,
}

impl Done {
    fn fail(&mut self, reason: &str) {
        let before = self.failure.take();
        let all = before.map_or_else(|| reason.to_owned(), |one| format!("{one}; {reason}"));
        self.failure = Some(cut(all));
    }
}

/// The suspensions that a state names.
fn named(config: &HostConfig) -> impl Iterator<Item = (&ResourceId, &SuspensionSpec)> {
    let specs = config.resources.iter();
    specs.filter_map(|resource| match &resource.spec {
        Spec::Suspension(spec) => Some((&resource.id, spec)),
        _ => None,
    })
}

/// A state with the suspensions of another one in the place of its own: what shall stand still is
/// for the newest accepted state to say, whichever content is in force. Nothing is thrown away by an
/// older state's word: what that names may send again.
#[must_use]
pub fn carried(mut config: HostConfig, newest: &HostConfig) -> HostConfig {
    let is_one = |spec: &Spec| matches!(spec, Spec::Suspension(_));
    config
        .resources
        .retain(|one| !is_one(&one.spec) && !matches!(one.spec, Spec::Discard(_)));
    let carried = newest.resources.iter().filter(|one| is_one(&one.spec));
    config.resources.extend(carried.cloned());
    config.resources.sort_by(|one, two| one.id.cmp(&two.id));
    config
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::REASON_BYTES));
    text
}
