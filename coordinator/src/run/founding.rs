//! `init`: founds a cluster. Keys and certificates are made and written, the first entries of the log
//! are left as a file; `run` commits them under fixed request ids, so that a crash anywhere is
//! harmless.

use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use email_engine_protocol::api::{AccessRole, MemberRole, Settings};
use email_engine_protocol::bytes::CaPin;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::{ApiKeyId, ClusterId, NodeId, RequestId};
use email_engine_protocol::time::Timestamp;

use super::SUPPORTS_VERSION;
use super::listeners::{Bound, Endpoints, ListenError};
use super::place::{Place, PlaceError};
use crate::api::ApiKeyText;
use crate::command::{
    Command, CreateApiKey, Found, Proposal, PutBundle, PutSettings, Rejection, RejectionCode,
    SetRelease,
};
use crate::config::{ConfigError, NodeConfig};
use crate::pki::{self, AuthorityError, Founding, IssueError, Life, NodeIdentity};
use crate::planner;
use crate::raft::{Cluster, MembershipError, ProposeError};
use crate::state::{FleetState, Node};

/// Why no cluster is founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder is not usable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The CA cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The node's certificate cannot be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// What a founding shows, once. Never printed by `Debug`.
pub struct Founded {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its first node.
    pub node: NodeId,
    /// Hash of the root's public key.
    pub ca_pin: CaPin,
    /// The root certificate, for clients.
    pub ca_pem: String,
    /// The first API key, of role admin.
    pub admin_key: Zeroizing<String>,
    /// To be kept offline.
    pub recovery_key: Zeroizing<String>,
}

impl std::fmt::Debug for Founded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Founded({}, redacted)", self.cluster)
    }
}

/// Number of the first node.
const FIRST: NodeId = NodeId(1);

/// Founds a cluster in the configured folder.
///
/// # Errors
/// When the folder is taken, a port is, or keys cannot be made.
pub fn found(config: &NodeConfig, now: Timestamp) -> Result<Founded, FoundError> {
    config.check()?;
    let place = Place::create(&config.data_dir)?;
    // Binding tells the ports that are meant by 0, and a taken one before anything is founded.
    let published = Bound::open(config, place.published())?.published()?;
    let endpoints = published.advertised(&config.advertise)?;
    let founding = pki::found(config.mode.to_mode(), now)?;
    let identity = first_identity(&founding, &endpoints, (now, config.certificate_life()))?;
    let random = SystemRandom::new();
    let admin = ApiKeyText {
        id: ApiKeyId::new("admin").expect("it is a slug"),
        secret: Zeroizing::new(Entropy(&random).bytes()),
    };
    place.leave_founding(&first_entries(&founding, endpoints, &admin, now))?;
    place.publish(&published)?;
    place
        .identity()
        .save_vault(&founding.vault)
        .map_err(PlaceError::from)?;
    // Last: with its identity the node is there.
    place.identity().save(&identity).map_err(PlaceError::from)?;
    Ok(Founded {
        cluster: founding.record.id,
        node: FIRST,
        ca_pin: founding.record.ca_pin,
        ca_pem: pem(&founding.record.root),
        admin_key: admin.to_text(),
        recovery_key: founding.recovery.to_text(),
    })
}

fn first_identity(
    founding: &Founding,
    endpoints: &Endpoints,
    (now, life): (Timestamp, Life),
) -> Result<NodeIdentity, FoundError> {
    let Endpoints { raft, agent, api } = endpoints.clone();
    let (identity, _) = founding
        .issuer
        .issue_own(FIRST, &[raft, agent, api], (now, life))?;
    Ok(identity)
}

/// What the log of a cluster begins with.
fn first_entries(
    founding: &Founding,
    endpoints: Endpoints,
    admin: &ApiKeyText,
    now: Timestamp,
) -> Vec<Proposal> {
    let files = planner::builtin_bundle();
    let bundle = planner::bundle_hash(&files);
    let commands = [
        Command::Found(Box::new(Found {
            cluster: founding.record.clone(),
            node: Node {
                id: FIRST,
                raft_endpoint: endpoints.raft,
                agent_endpoint: endpoints.agent,
                api_endpoint: endpoints.api,
                role: MemberRole::Voter,
                joined_at: now,
                supports_version: SUPPORTS_VERSION,
            },
        })),
        Command::CreateApiKey(CreateApiKey {
            id: admin.id.clone(),
            secret: admin.secret_hash(),
            role: AccessRole::Admin,
            tenant: None,
        }),
        Command::PutBundle(PutBundle { files }),
        Command::PutSettings(PutSettings {
            settings: Settings::default(),
            release: false,
        }),
        Command::SetRelease(SetRelease {
            hosts: None,
            bundle: Some(bundle),
            planner_version: Some(planner::PLANNER_VERSION),
            settings: None,
        }),
    ];
    let entries = commands
        .into_iter()
        .enumerate()
        .map(|(at, command)| Proposal {
            actor: "init".to_owned(),
            request: RequestId::new(format!("init-{}", at + 1)).expect("it is a request id"),
            reason: "founding of the cluster".to_owned(),
            now,
            override_clock: false,
            command,
        });
    entries.collect()
}

