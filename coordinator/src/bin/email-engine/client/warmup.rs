//! Calls about the warm-up and about who sends next.

use reqwest::Method;

use email_engine_protocol::api::{
    CoverView, PauseRequest, ResumeRequest, SelectRequest, SelectionView, Simulation, WarmupView,
};
use email_engine_protocol::id::TenantId;

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn warmups(&self) -> Result<Vec<WarmupView>, ClientError> {
        self.pages("warmup", None, |last: &WarmupView| last.address.to_string())
            .await
    }

    pub(crate) async fn warmup(&self, address: &str) -> Result<WarmupView, ClientError> {
        self.ask(Call::get(&["warmup", address])).await
    }

    pub(crate) async fn pause_warmup(
        &self,
        address: &str,
        request: &PauseRequest,
    ) -> Result<WarmupView, ClientError> {
        let call = Call::write(Method::POST, &["warmup", address, "pause"]).json(request);
        self.ask(call).await
    }

    pub(crate) async fn resume_warmup(
        &self,
        address: &str,
        request: &ResumeRequest,
    ) -> Result<WarmupView, ClientError> {
        let call = Call::write(Method::POST, &["warmup", address, "resume"]).json(request);
        self.ask(call).await
    }

    pub(crate) async fn simulate_warmup(
        &self,
        parameters: &[(&'static str, String)],
    ) -> Result<Simulation, ClientError> {
        let mut call = Call::get(&["warmup", "simulate"]);
        for (name, value) in parameters {
            call = call.query(name, value);
        }
        self.ask(call).await
    }

    pub(crate) async fn select(
        &self,
        tenant: &TenantId,
        request: &SelectRequest,
    ) -> Result<SelectionView, ClientError> {
        self.ask(choice(tenant, request)).await
    }

    pub(crate) async fn cover(
        &self,
        tenant: &TenantId,
        request: &SelectRequest,
    ) -> Result<CoverView, ClientError> {
        self.ask(choice(tenant, request)).await
    }
}

fn choice(tenant: &TenantId, request: &SelectRequest) -> Call {
    Call::write(Method::POST, &["tenants", tenant.as_str(), "select"]).json(request)
}
