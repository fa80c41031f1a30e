//! Making the first node of a new cluster of a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use openraft::Membership;
use zeroize::Zeroizing;

use email_engine_protocol::crypto::RecoveryKey;
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::join::Endpoint;

use super::framing::{FramingError, SealedReader};
use crate::raft::machine::{Header, SnapshotError, SnapshotFiles, SnapshotReader, rewrite};
use crate::raft::start::{create_slots, snapshots_path};
use crate::raft::store::SlotState;
use crate::raft::types::{LogId, NodeAddress, StoredMembership, Vote};
use crate::state::{ClusterRecord, FleetState};

/// A restored node. Starting it and proposing [`crate::command::Command::Recover`] is the caller's.
#[derive(Debug)]
pub struct Restored {
    /// Whose backup it was.
    pub cluster: ClusterId,
    /// The number of the new cluster's only node: above all that the old one knew.
    pub node: NodeId,
    /// The key that opens the state's secrets.
    pub kek: Zeroizing<[u8; 32]>,
    /// The epoch of the backup; the new one must be above it and above any that an agent has seen.
    pub epoch: u64,
    /// Fleet revision.
    pub revision: u64,
    /// The cluster's keys: what the node's certificate is issued with.
    pub record: ClusterRecord,
    /// The fleet's state, as it was.
    pub fleet: FleetState,
    /// Number of hosts.
    pub hosts: usize,
    /// Number of sending identities.
    pub identities: usize,
}

/// Why a backup was not restored. The data folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data folder is in use.
    #[error("{0} is not empty: restore into a new folder")]
    NotEmpty(PathBuf),
    /// It is no backup, is sealed to another recovery key, or was changed.
    #[error("{0}")]
    Refused(String),
    /// It holds no cluster.
    #[error("the backup holds no founded cluster")]
    Empty,
    /// Files cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Opens every byte of a backup and writes nothing. Blocks.
///
/// # Errors
/// When it does not open or is not whole.
pub fn check_backup<R: Read>(from: R, key: &RecoveryKey) -> Result<ClusterId, RestoreError> {
    let mut sealed = SealedReader::new(from, &key.sealing_key())?;
    let cluster = sealed.cluster();
    io::copy(&mut sealed, &mut io::sink()).map_err(refused)?;
    Ok(cluster)
}

/// Writes the data folder of a new single node from a backup. Blocks.
///
/// # Errors
/// When the folder is in use, or the backup does not open or is not whole.
pub fn restore<R: Read>(
    data_dir: &Path,
    from: R,
    key: &RecoveryKey,
    endpoint: Endpoint,
) -> Result<Restored, RestoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)?;
    if data_dir.read_dir()?.next().is_some() {
        return Err(RestoreError::NotEmpty(data_dir.to_path_buf()));
    }
    let restored = restore_into(data_dir, from, key, endpoint);
    if restored.is_err() {
        // Nothing of it may look like a node's data.
        let _ = std::fs::remove_dir_all(snapshots_path(data_dir));
    }
    restored
}

fn restore_into<R: Read>(
    data_dir: &Path,
    from: R,
    key: &RecoveryKey,
    endpoint: Endpoint,
) -> Result<Restored, RestoreError> {
    let mut sealed = SealedReader::new(from, &key.sealing_key())?;
    let cluster = sealed.cluster();
    let mut kek = Zeroizing::new([0; 32]);
    sealed.read_exact(&mut kek[..]).map_err(refused)?;
    let files = SnapshotFiles::open(snapshots_path(data_dir))?;
    let (file, unfinished) = files.begin()?;
    let mut begun = None;
    let reader = SnapshotReader::new(sealed)?;
    let (written, image) = rewrite(reader, BufWriter::new(file), |header, fleet| {
        begun = begin_anew(header, fleet, endpoint);
    })?;
    let (node, last) = begun.ok_or(RestoreError::Empty)?;
    let same = image.fleet.cluster.as_ref();
    let same = same.filter(|record| record.id == cluster);
    let record = same.ok_or(RestoreError::Empty)?.clone();
    let epoch = record.epoch;
    let file = written
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    files.adopt(&image.meta(), unfinished.path())?;
    // As if it had stood for election in the next term: every vote of the old cluster is below it.
    let vote = Vote::new(last.leader_id.term + 1, node.0);
    create_slots(data_dir, SlotState::new(cluster, node, Some(vote)))?;
    Ok(Restored {
        cluster,
        node,
        kek,
        epoch,
        record,
        revision: image.fleet.revision,
        hosts: image.fleet.hosts.len(),
        identities: image.fleet.identities.len(),
        fleet: image.fleet,
    })
}

/// Makes a new node the only member, as of the last entry of the backup.
fn begin_anew(
    header: &mut Header,
    fleet: &FleetState,
    endpoint: Endpoint,
) -> Option<(NodeId, LogId)> {
    let last = header.meta.last_log_id?;
    let known = fleet.nodes.keys().map(|node| node.0);
    let members = header.meta.last_membership.nodes().map(|(node, _)| *node);
    let highest = known.chain(members).max().unwrap_or(0);
    let node = NodeId(fleet.next_node.max(highest + 1));
    let members = BTreeMap::from([(node.0, NodeAddress { endpoint })]);
    let membership = Membership::new(vec![BTreeSet::from([node.0])], members).ok()?;
    header.meta.last_membership = StoredMembership::new(Some(last), membership);
    Some((node, last))
}

fn refused(error: impl std::fmt::Display) -> RestoreError {
    RestoreError::Refused(error.to_string())
}

impl From<FramingError> for RestoreError {
    fn from(error: FramingError) -> Self {
        refused(error)
    }
}

impl From<SnapshotError> for RestoreError {
    fn from(error: SnapshotError) -> Self {
        refused(error)
    }
}
