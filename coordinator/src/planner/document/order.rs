//! The order in which identities are added and changed, so that nobody takes what another still has.
//!
//! A file is a whole: two identities may swap their domains in it, or a pool may move to another host
//! with all that are in it. The commands of a batch are carried out one by one, and each must leave the
//! fleet with its invariants whole; so whoever gives something up goes before the one who takes it, and
//! where they wait for each other in a circle, one of them steps aside: it is changed to names that
//! nobody else has, and changed again when its turn comes. Outside the batch nobody sees that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::{PoolName, VmtaName};
use email_engine_protocol::mail::DomainName;

/// An identity as it is, when it is there already, and as it shall be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move<'a> {
    pub(super) old: Option<&'a IpSpec>,
    pub(super) new: &'a IpSpec,
}

/// One step: what the identity of a move is made, for good or for as long as it steps aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stride {
    /// Which move.
    pub(super) of: usize,
    /// The identity after it.
    pub(super) ip: IpSpec,
}

/// What one identity has and another may want.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Domain(DomainName),
    Hostname(DomainName),
    /// A pool that goes elsewhere: it has left when nobody is in it any more.
    Pool(PoolName),
    Vmta(VmtaName),
}

/// Orders moves. What remains in the order of the file may remain.
pub(super) fn order(moves: &[Move<'_>]) -> Vec<Stride> {
    let mut queue = Queue::of(moves);
    let mut strides = Vec::with_capacity(moves.len());
    while let Some((of, is_final)) = queue.next() {
        let ip = if is_final {
            moves[of].new.clone()
        } else {
            aside(moves[of], &queue.moving)
        };
        queue.release(of);
        strides.push(Stride { of, ip });
    }
    strides
}

struct Queue {
    moving: BTreeSet<PoolName>,
    /// What each move gives up. Emptied when it has.
    gives: Vec<BTreeSet<Claim>>,
    /// How many still have it.
    holders: BTreeMap<Claim, usize>,
    /// Who waits for it.
    wanted: BTreeMap<Claim, Vec<usize>>,
    /// For how many claims each move waits.
    waits: Vec<usize>,
    ready: BTreeSet<usize>,
    waiting: BTreeSet<usize>,
    /// Moves that wait and have something that is wanted.
    stuck: BTreeSet<usize>,
}

impl Queue {
    fn of(moves: &[Move<'_>]) -> Self {
        let moving = moving_pools(moves);
        let mut queue = Self {
            gives: moves.iter().map(|it| gives(*it, &moving)).collect(),
            moving,
            holders: BTreeMap::new(),
            wanted: BTreeMap::new(),
            waits: vec![0; moves.len()],
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            stuck: BTreeSet::new(),
        };
        for claim in queue.gives.iter().flatten() {
            *queue.holders.entry(claim.clone()).or_default() += 1;
        }
        for (at, it) in moves.iter().enumerate() {
            for claim in takes(*it, &queue.moving) {
                let Some(holders) = queue.holders.get(&claim) else {
                    continue;
                };
                // The only one in a pool takes it along.
                if *holders == 1 && queue.gives[at].contains(&claim) {
                    continue;
                }
                queue.wanted.entry(claim).or_default().push(at);
                queue.waits[at] += 1;
            }
        }
        for at in 0..moves.len() {
            let free = queue.waits[at] == 0;
            let has = |claim| queue.wanted.contains_key(claim);
            if free {
                queue.ready.insert(at);
            } else {
                queue.waiting.insert(at);
                if queue.gives[at].iter().any(has) {
                    queue.stuck.insert(at);
                }
            }
        }
        queue
    }

    /// Whose turn it is, and whether for good.
    fn next(&mut self) -> Option<(usize, bool)> {
        if let Some(at) = self.ready.pop_first() {
            return Some((at, true));
        }
        if let Some(at) = self.stuck.pop_first() {
            return Some((at, false));
        }
        // Nobody waits for what nobody gives up; should it ever be so, the command itself refuses.
        Some((self.waiting.pop_first()?, true))
    }

    /// It has given up what it gives up.
    fn release(&mut self, at: usize) {
        for claim in std::mem::take(&mut self.gives[at]) {
            let Some(left) = self.holders.get_mut(&claim) else {
                continue;
            };
            *left -= 1;
            if *left > 0 {
                continue;
            }
            for waiter in self.wanted.remove(&claim).unwrap_or_default() {
                self.waits[waiter] -= 1;
                if self.waits[waiter] == 0 && self.waiting.remove(&waiter) {
                    self.stuck.remove(&waiter);
                    self.ready.insert(waiter);
                }
            }
        }
    }
}

/// Pools that are on another host, or another tenant's, afterwards.
fn moving_pools<'a>(moves: &[Move<'a>]) -> BTreeSet<PoolName> {
    let home = |ip: &'a IpSpec| (&ip.tenant, &ip.host);
    let mut homes = BTreeMap::new();
    for old in moves.iter().filter_map(|it| it.old) {
        homes.insert(&old.pool, home(old));
    }
    let moved = moves.iter().filter(|it| {
        let was = homes.get(&it.new.pool);
        was.is_some_and(|was| *was != home(it.new))
    });
    moved.map(|it| it.new.pool.clone()).collect()
}

fn gives(it: Move<'_>, moving: &BTreeSet<PoolName>) -> BTreeSet<Claim> {
    let Some(old) = it.old else {
        return BTreeSet::new();
    };
    let mut gives = names(old);
    for kept in names(it.new) {
        gives.remove(&kept);
    }
    if moving.contains(&old.pool) {
        gives.insert(Claim::Pool(old.pool.clone()));
    }
    gives
}

