//! `begin-campaign`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::TenantId;

use super::{CAMPAIGNS, TEXT_CHARS};
use crate::command::Rejection;
use crate::command::RejectionCode::{ForeignTenant, Invalid, WrongState};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{Campaign, FleetState};

/// Most identities of one campaign.
const IDENTITIES: usize = 1_000;

/// See [`Command::BeginCampaign`](crate::command::Command::BeginCampaign).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginCampaign {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Identities that send it, the one that it is from first.
    pub ips: Vec<IpAddr>,
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
        at_most("ips", self.ips.len(), IDENTITIES)?;
        if self.ips.is_empty() {
            return Err(refuse(Invalid, "ips", &"none", "at least one identity"));
        }
        let mut seen = BTreeSet::new();
        for address in &self.ips {
            self.judge(state, *address)?;
            if !seen.insert(address) {
                return Err(refuse(Invalid, "ips", address, "each identity once"));
            }
        }
        let request = &turn.proposal.request;
        if state.campaigns.contains_key(request) {
            let accepted = "a request that no campaign goes by";
            return Err(refuse(WrongState, "request", request, accepted));
        }
        let campaign = Campaign {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            ips: self.ips.clone(),
            begun_at: turn.now(),
            end: None,
        };
        state.campaigns.insert(request.clone(), Arc::new(campaign));
        state.campaigns_order.push_back(request.clone());
        while state.campaigns_order.len() > CAMPAIGNS {
            if let Some(oldest) = state.campaigns_order.pop_front() {
                state.campaigns.remove(&oldest);
            }
        }
        Ok(Change::DONE)
    }
}

impl BeginCampaign {
    /// An identity of another tenant is not there for this one.
    fn judge(&self, state: &FleetState, address: IpAddr) -> Result<(), Rejection> {
        let identity = state.identities.get(&address);
        let Some(own) = identity.filter(|own| own.spec.tenant == self.tenant) else {
            let accepted = format!("an identity of tenant {}", self.tenant);
            return Err(refuse(ForeignTenant, "ips", &address, accepted));
        };
        if !own.takes_mail() {
            let accepted = "an identity that is active or warming";
            return Err(refuse(WrongState, "ips", &address, accepted));
        }
        Ok(())
    }
}
