//! `join`: enters a cluster with a token. The node gets a number, a certificate and the key that
//! opens the cluster's secrets; the leader then lets it follow, an operator lets it vote.

use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::join::{Admission, JoinToken, JoinTokenError};
use email_engine_protocol::time::Timestamp;

use super::listeners::{Bound, ListenError};
use super::place::{Place, PlaceError};
use crate::config::{ConfigError, NodeConfig};
use crate::push::join::{self, JoinError as CallError, NodeEndpoints};

/// Why the node is not let in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder is not usable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The token is not one.
    #[error(transparent)]
    Token(#[from] JoinTokenError),
    /// The token is for something else.
    #[error(
        "this token admits host {0}, not a coordinator node; `email-engine cluster add` makes one"
    )]
    NotForNodes(String),
    /// The token is past its end.
    #[error("this token ended at {0}; ask for a new one")]
    Expired(Timestamp),
    /// The cluster did not let it in.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A node that was let in.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its number in it.
    pub node: NodeId,
}

/// Enters a cluster with a token, and leaves a folder that `run` starts from.
///
/// # Errors
/// When the folder is taken, the token is no good, or no coordinator lets the node in.
pub async fn join(config: &NodeConfig, token: &str, now: Timestamp) -> Result<Joined, JoinError> {
    config.check()?;
    let token: JoinToken = token.parse()?;
    if let Admission::Host { host, .. } = &token.admission {
        return Err(JoinError::NotForNodes(host.to_string()));
    }
    if token.expires_at <= now {
        return Err(JoinError::Expired(token.expires_at));
    }
    let place = Place::create(&config.data_dir)?;
    // Held until the cluster has answered: these ports are what it is told.
    let bound = Bound::open(config, place.published())?;
    let published = bound.published()?;
    let endpoints = published.advertised(&config.advertise)?;
    // On disk before the call: after a lost answer the same key gets the same number.
    let key = place.identity().staged_key().map_err(PlaceError::from)?;
    let endpoints = NodeEndpoints {
        raft: endpoints.raft,
        agent: endpoints.agent,
        api: endpoints.api,
    };
    let joined = join::join(&token, key, endpoints).await?;
    let (cluster, node) = (joined.identity.cluster, joined.identity.node);
    place.publish(&published)?;
    place
        .identity()
        .save_vault(&joined.vault)
        .map_err(PlaceError::from)?;
    place
        .identity()
        .save(&joined.identity)
        .map_err(PlaceError::from)?;
    drop(bound);
    Ok(Joined { cluster, node })
}
