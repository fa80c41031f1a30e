//! The network half: finds a coordinator, proves who it is, and carries messages between it and the
//! executor, for as long as the process lives.
//!
//! - [`enroll`]: the first certificate, by a join token; and the next one when the old is past its
//!   end, by the old key.
//! - `route`, `dial`: whom to call and when; from an address to a Welcome. [`verify`] decides whether
//!   the other side is a node of our cluster.
//! - `session`: one connection's life. `bodies` fetches content beside it. `renew` replaces the
//!   certificate without dropping it.
//! - `redial`: a new connection beside the session, when the executor wants to know that there can be
//!   one.
//! - `fetch`: asks ACME servers in the executor's words, and posts to tenants' applications.
//! - [`hold`]: why there is no session, from an agent that can have none.
//! - `relay`: the way to the executor, read at all times.
//!
//! Nothing here can make the executor accept anything: it relays what others signed and sealed.

mod bodies;
mod dial;
pub mod enroll;
pub(crate) mod fetch;
mod frames;
pub mod hold;
mod redial;
mod relay;
mod renew;
mod route;
mod session;
#[cfg(test)]
pub(crate) mod testbed;
pub mod tls;
pub mod verify;

use std::path::PathBuf;
use std::time::Duration;

use email_engine_protocol::join::Endpoint;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::wire::{ALPN_AGENT, Hello, Refusal, RefusalCode, SUPPORTED};
use tokio::time::Instant;

use self::bodies::Bodies;
use self::dial::{DialError, Opened};
pub use self::relay::ExecutorSide;
use self::route::{Candidates, Pace};
use self::session::SessionEnd;
use self::verify::{Anchor, Dates};
use crate::identity::{Clock, Identity, IdentityError, IdentityStore};

/// How the link behaves.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Sandbox or real.
    pub mode: Mode,
    /// Longest pause between two rounds over all coordinators.
    pub reconnect_max: Duration,
    /// A session on which nothing was heard for so long is given up: three pings.
    pub silence: Duration,
    /// Our version, for people.
    pub software: String,
    /// Whom to believe ACME servers by, instead of the system's list.
    pub acme_ca_file: Option<PathBuf>,
}

/// Why the link ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// It was asked to.
    Shutdown,
    /// The host was retired and its wipe is confirmed.
    Retired,
    /// The cluster does not know this identity any more.
    Revoked,
    /// The executor has stopped.
    ExecutorGone,
}

/// The network half.
#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    store: IdentityStore,
    identity: Identity,
    clock: Clock,
    candidates: Candidates,
    relay: ExecutorSide,
    bodies: Bodies,
    renewed_at: Option<Instant>,
}

/// For the executor to say that the host is wiped, or for the report of that to be handed over.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What to do after one end point was tried.
enum Next {
    /// Try the next one at once.
    Other,
    /// Begin a new round; whether the session had lasted.
    Round { lasted: bool },
    /// Stay away from all of them.
    Away(Duration),
}

impl Link {
    /// Puts the network half together.
    ///
    /// # Errors
    /// When what was learnt before cannot be read.
    pub fn new(
        settings: LinkSettings,
        store: IdentityStore,
        identity: Identity,
        mut executor: ExecutorSide,
    ) -> Result<Self, IdentityError> {
        executor.redial = Some(redial::Redial::new(store.clone()));
        executor.fetching = Some(fetch::Fetching::new(settings.acme_ca_file.clone()));
        let mut clock = Clock::new(store.clock_floor()?);
        clock.at_least(identity.validity.not_before);
        let candidates = Candidates::new(store.coordinators()?, identity.endpoints.clone());
        Ok(Self {
            settings,
            store,
            identity,
            clock,
            candidates,
            relay: executor,
            bodies: Bodies::default(),
            renewed_at: None,
        })
    }

    /// Keeps a session with a coordinator until the process ends or the host belongs to no cluster
    /// any more.
    pub async fn run(mut self) -> LinkEnd {
        match self.rounds().await {
            // The executor forgets its keys at its end: an identity without them is of no use.
            LinkEnd::ExecutorGone | LinkEnd::Shutdown if self.relay.retired => LinkEnd::Retired,
            end => end,
        }
    }

    async fn rounds(&mut self) -> LinkEnd {
        let mut pace = Pace::new(self.settings.reconnect_max);
        loop {
            let pause = match self.round(&mut pace).await {
                Ok(pause) => pause,
                Err(end) => return end,
            };
            if let Err(end) = self.relay.during(tokio::time::sleep(pause)).await {
                return end;
            }
        }
    }

    /// Tries every coordinator once, until one had a session with us. Returns how long to wait.
    async fn round(&mut self, pace: &mut Pace) -> Result<Duration, LinkEnd> {
        if self.clock.now() >= self.identity.validity.not_after && !self.renew_past_end().await? {
            return Ok(pace.pause());
        }
        for endpoint in self.candidates.order() {
            match self.attempt(&endpoint, pace).await? {
                Next::Other => {}
                Next::Round { lasted } => {
                    if lasted {
                        pace.reset();
                    }
                    break;
                }
                Next::Away(pause) => return Ok(pause),
            }
        }
        Ok(pace.pause())
    }

