//! Campaigns of tenants' MailWizz that stand still, because none of their servers takes mail.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AlertKind;
use email_engine_protocol::id::{HostId, TenantId};
use email_engine_protocol::time::Timestamp;

use super::Search;
use crate::alerts::rules::{AlertKey, AlertSubject, Line};
use crate::state::{FleetState, Identity};

/// Servers of which it is said who comes in their place.
const NAMED: usize = 8;

/// Those of one host, as it told them last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCampaigns {
    /// Those that are known, the longest held first.
    pub campaigns: Vec<HeldCampaign>,
    /// How many more there are.
    pub more: u32,
    /// Since when the fleet knows of the last of those, while there are some.
    pub more_since: Option<Timestamp>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCampaign {
    /// What MailWizz knows it by.
    pub uid: Line,
    /// What people do.
    pub name: Line,
    /// The servers that it has, called after virtual MTAs, with a blank between them.
    pub servers: Line,
    /// Since when the fleet knows of it.
    pub since: Timestamp,
}

impl HeldCampaign {
    /// For people.
    #[must_use]
    pub fn label(&self) -> Line {
        Line::new(format!("{} ({})", self.name, self.uid))
    }

    /// The virtual MTAs that its servers are called after.
    pub fn vmtas(&self) -> impl Iterator<Item = &str> {
        self.servers.as_str().split_whitespace()
    }
}

impl HeldCampaigns {
    /// When those that are held began to be, each time once: an alert for each.
    #[must_use]
    pub fn times(&self) -> BTreeSet<Timestamp> {
        let known = self.campaigns.iter().map(|one| one.since);
        known.chain(self.more_since).collect()
    }

    /// What is told of those that began to be held at one time.
    #[must_use]
    pub fn alert(tenant: &TenantId, host: &HostId, since: Timestamp) -> AlertKey {
        AlertKey {
            kind: AlertKind::CampaignsHeld,
            subject: AlertSubject::Tenant(tenant.clone()),
            cause: Self::cause(host, since),
        }
    }

    /// Those of one time are one alert, and end as one.
    pub(crate) fn cause(host: &HostId, since: Timestamp) -> Line {
        Line::new(format!("{host} {since}"))
    }
}

impl FleetState {
    /// Campaigns that stand still and have the server of an identity.
    pub fn held_with<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> impl Iterator<Item = (&'a HostId, &'a HeldCampaign)> {
        let spec = &identity.spec;
        let own = self.held_campaigns.iter().filter(|(host, _)| {
            let host = self.hosts.get(*host);
            host.is_some_and(|host| host.spec.tenant.as_ref() == Some(&spec.tenant))
        });
        let all = own.flat_map(|(host, held)| held.campaigns.iter().map(move |one| (host, one)));
        all.filter(|(_, one)| one.vmtas().any(|vmta| vmta == spec.vmta.as_str()))
    }

    /// Who comes in the place of the servers that some campaigns of a tenant wait for, a line for each.
    pub(crate) fn outlook<'a>(
        &self,
        tenant: &TenantId,
        campaigns: impl Iterator<Item = &'a HeldCampaign>,
    ) -> Vec<Line> {
        let mut vmtas: Vec<&str> = campaigns.flat_map(HeldCampaign::vmtas).collect();
        vmtas.sort_unstable();
        vmtas.dedup();
        let own = self.identities_of(tenant);
        let waited = own.filter(|one| vmtas.binary_search(&one.spec.vmta.as_str()).is_ok());
        let out = waited.filter(|one| !one.takes_mail());
        let lines = out.take(NAMED).map(|one| {
            let events = self.failover.events.values().rev();
            let mut events = events.filter(|event| event.is_behind(one));
            let comes = match events.next().map(|event| &event.search) {
                Some(Search::Open { obstacle: None }) => "another is sought".to_owned(),
                Some(Search::Open {
                    obstacle: Some(why),
                }) => format!("nobody takes its place yet: {why}"),
                Some(Search::Replaced { by, .. }) => format!("{by} takes its place"),
                _ => "nobody takes its place by itself".to_owned(),
            };
            let (spec, status) = (&one.spec, one.spec.status.as_str());
            Line::new(format!(
                "{} ({}) takes no mail (status {status}): {comes}",
                spec.vmta, spec.address
            ))
        });
        lines.collect()
    }

    /// A host is gone, with what stood still on it.
    pub(crate) fn forget_held_campaigns(&mut self, host: &HostId, now: Timestamp) {
        let Some(held) = self.held_campaigns.remove(host) else {
            return;
        };
        let tenant = self.hosts.get(host);
        let Some(tenant) = tenant.and_then(|host| host.spec.tenant.clone()) else {
            return;
        };
        for since in held.times() {
            self.resolve(&HeldCampaigns::alert(&tenant, host, since), now);
        }
    }
}
