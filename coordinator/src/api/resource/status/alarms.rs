//! What goes on for too long although every host may be as desired. Pure.

use email_engine_protocol::api::{HostView, LeavingView};
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::Observed;
use email_engine_protocol::time::Timestamp;

use crate::api::auth::Caller;
use crate::fleet::rotation::stuck;
use crate::state::{FleetState, TRUSTS_LABEL};

/// Hosts that are named in a reason.
const NAMED: usize = 3;

/// A queue is empty when its mail is delivered, or bounced after a day by `bounce-after`. What has not
/// drained two hours later does not drain by itself, or nobody can tell.
const DRAINED_MILLIS: u64 = 26 * 3_600 * Timestamp::SECOND;

pub(super) fn overdue(leaving: &[LeavingView], now: Timestamp) -> Vec<String> {
    let late = leaving
        .iter()
        .filter(|one| now.since(one.since) > DRAINED_MILLIS);
    let reason = |one: &LeavingView| {
        let left = match &one.messages {
            None => "nothing is known of its queue".to_owned(),
            Some(Observed::Known { value, .. }) => format!("{value} messages are left"),
            Some(Observed::Unknown { reason, .. }) => {
                format!("what is left is not known: {reason}")
            }
        };
        let (address, host, since) = (one.ip.address, &one.ip.host, one.since);
        format!(
            "{host}: {address} drains since {since}, {left}; it stays until its queue is empty, or \
             until `email-engine ips remove {address} --now` gives that up"
        )
    };
    late.map(reason).collect()
}

/// Every host that submits has its next state by then, unless its agent is off or something is wrong.
const TRUSTED_MILLIS: u64 = 600 * Timestamp::SECOND;

/// Who takes mail in the clear, and whose word is missing for anything else.
pub(super) fn untrusted(state: &FleetState, now: Timestamp) -> Option<String> {
    let issued_at = state.submission_authority.as_ref()?.authority.issued_at;
    let missing = listed(state.submission_missing());
    let waited_for = listed(state.submission_distrusted_by());
    if now.since(issued_at) <= TRUSTED_MILLIS || missing.is_empty() || waited_for.is_empty() {
        return None;
    }
    Some(format!(
        "{missing}: no certificate, so mail is taken in the clear: {waited_for} did not report since \
         {issued_at} to trust the authority, and could send nothing more; its agent says so once it \
         has converged, or an operator does by a label on it, {TRUSTS_LABEL} = \"by hand\""
    ))
}

/// Rotations of DKIM keys that should have gone on, all in one.
pub(super) fn stuck_rotations(
    state: &FleetState,
    caller: &Caller,
    now: Timestamp,
) -> Option<String> {
    let own = state.identities.values();
    let own = own.filter(|identity| caller.sees(Some(&identity.spec.tenant)));
    let mut stuck = own.filter_map(|identity| Some((identity.spec.address, stuck(identity, now)?)));
    let (address, why) = stuck.next()?;
    let more = match stuck.count() {
        0 => String::new(),
        more => format!("; and {more} more (`email-engine dkim status` shows them)"),
    };
    Some(format!(
        "{address}: the rotation of its DKIM key is stuck, and it signs as before: {why}{more}"
    ))
}

fn listed<'a>(hosts: impl Iterator<Item = &'a HostId>) -> String {
    let mut named: Vec<String> = hosts.map(ToString::to_string).collect();
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

/// What an operator should know of a host that may well be as desired: it stays converged, so that
/// no change waits for it.
pub(super) fn alerts(host: &HostView, now: Timestamp) -> impl Iterator<Item = String> {
    let notices = host.mail.notices.clone().current(now).words();
    let words = notices
        .into_iter()
        .chain(host.uncounted.current(now).words());
    let id = &host.spec.id;
    words.map(move |words| format!("{id}: {words}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use email_engine_protocol::id::Role;

    use super::*;
    use crate::command::Command;
    use crate::command::fixture::{BEGIN, Fleet, host_id, identity, submission};
    use crate::planner::builtin_bundle;
    use crate::state::{HostLifecycle, RoleBundle};

    #[test]
    fn a_queue_that_is_not_empty_after_a_day_and_two_hours_is_named() {
        let one = |messages| LeavingView {
            ip: identity(1),
            since: BEGIN,
            moved: false,
            messages,
        };
        let known = |value| {
            let at = BEGIN;
            one(Some(Observed::Known { value, at }))
        };
        let leaving = [known(7), one(None)];
        let late = BEGIN.plus(26 * 3_600 * Timestamp::SECOND);
        assert!(overdue(&leaving, late).is_empty());
        let told = overdue(&leaving, late.plus(1));
        assert!(
            told[0].contains("7 messages are left; it stays until"),
            "{told:?}"
        );
        assert!(
            told[1].contains("nothing is known of its queue"),
            "{told:?}"
        );
    }

    /// `pmta1` has no certificate under its authority, and these submit and have not reported.
    fn waiting(names: &[&str]) -> Fleet {
        let mut fleet = Fleet::with_identities(0);
        let authority = submission::authority(1, None);
        fleet.accept(Command::SetSubmissionAuthority(Box::new(authority)));
        for (name, at) in names.iter().zip(20..) {
            fleet.declare(name, Role::Api, at);
            let host = fleet.state.hosts.get_mut(&host_id(name)).unwrap();
            host.lifecycle = HostLifecycle::Enrolled;
        }
        let shipped = Arc::new(RoleBundle::new(builtin_bundle(), BEGIN));
        for bundle in fleet.state.bundles.values_mut() {
            bundle.clone_from(&shipped);
        }
        fleet
    }

    #[test]
    fn who_is_waited_for_with_certificates_is_named_after_ten_minutes() {
        let mut fleet = waiting(&["api1", "api2", "api3", "api4", "api5"]);
        let late = BEGIN.plus(601 * Timestamp::SECOND);
        assert_eq!(untrusted(&fleet.state, BEGIN), None);
        let told = untrusted(&fleet.state, late).unwrap();
        assert!(
            told.starts_with("pmta1: no certificate") && told.contains("api1, api2, api3, 2 more"),
            "{told}"
        );
        fleet.state.hosts.change_each(|_, host| {
            let label = (TRUSTS_LABEL.to_owned(), "by hand".to_owned());
            host.spec.labels.extend([label]);
        });
        assert_eq!(
            untrusted(&fleet.state, late),
            None,
            "an operator vouches for them"
        );
        let mut fleet = waiting(&["api1"]);
        submission::certify(&mut fleet.state, "pmta1");
        assert_eq!(untrusted(&fleet.state, late), None, "it has one");
    }
}
