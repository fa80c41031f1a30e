//! What waits behind what stands still, and shall never leave: when it is thrown away, in which order, and how
//! much of it at once.
//!
//! Only when nothing new has come for a while: whatever was on its way when the content came into force that
//! takes nothing for it has arrived by then. One after the other at the end of a pass, and not longer than a
//! moment beyond the first: whoever waits for the same thread is somebody who shall stand still at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{DiscardSpec, HostConfig, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use super::cut;
use crate::host::Machine;
use crate::reconciler::UnderWay;
use crate::resources;

/// From when nothing new can come, as far as that is known, to when nothing comes any more.
const QUIET: Duration = Duration::from_secs(30);
/// Where nothing is there any more, it is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// The same where it could not be thrown away.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// After so long the others have their turn in another pass.
const AT_ONCE: Duration = Duration::from_secs(10);
/// When that is.
const NEXT_TURN: Duration = Duration::from_secs(5);

/// Everything that is thrown away on a host.
#[derive(Debug, Default)]
pub struct Discards {
    looked: BTreeMap<ResourceId, Looked>,
    /// Since when nothing new can come.
    quiet_since: Option<Instant>,
    /// Who took too long last: the others come first.
    slow: Option<ResourceId>,
}

#[derive(Debug)]
struct Looked {
    spec: DiscardSpec,
    state: ResourceState,
    /// Not before this again.
    next: Option<Instant>,
}

impl Discards {
    /// How it was found last.
    #[must_use]
    pub fn state(&self, id: &ResourceId) -> Option<&ResourceState> {
        self.looked.get(id).map(|looked| &looked.state)
    }

    /// Throws away what a state names. `hindrance` is why something new may still come. Says when it is to be
    /// done again, where that is sooner than anything else needs it.
    pub fn settle(
        &mut self,
        machine: &mut Machine,
        config: &HostConfig,
        hindrance: Option<&str>,
        under_way: &UnderWay,
    ) -> Option<Instant> {
        let begin = Instant::now();
        let mut all: Vec<_> = named(config).collect();
        let is_same = |id: &ResourceId, looked: &Looked| {
            let at = all.binary_search_by(|(known, _)| (*known).cmp(id));
            at.is_ok_and(|at| *all[at].1 == looked.spec)
        };
        self.looked.retain(|id, looked| is_same(id, looked));
        if let Some(why) = hindrance {
            self.quiet_since = None;
            self.put_off(&all, why);
            return None;
        }
        let quiet_at = *self.quiet_since.get_or_insert(begin) + QUIET;
        if begin < quiet_at && !machine.system.is_simulated() {
            self.put_off(&all, "what was on its way may still arrive");
            return (!all.is_empty()).then_some(quiet_at);
        }
        let slow = self.slow.take();
        let first = all.partition_point(|(id, _)| Some(*id) <= slow.as_ref());
        all.rotate_left(first);
        for (id, spec) in all {
            if under_way.is_stopping() {
                return None;
            }
            let next = self.looked.get(id).and_then(|looked| looked.next);
            if next.is_some_and(|next| begin < next) {
                continue;
            }
            if begin.elapsed() > AT_ONCE {
                return Some(Instant::now() + NEXT_TURN);
            }
            let settle = || resources::settle_discard(machine, id, spec);
            let (state, pause) = match under_way.run(id, settle) {
                Ok(Some(told)) => (ResourceState::Told(told), LOOK_AGAIN),
                Ok(None) if machine.system.is_simulated() => (ResourceState::Simulated, LOOK_AGAIN),
                Ok(None) => (ResourceState::Converged, LOOK_AGAIN),
                Err(unsettled) => {
                    let reason = cut(unsettled.reason);
                    tracing::warn!(discard = %id, reason, "is not thrown away");
                    if unsettled.is_silent {
                        self.slow = Some(id.clone());
                    }
                    (ResourceState::Failed(reason), TRY_AGAIN)
                }
            };
            let next = Some(Instant::now() + pause);
            let spec = spec.clone();
            self.looked.insert(id.clone(), Looked { spec, state, next });
            if self.slow.is_some() {
                // It would be waited for again and again.
                return None;
            }
        }
        None
    }

    /// What was said before stands, where anything was.
    fn put_off(&mut self, all: &[(&ResourceId, &DiscardSpec)], why: &str) {
        for (id, spec) in all {
            let looked = self.looked.entry((*id).clone());
            let looked = looked.or_insert_with(|| Looked {
                spec: (*spec).clone(),
                state: ResourceState::Unknown(String::new()),
                next: None,
            });
            if matches!(looked.state, ResourceState::Unknown(_)) {
                looked.state = ResourceState::Unknown(format!("it waits: {why}"));
            }
        }
    }
}

/// What a state has thrown away, in order.
fn named(config: &HostConfig) -> impl Iterator<Item = (&ResourceId, &DiscardSpec)> {
    let specs = config.resources.iter();
    specs.filter_map(|resource| match &resource.spec {
        Spec::Discard(spec) => Some((&resource.id, spec)),
        _ => None,
    })
}
