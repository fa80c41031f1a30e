//! Calls about DKIM keys.

use std::net::IpAddr;

use reqwest::Method;

use email_engine_protocol::api::{DkimView, RotateRequest, TenantRotation};
use email_engine_protocol::id::TenantId;

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn dkims(&self) -> Result<Vec<DkimView>, ClientError> {
        self.pages("dkim", None, |last: &DkimView| last.address.to_string())
            .await
    }

    pub(crate) async fn dkim(&self, address: IpAddr) -> Result<DkimView, ClientError> {
        self.ask(Call::get(&["ips", &address.to_string(), "dkim"]))
            .await
    }

    pub(crate) async fn dkim_of_tenant(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<DkimView>, ClientError> {
        self.ask(Call::get(&["tenants", tenant.as_str(), "dkim"]))
            .await
    }

    pub(crate) async fn rotate(
        &self,
        address: IpAddr,
        request: RotateRequest,
    ) -> Result<DkimView, ClientError> {
        let path = ["ips", &address.to_string(), "dkim", "rotate"];
        self.ask(Call::write(Method::POST, &path).json(&request))
            .await
    }

    pub(crate) async fn rotate_tenant(
        &self,
        tenant: &TenantId,
        request: RotateRequest,
    ) -> Result<TenantRotation, ClientError> {
        let path = ["tenants", tenant.as_str(), "dkim", "rotate"];
        self.ask(Call::write(Method::POST, &path).json(&request))
            .await
    }
}
