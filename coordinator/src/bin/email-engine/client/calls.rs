//! One method per call of `/api/v1`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use email_engine_protocol::api::{
    ApiKeyCreated, ApiKeyRequest, ApiKeyView, ApplyAnswer, BundleCreated, BundleRequest,
    BundleView, ClusterView, Consistency, DomainView, FleetDocument, GivenUpView, HostView,
    IpDocument, IpView, LeavingView, ReleaseRequest, ReleasesView, RenderedConfig, RestartRequest,
    RestartView, Settings, StatisticsView, StatusView, TenantSecret, TenantSecretRequest,
    TenantSecretView, TenantSpec, TokenCreated, TokenRequest, TokenView,
};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{
    ApiKeyId, HostId, NodeId, ReceiverGroup, RequestId, TenantId, TokenId,
};
use email_engine_protocol::time::Timestamp;

use super::send::Call;
use super::{Client, ClientError, Patience};
use crate::private_file;

/// One line of the audit, as answered.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub(crate) struct AuditLine {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) request: RequestId,
    pub(crate) command: String,
    pub(crate) object: String,
    pub(crate) reason: String,
    pub(crate) revision: u64,
}

/// As many as a node gives at once.
const PER_PAGE: usize = 10_000;

impl Client {
    pub(crate) async fn apply(
        &self,
        document: &FleetDocument,
        dry_run: bool,
        prune: bool,
    ) -> Result<ApplyAnswer, ClientError> {
        let call = Call::write(Method::POST, &["fleet"])
            .query("dry_run", &dry_run)
            .query("prune", &prune)
            .json(document);
        self.ask(call).await
    }

    /// Removes what a document omits, when that is what was agreed to ([`removals`]).
    ///
    /// [`removals`]: email_engine_protocol::api::removals
    pub(crate) async fn prune(
        &self,
        document: &FleetDocument,
        agreed: &ContentHash,
    ) -> Result<ApplyAnswer, ClientError> {
        let call = Call::write(Method::POST, &["fleet"])
            .query("dry_run", &false)
            .query("prune", &true)
            .query("removing", agreed)
            .json(document);
        self.ask(call).await
    }

    pub(crate) async fn status(
        &self,
        consistency: Consistency,
        patience: Option<Patience>,
    ) -> Result<StatusView, ClientError> {
        let mut call = consistent(Call::get(&["status"]), consistency);
        call.patience = patience;
        self.ask(call).await
    }

    pub(crate) async fn hosts(&self) -> Result<Vec<HostView>, ClientError> {
        self.ask(Call::get(&["hosts"])).await
    }

    pub(crate) async fn host(&self, id: &HostId) -> Result<HostView, ClientError> {
        self.ask(Call::get(&["hosts", id.as_str()])).await
    }

    pub(crate) async fn retire(&self, id: &HostId) -> Result<Value, ClientError> {
        let call = Call::write(Method::DELETE, &["hosts", id.as_str()]);
        self.ask(call).await
    }

    pub(crate) async fn allow_removal(&self, id: &HostId) -> Result<Value, ClientError> {
        let call = Call::write(Method::POST, &["hosts", id.as_str(), "allow-removal"]);
        self.ask(call).await
    }

    /// What a restart would be allowed for.
    pub(crate) async fn restart(&self, id: &HostId) -> Result<RestartView, ClientError> {
        self.ask(Call::get(&["hosts", id.as_str(), "allow-restart"]))
            .await
    }

    /// Allows a restart for the lines of this digest, and for no others.
    pub(crate) async fn allow_restart(
        &self,
        id: &HostId,
        digest: ContentHash,
    ) -> Result<Value, ClientError> {
        let call = Call::write(Method::POST, &["hosts", id.as_str(), "allow-restart"]);
        self.ask(call.json(&RestartRequest { digest })).await
    }

    pub(crate) async fn retry(&self, id: &HostId) -> Result<Value, ClientError> {
        let call = Call::write(Method::POST, &["hosts", id.as_str(), "retry"]);
        self.ask(call).await
    }

    pub(crate) async fn revoke_certificate(&self, id: &HostId) -> Result<Value, ClientError> {
        let call = Call::write(Method::POST, &["hosts", id.as_str(), "revoke"]);
        self.ask(call).await
    }

    pub(crate) async fn config(
        &self,
        host: &HostId,
        proposed: bool,
    ) -> Result<RenderedConfig, ClientError> {
        let call = Call::get(&["hosts", host.as_str(), "config"]).query("proposed", &proposed);
        self.ask(call).await
    }

    /// All identities, or one tenant's, by address. They come in pages: an identity that is added meanwhile
    /// may be missing, none comes twice.
    pub(crate) async fn ips(&self, tenant: Option<&TenantId>) -> Result<Vec<IpView>, ClientError> {
        self.pages("ips", tenant, |last: &IpView| last.spec.address.to_string())
            .await
    }

