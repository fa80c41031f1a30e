//! Calls about artifacts.

use reqwest::Method;
use serde_json::Value;

use email_engine_protocol::api::{ArtifactNameRequest, ArtifactRequest, ArtifactView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ArtifactName;

use super::send::Call;
use super::{Client, ClientError};

impl Client {
    pub(crate) async fn artifacts(&self) -> Result<Vec<ArtifactView>, ClientError> {
        self.ask(Call::get(&["artifacts"])).await
    }

    pub(crate) async fn artifact(&self, sha256: &ContentHash) -> Result<ArtifactView, ClientError> {
        self.ask(Call::get(&["artifacts", &sha256.to_string()]))
            .await
    }

    pub(crate) async fn begin_artifact(
        &self,
        request: &ArtifactRequest,
    ) -> Result<ArtifactView, ClientError> {
        let call = Call::write(Method::POST, &["artifacts"]).json(request);
        self.ask(call).await
    }

    pub(crate) async fn put_piece(
        &self,
        sha256: &ContentHash,
        at: u32,
        bytes: Vec<u8>,
    ) -> Result<(), ClientError> {
        let path = ["artifacts", &sha256.to_string(), "pieces", &at.to_string()];
        let call = Call::write(Method::PUT, &path).bytes(bytes);
        self.ask(call).await
    }

    /// Has all pieces read and compared with what was announced: as long as that takes.
    pub(crate) async fn finish_artifact(
        &self,
        sha256: &ContentHash,
    ) -> Result<ArtifactView, ClientError> {
        let path = ["artifacts", &sha256.to_string(), "finish"];
        self.ask(Call::write(Method::POST, &path)).await
    }

    pub(crate) async fn remove_artifact(&self, sha256: &ContentHash) -> Result<Value, ClientError> {
        let call = Call::write(Method::DELETE, &["artifacts", &sha256.to_string()]);
        self.ask(call).await
    }

    /// Says which artifact a name of role files stands for; nothing takes the name away.
    pub(crate) async fn name_artifact(
        &self,
        name: &ArtifactName,
        sha256: Option<ContentHash>,
        release: bool,
    ) -> Result<Value, ClientError> {
        let path = ["artifact-names", name.as_str()];
        let call = match sha256 {
            Some(sha256) => Call::write(Method::PUT, &path).json(&ArtifactNameRequest { sha256 }),
            None => Call::write(Method::DELETE, &path),
        };
        self.ask(call.query("release", &release)).await
    }
}
