//! `record-held-campaigns`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Event, Line, OfTenant, TenantEvent};
use crate::command::Rejection;
use crate::command::refuse::{at_most, not_found};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, HeldCampaign, HeldCampaigns};

/// See [`Command::RecordHeldCampaigns`](crate::command::Command::RecordHeldCampaigns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordHeldCampaigns {
    /// A tenant's MailWizz host.
    pub host: HostId,
    /// All that stand still there, as far as it told them.
    pub campaigns: Vec<ToldCampaign>,
    /// How many more there are.
    pub more: u32,
}

/// One of them, as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldCampaign {
    /// What MailWizz knows it by.
    pub uid: Line,
    /// What people do.
    pub name: Line,
    /// Its servers, called after virtual MTAs, with a blank between them.
    pub servers: Line,
}

impl ToldCampaign {
    /// One that is known, as it would be told.
    #[must_use]
    pub fn of(known: &HeldCampaign) -> Self {
        let (uid, name) = (known.uid.clone(), known.name.clone());
        let servers = known.servers.clone();
        Self { uid, name, servers }
    }
}

impl Verb for RecordHeldCampaigns {
    fn name(&self) -> &'static str {
        "record-held-campaigns"
    }

    fn object(&self) -> String {
        let names = self.campaigns.iter().take(10);
        let names: Vec<_> = names.map(|one| one.uid.to_string()).collect();
        match self.campaigns.len() {
            0 => format!("host {}: none", self.host),
            many => format!("host {}: {many}, of {}", self.host, names.join(", ")),
        }
    }

    /// What stood still before keeps its time. Those that begin together are one alert, which ends with the last of
    /// them; one that comes into view was one of the rest that is told of already.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let host = state.live_host(&self.host);
        let Some(tenant) = host.and_then(|host| host.spec.tenant.clone()) else {
            return Err(not_found("host", &self.host, "MailWizz host of a tenant"));
        };
        at_most("campaigns", self.campaigns.len(), limits::TOLD_ROWS)?;
        let (host, now) = (&self.host, turn.now());
        let known = state.held_campaigns.get(host).cloned().unwrap_or_default();
        let held = self.after(&known, now);
        if held == known {
            return Ok(Change::NONE);
        }
        let (before, after) = (known.times(), held.times());
        for over in before.difference(&after) {
            state.resolve(&HeldCampaigns::alert(&tenant, host, *over), now);
        }
        if !before.contains(&now) && after.contains(&now) {
            let begun = held.campaigns.iter().filter(|one| one.since == now);
            let begun: Vec<_> = begun.collect();
            let more = held.more_since.filter(|since| *since == now);
            let more = more.map_or(0, |_| held.more);
            let outlook = state.outlook(&tenant, begun.iter().copied());
            let what = OfTenant::held(host, now, &begun, more, outlook);
            let event = Event::Tenant(TenantEvent { tenant, what });
            state.raise(event, now);
        }
        if held == HeldCampaigns::default() {
            state.held_campaigns.remove(host);
        } else {
            state.held_campaigns.insert(host.clone(), held);
        }
        Ok(Change::DONE)
    }
}

impl RecordHeldCampaigns {
    /// What is held after what was. The longest held come first: of those that come into view, the first were of
    /// the rest, unless all that was in view is over.
    fn after(&self, known: &HeldCampaigns, now: Timestamp) -> HeldCampaigns {
        let since: BTreeMap<&Line, _> = known
            .campaigns
            .iter()
            .map(|one| (&one.uid, one.since))
            .collect();
        let goes_on = self
            .campaigns
            .iter()
            .any(|told| since.contains_key(&told.uid));
        let rest = known.more_since.filter(|_| goes_on);
        let mut left = rest.map_or(0, |_| known.more);
        let held = |told: &ToldCampaign| {
            let mut since = since.get(&told.uid).copied();
            if since.is_none() && left > 0 {
                left -= 1;
                since = rest;
            }
            HeldCampaign {
                uid: told.uid.clone(),
                name: told.name.clone(),
                servers: told.servers.clone(),
                since: since.unwrap_or(now),
            }
        };
        let campaigns = self.campaigns.iter().map(held).collect();
        let more_since = match self.more {
            0 => None,
            more if more > left => Some(now),
            _ => rest,
        };
        HeldCampaigns {
            campaigns,
            more: self.more,
            more_since,
        }
    }
}
