//! What a report says of what a tenant's MailWizz does by itself with servers of ours, warm-up plans of its own and
//! quotas that it does not keep: when it is another word than the fleet's, the fleet is told.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::ResourceKind;
use email_engine_protocol::id::{HostId, Role, VmtaName};
use email_engine_protocol::observed::{
    Claim, Convergence, HostReport, ResourceState, ResourceStatus,
};

use super::Session;
use crate::command::{Command, RecordForeignPlans, RecordQuotas};
use crate::push::Fleet;
use crate::state::FleetState;

/// Where MailWizz says which plan a delivery server follows.
const COLUMN: &str = "warmup_plan_id";
/// What looks whether it keeps quotas, in the role of MailWizz.
const STEP: &str = "step:quotas-kept";
/// What it says when it does not. Whatever else it fails with is no word on quotas.
const NOT_KEPT: &str = "no quota of a delivery server is kept";

/// What the last report said, and whether the fleet is being told of it.
#[derive(Debug, Default)]
pub(super) struct Telling {
    seen: Option<Foreign>,
    pub(super) underway: bool,
}

/// What one report says of the host's rows.
#[derive(Debug, Default)]
struct Foreign {
    plans: BTreeMap<VmtaName, String>,
    /// Of which it could not be said.
    unseen: BTreeSet<VmtaName>,
    /// Those that the report does not name are right.
    is_whole: bool,
    /// Whether quotas are kept, when that can be said.
    quotas: Option<bool>,
}

impl Foreign {
    /// Nothing when no pass has looked yet.
    fn of(statuses: &[ResourceStatus], total: u32) -> Option<Self> {
        let mut foreign = Self {
            // The worst come first: one that is right at the end says that all others are.
            is_whole: statuses.len() as u64 >= u64::from(total)
                || statuses
                    .last()
                    .is_some_and(|status| status.state.is_right()),
            ..Self::default()
        };
        for status in statuses {
            let Some(vmta) = vmta_of(status) else {
                continue;
            };
            match &status.state {
                ResourceState::Drifted(reason) => match reason.parse::<Claim>() {
                    Ok(claim) if claim.column == COLUMN => {
                        foreign.plans.insert(vmta, claim.value);
                    }
                    _ => _ = foreign.unseen.insert(vmta),
                },
                ResourceState::Blocked(_)
                | ResourceState::Failed(_)
                | ResourceState::Unknown(_) => {
                    foreign.unseen.insert(vmta);
                }
                ResourceState::Converged | ResourceState::Simulated | ResourceState::Told(_) => {}
            }
        }
        let mut all = statuses.iter();
        let step = all
            .find(|status| status.kind == ResourceKind::Step && status.id.as_str() == STEP)
            .map(|status| &status.state);
        foreign.quotas = match step {
            Some(ResourceState::Failed(why)) if why.contains(NOT_KEPT) => Some(false),
            Some(state) => state.is_right().then_some(true),
            // A host may have no such step.
            None => foreign.is_whole.then_some(true),
        };
        (total > 0).then_some(foreign)
    }

    /// What the fleet is to be told, if anything: one thing, and the other when that is known.
    fn command(&self, state: &FleetState, host: &HostId) -> Option<Command> {
        let spec = &state.hosts.get(host)?.spec;
        let own = spec.role == Role::Mailwizz && spec.tenant.is_some();
        let were_kept = !state.unlimited.contains_key(host);
        let quotas = self.quotas.filter(|kept| own && *kept != were_kept);
        let quotas = quotas.map(|kept| {
            let host = host.clone();
            Command::RecordQuotas(RecordQuotas { host, kept })
        });
        quotas.or_else(|| {
            let (host, plans) = (host.clone(), self.news(state, host)?);
            let command = RecordForeignPlans { host, plans };
            Some(Command::RecordForeignPlans(command))
        })
    }

    /// All that there are now, when that is not what the fleet knows. What could not be seen is as it was.
    fn news(&self, state: &FleetState, host: &HostId) -> Option<BTreeMap<VmtaName, String>> {
        state.hosts.get(host)?.spec.tenant.as_ref()?;
        let known = state.foreign_plans.get(host);
        let known: BTreeMap<_, _> = known
            .into_iter()
            .flatten()
            .map(|(vmta, known)| (vmta.clone(), known.plan.clone()))
            .collect();
        let mut plans = self.plans.clone();
        for (vmta, plan) in &known {
            if self.unseen.contains(vmta) || !self.is_whole {
                plans.entry(vmta.clone()).or_insert_with(|| plan.clone());
            }
        }
        (plans != known).then_some(plans)
    }
}

