//! The composition root: starts the rooms in order, one log line each, and stops them in reverse.
//!
//! A node's life: `init` founds a cluster ([`founding`]) or `join` enters one ([`join`]) or `restore`
//! begins a new life from a backup ([`restore`]); each leaves a data folder ([`place`]) that `run`
//! starts from, again and again. What must enter the log first lies there as a file until it has.

mod backup;
mod counted;
pub mod founding;
pub mod join;
pub mod listeners;
pub mod logging;
mod members;
mod open_files;
pub mod place;
pub mod restore;
mod rooms;

use std::sync::Arc;

use tokio::sync::watch;

use crate::alerts::channels::{Channels, SetUpError};
use crate::alerts::quorum::{self, AlarmFile, AlarmFileError, Speaker};
use crate::api::{self, Api, ServeError};
use crate::config::{ConfigError, NodeConfig};
use crate::dnsbl::desk::Desk;
use crate::fleet::warmup::Evidence;
use crate::mailwizz::{self, Applications};
use crate::metrics;
use crate::pki::NodeIdentity;
use crate::push::{self, PushConfig, PushError, PushHandle};
use crate::raft::{Cluster, ProposeError, RaftConfig, StartError, Timings};
use crate::seal::Vault;
use crate::tasks::{self, TasksConfig};

use backup::Backups;
use counted::Counted;
use listeners::{Bound, ListenError, Published};
use place::{Place, PlaceError};
use rooms::Rooms;

/// Newest cluster version that this software supports.
pub const SUPPORTS_VERSION: u32 = 1;