    /// All rows of a list that comes in pages.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        tenant: Option<&TenantId>,
        key: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, ClientError> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let mut call = Call::get(&[path]).query("limit", &PER_PAGE);
            if let Some(last) = all.last() {
                call = call.query("after", &key(last));
            }
            if let Some(tenant) = tenant {
                call = call.query("tenant", tenant);
            }
            let page: Vec<T> = self.ask(call).await?;
            let is_last = page.len() < PER_PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn ip(&self, address: &str) -> Result<IpView, ClientError> {
        self.ask(Call::get(&["ips", address])).await
    }

    pub(crate) async fn add_ip(&self, ip: &IpDocument) -> Result<Vec<DomainView>, ClientError> {
        self.ask(Call::write(Method::POST, &["ips"]).json(ip)).await
    }

    /// What the removal of an identity would change.
    pub(crate) async fn plan_removal(&self, address: &str) -> Result<ApplyAnswer, ClientError> {
        let call = Call::write(Method::DELETE, &["ips", address]).query("dry_run", &true);
        self.ask(call).await
    }

    pub(crate) async fn leaving(&self) -> Result<Vec<LeavingView>, ClientError> {
        self.ask(Call::get(&["leaving"])).await
    }

    /// `last` says that nobody else needs to serve its purpose.
    pub(crate) async fn remove_ip(&self, address: &str, last: bool) -> Result<Value, ClientError> {
        self.ask(removal(address, last)).await
    }

    /// As [`Self::remove_ip`], with what is left in its queue.
    pub(crate) async fn give_up_ip(
        &self,
        address: &str,
        last: bool,
    ) -> Result<GivenUpView, ClientError> {
        self.ask(removal(address, last).query("now", &true)).await
    }

    pub(crate) async fn tenants(&self) -> Result<Vec<TenantSpec>, ClientError> {
        self.ask(Call::get(&["tenants"])).await
    }

    pub(crate) async fn tenant(&self, id: &TenantId) -> Result<TenantSpec, ClientError> {
        self.ask(Call::get(&["tenants", id.as_str()])).await
    }

    pub(crate) async fn tenant_secrets(
        &self,
        id: &TenantId,
    ) -> Result<Vec<TenantSecretView>, ClientError> {
        self.ask(Call::get(&["tenants", id.as_str(), "secrets"]))
            .await
    }

    pub(crate) async fn set_secret(
        &self,
        id: &TenantId,
        name: TenantSecret,
        request: &TenantSecretRequest,
    ) -> Result<TenantSecretView, ClientError> {
        let path = ["tenants", id.as_str(), "secrets", name.as_str()];
        self.ask(Call::write(Method::PUT, &path).json(request))
            .await
    }

    pub(crate) async fn domains(&self) -> Result<Vec<DomainView>, ClientError> {
        self.pages("domains", None, |last: &DomainView| last.domain.to_string())
            .await
    }

    pub(crate) async fn domain(&self, domain: &str) -> Result<DomainView, ClientError> {
        self.ask(Call::get(&["domains", domain])).await
    }

    pub(crate) async fn create_token(
        &self,
        request: &TokenRequest,
    ) -> Result<TokenCreated, ClientError> {
        let call = Call::write(Method::POST, &["tokens"]).json(request);
        self.ask(call).await
    }

    pub(crate) async fn tokens(&self) -> Result<Vec<TokenView>, ClientError> {
        self.ask(Call::get(&["tokens"])).await
    }

    pub(crate) async fn revoke_token(&self, id: &TokenId) -> Result<Value, ClientError> {
        let call = Call::write(Method::DELETE, &["tokens", id.as_str()]);
        self.ask(call).await
    }

    pub(crate) async fn cluster(
        &self,
        consistency: Consistency,
        patience: Option<Patience>,
    ) -> Result<ClusterView, ClientError> {
        let mut call = consistent(Call::get(&["cluster"]), consistency);
        call.patience = patience;
        self.ask(call).await
    }

    pub(crate) async fn promote(&self, node: NodeId) -> Result<Value, ClientError> {
        let path = ["cluster", "nodes", &node.to_string(), "promote"];
        self.ask(Call::write(Method::POST, &path)).await
    }

    pub(crate) async fn remove_node(&self, node: NodeId) -> Result<Value, ClientError> {
        let path = ["cluster", "nodes", &node.to_string()];
        self.ask(Call::write(Method::DELETE, &path)).await
    }

