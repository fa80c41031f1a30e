//! `begin-campaign`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::TenantId;

use super::{CAMPAIGNS, KNOWN, TEXT_CHARS, UID, is_uid};
use crate::command::Rejection;
use crate::command::RejectionCode::{
    ForeignTenant, Invalid, RequestReused, StaleRevision, WrongState,
};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::warmup::day_of;
use crate::state::{Asker, Campaign, FleetState, Readings};

/// Most identities of one campaign.
const IDENTITIES: usize = 1_000;
/// Most identities that campaigns of one day take something of: all of a fleet.
const RESERVED: usize = 250_000;

/// See [`Command::BeginCampaign`](crate::command::Command::BeginCampaign).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginCampaign {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Identities that send it, the one that it is from first.
    pub takes: Vec<Take>,
    /// Who asks: the same request may be worked on twice at the same time, and one of them goes on.
    pub asker: Asker,
    /// Campaigns of that name that MailWizz has already, by their uids.
    pub known: BTreeSet<String>,
}

/// What a campaign takes of one identity's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Whose.
    pub address: IpAddr,
    /// How many mails.
    pub mails: u64,
    /// How many of today's quota are used, as whoever asks knows. What is counted is no part of the state.
    pub used: u64,
}

impl Verb for BeginCampaign {
    fn name(&self) -> &'static str {
        "begin-campaign"
    }

    fn object(&self) -> String {
        format!("tenant {}: campaign {:?}", self.tenant, self.name)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if !state.tenants.contains_key(&self.tenant) {
            return Err(not_found("tenant", &self.tenant, "tenant"));
        }
        let is_line = !self.name.chars().any(char::is_control);
        if self.name.is_empty() || self.name.chars().count() > TEXT_CHARS || !is_line {
            let accepted = "1 to 600 characters without control characters";
            return Err(refuse(Invalid, "name", &self.name, accepted));
        }
        at_most("known", self.known.len(), KNOWN)?;
        if let Some(bad) = self.known.iter().find(|uid| !is_uid(uid)) {
            return Err(refuse(Invalid, "known", bad, UID));
        }
        at_most("ips", self.takes.len(), IDENTITIES)?;
        if self.takes.is_empty() {
            return Err(refuse(Invalid, "ips", &"none", "at least one identity"));
        }
        let request = &turn.proposal.request;
        if state.campaigns.contains_key(request) {
            let accepted = "a request that no campaign goes by";
            return Err(refuse(RequestReused, "request", request, accepted));
        }
        let (mut seen, day) = (BTreeSet::new(), day_of(turn.now()));
        for take in &self.takes {
            self.judge(state, take, day)?;
            if !seen.insert(take.address) {
                let accepted = "each identity once";
                return Err(refuse(Invalid, "ips", &take.address, accepted));
            }
        }
        state.reserved.enter(day);
        let known = &state.reserved.mails;
        let new = seen.iter().filter(|address| !known.contains_key(*address));
        at_most("reserved", known.len() + new.count(), RESERVED)?;
        for take in &self.takes {
            let mails = state.reserved.mails.or_default(&take.address);
            *mails = (*mails).max(take.used).saturating_add(take.mails);
        }
        self.remember(state, turn);
        Ok(Change::DONE)
    }
}

impl BeginCampaign {
    /// An identity of another tenant is not there for this one. What another campaign took since whoever asks
    /// looked is not there either.
    fn judge(&self, state: &FleetState, take: &Take, day: u32) -> Result<(), Rejection> {
        let address = take.address;
        let identity = state.identities.get(&address);
        let Some(own) = identity.filter(|own| own.spec.tenant == self.tenant) else {
            let accepted = format!("an identity of tenant {}", self.tenant);
            return Err(refuse(ForeignTenant, "ips", &address, accepted));
        };
        if !own.takes_mail() {
            let accepted = "an identity that is active or warming";
            return Err(refuse(WrongState, "ips", &address, accepted));
        }
        let used = state.reserved.of(day, address).max(take.used);
        let left = u64::from(own.daily_quota()).saturating_sub(used);
        if take.mails > left {
            let accepted = format!("at most {left}, which are left of the day of {address}");
            return Err(refuse(StaleRevision, "volume", &take.mails, accepted));
        }
        Ok(())
    }

    fn remember(&self, state: &mut FleetState, turn: &Turn<'_>) {
        let campaign = Campaign {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            parts: self
                .takes
                .iter()
                .map(|one| (one.address, one.mails))
                .collect(),
            asker: self.asker,
            known: self.known.clone(),
            begun_at: turn.now(),
            end: None,
            readings: Readings::default(),
        };
        let request = &turn.proposal.request;
        state.campaigns.insert(request.clone(), Arc::new(campaign));
        state.campaigns_order.push(request.clone());
        while state.campaigns_order.len() > CAMPAIGNS {
            if let Some(oldest) = state.campaigns_order.pop_first() {
                state.campaigns.remove(&oldest);
            }
        }
    }
}