pub(super) fn pem(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// Why the first entries are not in the log.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The file cannot be read or removed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The first node cannot lead itself.
    #[error(transparent)]
    Members(#[from] MembershipError),
    /// They could not be proposed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The state refused one.
    #[error("{0}")]
    Rejected(#[from] Rejection),
}

/// Commits what `init` or `restore` left, if anything. May be repeated at any point.
///
/// # Errors
/// When it cannot be committed.
pub(super) async fn commit(cluster: &Cluster, place: &Place) -> Result<(), CommitError> {
    let Some(entries) = place.founding()? else {
        return Ok(());
    };
    for mut proposal in entries {
        // A node that was switched off over a week-end in the middle of its founding still starts.
        proposal.override_clock = true;
        let command = proposal.command.clone();
        if let Command::Found(found) = &proposal.command {
            cluster.initialize(found.node.raft_endpoint.clone()).await?;
        }
        let answer = match cluster.propose(proposal).await {
            Err(ProposeError::NotAppliedHere { outcome }) => Ok(*outcome),
            answered => answered?,
        };
        match answer {
            Ok(_) => {}
            // Committed before a crash longer ago than answers are remembered.
            Err(known) if is_done(known.code) => {}
            Err(_) if cluster.view(|state| is_recovered(state, &command)) => {}
            Err(rejection) => return Err(rejection.into()),
        }
    }
    place.forget_founding()?;
    tracing::info!("the founding of the cluster is committed");
    Ok(())
}

/// The state is the new life that this command begins: its epoch was granted once, to this node.
fn is_recovered(state: &FleetState, command: &Command) -> bool {
    let Command::Recover(recover) = command else {
        return false;
    };
    let granted = state
        .cluster
        .as_ref()
        .and_then(|it| it.epoch_grant.as_ref());
    granted == Some(&recover.grant) && state.nodes.contains_key(&recover.node.id)
}

const fn is_done(code: RejectionCode) -> bool {
    matches!(
        code,
        RejectionCode::AlreadyExists | RejectionCode::ClusterState
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use email_engine_protocol::crypto::RecoveryKey;
    use tokio::sync::watch;

    use super::*;
    use crate::command::Recover;
    use crate::pki::grant_epoch;
    use crate::run::start_raft;

    fn on_loopback(folder: &Path) -> NodeConfig {
        let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        NodeConfig {
            data_dir: folder.join("node"),
            agent_listen: free,
            raft_listen: free,
            api_listen: free,
            min_free_bytes: 0,
            ..NodeConfig::default()
        }
    }

    /// As if the answers to the first attempt had been forgotten since.
    fn under_other_names(entries: &[Proposal]) -> Vec<Proposal> {
        let renamed = entries.iter().cloned().map(|mut entry| {
            entry.request = RequestId::new(format!("late-{}", entry.request)).unwrap();
            // And as if that was long ago.
            entry.now = Timestamp(entry.now.0 - 9 * Timestamp::DAY);
            entry
        });
        renamed.collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_committed_before_a_crash_is_done_however_late_the_restart() {
        let folder = tempfile::tempdir().unwrap();
        let config = on_loopback(folder.path());
        let now = crate::push::now();
        let founded = found(&config, now).unwrap();
        let place = Place::open(&config.data_dir).unwrap();
        let identity = Arc::new(place.identity().load().unwrap());
        let (_kept, identity) = watch::channel(identity);
        let socket = Bound::open(&config, place.published()).unwrap().raft;
        let cluster = start_raft(&config, &place, &identity, socket)
            .await
            .unwrap();

        let first = place.founding().unwrap().unwrap();
        commit(&cluster, &place).await.unwrap();
        place.leave_founding(&under_other_names(&first)).unwrap();
        commit(&cluster, &place).await.unwrap();
        assert!(place.founding().unwrap().is_none());

        let key: RecoveryKey = founded.recovery_key.parse().unwrap();
        let recover = |epoch: u64| {
            let mut entry = first[0].clone();
            let mut node = cluster.view(|state| state.nodes[&FIRST].clone());
            (node.id, node.role) = (NodeId(2), MemberRole::Voter);
            entry.request = RequestId::new(format!("restore-{epoch}")).unwrap();
            entry.command = Command::Recover(Box::new(Recover {
                grant: grant_epoch(&key, founded.cluster, epoch, now),
                node,
            }));
            vec![entry]
        };
        let entries = recover(2);
        place.leave_founding(&entries).unwrap();
        commit(&cluster, &place).await.unwrap();
        let epoch = || cluster.view(|state| (state.epoch(), state.next_node));
        assert_eq!(epoch(), (2, 3));
        place.leave_founding(&under_other_names(&entries)).unwrap();
        commit(&cluster, &place).await.unwrap();
        assert_eq!(epoch(), (2, 3), "it is not done twice");
        assert!(place.founding().unwrap().is_none());

        // Another recovery than the one that was granted is not taken for done.
        place.leave_founding(&recover(1)).unwrap();
        let refused = commit(&cluster, &place).await.unwrap_err();
        assert!(matches!(refused, CommitError::Rejected(_)), "{refused}");
        cluster.shutdown().await;
    }
}
