//! The ten steps, and where a host stands in them. Pure.

use email_engine_coordinator::api::trouble;
use email_engine_protocol::api::{HostView, StatusView};
use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::observed::Convergence;
use serde::Serialize;

/// One of the ten, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    Check,
    Prepare,
    MailwizzLetIn,
    PowermtaLetIn,
    MailwizzRole,
    PowermtaRole,
    DkimKeys,
    OtherHosts,
    Databases,
    Records,
}

impl Step {
    pub(super) const COUNT: usize = 10;

    /// From 1.
    pub(super) const fn number(self) -> usize {
        self as usize + 1
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Check => "files and artifacts checked",
            Self::Prepare => "uploads, fleet file and join tokens",
            Self::MailwizzLetIn => "MailWizz hosts let in",
            Self::PowermtaLetIn => "PowerMTA hosts let in",
            Self::MailwizzRole => "MailWizz role converged",
            Self::PowermtaRole => "PowerMTA role converged",
            Self::DkimKeys => "DKIM keys made, public keys collected",
            Self::OtherHosts => "API hosts and all others let in and converged",
            Self::Databases => "databases initialised",
            Self::Records => "DNS records written out",
        }
    }

    /// Whether hosts of a role are dealt with in this step.
    pub(super) const fn is_for(self, role: Role) -> bool {
        match self {
            Self::MailwizzLetIn | Self::MailwizzRole => matches!(role, Role::Mailwizz),
            Self::PowermtaLetIn | Self::PowermtaRole => matches!(role, Role::Powermta),
            Self::OtherHosts => matches!(role, Role::Api | Role::Own(_)),
            Self::Check | Self::Prepare | Self::DkimKeys | Self::Databases | Self::Records => false,
        }
    }
}

/// Where a host stands on its way to what it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody made a machine the host yet.
    Absent,
    /// It is what it shall be, by the word of its agent.
    Right,
    /// It is on its way; so far.
    Underway(String),
    /// Something keeps it from getting there, unless that passes.
    Wrong(String),
}

/// Whether a machine became the host, as far as the cluster has been told.
pub(super) fn is_let_in(status: &StatusView, id: &HostId) -> bool {
    view(status, id).is_some_and(|host| host.lifecycle != "declared")
}

pub(super) fn standing(status: &StatusView, id: &HostId) -> Standing {
    let Some(host) = view(status, id) else {
        return Standing::Underway("is not listed by the cluster yet".to_owned());
    };
    // The host's own view: the status names the reasons of the first few hosts alone.
    let told = trouble(host).map(|(_, reason)| reason);
    if let Some(error) = &host.plan_error {
        return Standing::Wrong(format!("cannot be planned: {error}"));
    }
    match host.lifecycle.as_str() {
        "declared" => return Standing::Absent,
        "enrolled" => {}
        other => return Standing::Wrong(format!("is {other}: it takes nothing more")),
    }
    let wrong =
        |otherwise: &str| Standing::Wrong(told.clone().unwrap_or_else(|| otherwise.to_owned()));
    let refused = host.attempted.as_ref().map(|attempt| attempt.generation);
    let behind = host.running != host.target;
    if host.connected.is_none() {
        return wrong("its agent is not connected");
    }
    if host.convergence == Convergence::Degraded {
        return wrong("something on it is not right");
    }
    if behind && refused.is_some() && refused == host.target {
        return wrong("refused what it shall be");
    }
    // Only now: what is wrong is wrong whatever is planned.
    if status.unplanned {
        return Standing::Underway("changes are being planned".to_owned());
    }
    if host.target.is_none() {
        return Standing::Underway("has no target yet".to_owned());
    }
    if behind || host.convergence != Convergence::Converged {
        return Standing::Underway(progress(host));
    }
    Standing::Right
}

pub(super) fn view<'a>(status: &'a StatusView, id: &HostId) -> Option<&'a HostView> {
    status.hosts.iter().find(|host| host.spec.id == *id)
}

