//! How a campaign begins: once, and with what nobody else took.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use email_engine_protocol::api::{CampaignRequest, IpSpec};
use email_engine_protocol::id::TenantId;

use super::choice::{Chosen, choose};
use super::refused;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{Freshness, WriteRequest};
use crate::command::{BeginCampaign, Command, RejectionCode};
use crate::mailwizz::{DeliveryServer, Draft, server_name};

/// A campaign that is about to begin.
pub(super) struct Beginning<'a> {
    pub(super) request: &'a CampaignRequest,
    /// Those that MailWizz has.
    pub(super) servers: &'a [DeliveryServer],
    /// Campaigns of the name that it has, by their uids.
    pub(super) known: BTreeSet<String>,
    pub(super) chosen: Vec<Chosen>,
}

impl Beginning<'_> {
    /// Writes down that MailWizz will be asked, and gives what it is asked for; none when somebody else works
    /// on this request. Where another campaign took of the same quotas meanwhile, others are chosen.
    pub(super) async fn commit(
        &mut self,
        api: &Api,
        write: &mut WriteRequest,
        tenant: &TenantId,
    ) -> Result<Option<Draft>, ApiError> {
        loop {
            let draft = self.draft()?;
            let command = self.command(api, tenant);
            let Err(error) = api.commit_attempt(write, 0, command).await else {
                // It is this very command that was taken: another one would have had another answer.
                return Ok(Some(draft));
            };
            match error.rejection() {
                Some(RejectionCode::RequestReused) => return Ok(None),
                Some(RejectionCode::StaleRevision) if write.has_attempts() => {}
                _ => return Err(error),
            }
            write.next_attempt();
            api.freshen(Freshness::Linearizable).await?;
            self.chosen = choose(api, tenant, self.request).await?;
        }
    }

    fn draft(&self) -> Result<Draft, ApiError> {
        let ips: Vec<&IpSpec> = self.chosen.iter().map(|one| &one.ip).collect();
        let servers = servers_of(&ips, self.servers)?;
        let from = ips.first().ok_or_else(|| ApiError::not_found("ips", ""))?;
        Draft::new(self.request, from, &servers).map_err(|error| refused(&error))
    }

    fn command(&self, api: &Api, tenant: &TenantId) -> Command {
        Command::BeginCampaign(BeginCampaign {
            tenant: tenant.clone(),
            name: self.request.name.clone(),
            takes: self.chosen.iter().map(|one| one.take).collect(),
            asker: api.entropy().bytes(),
            known: self.known.clone(),
        })
    }
}

/// Numbers of the delivery servers of these identities.
fn servers_of(ips: &[&IpSpec], known: &[DeliveryServer]) -> Result<Vec<u64>, ApiError> {
    let number = |ip: &IpSpec| {
        let name = server_name(&ip.vmta);
        let own: Vec<_> = known.iter().filter(|server| server.name == name).collect();
        let why = match own.as_slice() {
            [server] if matches!(server.status.as_str(), "active" | "in-use") => {
                return Ok(server.id);
            }
            [server] => format!("is {} there", server.status),
            [] => "is not there, or not for the customer of this key".to_owned(),
            _ => format!("is there {} times", own.len()),
        };
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "delivery-server-missing",
            format!(
                "MailWizz cannot send from {}: its delivery server {name:?} {why}",
                ip.address
            ),
        )
        .about(
            "ips",
            &ip.address.to_string(),
            "an identity whose delivery server is active",
        ))
    };
    ips.iter().copied().map(number).collect()
}
