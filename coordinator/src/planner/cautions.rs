//! What a change of the fleet does that whoever asks for it may not have in mind. It is said and stops
//! nothing, whether the change is only looked at or made.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{IpSpec, IpStatus, Purpose};
use email_engine_protocol::id::{HostId, TenantId};

use super::preview;
use crate::fleet::takes_mail;
use crate::state::{FleetState, Host};

/// Identities that one caution names.
const NAMED: usize = 3;

/// Compares the fleet as it would be with the fleet as it is. Of hosts that may not be seen nothing is
/// said but their names.
#[must_use]
pub fn cautions(
    before: &FleetState,
    after: &FleetState,
    may_see: &dyn Fn(&Host) -> bool,
) -> Vec<String> {
    let mut told = lost_purposes(before, after);
    for ((from, to), moved) in moves(before, after) {
        let waits = after.hosts.get(to).filter(|host| may_see(host));
        let waits = waits.and_then(|_| preview::waits(before, after, to));
        let waits = waits.map(|waits| format!("; there {waits}"));
        told.push(format!(
            "{} from {from} to {to}: {from} takes no new mail for it as soon as it has the change, and \
             nobody does before {to} has it too{}",
            named(&moved, "moves", "move"),
            waits.unwrap_or_default()
        ));
    }
    told
}

/// A tenant's purpose.
type Owned<'a> = (&'a TenantId, Purpose);

/// Purposes that no identity serves any more, with those that could be taken up again.
fn lost_purposes(before: &FleetState, after: &FleetState) -> Vec<String> {
    let served = served(after);
    let lost = self::served(before)
        .into_iter()
        .filter(|(tenant, purpose)| {
            after.tenants.contains_key(*tenant) && !served.contains(&(*tenant, *purpose))
        });
    let lost: BTreeSet<Owned<'_>> = lost.collect();
    if lost.is_empty() {
        return Vec::new();
    }
    let mut left: BTreeMap<Owned<'_>, Vec<&IpSpec>> = BTreeMap::new();
    for spec in specs(after).filter(|spec| lost.contains(&owned(spec))) {
        left.entry(owned(spec)).or_default().push(spec);
    }
    let tell = |(tenant, purpose): Owned<'_>| {
        let left = left.get(&(tenant, purpose)).map_or(&[][..], Vec::as_slice);
        format!(
            "tenant {tenant}: purpose {} has no usable identity any more; {}",
            word(&purpose),
            kept(left)
        )
    };
    lost.into_iter().map(tell).collect()
}

fn served(state: &FleetState) -> BTreeSet<Owned<'_>> {
    specs(state)
        .filter(|spec| takes_mail(spec))
        .map(owned)
        .collect()
}

fn specs(state: &FleetState) -> impl Iterator<Item = &IpSpec> {
    state.identities.values().map(|identity| &identity.spec)
}

const fn owned(spec: &IpSpec) -> Owned<'_> {
    (&spec.tenant, spec.purpose)
}

/// An identity that takes no mail keeps its virtual MTA, so that it can be taken up again and nothing
/// in its queue bounces.
fn kept(left: &[&IpSpec]) -> String {
    if left.is_empty() {
        return "none is left that could be taken up again".to_owned();
    }
    let tell = |spec: &&IpSpec| match spec.status {
        IpStatus::Retiring => format!("{} drains", spec.address),
        status => format!("{} is kept, paused ({})", spec.address, word(&status)),
    };
    let mut told: Vec<String> = left.iter().take(NAMED).map(tell).collect();
    if left.len() > NAMED {
        told.push(format!("{} more", left.len() - NAMED));
    }
    told.join(", ")
}

/// Identities that are on another host afterwards, by the two hosts.
fn moves<'a>(
    before: &'a FleetState,
    after: &'a FleetState,
) -> BTreeMap<(&'a HostId, &'a HostId), Vec<&'a IpSpec>> {
    let mut moves: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for new in specs(after) {
        let old = before.identities.get(&new.address);
        if let Some(old) = old.filter(|old| old.spec.host != new.host) {
            moves
                .entry((&old.spec.host, &new.host))
                .or_default()
                .push(new);
        }
    }
    moves
}

fn named(moved: &[&IpSpec], one: &str, several: &str) -> String {
    let mut names: Vec<String> = moved
        .iter()
        .take(NAMED)
        .map(|it| it.address.to_string())
        .collect();
    if moved.len() > NAMED {
        names.push(format!("{} more", moved.len() - NAMED));
    }
    let verb = if moved.len() == 1 { one } else { several };
    format!("{} {verb}", names.join(", "))
}