fn takes(it: Move<'_>, moving: &BTreeSet<PoolName>) -> BTreeSet<Claim> {
    let mut takes = names(it.new);
    for kept in it.old.map(names).unwrap_or_default() {
        takes.remove(&kept);
    }
    if moving.contains(&it.new.pool) {
        takes.insert(Claim::Pool(it.new.pool.clone()));
    }
    takes
}

fn names(ip: &IpSpec) -> BTreeSet<Claim> {
    BTreeSet::from([
        Claim::Domain(ip.domain.clone()),
        Claim::Hostname(ip.hostname.clone()),
        Claim::Vmta(ip.vmta.clone()),
    ])
}

/// The identity with names of its own in the place of those that it gives up.
fn aside(it: Move<'_>, moving: &BTreeSet<PoolName>) -> IpSpec {
    let (Some(old), new) = (it.old, it.new) else {
        return it.new.clone();
    };
    let name = match new.address {
        IpAddr::V4(address) => format!("moving-{:08x}", u32::from(address)),
        IpAddr::V6(address) => format!("moving-{:032x}", u128::from(address)),
    };
    let domain = || {
        DomainName::new(format!("{name}.invalid"))
            .expect("two labels of letters, digits and dashes")
    };
    let mut aside = old.clone();
    if old.domain != new.domain {
        (aside.domain, aside.zone) = (domain(), domain());
    }
    if old.hostname != new.hostname {
        aside.hostname = domain();
    }
    if old.vmta != new.vmta {
        aside.vmta = VmtaName::new(name.clone()).expect("letters, digits and a dash");
    }
    if moving.contains(&old.pool) {
        aside.pool = PoolName::new(name).expect("letters, digits and a dash");
        aside.host = new.host.clone();
    }
    aside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::fixture::{Fleet, identity};
    use crate::command::{AddIdentity, Batch, ChangeIdentity, Command};

    /// Carries the strides out as one batch on a fleet that has what is old.
    fn carried_out(fleet: &mut Fleet, moves: &[Move<'_>]) -> usize {
        let strides = order(moves);
        let mut there: Vec<bool> = moves.iter().map(|it| it.old.is_some()).collect();
        let command = |Stride { of, ip }: &Stride| {
            if std::mem::replace(&mut there[*of], true) {
                Command::ChangeIdentity(ChangeIdentity::of(ip.clone()))
            } else {
                Command::AddIdentity(AddIdentity::of(ip.clone()))
            }
        };
        let commands = strides.iter().map(command).collect();
        let keys = fleet.stock(100);
        fleet.accept(keys);
        fleet.accept(Command::Batch(Batch {
            base_revision: None,
            commands,
        }));
        for it in moves {
            assert_eq!(fleet.state.identities[&it.new.address].spec, *it.new);
        }
        strides.len()
    }

    fn moves<'a>(old: &'a [IpSpec], new: &'a [IpSpec]) -> Vec<Move<'a>> {
        let old = |new: &IpSpec| old.iter().find(|old| old.address == new.address);
        new.iter().map(|new| Move { old: old(new), new }).collect()
    }

    /// The identity at `at` with the names of another.
    fn named(at: u32, like: u32) -> IpSpec {
        IpSpec {
            address: identity(at).address,
            ..identity(like)
        }
    }

    #[test]
    fn what_does_not_wait_stays_in_the_order_of_the_file() {
        let mut fleet = Fleet::with_identities(2);
        let new = [identity(5), identity(4), named(0, 6), identity(3)];
        let old = [identity(0), identity(1)];
        let strides = order(&moves(&old, &new));
        assert_eq!(
            strides.iter().map(|it| it.of).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        assert_eq!(carried_out(&mut fleet, &moves(&old, &new)), 4);
    }

    #[test]
    fn whoever_gives_up_goes_before_whoever_takes() {
        let mut fleet = Fleet::with_identities(3);
        let old = [identity(0), identity(1), identity(2)];
        // A new one takes the names of 0, which takes those of 1, which takes those of 2.
        let new = [named(7, 0), named(0, 1), named(1, 2), named(2, 9)];
        assert_eq!(carried_out(&mut fleet, &moves(&old, &new)), 4);
    }

    #[test]
    fn two_that_swap_need_one_step_aside() {
        let mut fleet = Fleet::with_identities(2);
        let old = [identity(0), identity(1)];
        let new = [named(0, 1), named(1, 0)];
        assert_eq!(carried_out(&mut fleet, &moves(&old, &new)), 3);
    }

    #[test]
    fn a_pool_moves_to_another_host_with_all_that_are_in_it_and_their_keys() {
        let mut fleet = Fleet::with_identities(3);
        fleet.declare("pmta2", email_engine_protocol::id::Role::Powermta, 2);
        let keys = |fleet: &Fleet| {
            let all = fleet.state.identities.values();
            all.map(|it| it.dkim_public.clone()).collect::<Vec<_>>()
        };
        let before = keys(&fleet);
        let old = [identity(0), identity(1), identity(2)];
        let new = old.clone().map(|mut ip| {
            ip.host = crate::command::fixture::host_id("pmta2");
            ip
        });
        carried_out(&mut fleet, &moves(&old, &new));
        assert_eq!(keys(&fleet), before, "no record has to be published anew");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_permutation_of_names_is_carried_out(
            names in Just((0..8u32).collect::<Vec<_>>()).prop_shuffle(),
            places in Just((0..8u32).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut fleet = Fleet::with_identities(6);
            let old: Vec<IpSpec> = (0..6).map(identity).collect();
            let new: Vec<IpSpec> = places.iter().zip(&names).map(|(at, like)| named(*at, *like)).collect();
            // Those that keep their names are not in the file's moves.
            let all = moves(&old, &new);
            let moved: Vec<_> = all.into_iter().filter(|it| it.old != Some(it.new)).collect();
            carried_out(&mut fleet, &moved);
        }
    }
}
