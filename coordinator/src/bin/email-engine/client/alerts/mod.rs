//! Calls about alerts.

use reqwest::Method;

use email_engine_protocol::api::{
    AlertKind, AlertView, ChannelRequest, ChannelView, RouteSpec, RouteView, Severity,
    SilenceRequest, SilenceView, TestRequest, TestView,
};
use email_engine_protocol::id::{ChannelName, RouteName};

use super::send::Call;
use super::{Client, ClientError};

/// Which alerts are listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlertFilter {
    pub(crate) limit: u32,
    pub(crate) open: bool,
    pub(crate) kind: Option<AlertKind>,
    pub(crate) severity: Option<Severity>,
}

impl Client {
    pub(crate) async fn alerts(&self, filter: AlertFilter) -> Result<Vec<AlertView>, ClientError> {
        let mut call = Call::get(&["alerts"])
            .query("limit", &filter.limit)
            .query("open", &filter.open);
        if let Some(kind) = filter.kind {
            call = call.query("kind", &kind);
        }
        if let Some(severity) = filter.severity {
            call = call.query("severity", &severity);
        }
        self.ask(call).await
    }

    pub(crate) async fn alert(&self, id: u64) -> Result<AlertView, ClientError> {
        self.ask(Call::get(&["alerts", &id.to_string()])).await
    }

    pub(crate) async fn test_alerts(&self, request: &TestRequest) -> Result<TestView, ClientError> {
        self.ask(Call::write(Method::POST, &["alerts", "test"]).json(request))
            .await
    }

    pub(crate) async fn channels(&self) -> Result<Vec<ChannelView>, ClientError> {
        self.ask(Call::get(&["alerts", "channels"])).await
    }

    pub(crate) async fn set_channel(
        &self,
        name: &ChannelName,
        request: &ChannelRequest,
    ) -> Result<ChannelView, ClientError> {
        let path = ["alerts", "channels", name.as_str()];
        self.ask(Call::write(Method::PUT, &path).json(request))
            .await
    }

    pub(crate) async fn remove_channel(&self, name: &ChannelName) -> Result<(), ClientError> {
        let path = ["alerts", "channels", name.as_str()];
        self.ask(Call::write(Method::DELETE, &path)).await
    }

    pub(crate) async fn routes(&self) -> Result<Vec<RouteView>, ClientError> {
        self.ask(Call::get(&["alerts", "routes"])).await
    }

    pub(crate) async fn set_route(
        &self,
        name: &RouteName,
        route: &RouteSpec,
    ) -> Result<RouteView, ClientError> {
        let path = ["alerts", "routes", name.as_str()];
        self.ask(Call::write(Method::PUT, &path).json(route)).await
    }

    pub(crate) async fn remove_route(&self, name: &RouteName) -> Result<(), ClientError> {
        let path = ["alerts", "routes", name.as_str()];
        self.ask(Call::write(Method::DELETE, &path)).await
    }

    pub(crate) async fn silences(&self) -> Result<Vec<SilenceView>, ClientError> {
        self.ask(Call::get(&["alerts", "silences"])).await
    }

    pub(crate) async fn silence(
        &self,
        request: &SilenceRequest,
    ) -> Result<SilenceView, ClientError> {
        self.ask(Call::write(Method::POST, &["alerts", "silences"]).json(request))
            .await
    }

    pub(crate) async fn end_silence(&self, id: u64) -> Result<(), ClientError> {
        let path = ["alerts", "silences", &id.to_string()];
        self.ask(Call::write(Method::DELETE, &path)).await
    }
}
