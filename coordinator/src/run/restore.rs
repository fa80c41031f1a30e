//! `restore`: a new life of a cluster from a backup, in a new folder, under a new node number. What
//! the old nodes are still doing no longer counts: the epoch rises, and agents follow it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::crypto::{RecoveryKey, RecoveryKeyError};
use email_engine_protocol::id::{ApiKeyId, ClusterId, HostId, NodeId, RequestId, TokenId};
use email_engine_protocol::time::Timestamp;

use super::SUPPORTS_VERSION;
use super::listeners::{Bound, ListenError};
use super::place::{Place, PlaceError};
use crate::command::{Command, Proposal, Recover};
use crate::config::{ConfigError, NodeConfig};
use crate::pki::{Authority, AuthorityError, IssueError, grant_epoch};
use crate::raft;
use crate::seal::Vault;
use crate::state::{CertificateSubject, FleetState, Host, HostLifecycle, Node, TokenState};

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder is not usable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The recovery key is not one.
    #[error(transparent)]
    Key(#[from] RecoveryKeyError),
    /// The backup does not open or is not whole.
    #[error(transparent)]
    Backup(#[from] raft::RestoreError),
    /// The backup's CA cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The node's certificate cannot be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The epoch is not a new one.
    #[error("--epoch {asked} is not above the backup's epoch {found}")]
    Epoch {
        /// What was asked for.
        asked: u64,
        /// What the backup has.
        found: u64,
    },
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The cluster, the same as before.
    pub cluster: ClusterId,
    /// Its only node, under a new number.
    pub node: NodeId,
    /// The new epoch.
    pub epoch: u64,
    /// Revision of the fleet state in the backup.
    pub revision: u64,
    /// Hosts in it.
    pub hosts: usize,
    /// Identities in it.
    pub identities: usize,
    /// When the last change in it was made: what was revoked later is valid again.
    pub as_of: Timestamp,
    /// API keys that are valid.
    pub api_keys: Vec<ApiKeyId>,
    /// Join tokens that can be redeemed.
    pub tokens: Vec<TokenId>,
    /// Certificates of hosts that are valid.
    pub certificates: usize,
    /// Hosts that no agent's certificate of the backup stands for: an agent that enrolled for one of
    /// them since is not known, and needs a new join token.
    pub without_agent: Vec<HostId>,
}

/// Restores a backup into the configured folder. `epoch` is for a cluster that was restored from an
/// older backup before: it must be above every epoch that an agent has seen.
///
/// # Errors
/// When the folder is taken, the key is wrong, or the backup is damaged.
pub fn restore(
    config: &NodeConfig,
    backup: &Path,
    recovery_key: &Path,
    epoch: Option<u64>,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    config.check()?;
    let key: RecoveryKey = read_secret(recovery_key)?.trim().parse()?;
    raft::check_backup(open(backup)?, &key)?;
    let before = entries(&config.data_dir);
    let place = Place::create(&config.data_dir)?;
    let restored = restore_into(&place, config, open(backup)?, &key, (epoch, now));
    if restored.is_err() {
        leave_nothing(&config.data_dir, before.as_ref());
    }
    restored
}

fn restore_into(
    place: &Place,
    config: &NodeConfig,
    from: BufReader<File>,
    key: &RecoveryKey,
    (epoch, now): (Option<u64>, Timestamp),
) -> Result<Restored, RestoreError> {
    let published = Bound::open(config, place.published())?.published()?;
    let endpoints = published.advertised(&config.advertise)?;
    let restored = raft::restore(&place.raft(), from, key, endpoints.raft.clone())?;
    let epoch = match epoch {
        Some(asked) if asked <= restored.epoch => {
            let found = restored.epoch;
            return Err(RestoreError::Epoch { asked, found });
        }
        Some(asked) => asked,
        None => restored.epoch + 1,
    };
    let record = &restored.record;
    let vault = Vault::new(record.issuer.key.kek_version, restored.kek.clone());
    let authority = Authority::load(record, &vault)?;
    let node = Node {
        id: restored.node,
        raft_endpoint: endpoints.raft,
        agent_endpoint: endpoints.agent,
        api_endpoint: endpoints.api,
        role: MemberRole::Voter,
        joined_at: now,
        supports_version: SUPPORTS_VERSION,
    };
    let reached = [
        node.raft_endpoint.clone(),
        node.agent_endpoint.clone(),
        node.api_endpoint.clone(),
    ];
    let (identity, _) = authority.issue_own(node.id, &reached, (now, config.certificate_life()))?;
    place.leave_founding(&[recovery(key, record.id, epoch, node, now)])?;
    place.publish(&published)?;
    place
        .identity()
        .save_vault(&vault)
        .map_err(PlaceError::from)?;
    place.identity().save(&identity).map_err(PlaceError::from)?;
    let fleet = &restored.fleet;
    let valid_keys = fleet.api_keys.values();
    let valid_keys = valid_keys.filter(|key| key.revoked_at.is_none());
    let open = fleet.tokens.values();
    let open = open.filter(|token| token.state == TokenState::Open && token.expires_at > now);
    let hosts = fleet.certificates.values();
    let hosts = hosts.filter(|record| {
        matches!(record.subject, CertificateSubject::Host(_))
            && record.not_after > now
            && !fleet.revoked.contains(&record.serial)
    });
    Ok(Restored {
        as_of: fleet.now,
        api_keys: valid_keys.map(|key| key.id.clone()).collect(),
        tokens: open.map(|token| token.id.clone()).collect(),
        certificates: hosts.count(),
        without_agent: without_agent(fleet),
        cluster: restored.cluster,
        node: restored.node,
        epoch,
        revision: restored.revision,
        hosts: restored.hosts,
        identities: restored.identities,
    })
}

/// Whoever comes with a certificate for one of these got it after the backup, or had it revoked before.
fn without_agent(fleet: &FleetState) -> Vec<HostId> {
    let has_none = |host: &&Host| match host.lifecycle {
        HostLifecycle::Declared => true,
        HostLifecycle::Enrolled => {
            let keys = host.keys.as_ref();
            keys.is_none_or(|keys| fleet.revoked.contains(&keys.serial))
        }
        HostLifecycle::Retiring { .. } | HostLifecycle::Retired => false,
    };
    let hosts = fleet.hosts.values().filter(has_none);
    hosts.map(|host| host.spec.id.clone()).collect()
}

/// The first command of the new life, under a name of its own: an older life may have had one, too.
fn recovery(
    key: &RecoveryKey,
    cluster: ClusterId,
    epoch: u64,
    node: Node,
    now: Timestamp,
) -> Proposal {
    Proposal {
        actor: "restore".to_owned(),
        request: RequestId::new(format!("restore-{epoch}-{}", node.id))
            .expect("it is a request id"),
        reason: "the cluster was restored from a backup".to_owned(),
        now,
        // The backup may be older than a day.
        override_clock: true,
        command: Command::Recover(Box::new(Recover {
            grant: grant_epoch(key, cluster, epoch, now),
            node,
        })),
    }
}

fn open(backup: &Path) -> Result<BufReader<File>, RestoreError> {
    let file = File::open(backup).map_err(|source| RestoreError::Read {
        path: backup.to_owned(),
        source,
    })?;
    Ok(BufReader::new(file))
}

/// What stands in a folder; none when there is no folder.
fn entries(folder: &Path) -> Option<BTreeSet<PathBuf>> {
    let entries = std::fs::read_dir(folder).ok()?;
    Some(entries.flatten().map(|entry| entry.path()).collect())
}

/// Takes away what a failed restore made, so that the next one finds the folder as it was. What cannot
/// be removed is named by the next one.
fn leave_nothing(folder: &Path, before: Option<&BTreeSet<PathBuf>>) {
    let Some(before) = before else {
        let _ = std::fs::remove_dir_all(folder);
        return;
    };
    for made in entries(folder).unwrap_or_default().difference(before) {
        let _ = std::fs::remove_dir_all(made).or_else(|_| std::fs::remove_file(made));
    }
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, RestoreError> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| RestoreError::Read {
            path: path.to_owned(),
            source,
        })
}
