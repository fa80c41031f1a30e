//! Starting and stopping a node.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{mpsc, watch};

use email_engine_protocol::id::{ClusterId, NodeId};

use super::config::{self, RaftConfig};
use super::core::Core;
use super::guard::{self, Guard};
use super::handle::{Cluster, Leadership};
use super::leadership::{self, Lead};
use super::machine::{Apply, Image, Machine, Replica, SnapshotFiles, Stored, fleet_rules, newest};
use super::mend;
use super::net::{Door, Network, Peers, Server, Serving};
use super::store::{
    Damage, Mark, OpenError, Recovered, SlotState, Slots, SlotsError, Store, StoreOpenError,
};
use super::types::Raft;

/// Threads of Raft's own runtime: what agents do must not delay a heartbeat.
const THREADS: usize = 2;

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder is not usable.
    #[error("data folder {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The data is another node's.
    #[error("data folder {path} is node {found}'s of cluster {cluster}: point to its own folder")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Whose it is.
        cluster: ClusterId,
    },
    /// The node lost what it had promised to remember.
    #[error("{reason}. {}", rejoin(path))]
    RejoinUnderNewId {
        /// What is missing.
        reason: String,
        /// The folder.
        path: PathBuf,
    },
    /// The data is damaged.
    #[error("{reason}. {}", rejoin(path))]
    Damaged {
        /// How.
        reason: String,
        /// The folder.
        path: PathBuf,
    },
    /// The end point cannot be opened.
    #[error("Raft end point: {0}")]
    Listen(String),
    /// The timings do not fit together, or openraft refuses to start.
    #[error("Raft: {0}")]
    Raft(String),
}

/// What an operator has to do about a node that cannot know any more what it promised.
fn rejoin(path: &Path) -> String {
    // Raft's folder lies in the node's; the identity beside it goes, too.
    let folder = path.parent().unwrap_or(path).display();
    format!(
        "It must not vote again under its number: it has to rejoin under a new id. The other nodes \
         have the data. \
         (1) with a running node: `email-engine cluster remove NUMBER`, then \
         `email-engine cluster add`, which shows a join token; \
         (2) here: `mv {folder} {folder}.damaged`, \
         `email-engine-coordinator join --data-dir {folder} --token-file FILE`, \
         `email-engine-coordinator run --data-dir {folder}`; \
         (3) with a running node: `email-engine cluster promote NEW-NUMBER`. \
         A cluster of one node has no others: `email-engine-coordinator restore` from a backup"
    )
}

/// Names in the data folder.
pub(super) fn vote_path(folder: &Path) -> PathBuf {
    folder.join("vote")
}

fn database_path(folder: &Path) -> PathBuf {
    folder.join("rocksdb")
}

pub(super) fn snapshots_path(folder: &Path) -> PathBuf {
    folder.join("snapshots")
}

/// Starts a node on its own runtime.
///
/// # Errors
/// When its data, its identity or its end point cannot be used.
pub async fn start(config: RaftConfig) -> Result<Cluster, StartError> {
    start_with(config, fleet_rules()).await
}

