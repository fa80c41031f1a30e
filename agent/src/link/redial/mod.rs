//! A new connection to a coordinator, from its first packet on, beside whatever session there is: it
//! shows that the way is open now, which a connection that was let through earlier does not.
//!
//! The handshake is enough: it takes packets both ways, and its other side has proved to be a node of
//! our cluster. Nothing is said over it.

use std::net::SocketAddr;
use std::time::Duration;

use email_engine_protocol::wire::ALPN_AGENT;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dial::{self, DialError, close};
use super::enroll;
use super::route::Candidates;
use super::tls;
use super::verify::{Anchor, Dates};
use crate::halves::ToExecutor;
use crate::identity::{Clock, Identity, IdentityStore};

/// For one coordinator.
const ANSWER: Duration = Duration::from_secs(10);
/// The executor writes it down and reports it.
const REASON_BYTES: usize = 512;

/// Makes them one at a time, the newest that was asked for.
#[derive(Debug)]
pub(super) struct Redial {
    store: IdentityStore,
    running: Option<(u64, JoinHandle<()>)>,
}

impl Redial {
    pub(super) const fn new(store: IdentityStore) -> Self {
        Self {
            store,
            running: None,
        }
    }

    /// Begins, unless the same is under way.
    pub(super) fn begin(&mut self, number: u64, to: mpsc::Sender<ToExecutor>) {
        if let Some((known, task)) = &self.running {
            if *known == number && !task.is_finished() {
                return;
            }
            task.abort();
        }
        let store = self.store.clone();
        let task = tokio::spawn(async move {
            let reached = round(&store)
                .await
                .map_err(|reason| cut(&reason).to_owned());
            // Gone: then nobody waits for it either.
            let _ = to.send(ToExecutor::Reconnected { number, reached }).await;
        });
        self.running = Some((number, task));
    }
}

impl Drop for Redial {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.running {
            task.abort();
        }
    }
}

fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES)]
}

/// One coordinator after the other, until one answers.
async fn round(store: &IdentityStore) -> Result<SocketAddr, String> {
    let identity = match store.load() {
        Ok(Some(identity)) => identity,
        Ok(None) => return Err("this host is not enrolled".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let mut clock = Clock::new(store.clock_floor().unwrap_or_default());
    clock.at_least(identity.validity.not_before);
    let learnt = store.coordinators().unwrap_or_default();
    let mut reasons = Vec::new();
    for endpoint in Candidates::new(learnt, identity.endpoints.clone()).order() {
        match timeout(ANSWER, one(&endpoint, &identity, &clock)).await {
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(error)) => reasons.push(format!("{endpoint}: {error}")),
            Err(_) => reasons.push(format!("{endpoint}: no answer")),
        }
    }
    Err(reasons.join("; "))
}

async fn one(endpoint: &str, identity: &Identity, clock: &Clock) -> Result<SocketAddr, DialError> {
    let anchor = Anchor::Root(identity.root.clone());
    let verifier = enroll::verifier(identity.cluster(), anchor, Dates::At(clock.now()));
    let config = tls::client_config(ALPN_AGENT, verifier.clone(), Some(identity))?;
    let call = dial::connect(endpoint, config, &verifier).await?;
    let address = call.connection.remote_address();
    call.close(close::DONE, "").await;
    Ok(address)
}
