//! Calls about failover.

use std::net::IpAddr;

use reqwest::Method;

use email_engine_protocol::api::{FailoverPlan, FailoverView, Why};
use email_engine_protocol::id::{ListId, TenantId};

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn failover(&self, limit: usize) -> Result<FailoverView, ClientError> {
        self.ask(Call::get(&["failover"]).query("limit", &limit))
            .await
    }

    pub(crate) async fn failover_plan(&self, listed: IpAddr) -> Result<FailoverPlan, ClientError> {
        self.ask(Call::get(&["failover", "plan"]).query("listed", &listed))
            .await
    }

    /// `freeze` or `thaw`.
    pub(crate) async fn turn_failover(
        &self,
        tenant: &TenantId,
        turn: &str,
        why: &Why,
    ) -> Result<FailoverView, ClientError> {
        let path = ["tenants", tenant.as_str(), "failover", turn];
        self.ask(Call::write(Method::POST, &path).json(why)).await
    }

    pub(crate) async fn release_breaker(
        &self,
        tenant: &TenantId,
        why: &Why,
    ) -> Result<FailoverView, ClientError> {
        let path = ["tenants", tenant.as_str(), "breaker", "release"];
        self.ask(Call::write(Method::POST, &path).json(why)).await
    }

    pub(crate) async fn believe_list(
        &self,
        list: &ListId,
        why: &Why,
    ) -> Result<FailoverView, ClientError> {
        let path = ["failover", "brakes", list.as_str(), "release"];
        self.ask(Call::write(Method::POST, &path).json(why)).await
    }
}