/// The same under other rules: tests need none of the fleet's.
pub(super) async fn start_with(config: RaftConfig, apply: Apply) -> Result<Cluster, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("raft")
        .enable_all()
        .build()
        .map_err(|error| StartError::Raft(error.to_string()))?;
    let started = runtime.spawn(async move {
        let opened = tokio::task::spawn_blocking(move || {
            let data = Data::open(&config)?;
            Ok::<_, StartError>((config, data))
        });
        let (config, data) = opened
            .await
            .map_err(|error| StartError::Raft(error.to_string()))??;
        assemble(config, data, apply).await
    });
    let started = match started.await {
        Ok(started) => started,
        Err(error) => Err(StartError::Raft(error.to_string())),
    };
    match started {
        Ok(core) => {
            *core
                .runtime
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(runtime);
            Ok(Cluster::new(core))
        }
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

/// A node's data, open and checked.
#[derive(Debug)]
struct Data {
    store: Store,
    files: Arc<SnapshotFiles>,
    image: Image,
}

impl Data {
    fn open(config: &RaftConfig) -> Result<Self, StartError> {
        let path = &config.data_dir;
        let folder = |source| StartError::Folder {
            path: path.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(folder)?;
        guard::make_ballast(path, config.ballast_bytes, config.min_free_bytes).map_err(folder)?;
        let files = SnapshotFiles::open(snapshots_path(path)).map_err(folder)?;
        let slots = open_slots(config, &files)?;
        let (store, recovered) =
            Store::open(&database_path(path), slots).map_err(|error| refuse(path, error))?;
        let stored = Stored {
            bodies: &store.bodies(),
            series: &store.series(),
            writer: &store.writer(),
        };
        let image = newest(&files, stored).map_err(folder)?;
        let image = image.unwrap_or_default();
        check_reach(path, &recovered, &image)?;
        let files = Arc::new(files);
        Ok(Self {
            store,
            files,
            image,
        })
    }
}

fn open_slots(config: &RaftConfig, files: &SnapshotFiles) -> Result<Slots, StartError> {
    let path = &config.data_dir;
    let folder = |source| StartError::Folder {
        path: path.clone(),
        source,
    };
    let vote = vote_path(path);
    if !vote.exists() {
        let used = database_path(path).exists() || !files.candidates().map_err(folder)?.is_empty();
        if used {
            return Err(StartError::RejoinUnderNewId {
                reason: "the vote file is gone".into(),
                path: path.clone(),
            });
        }
        let state = SlotState::new(config.cluster, config.node, None);
        return create_slots(path, state).map_err(folder);
    }
    let slots = Slots::open(&vote).map_err(|error| match error {
        SlotsError::Io(source) => folder(source),
        SlotsError::Lost => StartError::RejoinUnderNewId {
            reason: error.to_string(),
            path: path.clone(),
        },
    })?;
    let (found, cluster) = (slots.state().node, slots.state().cluster);
    if found == config.node && cluster == config.cluster {
        Ok(slots)
    } else {
        Err(StartError::Foreign {
            path: path.clone(),
            found,
            cluster,
        })
    }
}

pub(super) fn create_slots(folder: &Path, state: SlotState) -> io::Result<Slots> {
    // Whole or not there: a crash must not leave a file without a slot.
    let unfinished = folder.join("vote.partial");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let slots = Slots::create(&unfinished, state).map_err(|error| match error {
        SlotsError::Io(error) => error,
        SlotsError::Lost => io::Error::other(error),
    })?;
    fs::rename(&unfinished, vote_path(folder))?;
    File::open(folder)?.sync_all()?;
    Ok(slots)
}

fn refuse(path: &Path, error: StoreOpenError) -> StartError {
    let reason = error.to_string();
    let path = path.to_path_buf();
    match error {
        StoreOpenError::Open(OpenError::TailLost { .. }) => {
            StartError::RejoinUnderNewId { reason, path }
        }
        StoreOpenError::Open(OpenError::Database(source)) => StartError::Folder {
            path,
            source: io::Error::other(source),
        },
        StoreOpenError::Open(_) => StartError::Damaged { reason, path },
        StoreOpenError::Io(source) => StartError::Folder { path, source },
    }
}

/// Snapshot and log must meet, and together reach what was known to be committed.
fn check_reach(path: &Path, recovered: &Recovered, image: &Image) -> Result<(), StartError> {
    let path = path.to_path_buf();
    let snapshot = image.last_applied.map(|id| id.index);
    let purged = recovered.purged.map(|id| id.index);
    if purged > snapshot {
        let reason = format!(
            "the log was cut at {purged:?}, but the newest good snapshot reaches {snapshot:?}"
        );
        return Err(StartError::Damaged { reason, path });
    }
    let last = recovered.last.as_ref().map(Mark::of);
    let committed = recovered.committed.map(|id| id.index);
    if committed > last.map(|mark| mark.index).max(snapshot) {
        let reason = format!("the log ends at {last:?}, but {committed:?} was committed");
        return Err(StartError::RejoinUnderNewId { reason, path });
    }
    Ok(())
}

async fn assemble(config: RaftConfig, data: Data, apply: Apply) -> Result<Arc<Core>, StartError> {
    let raft_config =
        config::openraft_config(&config).map_err(|error| StartError::Raft(error.to_string()))?;
    let listen = |error: &dyn std::fmt::Display| StartError::Listen(error.to_string());
    config
        .socket
        .set_nonblocking(true)
        .map_err(|error| listen(&error))?;
    let own = Arc::clone(&config.identity.borrow());
    let server = Server::open(config.socket, &own).map_err(|error| listen(&error))?;
    let replica = Arc::new(Replica::new(data.image));
    let peers = Peers::new(
        config.cluster,
        server.endpoint(),
        config.identity.clone(),
        whereabouts(&replica),
        is_revoked(&replica),
    );
    let store = data.store;
    let machine = Machine::new(
        apply,
        Arc::clone(&replica),
        store.writer(),
        store.bodies(),
        store.series(),
        Arc::clone(&data.files),
    );
    let (store_failed, damaged) = (store.failed(), store.take_damaged());
    let (files, within) = (Arc::clone(&data.files), config.timings.append_answer());
    let network = Network::new(config.node, peers.clone(), files, within);
    let raft = Raft::new(
        config.node.0,
        Arc::new(raft_config),
        network,
        store.clone(),
        machine,
    )
    .await
    .map_err(|error| StartError::Raft(error.to_string()))?;
    let core = Arc::new(Core {
        node: config.node,
        cluster: config.cluster,
        raft: raft.clone(),
        replica,
        peers,
        server: server.clone(),
        timings: config.timings,
        clock: config.clock,
        guard: Guard::default(),
        data_dir: config.data_dir,
        min_free_bytes: config.min_free_bytes,
        store: RwLock::new(Some(store)),
        failed: watch::Sender::new(None),
        leadership: watch::Sender::new(Leadership::default()),
        stopping: watch::Sender::new(false),
        sessions: RwLock::new(None),
        hearing: RwLock::new(None),
        planned: RwLock::new(None),
        lead: Lead::default(),
        heard: Mutex::new(None),
        dated: tokio::sync::Mutex::default(),
        changing: tokio::sync::Mutex::new(()),
        runtime: Mutex::new(None),
    });
    core.guard.look_at_disk(&core.data_dir, core.min_free_bytes);
    spawn_mending(&core, &data.files, damaged);
    let serving = Serving {
        raft,
        files: data.files,
        door: Arc::clone(&core) as Arc<dyn Door>,
        receiving: Arc::new(AtomicBool::new(false)),
    };
    tokio::spawn(leadership::follow_store(
        Arc::downgrade(&core),
        store_failed,
    ));
    spawn_tasks(&core, server, serving, config.identity);
    Ok(core)
}

fn spawn_mending(
    core: &Arc<Core>,
    files: &Arc<SnapshotFiles>,
    damaged: Option<mpsc::Receiver<Damage>>,
) {
    if let Some(damaged) = damaged {
        tokio::spawn(mend::run(Arc::downgrade(core), Arc::clone(files), damaged));
    }
    tokio::spawn(mend::rebuild(Arc::downgrade(core), Arc::clone(files)));
}

fn spawn_tasks(
    core: &Arc<Core>,
    server: Server,
    serving: Serving,
    identity: watch::Receiver<Arc<crate::pki::NodeIdentity>>,
) {
    tokio::spawn(leadership::follow_raft(Arc::downgrade(core)));
    tokio::spawn(leadership::watch_disk(Arc::downgrade(core)));
    tokio::spawn(leadership::watch_revocations(Arc::downgrade(core)));
    tokio::spawn(leadership::watch_clocks(Arc::downgrade(core)));
    tokio::spawn(server.clone().follow_identity(identity));
    tokio::spawn(server.run(core.cluster, serving));
}

/// The state knows end points that changed after a node had joined.
fn whereabouts(replica: &Arc<Replica>) -> super::net::Whereabouts {
    let replica = Arc::clone(replica);
    Arc::new(move |node| replica.head().doors.endpoint(node))
}

fn is_revoked(replica: &Arc<Replica>) -> super::net::IsRevoked {
    let replica = Arc::clone(replica);
    Arc::new(move |serial| replica.head().doors.is_revoked(serial))
}

/// Stops a node: peers are told, the store is flushed and closed.
pub(super) async fn stop(core: &Arc<Core>) {
    if core.stopping.send_replace(true) {
        return;
    }
    core.server.close().await;
    if let Err(error) = core.raft.shutdown().await {
        tracing::warn!(%error, "openraft did not stop cleanly");
    }
    core.leadership.send_replace(Leadership::default());
    let store = core
        .store
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    if let Some(store) = store {
        store.close().await;
    }
}