    async fn attempt(&mut self, endpoint: &str, pace: &mut Pace) -> Result<Next, LinkEnd> {
        let opened = match self.open(endpoint).await? {
            Ok(opened) => opened,
            Err(DialError::Refused(refusal)) => {
                return self.refused(endpoint, refusal, pace).await;
            }
            // Not again and again: a node may have let its own certificate end, and each renewal
            // is an entry in the cluster's log.
            Err(error @ DialError::Expired) if self.was_renewed_lately() => {
                tracing::error!(endpoint, %error, "coordinator not reached");
                return Ok(Next::Other);
            }
            Err(DialError::Expired) => return self.renew_and_retry().await,
            Err(error) => {
                tracing::warn!(endpoint, %error, "coordinator not reached");
                return Ok(Next::Other);
            }
        };
        tracing::info!(endpoint, node = %opened.welcome.node, "session begins");
        let began = Instant::now();
        let end = session::run(self, endpoint, opened).await;
        // A session that ends at once must not lead to a storm of them.
        let lasted = began.elapsed() >= self.settings.reconnect_max.min(Duration::from_secs(10));
        match end {
            SessionEnd::Link(end) => Err(end),
            SessionEnd::Lost(reason) => {
                tracing::warn!(endpoint, reason, "session lost");
                self.candidates.demote(endpoint);
                Ok(Next::Round { lasted })
            }
            SessionEnd::Refused(refusal) => {
                if lasted {
                    pace.reset();
                }
                self.refused(endpoint, refusal, pace).await
            }
        }
    }

    async fn open(&mut self, endpoint: &str) -> Result<Result<Opened, DialError>, LinkEnd> {
        let anchor = Anchor::Root(self.identity.root.clone());
        let dates = Dates::At(self.clock.now());
        let verifier = enroll::verifier(self.identity.cluster(), anchor, dates);
        let identity = &self.identity;
        let connecting = async move {
            let config = tls::client_config(ALPN_AGENT, verifier.clone(), Some(identity))?;
            dial::connect(endpoint, config, &verifier).await
        };
        match self.relay.during(connecting).await? {
            // Only now, since the executor may have moved on while we were dialling.
            Ok(call) => {
                let hello = self.hello();
                self.relay.during(dial::greet(call, hello)).await
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            versions: SUPPORTED,
            software: self.settings.software.clone(),
            mode: self.settings.mode,
            cluster: self.identity.cluster(),
            host: self.identity.host().clone(),
            generations: self.relay.standing.generations.clone(),
            floor: self.relay.standing.floor,
            plan_key_version: self.relay.standing.plan_key_version,
        }
    }

    async fn refused(
        &mut self,
        endpoint: &str,
        refusal: Refusal,
        pace: &mut Pace,
    ) -> Result<Next, LinkEnd> {
        let Refusal {
            code,
            reason,
            retry_after_millis,
        } = refusal;
        tracing::warn!(endpoint, ?code, reason, "the coordinator refuses");
        let asked = route::asked(retry_after_millis);
        match code {
            RefusalCode::Revoked => {
                // The answer to a renewal may have been lost on its way: then the cluster knows
                // the staged key and refuses the old one, which can still ask for it.
                if !self.relay.retired && self.store.has_staged_key() {
                    return self.renew_and_retry().await;
                }
                Err(self.revoked(&reason).await)
            }
            RefusalCode::Superseded => Ok(Next::Away(pace.pause_superseded().max(asked))),
            RefusalCode::NoLeader | RefusalCode::Busy => {
                self.candidates.rest(endpoint, asked);
                Ok(Next::Other)
            }
            // An operator or an upgrade can mend it while we live, and another node may be ahead.
            RefusalCode::Holding
            | RefusalCode::Identity
            | RefusalCode::Protocol
            | RefusalCode::Version
            | RefusalCode::WrongMode => {
                let pause = self.settings.reconnect_max.max(asked);
                self.candidates.rest(endpoint, pause);
                Ok(Next::Other)
            }
        }
    }

    async fn renew_and_retry(&mut self) -> Result<Next, LinkEnd> {
        if self.renew_past_end().await? {
            Ok(Next::Round { lasted: false })
        } else {
            Ok(Next::Other)
        }
    }

    /// The cluster does not know us any more.
    async fn revoked(&mut self, reason: &str) -> LinkEnd {
        match self.relay.is_retired(LAST_WORDS).await {
            Ok(true) => return LinkEnd::Retired,
            Ok(false) => {}
            Err(end) => return end,
        }
        tracing::error!(
            reason,
            host = %self.identity.host(),
            "this host was revoked or retired; it is not managed any more and the agent stops"
        );
        LinkEnd::Revoked
    }

    fn learn_coordinators(&mut self, worked: &str, told: &[Endpoint]) {
        let Some(learnt) = self.candidates.learn(worked, told) else {
            return;
        };
        if let Err(error) = self.store.save_coordinators(learnt) {
            tracing::warn!(%error, "the list of coordinators is not remembered");
        }
    }
}
