//! What the applied state asks for now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::Line;
use crate::command::{
    Command, NoteSearch, PullBrake, RESTRAINED_TOGETHER, ReleaseBrake, RestrainIdentities, TakeOut,
    is_to_be_said,
};
use crate::dnsbl::query::Subject;
use crate::fleet::failover::{
    Brakes, Obstacle, SEARCH_MILLIS, obstacle, restraint_of, taken_out_by, took_it_back,
};
use crate::fleet::listing::watched;
use crate::state::{FleetState, ListingEvent, Search};

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Commands that are due, and why: brakes first, because they keep the others from it.
    pub(super) commands: Vec<(&'static str, Command)>,
    /// Events for which somebody may be promoted now, as far as that is known without asking.
    pub(super) wanted: BTreeSet<u64>,
}

/// What is due.
pub(super) fn due(state: &FleetState, now: Timestamp) -> Due {
    let mut due = Vec::new();
    let brakes = Brakes::of(state, now);
    for list in brakes.due().keys().cloned() {
        let command = Command::PullBrake(PullBrake { list });
        due.push(("a list names too many at once", command));
    }
    for list in state.failover.brakes.keys() {
        if took_it_back(state, list) {
            let (list, reason) = (list.clone(), None);
            let command = Command::ReleaseBrake(ReleaseBrake { list, reason });
            due.push(("a list took it all back", command));
        }
    }
    let mut restrained = BTreeSet::new();
    let named = state.listings.rows.keys().filter_map(address_of);
    let watched = watched(state);
    let addresses: BTreeSet<_> = named.chain(watched.iter().filter_map(address_of)).collect();
    for address in addresses {
        let Some(identity) = state.identities.get(&address) else {
            continue;
        };
        if !taken_out_by(state, identity, &brakes, now).is_empty() {
            let command = Command::TakeOut(TakeOut { address });
            due.push(("lists have it", command));
        } else if restraint_of(state, identity, &brakes, now) != identity.restraint {
            restrained.insert(address);
        }
    }
    let mut restrained = restrained.into_iter().peekable();
    while restrained.peek().is_some() {
        let addresses = restrained.by_ref().take(RESTRAINED_TOGETHER).collect();
        let command = Command::RestrainIdentities(RestrainIdentities { addresses });
        due.push(("lists slow them, or not any more", command));
    }
    let mut wanted = BTreeSet::new();
    for event in state.failover.searching.iter().copied() {
        let row = state.failover.events.get(&event);
        let Some(Search::Open { obstacle: told }) = row.map(|row| &row.search) else {
            continue;
        };
        let in_way = row.and_then(|row| obstacle(state, row, &brakes, now));
        let ends = row.is_none_or(|row| !is_out(state, row) || now.since(row.at) >= SEARCH_MILLIS);
        if ends || is_to_be_said(told.as_ref(), in_way.as_ref()) {
            due.push(("a search", unfit(event, BTreeMap::new())));
        }
        if !ends && in_way.is_none() {
            wanted.insert(event);
        }
    }
    Due {
        commands: due,
        wanted,
    }
}

/// Whether nothing changed that a look goes by, but for the time.
pub(super) fn is_same(before: &FleetState, after: &FleetState) -> bool {
    let ended = |state: &FleetState| {
        let sweep = state.listings.sweep.as_ref();
        sweep.map(|sweep| (sweep.number, sweep.closed_at))
    };
    let (was, is) = (&before.listings, &after.listings);
    before.identities.is_copy_of(&after.identities)
        && before.tenants.is_copy_of(&after.tenants)
        && was.rows.is_copy_of(&is.rows)
        && was.replies.is_copy_of(&is.replies)
        && was.lists == is.lists
        && ended(before) == ended(after)
        && before.default_release == after.default_release
        && before.failover == after.failover
}

const fn address_of(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::Address(address) => Some(*address),
        Subject::Name(_) => None,
    }
}

fn is_out(state: &FleetState, event: &ListingEvent) -> bool {
    let listed = state.identities.get(&event.address);
    listed.is_some_and(|listed| listed.spec.status == IpStatus::Quarantine)
}

/// What is said of a search: those who do not fit, as many as are named.
pub(super) fn unfit(event: u64, why: BTreeMap<IpAddr, Line>) -> Command {
    let unfit = why.into_iter().take(Obstacle::NAMED).collect();
    Command::NoteSearch(NoteSearch { event, unfit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::fixture::failover::{SLOWING, STRONG, clean, listed};
    use crate::command::fixture::{Fleet, address};

    fn names(fleet: &Fleet) -> Vec<&'static str> {
        let due = due(&fleet.state, fleet.state.now);
        let names = due
            .commands
            .iter()
            .map(|(_, command)| command.verb().unwrap().name());
        names.collect()
    }

    /// What is due is done until nothing is.
    fn follow(fleet: &mut Fleet) {
        for _ in 0..10 {
            let due = due(&fleet.state, fleet.state.now);
            if due.commands.is_empty() {
                return;
            }
            for (_, command) in due.commands {
                fleet.accept(command);
            }
        }
        panic!("it comes to no end: {:?}", names(fleet));
    }

    #[test]
    fn a_look_finds_what_is_due_and_then_nothing() {
        let mut fleet = Fleet::with_identities(6);
        assert_eq!(names(&fleet), Vec::<&str>::new());
        listed(&mut fleet, STRONG, &[0]);
        assert_eq!(names(&fleet), ["take-out"]);
        let before = fleet.state.clone();
        follow(&mut fleet);
        assert!(!is_same(&before, &fleet.state) && is_same(&fleet.state, &fleet.state.clone()));
        assert_eq!(
            fleet.state.identities[&address(0)].spec.status,
            IpStatus::Quarantine
        );
        assert!(
            due(&fleet.state, fleet.state.now).wanted.is_empty(),
            "nobody is there"
        );
        listed(&mut fleet, SLOWING, &[1, 2]);
        assert_eq!(names(&fleet), ["restrain-identities"]);
        follow(&mut fleet);
        assert_eq!(fleet.state.identities[&address(2)].daily_quota(), 50);
    }

    #[test]
    fn a_list_that_names_everybody_is_braked_and_nothing_else_is_done() {
        let mut fleet = Fleet::with_identities(6);
        listed(&mut fleet, STRONG, &[0, 1, 2, 3, 4]);
        assert_eq!(names(&fleet), ["pull-brake"]);
        follow(&mut fleet);
        assert!((0..5).all(|at| fleet.state.identities[&address(at)].takes_mail()));
        clean(&mut fleet, &[0, 1, 2, 3, 4]);
        assert_eq!(names(&fleet), ["release-brake"]);
        follow(&mut fleet);
        assert!(fleet.state.failover.brakes.is_empty());
    }
}