/// Why a node does not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder is not usable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Raft does not start.
    #[error("Raft does not start: {0}")]
    Raft(#[from] StartError),
    /// Nobody's MailWizz could be asked.
    #[error(transparent)]
    Mailwizz(#[from] mailwizz::ClientError),
    /// Nobody could be told anything.
    #[error(transparent)]
    Alerts(#[from] SetUpError),
    /// This node's own channels cannot be read.
    #[error("alarm_file: {0}")]
    Alarm(#[from] AlarmFileError),
    /// The agents' end point does not start.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The first entries could not be committed.
    #[error("the founding of the cluster could not be committed: {0}")]
    Founding(#[from] founding::CommitError),
    /// The API stopped.
    #[error(transparent)]
    Api(#[from] ServeError),
    /// The node's own record could not be proposed.
    #[error("this node's end points could not be recorded: {0}")]
    Propose(#[from] ProposeError),
    /// Metrics cannot be recorded.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(std::io::Error),
    /// Raft stopped for good; a restart is needed.
    #[error("Raft failed and cannot go on: {0}")]
    Fatal(String),
}

/// Runs a node until a signal ends it.
///
/// # Errors
/// When a room does not start, or one that the node cannot do without failed.
pub async fn run(config: &NodeConfig) -> Result<(), RunError> {
    config.check()?;
    let place = Place::open(&config.data_dir)?;
    let identity = place.identity().load().map_err(PlaceError::from)?;
    let vault = Arc::new(place.identity().load_vault().map_err(PlaceError::from)?);
    let recorder = metrics::install().map_err(|error| RunError::Metrics(error.to_string()))?;
    let bound = Bound::open(config, place.published())?;
    let (node, cluster_id) = (identity.node, identity.cluster);
    tracing::info!(%node, cluster = %cluster_id, "starting");
    open_files::allow_all();

    let (renewed, identity) = watch::channel(Arc::new(identity));
    let agent_address = bound.agent_address()?;
    let Bound { raft, api, agent } = bound;
    let raft_address = raft.local_addr().map_err(RunError::Signals)?;
    let api_address = api.local_addr().map_err(RunError::Signals)?;
    let cluster = start_raft(config, &place, &identity, raft).await?;
    tracing::info!(address = %raft_address, "Raft runs");
    founding::commit(&cluster, &place).await?;
    drop(agent);
    let push = start_push(config, agent_address, &identity, &vault, &cluster)?;
    let published = Published {
        agent: push.local_addr(),
        raft: raft_address,
        api: api_address,
        pid: std::process::id(),
    };
    let endpoints = published.advertised(&config.advertise)?;

    let (channels, alarm) = alarm(config, &cluster)?;
    let evidence: Arc<dyn Evidence> = Arc::new(Counted(cluster.clone()));
    let applications = Applications::new(mailwizz::Client::new()?, Arc::clone(&vault));
    let desk = Desk::new(node, config.dnsbl.clone(), Arc::clone(&vault));
    let tasks = tasks::start(TasksConfig {
        fleet: cluster.clone(),
        vault: Arc::clone(&vault),
        registry: push.registry(),
        plan: rooms::plan(),
        keys_ahead: config.dkim_stock as usize,
        store: place.identity(),
        identity: renewed,
        certificate_life: config.certificate_life(),
        submission_life: config.submission_certificate_life(),
        evidence: Arc::clone(&evidence),
        applications: applications.clone(),
        dns: config.dns.ask()?,
        desk: desk.clone(),
        alerts: rooms::alerts(&cluster, &channels),
    });
    rooms::serve_planned(&cluster, tasks.planned());
    tracing::info!("the tasks run");

    let (stop, stopping) = watch::channel(false);
    let backups = Backups::new(config.data_dir.clone(), config.min_free_bytes);
    let rooms = Arc::new(Rooms::new(cluster.clone(), vault, tasks.stock(), backups));
    let api_rooms = Api::new(Arc::clone(&rooms) as _, rooms, Some(recorder), push::now)
        .with_artifacts(config.artifacts)
        .with_applications(applications)
        .with_evidence(evidence)
        .with_lists(desk);
    let router = api::router(Arc::new(api_rooms));
    let serving = tokio::spawn(api::serve(api, router, identity, stopping.clone()));
    let members = tokio::spawn(members::follow(cluster.clone(), endpoints, stopping));
    place.publish(&published)?;
    tracing::info!(address = %api_address, "the API serves");

    let ended = ending(&cluster, &place, serving).await;
    tracing::info!("stopping");
    members.abort();
    alarm.iter().for_each(|alarm| alarm.abort());
    tasks.shutdown();
    // No receiver is left when the API failed on its own.
    let _ = stop.send(true);
    push.shutdown().await;
    cluster.shutdown().await;
    tracing::info!("stopped");
    ended
}

/// Ways to people, and this node's own voice where it has a file of channels.
fn alarm(
    config: &NodeConfig,
    cluster: &Cluster,
) -> Result<(Channels, Option<tokio::task::JoinHandle<()>>), RunError> {
    let channels = Channels::new()?;
    let Some(path) = &config.alarm.file else {
        return Ok((channels, None));
    };
    let file = AlarmFile::read(path)?;
    tracing::info!(
        channels = file.channels.len(),
        "the loss of a majority is told"
    );
    let speaker = Speaker {
        cluster: cluster.cluster(),
        node: cluster.node(),
        now: push::now,
    };
    let after = std::time::Duration::from_secs(config.alarm.after_seconds);
    let leadership = cluster.leadership();
    let running = quorum::run(leadership, speaker, file, channels.clone(), after);
    Ok((channels, Some(tokio::spawn(running))))
}

fn start_push(
    config: &NodeConfig,
    listen: std::net::SocketAddr,
    identity: &watch::Receiver<Arc<NodeIdentity>>,
    vault: &Arc<Vault>,
    cluster: &Cluster,
) -> Result<PushHandle, PushError> {
    push::start(PushConfig {
        listen,
        identity: identity.clone(),
        vault: Arc::clone(vault),
        fleet: cluster.clone(),
        certificate_life: config.certificate_life(),
    })
}

async fn start_raft(
    config: &NodeConfig,
    place: &Place,
    identity: &watch::Receiver<Arc<NodeIdentity>>,
    socket: std::net::UdpSocket,
) -> Result<Cluster, RunError> {
    let (node, cluster) = {
        let identity = identity.borrow();
        (identity.node, identity.cluster)
    };
    let mut raft = RaftConfig::new(node, cluster, place.raft(), socket, identity.clone());
    let millis = std::time::Duration::from_millis;
    raft.timings = Timings {
        heartbeat: millis(config.raft.heartbeat_millis),
        election_min: millis(config.raft.election_min_millis),
        election_max: millis(config.raft.election_max_millis),
        ..Timings::default()
    };
    raft.snapshot_after_logs = config.raft.snapshot_after_logs;
    raft.keep_logs = config.raft.keep_logs;
    raft.min_free_bytes = config.min_free_bytes;
    Ok(crate::raft::start(raft).await?)
}

/// Waits for whatever ends the node: a signal, Raft's failure, or the API's.
async fn ending(
    cluster: &Cluster,
    place: &Place,
    mut serving: tokio::task::JoinHandle<Result<(), ServeError>>,
) -> Result<(), RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        reason = failure(cluster, place) => Err(RunError::Fatal(reason)),
        served = &mut serving => match served {
            Ok(served) => Ok(served?),
            Err(panic) => Err(RunError::Fatal(format!("the API panicked: {panic}"))),
        },
    }
}

/// Between two looks at a full disk.
const DISK: std::time::Duration = std::time::Duration::from_secs(5);

/// Waits until Raft failed for a reason that a restart may cure. On a full disk the node stays for
/// stale reads until there is room again: a restart would not even open its store.
async fn failure(cluster: &Cluster, place: &Place) -> String {
    let mut failed = cluster.failed();
    let reason = match failed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => return "Raft is gone".to_owned(),
    };
    metrics::error("raft", "critical");
    while place.is_full() {
        tracing::error!(
            %reason,
            "the disk is full: this node only serves stale reads. Make room on it; deleting {} helps \
             at once. The node then ends, and takes part again when it is started",
            place.ballast().display()
        );
        tokio::time::sleep(DISK).await;
    }
    reason
}
