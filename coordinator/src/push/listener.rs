//! Takes connections: sheds handshakes when too many are under way, lets the rest through the one
//! door, and gives each its own task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Incoming};
use rustls_pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use email_engine_protocol::wire::Refusal;
use email_engine_protocol::wire::v1::CoordinatorMessage;

use super::{Fleet, Push, door, enroll, frames, metric_names, session, transport};
use crate::pki::{Admitted, Denied, NodeIdentity};

/// Handshakes under way at once; more are refused.
const HANDSHAKES: usize = 256;
/// From so many on, a client must first show that it can be reached at its address.
const UNVALIDATED: usize = 64;
/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections at once.
const CONNECTIONS: usize = 20_000;
/// A refused machine gets so long for opening its stream and for reading why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Takes connections until the end point closes.
pub(super) async fn run<F: Fleet>(
    push: Arc<Push<F>>,
    endpoint: quinn::Endpoint,
    mut identity: watch::Receiver<Arc<NodeIdentity>>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if let Some((incoming, permit)) = gate(incoming, &handshakes)
                    && let Ok(place) = connections.clone().try_acquire_owned()
                {
                    tokio::spawn(serve(push.clone(), incoming, permit, place));
                }
            }
            Ok(()) = identity.changed() => renew(&endpoint, &identity.borrow_and_update()),
        }
    }
}

fn renew(endpoint: &quinn::Endpoint, identity: &NodeIdentity) {
    match transport::server_config(identity) {
        Ok(config) => endpoint.set_server_config(Some(config)),
        Err(error) => tracing::error!(%error, "the renewed certificate is not usable"),
    }
}

fn gate(
    incoming: Incoming,
    handshakes: &Arc<Semaphore>,
) -> Option<(Incoming, OwnedSemaphorePermit)> {
    let under_way = HANDSHAKES - handshakes.available_permits();
    if under_way >= UNVALIDATED && incoming.may_retry() && !incoming.remote_address_validated() {
        metrics::counter!(metric_names::HANDSHAKES_SHED).increment(1);
        if let Err(error) = incoming.retry() {
            tracing::debug!(%error, "no Retry sent");
        }
        return None;
    }
    match handshakes.clone().try_acquire_owned() {
        Ok(permit) => Some((incoming, permit)),
        Err(_) => {
            metrics::counter!(metric_names::HANDSHAKES_SHED).increment(1);
            incoming.refuse();
            None
        }
    }
}

async fn serve<F: Fleet>(
    push: Arc<Push<F>>,
    incoming: Incoming,
    handshaking: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
) {
    let remote = incoming.remote_address();
    let shaken = async { incoming.accept()?.await };
    let connection = match timeout(HANDSHAKE, shaken).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::info!(%remote, %error, "handshake failed");
            return;
        }
        Err(_) => return,
    };
    drop(handshaking);
    let (alpn, chain) = shown(&connection);
    match door::judge(&push, &alpn, &chain).await {
        Ok(Admitted::Enroll) => enroll::run(&push, connection).await,
        Ok(Admitted::Host { host, credential }) => {
            session::run(push, connection, host, *credential).await;
        }
        Err((denied, told)) => {
            if let (Some(host), Some(refusal)) = (denied.host(), &told) {
                push.registry.note_turned_away(host, refusal);
            }
            turn_away(connection, remote, &denied, told).await;
        }
    }
}

fn shown(connection: &Connection) -> (Vec<u8>, Vec<CertificateDer<'static>>) {
    let alpn = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol);
    let chain = connection
        .peer_identity()
        .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    (
        alpn.unwrap_or_default(),
        chain.map(|chain| *chain).unwrap_or_default(),
    )
}

async fn turn_away(
    connection: Connection,
    remote: SocketAddr,
    denied: &Denied,
    told: Option<Refusal>,
) {
    tracing::warn!(%remote, reason = %denied, "connection denied");
    metrics::counter!(metric_names::DENIED, "reason" => label(denied)).increment(1);
    let Some(refusal) = told else {
        connection.close(transport::DENIED, b"denied");
        return;
    };
    let code = refusal.code;
    let refusal = CoordinatorMessage::Refused(refusal);
    // Nothing of the stream is read: its opening only gives the answer a way.
    let tell = async {
        let (mut send, _recv) = connection.accept_bi().await.ok()?;
        frames::say(&mut send, &refusal).await.ok()?;
        send.finish().ok()?;
        send.stopped().await.ok()
    };
    let _ = timeout(LAST_WORDS, tell).await;
    connection.close(transport::code_of(code), b"refused");
}

const fn label(denied: &Denied) -> &'static str {
    match denied {
        Denied::Alpn(_) => "alpn",
        Denied::NoCluster => "no-cluster",
        Denied::NoCertificate => "no-certificate",
        Denied::Credential(_) => "certificate",
        Denied::Node(_) => "node",
        Denied::Dates { .. } => "dates",
        Denied::Revoked { .. } => "revoked",
        Denied::NotEnrolled(_) => "not-enrolled",
        Denied::Replaced { .. } => "replaced",
        Denied::Unrecorded { .. } => "unrecorded",
    }
}