    /// Saves a sealed backup in a new private file and says its size. What a broken connection
    /// leaves is removed: half a backup must not look like one.
    pub(crate) async fn backup(&self, path: &Path) -> Result<u64, ClientError> {
        let mut call = Call::get(&["cluster", "backup"]);
        call.patience = Some(Patience {
            request: Duration::from_secs(600),
            ..self.patience
        });
        let file = private_file::create_new(path).map_err(|error| ClientError::File {
            path: path.to_owned(),
            source: std::io::Error::other(error),
        })?;
        let saved = match self.send(&call).await {
            Ok(response) => save(response, file, path).await,
            Err(error) => Err(error),
        };
        if saved.is_err() {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(path);
        }
        saved
    }

    pub(crate) async fn create_key(
        &self,
        request: &ApiKeyRequest,
    ) -> Result<ApiKeyCreated, ClientError> {
        let call = Call::write(Method::POST, &["keys"]).json(request);
        self.ask(call).await
    }

    pub(crate) async fn keys(&self) -> Result<Vec<ApiKeyView>, ClientError> {
        self.ask(Call::get(&["keys"])).await
    }

    pub(crate) async fn revoke_key(&self, id: &ApiKeyId) -> Result<Value, ClientError> {
        let call = Call::write(Method::DELETE, &["keys", id.as_str()]);
        self.ask(call).await
    }

    pub(crate) async fn settings(&self) -> Result<Settings, ClientError> {
        self.ask(Call::get(&["settings"])).await
    }

    /// Stores settings; without `release` hosts go on with those that they have.
    pub(crate) async fn put_settings(
        &self,
        settings: &Settings,
        release: bool,
    ) -> Result<Value, ClientError> {
        let call = Call::write(Method::PUT, &["settings"])
            .query("release", &release)
            .json(settings);
        self.ask(call).await
    }

    pub(crate) async fn releases(&self) -> Result<ReleasesView, ClientError> {
        self.ask(Call::get(&["releases"])).await
    }

    /// A role bundle with its files.
    pub(crate) async fn bundle(&self, bundle: &ContentHash) -> Result<BundleView, ClientError> {
        self.ask(Call::get(&["bundles", &bundle.to_string()])).await
    }

    /// Stores a role bundle, which changes nothing until a release names it.
    pub(crate) async fn put_bundle(
        &self,
        request: &BundleRequest,
    ) -> Result<BundleCreated, ClientError> {
        let call = Call::write(Method::POST, &["bundles"]).json(request);
        self.ask(call).await
    }

    /// What a release would change on the hosts.
    pub(crate) async fn plan_release(
        &self,
        request: &ReleaseRequest,
    ) -> Result<ApplyAnswer, ClientError> {
        let call = Call::write(Method::POST, &["releases"])
            .query("dry_run", &true)
            .json(request);
        self.ask(call).await
    }

    /// Moves hosts to a release.
    pub(crate) async fn set_release(
        &self,
        request: &ReleaseRequest,
    ) -> Result<ReleasesView, ClientError> {
        let call = Call::write(Method::POST, &["releases"]).json(request);
        self.ask(call).await
    }

    /// What was counted since then, all pages of it.
    pub(crate) async fn statistics(
        &self,
        path: &[&str],
        from: Timestamp,
        by: &str,
        group: Option<&ReceiverGroup>,
    ) -> Result<StatisticsView, ClientError> {
        let mut rows = Vec::new();
        let mut from = from;
        loop {
            let call = Call::get(path).query("from", &from).query("by", &by);
            let call = match group {
                Some(group) => call.query("group", group),
                None => call,
            };
            let page: StatisticsView = self.ask(call).await?;
            rows.extend(page.rows);
            match page.next.filter(|next| *next > from) {
                Some(next) => from = next,
                None => return Ok(StatisticsView { rows, ..page }),
            }
        }
    }

    pub(crate) async fn audit(&self, limit: u32) -> Result<Vec<AuditLine>, ClientError> {
        self.ask(Call::get(&["audit"]).query("limit", &limit)).await
    }
}

fn removal(address: &str, last: bool) -> Call {
    let call = Call::write(Method::DELETE, &["ips", address]);
    if last {
        call.query("last", &true)
    } else {
        call
    }
}

fn consistent(call: Call, consistency: Consistency) -> Call {
    match consistency {
        Consistency::Linearizable => call,
        Consistency::Stale => call.query("consistency", &"stale"),
    }
}

async fn save(
    mut response: reqwest::Response,
    mut file: File,
    path: &Path,
) -> Result<u64, ClientError> {
    let io = |source| ClientError::File {
        path: path.to_owned(),
        source,
    };
    let url = response.url().to_string();
    let mut size = 0;
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| ClientError::Answer {
            url: url.clone(),
            why: super::error::why(&error),
        })?
    {
        file.write_all(&chunk).map_err(io)?;
        size += chunk.len() as u64;
    }
    file.sync_all().map_err(io)?;
    Ok(size)
}
