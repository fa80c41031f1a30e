//! Calls about the life of an identity.

use std::collections::BTreeSet;
use std::net::IpAddr;

use reqwest::Method;

use email_engine_protocol::api::{
    ChecksRequest, Explanation, MoveRequest, QuarantineRequest, TurnView,
};

use super::send::Call;
use super::{Client, ClientError};

fn turn(address: IpAddr, verb: &str) -> Call {
    Call::write(Method::POST, &["ips", &address.to_string(), verb])
}

impl Client {
    pub(crate) async fn activate(
        &self,
        address: IpAddr,
        force: bool,
    ) -> Result<TurnView, ClientError> {
        self.ask(turn(address, "activate").query("force", &force))
            .await
    }

    pub(crate) async fn quarantine(
        &self,
        address: IpAddr,
        lists: BTreeSet<String>,
    ) -> Result<TurnView, ClientError> {
        self.ask(turn(address, "quarantine").json(&QuarantineRequest { lists }))
            .await
    }

    pub(crate) async fn release(
        &self,
        address: IpAddr,
        force: bool,
    ) -> Result<TurnView, ClientError> {
        self.ask(turn(address, "release").query("force", &force))
            .await
    }

    /// One that needs nothing to be said: `rest`.
    pub(crate) async fn turn(&self, address: IpAddr, verb: &str) -> Result<TurnView, ClientError> {
        self.ask(turn(address, verb)).await
    }

    pub(crate) async fn reserve(
        &self,
        address: IpAddr,
        kept: bool,
    ) -> Result<TurnView, ClientError> {
        self.ask(turn(address, "reserve").query("kept", &kept))
            .await
    }

    pub(crate) async fn relocate(
        &self,
        address: IpAddr,
        to: &MoveRequest,
    ) -> Result<TurnView, ClientError> {
        self.ask(turn(address, "move").json(to)).await
    }

    pub(crate) async fn state_checks(
        &self,
        address: IpAddr,
        request: &ChecksRequest,
    ) -> Result<TurnView, ClientError> {
        self.ask(turn(address, "checks").json(request)).await
    }

    pub(crate) async fn explain(&self, address: IpAddr) -> Result<Explanation, ClientError> {
        self.ask(Call::get(&["ips", &address.to_string(), "explain"]))
            .await
    }
}
