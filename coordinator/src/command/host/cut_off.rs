//! `cut-off-host`.

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::id::HostId;

use crate::command::RejectionCode::WrongState;
use crate::command::access::{revoke_certificates, revoke_tokens};
use crate::command::content::drop_target;
use crate::command::identity::forget_leaving;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{CutOffHost, Rejection};
use crate::state::{CertificateSubject, FleetState, HostLifecycle, metrics_key_prefix};

impl Verb for CutOffHost {
    fn name(&self) -> &'static str {
        "cut-off-host"
    }

    fn object(&self) -> String {
        let how = if self.confirmed {
            "wipe confirmed"
        } else {
            "deadline passed"
        };
        format!("host {} ({how})", self.host)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(host) = state.hosts.get(&self.host) else {
            return Err(not_found("host", &self.host, "host"));
        };
        match host.lifecycle {
            HostLifecycle::Retired => return Ok(Change::NONE),
            HostLifecycle::Declared | HostLifecycle::Enrolled => {
                let accepted = "a host that is being retired";
                return Err(refuse(WrongState, "host", &self.host, accepted));
            }
            HostLifecycle::Retiring { deadline } if !self.confirmed && turn.now() < deadline => {
                let accepted = format!("a confirmed wipe, or a time from {deadline} on");
                return Err(refuse(WrongState, "confirmed", &self.confirmed, accepted));
            }
            HostLifecycle::Retiring { .. } => cut_off(state, &self.host, turn),
        }
        Ok(Change::DONE)
    }
}

/// Nothing is left of the host but its name, the revocation of its certificates, and the number of its
/// last generation.
pub(super) fn cut_off(state: &mut FleetState, host: &HostId, turn: &mut Turn<'_>) {
    revoke_certificates(state, &CertificateSubject::Host(host.clone()), None);
    revoke_tokens(state, host);
    drop_target(state, host, turn);
    state.forget_submission(host);
    state.forget_passwords(host);
    let prefix = metrics_key_prefix(host);
    for key in state.api_keys.values_mut() {
        let rest = key.id.as_str().strip_prefix(&prefix);
        // Another host's name may begin with this one's.
        let is_its = rest.is_some_and(|rest| !rest.contains('-'));
        if is_its && key.role == AccessRole::Metrics && key.revoked_at.is_none() {
            key.revoked_at = Some(turn.now());
        }
    }
    state.outcomes.remove(host);
    state.removal_allowed.remove(host);
    state.restart_allowed.remove(host);
    state.attempts.remove(host);
    state.given_up.remove(host);
    state.foreign_plans.remove(host);
    state.unlimited.remove(host);
    state.forget_held_campaigns(host, turn.now());
    forget_leaving(state, host, turn.now());
    if let Some(row) = state.hosts.get_mut(host) {
        state.lookup.remove_host(&row.spec);
        row.lifecycle = HostLifecycle::Retired;
        row.keys = None;
        row.large_removal = false;
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::generation::Generation;
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, SECOND, host, host_id};
    use crate::command::{
        AddHost, BodyChange, Command, CutOffHost, Effect, RejectionCode, RetireHost,
    };

    fn cut_off(confirmed: bool) -> Command {
        let host = host_id("pmta1");
        Command::CutOffHost(CutOffHost { host, confirmed })
    }

    fn retiring() -> Fleet {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.target(&[b"one"]));
        let host = host_id("pmta1");
        let grace_millis = 10 * SECOND;
        fleet.accept(Command::RetireHost(RetireHost { host, grace_millis }));
        fleet
    }

    #[test]
    fn only_a_confirmed_wipe_or_the_deadline_cuts_a_host_off() {
        let mut fleet = retiring();
        assert_eq!(fleet.refuse(cut_off(false)).code, RejectionCode::WrongState);
        let mut early = fleet.clone();
        early.accept(cut_off(true));
        assert!(early.state.hosts[&host_id("pmta1")].is_retired());
        fleet.wait(11 * SECOND);
        fleet.accept(cut_off(false));
        assert_eq!(fleet.accept(cut_off(false)).effect, Effect::Unchanged);
    }

    #[test]
    fn a_working_host_is_not_cut_off() {
        let rejection = Fleet::with_identities(0).refuse(cut_off(true));
        assert_eq!(rejection.code, RejectionCode::WrongState);
    }

    #[test]
    fn certificates_target_and_bodies_go_and_the_generation_goes_on_when_it_is_declared_again() {
        let mut fleet = retiring();
        fleet.accept(cut_off(true));
        let drops = fleet
            .bodies
            .iter()
            .filter(|c| matches!(c, BodyChange::Drop(_)))
            .count();
        assert_eq!((fleet.state.bodies.len(), drops), (0, 2));
        assert_eq!(fleet.state.revoked.len(), 1);
        let host = host("pmta1", Role::Powermta, 1);
        fleet.accept(Command::AddHost(AddHost { host }));
        let outcome = fleet.accept(fleet.target(&[b"two"]));
        let next = Generation {
            epoch: 1,
            number: 2,
        };
        assert_eq!(
            outcome.effect,
            Effect::Targets(vec![(host_id("pmta1"), next)])
        );
    }
}
