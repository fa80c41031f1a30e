//! What a report says of campaigns that stand still in a tenant's MailWizz: when it is another word than the
//! fleet's, the fleet is told.

use email_engine_protocol::desired::ResourceKind;
use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{
    Convergence, HostReport, ResourceState, ResourceStatus, Told,
};

use super::Session;
use crate::alerts::rules::Line;
use crate::command::ToldCampaign;
use crate::push::Fleet;
use crate::state::FleetState;

/// The script that tells them, in the role of MailWizz.
const SCRIPT: &str = "/campaigns-resumed";

/// What the last report said, and whether the fleet is being told of it.
#[derive(Debug, Default)]
pub(super) struct Telling {
    seen: Option<Standing>,
    pub(super) underway: bool,
}

/// Campaigns that stand still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) campaigns: Vec<ToldCampaign>,
    pub(super) more: u32,
}

impl Standing {
    /// Nothing when it cannot be said: then it is as it was.
    fn of(statuses: &[ResourceStatus], total: u32) -> Option<Self> {
        let mut all = statuses.iter();
        let script = all.find(|status| {
            status.kind == ResourceKind::SqlScript && status.id.as_str().ends_with(SCRIPT)
        });
        match script.map(|status| &status.state) {
            Some(ResourceState::Told(told)) => Some(Self::told(told)),
            Some(state) => state.is_right().then(Self::default),
            // What tells something comes before what is right, so that it is not left out; a host may
            // have no such script.
            None => {
                let plain = |status: &ResourceStatus| {
                    status.state.is_right() && !matches!(status.state, ResourceState::Told(_))
                };
                let is_whole =
                    statuses.len() as u64 >= u64::from(total) || statuses.last().is_some_and(plain);
                (total > 0 && is_whole).then(Self::default)
            }
        }
    }

    fn told(told: &Told) -> Self {
        let text = |row: &[String], at: usize| Line::new(row.get(at).map_or("", String::as_str));
        let campaigns = told.rows.iter().map(|row| ToldCampaign {
            uid: text(row, 0),
            name: text(row, 1),
            servers: Line::new(whole(row.get(2).map_or("", String::as_str))),
        });
        Self {
            campaigns: campaigns.collect(),
            more: told.left_out,
        }
    }

    /// All that there are now, when that is not what the fleet knows.
    fn news(&self, state: &FleetState, host: &HostId) -> Option<Self> {
        state.hosts.get(host)?.spec.tenant.as_ref()?;
        let known = state.held_campaigns.get(host);
        let known = known.map_or_else(Self::default, |known| Self {
            campaigns: known.campaigns.iter().map(ToldCampaign::of).collect(),
            more: known.more,
        });
        (*self != known).then(|| self.clone())
    }
}

/// Names that are told whole: the last of a text that may have been cut may be another's.
fn whole(names: &str) -> &str {
    if names.chars().count() < limits::TOLD_CHARS {
        return names;
    }
    names.rsplit_once(' ').map_or("", |(whole, _)| whole)
}

impl<F: Fleet> Session<F> {
    pub(super) fn note_held(&mut self, report: &HostReport) {
        let is_over = matches!(
            report.convergence,
            Convergence::Converged | Convergence::Degraded
        );
        if !is_over {
            // A pass that was interrupted did not ask, perhaps.
            return;
        }
        if let Some(seen) = Standing::of(&report.statuses, report.counts.total()) {
            self.tellings.held.seen = Some(seen);
        }
        self.tell_held();
    }

    /// As with MailWizz's own plans: one command at a time, and again by the clock when nobody could write it down.
    pub(super) fn tell_held(&mut self) {
        let Telling { seen, underway } = &self.tellings.held;
        let Some(seen) = seen.as_ref().filter(|_| !underway) else {
            return;
        };
        let host = &self.host;
        if let Some(news) = self.push.fleet.view(|state| seen.news(state, host)) {
            self.tellings.held.underway = true;
            self.record_held(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::{ResourceId, Role};

    use super::*;
    use crate::command::fixture::{Fleet, host, host_id, identity};
    use crate::command::{AddHost, Command, RecordHeldCampaigns};

    fn status(id: &str, kind: ResourceKind, state: ResourceState) -> ResourceStatus {
        let id = ResourceId::new(id).unwrap();
        ResourceStatus { id, kind, state }
    }

    fn script(state: ResourceState) -> ResourceStatus {
        let id = "sql_script:mailwizz/campaigns-resumed";
        status(id, ResourceKind::SqlScript, state)
    }

    fn told(uids: &[&str]) -> ResourceState {
        let row = |uid: &&str| vec![(*uid).to_owned(), "Spring".to_owned(), "vmta-a".to_owned()];
        ResourceState::Told(Told::new(uids.iter().map(row)))
    }

    fn uids(standing: &Standing) -> Vec<&str> {
        let all = standing.campaigns.iter();
        all.map(|one| one.uid.as_str()).collect()
    }

    #[test]
    fn what_stands_still_is_told_once_and_its_end_as_well() {
        let mut fleet = Fleet::with_identities(1);
        let mut machine = host("mailwizz1", Role::Mailwizz, 40);
        machine.tenant = Some(identity(0).tenant);
        fleet.accept(Command::AddHost(AddHost { host: machine }));
        let host = host_id("mailwizz1");
        let news =
            |fleet: &Fleet, state| Standing::of(&[script(state)], 9)?.news(&fleet.state, &host);
        assert_eq!(news(&fleet, ResourceState::Converged), None);
        let found = news(&fleet, told(&["a1", "b2"])).unwrap();
        assert_eq!(uids(&found), ["a1", "b2"]);
        assert_eq!(found.campaigns[0].servers, "vmta-a".into());
        fleet.accept(Command::RecordHeldCampaigns(RecordHeldCampaigns {
            host: host.clone(),
            campaigns: found.campaigns,
            more: found.more,
        }));
        assert_eq!(news(&fleet, told(&["a1", "b2"])), None);
        assert_eq!(uids(&news(&fleet, told(&["b2"])).unwrap()), ["b2"]);
        let none = Some(Standing::default());
        assert_eq!(news(&fleet, ResourceState::Converged), none);
    }

    #[test]
    fn what_cannot_be_said_is_as_it_was() {
        let away = || ResourceState::Unknown("the server is away".to_owned());
        for state in [
            away(),
            ResourceState::Blocked("x".to_owned()),
            ResourceState::Drifted("x".to_owned()),
            ResourceState::Failed("x".to_owned()),
        ] {
            assert_eq!(Standing::of(&[script(state)], 1), None);
        }
        let file = |state| status("file:/a", ResourceKind::File, state);
        let none = Some(Standing::default());
        assert_eq!(Standing::of(&[file(ResourceState::Converged)], 700), none);
        assert_eq!(
            Standing::of(&[file(away())], 1),
            none,
            "it has no such script"
        );
        assert_eq!(
            Standing::of(&[file(away())], 700),
            None,
            "it was cut before"
        );
        assert_eq!(Standing::of(&[], 0), None, "nobody looked");
    }
}
