//! `set-targets`.
//!
//! The leader planned while the fleet went on: a target whose host has another parent or release by
//! now, or that needs a body which was dropped since, is late. Late ones are left out, and their hosts
//! are planned again. A body under a wrong hash is no race but a defect: all is refused.

use std::collections::BTreeSet;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;

use super::target::{let_go, replace_bodies};
use crate::command::RejectionCode::{Duplicate, Invalid, Limit, StaleParent};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Effect, NewTarget, Rejection, SetTargets};
use crate::state::{FleetState, TargetRecord};

impl Verb for SetTargets {
    fn name(&self) -> &'static str {
        "set-targets"
    }

    fn object(&self) -> String {
        let shown: Vec<_> = self
            .targets
            .iter()
            .take(8)
            .map(|t| t.host.to_string())
            .collect();
        match self.targets.len() - shown.len() {
            0 => format!("hosts {}", shown.join(" ")),
            more => format!("hosts {} and {more} more", shown.join(" ")),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        self.is_well_formed()?;
        let mut accepted = Vec::new();
        let mut first_late = None;
        let mut is_unchanged = false;
        for target in &self.targets {
            match self.fits(state, target) {
                Ok(()) if is_current(state, target) => {
                    is_unchanged = true;
                }
                Ok(()) => accepted.push(target),
                Err(late) => first_late = first_late.or(Some(late)),
            }
        }
        if accepted.is_empty() {
            return match first_late {
                Some(late) if !is_unchanged => Err(late),
                _ => Ok(Change::NONE),
            };
        }
        let mut needless = Vec::new();
        let set = accepted
            .into_iter()
            .map(|target| self.set(state, target, &mut needless, turn))
            .collect();
        // Last: what one host lets go of, the next one may take.
        let_go(state, &needless, turn);
        Ok(Change::Made(Effect::Targets(set)))
    }
}

/// The same content of an older epoch is not current: after a restore agents may hold a generation
/// that only the new epoch outranks.
fn is_current(state: &FleetState, target: &NewTarget) -> bool {
    state.targets.get(&target.host).is_some_and(|current| {
        current.digest == target.digest && current.generation.epoch == state.epoch()
    })
}

impl SetTargets {
    fn is_well_formed(&self) -> Result<(), Rejection> {
        if self.targets.is_empty() {
            return Err(refuse(Invalid, "targets", &"[]", "at least one target"));
        }
        let mut hosts = BTreeSet::new();
        for (at, target) in self.targets.iter().enumerate() {
            if !hosts.insert(&target.host) {
                let field = format!("targets[{at}].host");
                return Err(refuse(Duplicate, field, &target.host, "each host once"));
            }
            let field = format!("targets[{at}].bodies");
            at_most(&field, target.bodies.len(), limits::RESOURCES_PER_HOST)?;
        }
        for (hash, body) in &self.bodies {
            let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
            if length > limits::BODY_BYTES {
                let accepted = format!("at most {} bytes", limits::BODY_BYTES);
                return Err(refuse(Limit, format!("bodies.{hash}"), &length, accepted));
            }
            let real = ContentHash::of(body);
            if real != *hash {
                return Err(refuse(
                    Invalid,
                    "bodies",
                    hash,
                    format!("the body's hash, {real}"),
                ));
            }
        }
        Ok(())
    }

    fn fits(&self, state: &FleetState, target: &NewTarget) -> Result<(), Rejection> {
        let late = |field: &str, value: String, accepted: String| {
            Err(refuse(StaleParent, field, &value, accepted))
        };
        let Some(host) = state.live_host(&target.host) else {
            return late(
                "host",
                target.host.to_string(),
                "a host that was not cut off".into(),
            );
        };
        let parent = current(state, &target.host);
        if target.parent != parent {
            return late("parent", show(target.parent), show(parent));
        }
        if target.planned_from > state.revision {
            let accepted = format!("a revision up to {}", state.revision);
            return late("planned_from", target.planned_from.to_string(), accepted);
        }
        let pinned = &host.release;
        if target.release != *pinned || target.planner_version != pinned.planner_version {
            let accepted = format!("the release that is pinned for host {}", target.host);
            return late("release", format!("{:?}", target.release), accepted);
        }
        let is_there =
            |hash: &ContentHash| state.bodies.contains_key(hash) || self.bodies.contains_key(hash);
        let mut needed = target.bodies.iter().chain([&target.digest]);
        needed
            .find(|hash| !is_there(hash))
            .map_or(Ok(()), |missing| {
                late(
                    "bodies",
                    missing.to_string(),
                    "bodies that are stored or come along".into(),
                )
            })
    }

    fn set(
        &self,
        state: &mut FleetState,
        target: &NewTarget,
        needless: &mut Vec<ContentHash>,
        turn: &mut Turn<'_>,
    ) -> (HostId, Generation) {
        let mut needed = target.bodies.clone();
        needed.insert(target.digest);
        needless.extend(replace_bodies(
            state,
            &target.host,
            needed,
            &self.bodies,
            turn,
        ));
        let last = state
            .targets
            .get(&target.host)
            .map(|current| current.generation)
            .or_else(|| state.last_generations.remove(&target.host))
            .unwrap_or_default();
        let generation = last.next(state.epoch());
        let record = TargetRecord {
            generation,
            digest: target.digest,
            planner_version: target.planner_version,
            planned_from: target.planned_from,
            set_at: turn.now(),
            resources: target.resources,
        };
        state.targets.insert(target.host.clone(), record);
        (target.host.clone(), generation)
    }
}