/// The word that people know a value by.
pub(crate) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use email_engine_protocol::id::Role;
    use proptest::prelude::*;

    use super::*;
    use crate::command::fixture::{Fleet, address, host_id};
    use crate::command::{ChangeIdentity, Command, RetireIdentity};

    fn changed(fleet: &mut Fleet, number: u32, change: impl FnOnce(&mut IpSpec)) {
        let mut ip = fleet.state.identities[&address(number)].spec.clone();
        change(&mut ip);
        // Where it stands is put there: which ways lead there is not the question here.
        let row = fleet.state.identities.get_mut(&ip.address).unwrap();
        Arc::make_mut(row).spec.status = ip.status;
        fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip)));
    }

    fn told(before: &FleetState, after: &FleetState) -> Vec<String> {
        cautions(before, after, &|_| true)
    }

    /// A fleet of active identities, the first for newsletters and the others for marketing.
    fn fleet(identities: u32) -> Fleet {
        let mut fleet = Fleet::with_identities(identities);
        for number in 0..identities {
            changed(&mut fleet, number, |ip| {
                ip.status = IpStatus::Active;
                ip.purpose = match number {
                    0 => Purpose::Newsletter,
                    _ => Purpose::Marketing,
                };
            });
        }
        fleet
    }

    #[test]
    fn the_last_of_a_purpose_that_takes_no_mail_any_more_is_told_and_is_kept_paused() {
        for status in [IpStatus::Quarantine, IpStatus::Resting, IpStatus::Standby] {
            let mut fleet = fleet(2);
            let before = fleet.state.clone();
            changed(&mut fleet, 0, |ip| ip.status = status);
            let expected = format!(
                "tenant client-1: purpose newsletter has no usable identity any more; 192.0.2.1 is \
                 kept, paused ({})",
                word(&status)
            );
            assert_eq!(told(&before, &fleet.state), [expected]);
            // It is said when it comes to that, and not at every change from then on.
            let before = fleet.state.clone();
            changed(&mut fleet, 0, |ip| ip.display_name = "Other".to_owned());
            assert_eq!(told(&before, &fleet.state), Vec::<String>::new());
        }
    }

    #[test]
    fn one_of_two_goes_without_a_word_and_the_second_not() {
        let mut fleet = fleet(3);
        let retire = |number| {
            let address = address(number);
            Command::RetireIdentity(RetireIdentity { address })
        };
        let before = fleet.state.clone();
        fleet.accept(retire(1));
        assert_eq!(told(&before, &fleet.state), Vec::<String>::new());
        let before = fleet.state.clone();
        fleet.accept(retire(2));
        let said = told(&before, &fleet.state).concat();
        assert!(
            said.contains("purpose marketing has no usable identity any more"),
            "{said}"
        );
    }

    #[test]
    fn another_purpose_leaves_the_old_one_without_anybody() {
        let mut fleet = fleet(2);
        let before = fleet.state.clone();
        changed(&mut fleet, 0, |ip| ip.purpose = Purpose::Notification);
        let expected = "tenant client-1: purpose newsletter has no usable identity any more; none is \
                        left that could be taken up again";
        assert_eq!(told(&before, &fleet.state), [expected]);
    }

    #[test]
    fn a_move_is_told_with_both_hosts_and_loses_no_purpose() {
        let mut fleet = fleet(1);
        fleet.declare("pmta2", Role::Powermta, 2);
        let before = fleet.state.clone();
        changed(&mut fleet, 0, |ip| ip.host = host_id("pmta2"));
        let expected = "192.0.2.1 moves from pmta1 to pmta2: pmta1 takes no new mail for it as soon as \
                        it has the change, and nobody does before pmta2 has it too";
        assert_eq!(told(&before, &fleet.state), [expected]);
        assert_eq!(told(&fleet.state, &fleet.state), Vec::<String>::new());
    }

    fn statuses() -> impl Strategy<Value = Vec<(IpStatus, Purpose)>> {
        use IpStatus::{Active, Quarantine, Resting, Retiring, Standby, Warming};
        let status = prop::sample::select(vec![
            Active, Quarantine, Resting, Retiring, Standby, Warming,
        ]);
        let purpose = prop::sample::select(vec![Purpose::Marketing, Purpose::Newsletter]);
        prop::collection::vec((status, purpose), 4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Said exactly when a purpose had somebody and has nobody, whatever else changes.
        #[test]
        fn a_purpose_is_never_left_alone_in_silence(was in statuses(), becomes in statuses()) {
            let made = |lives: &[(IpStatus, Purpose)]| {
                let mut fleet = Fleet::with_identities(4);
                for (number, (status, purpose)) in lives.iter().enumerate() {
                    changed(&mut fleet, u32::try_from(number).unwrap(), |ip| {
                        (ip.status, ip.purpose) = (*status, *purpose);
                    });
                }
                fleet.state
            };
            let (before, after) = (made(&was), made(&becomes));
            let said = told(&before, &after);
            for purpose in [Purpose::Marketing, Purpose::Newsletter] {
                let serves = |lives: &[(IpStatus, Purpose)]| lives.iter().any(|(status, own)| {
                    *own == purpose && matches!(status, IpStatus::Active | IpStatus::Warming)
                });
                let lost = serves(&was) && !serves(&becomes);
                let told = said.iter().filter(|said| said.contains(&word(&purpose))).count();
                prop_assert_eq!(told, usize::from(lost), "{:?}", said);
            }
        }
    }
}