/// How far a host is, for a line that is looked at again and again.
pub(super) fn progress(host: &HostView) -> String {
    use crate::commands::hosts;
    format!(
        "{}, generation {}, resources {}",
        hosts::state(host).0,
        hosts::generation(host),
        hosts::resources(&host.counts)
    )
}

#[cfg(test)]
pub(super) mod tests {
    use email_engine_protocol::api::{ClusterView, FleetState, TurnedAway};
    use email_engine_protocol::id::{ClusterId, NodeId};
    use email_engine_protocol::observed::{Attempt, Stage};
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::commands::hosts::tests::host;

    pub(in crate::commands::deploy) fn status(hosts: Vec<HostView>) -> StatusView {
        StatusView {
            state: FleetState::Converging,
            stale: false,
            reasons: Vec::new(),
            unplanned: false,
            cluster: ClusterView {
                cluster: ClusterId([1; 16]),
                epoch: 1,
                cluster_version: 1,
                node: NodeId(1),
                leader: Some(NodeId(1)),
                term: 1,
                applied_index: 1,
                last_index: 1,
                revision: 1,
                state_time: Timestamp(0),
                nodes: Vec::new(),
            },
            hosts,
            ips: 0,
            leaving: 0,
        }
    }

    fn stands(change: impl FnOnce(&mut HostView)) -> Standing {
        let mut one = host("pmta1");
        change(&mut one);
        let id = one.spec.id.clone();
        standing(&status(vec![one]), &id)
    }

    #[test]
    fn steps_are_numbered_and_every_role_has_its_own() {
        assert_eq!(Step::Check.number(), 1);
        assert_eq!(Step::Records.number(), Step::COUNT);
        for role in ["api", "mailwizz", "powermta", "relay"] {
            let role: Role = role.parse().unwrap();
            let entering = [Step::MailwizzLetIn, Step::PowermtaLetIn, Step::OtherHosts];
            let entering = entering.iter().filter(|step| step.is_for(role)).count();
            let settling = [Step::MailwizzRole, Step::PowermtaRole, Step::OtherHosts];
            let settling = settling.iter().filter(|step| step.is_for(role)).count();
            assert_eq!((entering, settling), (1, 1), "{role}");
        }
    }

    #[test]
    fn a_host_is_right_only_by_the_word_of_its_agent_on_what_is_planned() {
        assert_eq!(stands(|_| {}), Standing::Right);
        assert_eq!(
            stands(|host| host.lifecycle = "declared".to_owned()),
            Standing::Absent
        );
        assert!(matches!(
            stands(|host| host.target = None),
            Standing::Underway(_)
        ));
        assert!(matches!(
            stands(|host| host.running = None),
            Standing::Underway(_)
        ));
        let one = host("pmta1");
        let id = one.spec.id.clone();
        let mut seen = status(vec![one]);
        seen.unplanned = true;
        assert!(matches!(standing(&seen, &id), Standing::Underway(_)));
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_the_cluster() {
        // None of them is among the reasons of the status, which names the first few alone.
        let at = Timestamp(0);
        let silent = stands(|host| {
            host.connected = None;
            let reason = "its clock is wrong".to_owned();
            host.turned_away = Some(TurnedAway { at, reason });
        });
        let expected = format!(
            "its agent is not connected; it called at {at} and got no session: its clock is wrong"
        );
        assert_eq!(silent, Standing::Wrong(expected));
        let refused = stands(|host| {
            host.attempted = host.target.map(|generation| Attempt {
                generation,
                stage: Stage::Plan,
                reason: "removes data".to_owned(),
            });
            host.running = None;
        });
        assert!(
            matches!(&refused, Standing::Wrong(why) if why.ends_with(": removes data")),
            "{refused:?}"
        );
        let unplanned = stands(|host| host.plan_error = Some("no artifact".to_owned()));
        let expected = "cannot be planned: no artifact".to_owned();
        assert_eq!(unplanned, Standing::Wrong(expected));
        let retired = stands(|host| host.lifecycle = "retired".to_owned());
        assert!(matches!(retired, Standing::Wrong(_)), "{retired:?}");
    }
}
