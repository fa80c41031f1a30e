//! Calls about lists of bad senders.

use reqwest::Method;

use email_engine_protocol::api::{
    ListKeyRequest, ListReplyView, ListTestRequest, ListTestView, ListView, ListingView, SweepView,
};
use email_engine_protocol::id::ListId;

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn lists(&self) -> Result<Vec<ListView>, ClientError> {
        self.ask(Call::get(&["dnsbl", "lists"])).await
    }

    pub(crate) async fn set_list_key(
        &self,
        list: &ListId,
        request: &ListKeyRequest,
    ) -> Result<ListView, ClientError> {
        let path = ["dnsbl", "lists", list.as_str(), "key"];
        self.ask(Call::write(Method::PUT, &path).json(request))
            .await
    }

    pub(crate) async fn begin_sweep(&self) -> Result<SweepView, ClientError> {
        self.ask(Call::write(Method::POST, &["dnsbl", "sweep"]))
            .await
    }

    pub(crate) async fn sweep(&self) -> Result<SweepView, ClientError> {
        self.ask(Call::get(&["dnsbl", "sweep"])).await
    }

    pub(crate) async fn test_lists(
        &self,
        request: &ListTestRequest,
    ) -> Result<Vec<ListTestView>, ClientError> {
        self.ask(Call::write(Method::POST, &["dnsbl", "test"]).json(request))
            .await
    }

    pub(crate) async fn list_replies(&self, all: bool) -> Result<Vec<ListReplyView>, ClientError> {
        let call = Call::get(&["listings", "replies"]);
        let call = if all { call.query("all", &true) } else { call };
        self.ask(call).await
    }

    pub(crate) async fn listings(&self, all: bool) -> Result<Vec<ListingView>, ClientError> {
        let call = Call::get(&["listings"]);
        let call = if all { call.query("all", &true) } else { call };
        self.ask(call).await
    }
}
