//! What a file says of where an identity stands: the way it begins, and turns of its life.
//!
//! The fleet carries an identity on by itself, on evidence, and the file that it began with stays as it
//! is. So what a file said when it was applied last is no news when it says it again: an identity that was
//! declared to warm up, and is in production or in quarantine since, stays there. What it says anew is a
//! turn that must be among those that an operator may ask for.

use email_engine_protocol::api::{IpDocument, IpSpec, IpStatus, Phase};

use super::reject;
use crate::command::{Rejection, RejectionCode, life_refused};
use crate::fleet::lifecycle::{Standing, declare};
use crate::fleet::listing::preflight;
use crate::state::{Declared, FleetState, Identity};

/// The document without what it said before.
pub(super) fn said_anew(ip: &IpDocument, identity: Option<&Identity>) -> IpDocument {
    let mut ip = ip.clone();
    // Whoever is active is through: what a file says beside it of the warm-up is how it came there.
    ip.phase = ip.phase.filter(|_| ip.status != Some(IpStatus::Active));
    let Some(said) = identity.map(|identity| identity.life.said) else {
        return ip;
    };
    ip.status = ip.status.filter(|_| ip.status != said.status);
    ip.phase = ip.phase.filter(|_| ip.phase != said.phase);
    ip.reserve = ip.reserve.filter(|_| ip.reserve != said.reserve);
    ip
}

/// Where the identity stands once the file is applied. `ip` is what is said anew.
pub(super) fn stands(
    state: &FleetState,
    index: usize,
    ip: &IpDocument,
    mut spec: IpSpec,
    identity: Option<&Identity>,
) -> Result<IpSpec, Rejection> {
    let now = state.now;
    let place = |field: &str| format!("ips[{index}].{field}");
    if spec.status == IpStatus::Warming && ip.phase == Some(Phase::Active) {
        let accepted = "week_1 to week_6 while it is warming, or status = \"active\"";
        let field = place("phase");
        return Err(reject(RejectionCode::Invalid, field, "active", accepted));
    }
    if spec.reserve && ip.reserve == Some(true) && spec.status != IpStatus::Active {
        let accepted =
            "false, or status = \"active\": an identity is kept in reserve while it is active";
        let field = place("reserve");
        return Err(reject(RejectionCode::Invalid, field, "true", accepted));
    }
    let Some(identity) = identity else {
        return Ok(spec);
    };
    let wanted = Declared::of(&spec);
    if wanted == Declared::of(&identity.spec) {
        return Ok(spec);
    }
    let preflight = preflight(state, identity, &identity.life.checks, now);
    let turned = declare(&Standing::of(identity), wanted, now, &preflight);
    let turned = turned.map_err(|refusal| Rejection {
        field: place("status"),
        value: wanted.status.as_str().to_owned(),
        ..life_refused(&refusal)
    })?;
    let standing = turned.standing;
    (spec.status, spec.phase, spec.reserve) = (standing.status, standing.phase, standing.reserve);
    Ok(spec)
}

/// Whether a new identity is declared to stand elsewhere than where one begins.
pub(super) fn is_taken_over(ip: &IpDocument) -> bool {
    let status = ip.status.unwrap_or_default();
    let phase = ip.phase.unwrap_or_default();
    status != IpStatus::Standby || phase != Phase::Week1
}

