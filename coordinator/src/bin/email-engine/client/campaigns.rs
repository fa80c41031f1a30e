//! Calls about campaigns.

use reqwest::Method;

use email_engine_protocol::api::{CampaignRequest, CampaignView};
use email_engine_protocol::id::TenantId;

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn campaigns(
        &self,
        tenant: &TenantId,
        limit: u16,
    ) -> Result<Vec<CampaignView>, ClientError> {
        let path = ["tenants", tenant.as_str(), "campaigns"];
        self.ask(Call::get(&path).query("limit", &limit)).await
    }

    pub(crate) async fn create_campaign(
        &self,
        tenant: &TenantId,
        request: &CampaignRequest,
    ) -> Result<CampaignView, ClientError> {
        let path = ["tenants", tenant.as_str(), "campaigns"];
        self.ask(Call::write(Method::POST, &path).json(request))
            .await
    }
}
