//! Push: the agents' end point. Lets machines in, hands every host its target, takes its reports.
//!
//! - `listener` takes connections and passes each through `door`, which judges it by
//!   [`crate::pki::admit()`] and by what the whole cluster knows; whoever has no
//!   certificate can only `enroll`.
//! - `session` is one agent's connection: Hello and Welcome, offers, secrets, bodies, reports.
//! - `registry` knows the live sessions of this node: the newest of a host wins. `dispatch` walks
//!   over them whenever the applied state changes: new targets out, revoked hosts out. `announce`
//!   tells the other nodes of sessions that begin here; `contest` tells a copied machine from a bad
//!   network.
//! - `intake` makes few log entries of many reports, and of what agents count.
//! - [`join`] is the other side of it: a new node's call to its cluster.
//! - `fleet` is the little of Raft that all of this needs, so that tests can do without.

mod announce;
mod contest;
mod dispatch;
mod door;
mod enroll;
mod fleet;
mod frames;
mod intake;
pub mod join;
mod listener;
pub mod metric_names;
mod registry;
mod session;
#[cfg(test)]
pub(crate) mod testbed;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use email_engine_protocol::wire::RefusalCode;

pub use fleet::{Fleet, now, proposal};
pub use registry::{Frozen, Registry};

use crate::pki::verify::TlsError;
use crate::pki::{Life, NodeIdentity};
use crate::raft::SessionRow;
use crate::seal::Vault;

/// How long open sessions get for taking leave.
const LEAVE: Duration = Duration::from_secs(2);

/// What the agents' end point needs.
#[derive(Debug)]
pub struct PushConfig<F> {
    /// Where to listen (UDP).
    pub listen: SocketAddr,
    /// This node's certificate; replaced when it is renewed.
    pub identity: watch::Receiver<Arc<NodeIdentity>>,
    /// Opens and seals the cluster's secrets.
    pub vault: Arc<Vault>,
    /// The door to Raft.
    pub fleet: F,
    /// How long the certificates live that are issued here.
    pub certificate_life: Life,
}

/// Why the agents' end point does not start.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The address cannot be listened on.
    #[error("agents' end point {address} (UDP): {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The node's certificate is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What all connections of the end point share.
#[derive(Debug)]
struct Push<F> {
    fleet: F,
    vault: Arc<Vault>,
    registry: Registry,
    certificate_life: Life,
    /// One second use of a token is brought into the log at a time.
    noting: tokio::sync::Mutex<()>,
    strangers: enroll::Strangers,
    counting: intake::counting::Counting,
}

/// The running end point.
#[derive(Debug)]
pub struct PushHandle {
    address: SocketAddr,
    endpoint: quinn::Endpoint,
    registry: Registry,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts the agents' end point.
///
/// # Errors
/// When the address is taken or the node's certificate is not usable.
pub fn start<F: Fleet>(config: PushConfig<F>) -> Result<PushHandle, PushError> {
    let PushConfig {
        listen,
        identity,
        vault,
        fleet,
        certificate_life,
    } = config;
    let server = transport::server_config(&identity.borrow())?;
    let listening = |source| PushError::Listen {
        address: listen,
        source,
    };
    let endpoint = quinn::Endpoint::server(server, listen).map_err(listening)?;
    let address = endpoint.local_addr().map_err(listening)?;
    let registry = Registry::default();
    let rows = registry.clone();
    fleet.serve_sessions(Arc::new(move || rows.rows()));
    let hearing = registry.clone();
    fleet.hear_sessions(Arc::new(move |notices| hearing.hear(notices)));
    let (counting, said) = intake::counting::line();
    let push = Arc::new(Push {
        fleet,
        vault,
        registry: registry.clone(),
        certificate_life,
        noting: tokio::sync::Mutex::default(),
        strangers: enroll::Strangers::default(),
        counting,
    });
    let tasks = vec![
        tokio::spawn(listener::run(push.clone(), endpoint.clone(), identity)),
        tokio::spawn(announce::run(push.clone())),
        tokio::spawn(intake::counting::run(push.clone(), said)),
        tokio::spawn(dispatch::run(push)),
    ];
    tracing::info!(%address, "agents' end point listens");
    Ok(PushHandle {
        address,
        endpoint,
        registry,
        tasks,
    })
}

impl PushHandle {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Live sessions of this node.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionRow> {
        let rows = self.registry.rows().into_iter();
        rows.filter(SessionRow::is_live).collect()
    }

    /// The registry, for those that must know which hosts are frozen.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Sends all agents to other nodes and stops.
    pub async fn shutdown(self) {
        self.registry
            .end_all(RefusalCode::NoLeader, "this node is stopping");
        for task in &self.tasks {
            task.abort();
        }
        let leave = async {
            self.registry.emptied().await;
            self.endpoint.close(transport::STOPPING, b"stopping");
            self.endpoint.wait_idle().await;
        };
        if tokio::time::timeout(LEAVE, leave).await.is_err() {
            self.endpoint.close(transport::STOPPING, b"stopping");
        }
    }
}