/// What is to be known of an identity that begins where it is declared to be.
pub(super) fn begins(state: &FleetState, new: &IpSpec) -> Option<String> {
    if let Some(held) = state.held.of(new.address, state.now) {
        let how = match &held.quarantine {
            Some(_) => "in quarantine: it is there again, and leaves it as every other one does",
            None => {
                "with its warm-up stopped: `email-engine warmup resume` ends that, with a reason"
            }
        };
        return Some(format!("its address left {how}"));
    }
    let sends = matches!(new.status, IpStatus::Active | IpStatus::Warming);
    sends.then(|| {
        format!(
            "taken over as {}: it is declared to be so, and no preflight is asked of it",
            new.status.as_str()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use email_engine_protocol::api::{Check, FleetDocument, Verdict};
    use email_engine_protocol::id::TenantId;
    use email_engine_protocol::time::Timestamp;

    use super::super::{DocumentPlan, Scope, changes};
    use super::*;
    use crate::command::fixture::{Fleet, address, identity};
    use crate::command::{AddIdentity, Command, RecordSending, StateChecks, SteerIdentity};
    use crate::fleet::lifecycle::Event;
    use crate::state::Said;

    /// Identity 0 as a file has it, on the fixture's host.
    fn file(said: &str) -> FleetDocument {
        let ip = identity(0);
        let (address, domain, vmta) = (ip.address, ip.domain, ip.vmta);
        let text = format!(
            "[[ips]]\naddress = \"{address}\"\ndomain = \"{domain}\"\nvmta = \"{vmta}\"\ntenant = \
             \"client-1\"\ndisplay_name = \"Example\"\nplanned_daily = 5000\n{said}"
        );
        toml::from_str(&text).unwrap()
    }

    fn planned(fleet: &Fleet, said: &str) -> Result<DocumentPlan, Rejection> {
        by(fleet, said, Scope::Admin)
    }

    fn by(fleet: &Fleet, said: &str, scope: Scope<'_>) -> Result<DocumentPlan, Rejection> {
        changes(&fleet.state, &file(said), false, scope)
    }

    fn apply(fleet: &mut Fleet, said: &str) {
        for command in planned(fleet, said).unwrap().commands {
            fleet.accept(command);
        }
    }

    fn steer(fleet: &mut Fleet, event: Event) {
        let verdicts = Check::ALL.map(|check| (check, Verdict::Valid)).into();
        let address = address(0);
        fleet.accept(Command::StateChecks(StateChecks {
            address,
            verdicts,
            sweeps: true,
        }));
        fleet.accept(Command::SteerIdentity(SteerIdentity {
            address,
            event,
            force: false,
            on_host: None,
        }));
    }

    fn stands(fleet: &Fleet) -> (IpStatus, Phase) {
        let spec = &fleet.state.identities[&address(0)].spec;
        (spec.status, spec.phase)
    }

    const WARMING: &str = "status = \"warming\"\nphase = \"week_2\"\n";

    #[test]
    fn a_file_that_says_again_what_it_said_changes_nothing_that_happened_since() {
        let mut fleet = Fleet::with_identities(0);
        apply(&mut fleet, WARMING);
        steer(&mut fleet, Event::Graduate);
        let again = planned(&fleet, WARMING).unwrap();
        assert_eq!((again.commands, again.changes), (vec![], vec![]));
        let lists = BTreeSet::from(["zen.example.org".to_owned()]);
        steer(&mut fleet, Event::Quarantine { lists });
        assert_eq!(planned(&fleet, WARMING).unwrap().commands, []);
        assert_eq!(stands(&fleet), (IpStatus::Quarantine, Phase::Active));
        // Another change beside it is made, and this one not.
        let other = format!("{WARMING}sender = \"other\"\n");
        apply(&mut fleet, &other);
        assert_eq!(stands(&fleet), (IpStatus::Quarantine, Phase::Active));
    }

    #[test]
    fn what_a_file_says_anew_is_an_edge_or_is_refused_at_its_place() {
        let mut fleet = Fleet::with_identities(0);
        apply(&mut fleet, "");
        assert_eq!(stands(&fleet), (IpStatus::Standby, Phase::Week1));
        let refused = planned(&fleet, WARMING).unwrap_err();
        assert_eq!(refused.code, RejectionCode::Preflight);
        assert_eq!(
            (&*refused.field, &*refused.value),
            ("ips[0].status", "warming")
        );
        let refused = planned(&fleet, "status = \"resting\"\n").unwrap_err();
        assert_eq!(refused.code, RejectionCode::NoEdge);
        assert!(
            refused.accepted.contains("from standby to resting"),
            "{refused}"
        );
        steer(&mut fleet, Event::Activate);
        apply(&mut fleet, "status = \"resting\"\n");
        assert_eq!(stands(&fleet), (IpStatus::Resting, Phase::Week1));
        // Left out, it stays as it is.
        assert_eq!(planned(&fleet, "").unwrap().commands, []);
    }

    #[test]
    fn what_sends_already_is_taken_over_by_an_admin_alone_and_the_plan_says_so() {
        let fleet = Fleet::with_identities(0);
        let plan = planned(&fleet, WARMING).unwrap();
        let details = plan.changes[0].details.join("; ");
        assert!(details.contains("taken over as warming"), "{details}");
        let tenant = TenantId::new("client-1").unwrap();
        for scope in [Scope::Operator, Scope::Tenant(&tenant)] {
            for said in [WARMING, "status = \"active\"\n", "phase = \"week_6\"\n"] {
                let refused = by(&fleet, said, scope).unwrap_err();
                assert_eq!(refused.code, RejectionCode::Forbidden, "{said}");
                assert_eq!(refused.field, "ips[0].status");
            }
            let plan = by(&fleet, "", scope).unwrap();
            let [Command::AddIdentity(AddIdentity { ip, .. })] = &plan.commands[..] else {
                panic!("{:?}", plan.commands);
            };
            assert_eq!(ip.status, IpStatus::Standby);
        }
    }

    #[test]
    fn phase_above_the_reached_one_is_an_admins_word_and_one_below_it_is_not() {
        let mut fleet = Fleet::with_identities(0);
        apply(&mut fleet, WARMING);
        for scope in [Scope::Operator, Scope::Tenant(&identity(0).tenant)] {
            let further = "status = \"warming\"\nphase = \"week_3\"\n";
            let refused = by(&fleet, further, scope).unwrap_err();
            let told = (refused.code, &*refused.field, &*refused.value);
            assert_eq!(told, (RejectionCode::Forbidden, "ips[0].phase", "week_3"));
            let back = "status = \"warming\"\nphase = \"week_1\"\n";
            assert_eq!(by(&fleet, back, scope).unwrap().commands.len(), 1);
        }
        apply(&mut fleet, "status = \"warming\"\nphase = \"week_3\"\n");
        assert_eq!(stands(&fleet), (IpStatus::Warming, Phase::Week3));
    }

    #[test]
    fn an_edited_status_line_takes_nothing_back_that_stands_in_the_other_lines() {
        // Taken over active: the phase beside it says how it came there, and is old when the status changes.
        let mut fleet = Fleet::with_identities(0);
        apply(&mut fleet, "status = \"active\"\nphase = \"week_2\"\n");
        apply(&mut fleet, "status = \"resting\"\nphase = \"week_2\"\n");
        assert_eq!(stands(&fleet), (IpStatus::Resting, Phase::Active));
        // Rest took phases from it when it was taken up; the old line does not give them back.
        let mut fleet = Fleet::with_identities(0);
        apply(&mut fleet, "status = \"warming\"\nphase = \"week_4\"\n");
        apply(&mut fleet, "status = \"resting\"\nphase = \"week_4\"\n");
        apply(&mut fleet, "status = \"standby\"\nphase = \"week_4\"\n");
        let says = "status = \"warming\"\nphase = \"week_4\"\n";
        for _ in 0..80 {
            fleet.wait(Timestamp::DAY / 2);
            let sent = [].into();
            fleet.accept(Command::RecordSending(RecordSending { sent }));
        }
        let verdicts = Check::ALL.map(|check| (check, Verdict::Valid)).into();
        fleet.accept(Command::StateChecks(StateChecks {
            address: address(0),
            verdicts,
            sweeps: true,
        }));
        apply(&mut fleet, says);
        assert_eq!(stands(&fleet), (IpStatus::Warming, Phase::Week3));
        assert_eq!(planned(&fleet, says).unwrap().commands, []);
        assert_eq!(stands(&fleet), (IpStatus::Warming, Phase::Week3));
    }

    #[test]
    fn what_was_filled_in_is_not_taken_for_said_and_what_fits_already_is_remembered() {
        let mut fleet = Fleet::with_identities(0);
        apply(&mut fleet, "");
        let said = |fleet: &Fleet| fleet.state.identities[&address(0)].life.said;
        assert_eq!(said(&fleet), Said::default());
        steer(&mut fleet, Event::Activate);
        // It stands so already: nothing changes, and from now on it is no news.
        let plan = planned(&fleet, "status = \"warming\"\n").unwrap();
        assert_eq!((plan.changes, plan.commands.len()), (vec![], 1));
        apply(&mut fleet, "status = \"warming\"\n");
        assert_eq!(said(&fleet).status, Some(IpStatus::Warming));
        assert_eq!(said(&fleet).phase, None);
        let lists = BTreeSet::from(["zen.example.org".to_owned()]);
        steer(&mut fleet, Event::Quarantine { lists });
        assert_eq!(
            planned(&fleet, "status = \"warming\"\n").unwrap().commands,
            []
        );
    }

    #[test]
    fn parts_that_do_not_go_together_are_refused_by_field() {
        let fleet = Fleet::with_identities(0);
        for (said, field) in [
            ("status = \"warming\"\nphase = \"active\"\n", "ips[0].phase"),
            ("reserve = true\n", "ips[0].reserve"),
            ("status = \"warming\"\nreserve = true\n", "ips[0].reserve"),
        ] {
            assert_eq!(planned(&fleet, said).unwrap_err().field, field, "{said}");
        }
        let mut fleet = fleet;
        let active = "status = \"active\"\nphase = \"week_3\"\nreserve = true\n";
        apply(&mut fleet, active);
        assert_eq!(planned(&fleet, active).unwrap().commands, []);
        let one = &fleet.state.identities[&address(0)];
        assert_eq!((one.weight(), one.spec.phase), (5, Phase::Active));
    }
}