/// Rows of delivery servers are called after the virtual MTA that they submit to.
fn vmta_of(status: &ResourceStatus) -> Option<VmtaName> {
    let id = status.id.as_str();
    let (table, vmta) = id.strip_prefix("sql_row:")?.rsplit_once('/')?;
    let is_row = status.kind == ResourceKind::SqlRow && table.ends_with("delivery_server");
    VmtaName::new(vmta.to_owned()).ok().filter(|_| is_row)
}

impl<F: Fleet> Session<F> {
    pub(super) fn note_foreign(&mut self, report: &HostReport) {
        let is_over = matches!(
            report.convergence,
            Convergence::Converged | Convergence::Degraded
        );
        if !is_over {
            // A pass that was interrupted saw some rows only.
            return;
        }
        self.tellings.foreign.seen = Foreign::of(&report.statuses, report.counts.total());
        self.tell_foreign();
    }

    /// As with what drains: one command at a time, and again by the clock when nobody could write it down.
    pub(super) fn tell_foreign(&mut self) {
        let Telling { seen, underway } = &self.tellings.foreign;
        let Some(foreign) = seen.as_ref().filter(|_| !underway) else {
            return;
        };
        let host = &self.host;
        let command = self.push.fleet.view(|state| foreign.command(state, host));
        if let Some(command) = command {
            self.tellings.foreign.underway = true;
            self.record_foreign(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ResourceId;

    use super::*;
    use crate::command::AddHost;
    use crate::command::fixture::{Fleet, host, host_id, identity};

    fn status(at: u32, state: ResourceState) -> ResourceStatus {
        let id = format!("sql_row:mailwizz.mw_delivery_server/{}", identity(at).vmta);
        ResourceStatus {
            id: ResourceId::new(id).unwrap(),
            kind: ResourceKind::SqlRow,
            state,
        }
    }

    fn drifted(at: u32, plan: &str) -> ResourceStatus {
        let claim = Claim::new(COLUMN, plan.as_bytes());
        status(at, ResourceState::Drifted(claim.to_string()))
    }

    fn plans(all: &[(u32, &str)]) -> BTreeMap<VmtaName, String> {
        let named = all
            .iter()
            .map(|(at, plan)| (identity(*at).vmta, (*plan).to_owned()));
        named.collect()
    }

    fn fleet() -> (Fleet, HostId) {
        let mut fleet = Fleet::with_identities(3);
        let mut machine = host("mailwizz1", Role::Mailwizz, 40);
        machine.tenant = Some(identity(0).tenant);
        fleet.accept(Command::AddHost(AddHost { host: machine }));
        (fleet, host_id("mailwizz1"))
    }

    /// What a report with these statuses, of so many resources, is news of.
    fn news(
        fleet: &Fleet,
        host: &HostId,
        statuses: &[ResourceStatus],
        total: u32,
    ) -> Option<BTreeMap<VmtaName, String>> {
        Foreign::of(statuses, total)?.news(&fleet.state, host)
    }

    fn tell(fleet: &mut Fleet, host: &HostId, plans: BTreeMap<VmtaName, String>) {
        let host = host.clone();
        let command = RecordForeignPlans { host, plans };
        fleet.accept(Command::RecordForeignPlans(command));
    }

    #[test]
    fn what_is_set_is_told_once_and_its_end_as_well() {
        let (mut fleet, host) = fleet();
        let right = || status(1, ResourceState::Converged);
        assert_eq!(news(&fleet, &host, &[right()], 1), None);
        let found = news(&fleet, &host, &[drifted(0, "3"), right()], 2).unwrap();
        assert_eq!(found, plans(&[(0, "3")]));
        tell(&mut fleet, &host, found);
        assert_eq!(news(&fleet, &host, &[drifted(0, "3"), right()], 2), None);
        let other = news(&fleet, &host, &[drifted(0, "4"), right()], 2);
        assert_eq!(other, Some(plans(&[(0, "4")])));
        let gone = [status(0, ResourceState::Converged), right()];
        assert_eq!(news(&fleet, &host, &gone, 2), Some(plans(&[])));
        // The row went with its identity.
        assert_eq!(news(&fleet, &host, &[right()], 1), Some(plans(&[])));
    }

    #[test]
    fn quotas_that_are_not_kept_are_told_before_plans_and_once() {
        let (mut fleet, host) = fleet();
        let step = |state| ResourceStatus {
            id: ResourceId::new(STEP).unwrap(),
            kind: ResourceKind::Step,
            state,
        };
        let words = "/usr/bin/setpriv ended with code 3: x.php sets Y: no quota of a delivery server is kept";
        let failed = || step(ResourceState::Failed(words.to_owned()));
        let shipped = include_str!("../../../../deploy/roles/mailwizz/quotas-kept.j2");
        assert!(shipped.contains(NOT_KEPT));
        let command = |fleet: &Fleet, statuses: &[ResourceStatus], total| {
            Foreign::of(statuses, total)?.command(&fleet.state, &host)
        };
        let record = |kept| {
            let host = host.clone();
            Some(Command::RecordQuotas(RecordQuotas { host, kept }))
        };
        let right = || status(1, ResourceState::Converged);
        assert_eq!(
            command(&fleet, &[step(ResourceState::Converged), right()], 2),
            None
        );
        let both = [failed(), drifted(0, "3"), right()];
        assert_eq!(command(&fleet, &both, 3), record(false));
        fleet.accept(record(false).unwrap());
        let plan = command(&fleet, &both, 3);
        assert!(
            matches!(plan, Some(Command::RecordForeignPlans(_))),
            "{plan:?}"
        );
        fleet.accept(plan.unwrap());
        assert_eq!(command(&fleet, &both, 3), None);
        // It could not be asked, nobody looked at it, the list was cut before it.
        for state in [
            ResourceState::Blocked("x".to_owned()),
            ResourceState::Unknown("x".to_owned()),
            ResourceState::Drifted("x".to_owned()),
            ResourceState::Failed("cannot be told: it took longer than 5 s".to_owned()),
            ResourceState::Failed("code 4: x.php ends before it is read".to_owned()),
        ] {
            let seen = [step(state), drifted(0, "3"), right()];
            assert_eq!(command(&fleet, &seen, 3), None, "{seen:?}");
        }
        assert_eq!(command(&fleet, &[], 0), None);
        assert_eq!(command(&fleet, &[drifted(0, "3")], 700), None);
        // It is right, or has no such step any more.
        let kept = [drifted(0, "3"), step(ResourceState::Converged)];
        assert_eq!(command(&fleet, &kept, 2), record(true));
        assert_eq!(
            command(&fleet, &[drifted(0, "3"), right()], 2),
            record(true)
        );
        fleet.accept(record(true).unwrap());
        assert_eq!(command(&fleet, &kept, 2), None);
    }

    #[test]
    fn what_cannot_be_seen_is_as_it_was() {
        let (mut fleet, host) = fleet();
        tell(&mut fleet, &host, plans(&[(0, "3"), (1, "3")]));
        let down = || ResourceState::Unknown("the server is away".to_owned());
        let seen = [status(0, down()), status(1, ResourceState::Converged)];
        assert_eq!(news(&fleet, &host, &seen, 2), Some(plans(&[(0, "3")])));
        for state in [
            down(),
            ResourceState::Blocked("x".to_owned()),
            ResourceState::Failed("x".to_owned()),
            ResourceState::Drifted("columns differ".to_owned()),
        ] {
            let seen = [status(0, state.clone()), status(1, state)];
            assert_eq!(news(&fleet, &host, &seen, 2), None, "{seen:?}");
        }
        // Nobody looked, and a list that was cut before it came to what is right.
        assert_eq!(news(&fleet, &host, &[], 0), None);
        let cut = [status(2, ResourceState::Failed("x".to_owned()))];
        assert_eq!(news(&fleet, &host, &cut, 700), None);
        let cut = [drifted(2, "9")];
        let all = plans(&[(0, "3"), (1, "3"), (2, "9")]);
        assert_eq!(news(&fleet, &host, &cut, 700), Some(all));
    }
}