fn current(state: &FleetState, host: &HostId) -> Option<ContentHash> {
    state.targets.get(host).map(|target| target.digest)
}

fn show(digest: Option<ContentHash>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::generation::Generation;
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, host_id};
    use crate::command::{BodyChange, Command, Effect, RejectionCode, SetTargets};

    fn targets(command: Command) -> SetTargets {
        match command {
            Command::SetTargets(set) => set,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn numbers_grow_by_one_and_the_parent_must_be_current() {
        let mut fleet = Fleet::with_identities(0);
        let stale = fleet.target(&[b"other"]);
        for number in 1..=3 {
            let body = [b'0' + u8::try_from(number).unwrap()];
            let outcome = fleet.accept(fleet.target(&[&body]));
            let generation = Generation { epoch: 1, number };
            assert_eq!(
                outcome.effect,
                Effect::Targets(vec![(host_id("pmta1"), generation)])
            );
        }
        let rejection = fleet.refuse(stale);
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::StaleParent, "parent")
        );
    }

    #[test]
    fn the_same_digest_again_is_no_new_generation() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.target(&[b"one"]));
        assert_eq!(
            fleet.accept(fleet.target(&[b"one"])).effect,
            Effect::Unchanged
        );
    }

    #[test]
    fn late_targets_are_left_out_and_the_others_set() {
        let mut fleet = Fleet::with_identities(0);
        fleet.declare("pmta2", Role::Powermta, 2);
        let mut both = targets(fleet.target(&[b"one"]));
        let mut second = both.targets[0].clone();
        second.host = host_id("pmta2");
        both.targets.push(second);
        both.targets[0].parent = Some(ContentHash::of(b"another"));
        let outcome = fleet.accept(Command::SetTargets(both));
        let first = Generation {
            epoch: 1,
            number: 1,
        };
        assert_eq!(
            outcome.effect,
            Effect::Targets(vec![(host_id("pmta2"), first)])
        );
    }

    #[test]
    fn a_target_of_another_release_or_without_its_bodies_is_late() {
        let mut fleet = Fleet::with_identities(0);
        let mut other = targets(fleet.target(&[b"one"]));
        other.targets[0].release.settings += 1;
        let rejection = fleet.refuse(Command::SetTargets(other));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::StaleParent, "release")
        );
        let mut other = targets(fleet.target(&[b"one"]));
        other.bodies.clear();
        let rejection = fleet.refuse(Command::SetTargets(other));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::StaleParent, "bodies")
        );
    }

    #[test]
    fn a_body_under_a_wrong_hash_is_refused() {
        let mut fleet = Fleet::with_identities(0);
        let mut set = targets(fleet.target(&[b"one"]));
        set.bodies
            .insert(ContentHash::of(b"true"), b"false".to_vec());
        assert_eq!(
            fleet.refuse(Command::SetTargets(set)).code,
            RejectionCode::Invalid
        );
    }

    #[test]
    fn bodies_are_stored_once_and_dropped_with_the_last_target_that_needs_them() {
        let mut fleet = Fleet::with_identities(0);
        fleet.declare("pmta2", Role::Powermta, 2);
        let both = |fleet: &Fleet, bodies: &[&[u8]]| {
            let mut set = targets(fleet.target(bodies));
            let mut second = set.targets[0].clone();
            second.host = host_id("pmta2");
            set.targets.push(second);
            Command::SetTargets(set)
        };
        fleet.accept(both(&fleet, &[b"shared", b"gone"]));
        let puts = fleet
            .bodies
            .iter()
            .filter(|c| matches!(c, BodyChange::Put(..)))
            .count();
        assert_eq!(
            puts, 3,
            "two bodies and one manifest, though two hosts have them"
        );
        let shared = ContentHash::of(b"shared");
        assert_eq!(fleet.state.bodies[&shared].references, 2);
        fleet.accept(fleet.target(&[b"shared", b"new"]));
        assert_eq!(fleet.state.bodies[&shared].references, 2);
        assert_eq!(fleet.state.bodies[&ContentHash::of(b"gone")].references, 1);
        fleet.bodies.clear();
        let mut second = targets(fleet.target(&[b"new"]));
        second.targets[0].host = host_id("pmta2");
        second.targets[0].parent = Some(fleet.state.targets[&host_id("pmta2")].digest);
        fleet.accept(Command::SetTargets(second));
        assert!(
            fleet
                .bodies
                .contains(&BodyChange::Drop(ContentHash::of(b"gone")))
        );
        assert_eq!(fleet.state.bodies[&shared].references, 1);
    }

    #[test]
    fn a_body_may_move_from_one_host_to_another_in_one_command() {
        let mut fleet = Fleet::with_identities(0);
        fleet.declare("pmta2", Role::Powermta, 2);
        fleet.accept(fleet.target(&[b"moves"]));
        let mut both = targets(fleet.target(&[b"stays"]));
        let mut second = targets(fleet.target(&[b"moves"])).targets.remove(0);
        second.host = host_id("pmta2");
        second.parent = None;
        both.targets.push(second);
        fleet.bodies.clear();
        fleet.accept(Command::SetTargets(both));
        let moved = ContentHash::of(b"moves");
        assert_eq!(fleet.state.bodies[&moved].references, 1);
        assert!(!fleet.bodies.contains(&BodyChange::Drop(moved)));
    }
}
