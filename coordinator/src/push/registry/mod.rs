//! Live sessions of this node by host. The newest connection of a host wins, over all nodes.

mod elsewhere;
mod frozen;
mod place;
mod told;
mod turned_away;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::Connection;
use tokio::sync::watch;
use tokio::time::Instant;

use email_engine_protocol::api::MailView;
use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::{Refusal, RefusalCode};

use super::contest::Contest;
use super::intake::Intake;
use super::{metric_names, now, transport};
use crate::pki::Credential;
use crate::raft::SessionRow;
use crate::state::TargetRecord;

pub use frozen::Frozen;
pub(super) use place::Place;
pub(super) use told::Told;
use turned_away::TurnedAway;

/// A session that was told to end and does not is cut after so long.
const GRACE: Duration = Duration::from_millis(400);

/// The registry. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tables: Mutex<Tables>,
    /// Number of live sessions.
    count: watch::Sender<usize>,
    /// All coordinators; sessions tell their agents when it changes.
    coordinators: watch::Sender<Vec<Endpoint>>,
    /// Number of the newest session.
    entered: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Tables {
    sessions: BTreeMap<HostId, Entry>,
    frozen: BTreeMap<HostId, Frozen>,
    intakes: BTreeMap<HostId, Arc<Mutex<Intake>>>,
    contests: BTreeMap<HostId, Contest>,
    turned_away: BTreeMap<HostId, TurnedAway>,
    /// Sessions of which not all other nodes know yet, by number.
    unannounced: BTreeMap<u64, HostId>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    connection: Connection,
    remote: SocketAddr,
    /// The newest that the session was given.
    credential: Arc<Credential>,
    /// The one that the connection began with.
    shown: CertificateSerial,
    since: Timestamp,
    began: Instant,
    offered: Option<Generation>,
    told: Told,
    /// What the agent counted.
    mail: MailView,
    target: watch::Sender<Option<TargetRecord>>,
    end: watch::Sender<Option<Refusal>>,
}

/// What dispatch judges of a session.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) host: HostId,
    pub(super) credential: Arc<Credential>,
    pub(super) shown: CertificateSerial,
    number: u64,
}

impl Registry {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seats a session. An older one of the same host is ended; both peers are named.
    pub(super) fn enter(
        &self,
        host: &HostId,
        connection: &Connection,
        credential: &Arc<Credential>,
        target: Option<TargetRecord>,
    ) -> Place {
        let (target, target_seen) = watch::channel(target);
        let (end, end_seen) = watch::channel(None);
        let remote = connection.remote_address();
        let mut tables = self.tables();
        tables.turned_away.remove(host);
        let number = tables.next;
        tables.next += 1;
        let entry = Entry {
            number,
            connection: connection.clone(),
            remote,
            credential: credential.clone(),
            shown: credential.serial,
            since: now(),
            began: Instant::now(),
            offered: None,
            told: Told::default(),
            mail: MailView::default(),
            target,
            end,
        };
        if let Some(older) = tables.sessions.insert(host.clone(), entry) {
            tracing::warn!(%host, older = %older.remote, newer = %remote, "a newer connection takes over");
            older.end(RefusalCode::Superseded, "a newer connection took over");
            tables.contest(host, &older.remote, &remote);
        }
        let intake = tables.intakes.entry(host.clone()).or_default().clone();
        tables.unannounced.insert(number, host.clone());
        self.0.entered.send_replace(number);
        self.count(&tables);
        Place {
            registry: self.clone(),
            host: host.clone(),
            number,
            target: target_seen,
            end: end_seen,
            coordinators: self.0.coordinators.subscribe(),
            intake,
        }
    }

    /// How long the host has to stay away, because its connections take over from each other too
    /// often.
    pub(super) fn rest(&self, host: &HostId) -> Option<Duration> {
        let tables = self.tables();
        let contest = tables.contests.get(host)?;
        contest.rest(Instant::now())
    }

    /// Forgets what is of no use any more: the pace of hosts that are not here and said nothing of
    /// late, and contests that are over.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        let mut tables = self.tables();
        tables.forget_turned_away(super::now());
        let Tables {
            sessions,
            intakes,
            contests,
            ..
        } = &mut *tables;
        intakes.retain(|host, intake| {
            sessions.contains_key(host)
                || !intake
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_idle(now)
        });
        contests.retain(|_, contest| !contest.is_over(now));
    }

    /// Live sessions, and whom this node turned away of late.
    #[must_use]
    pub fn rows(&self) -> Vec<SessionRow> {
        let row = |(host, entry): (&HostId, &Entry)| SessionRow {
            host: host.clone(),
            since: entry.since,
            offered: entry.offered,
            trouble: entry.told.trouble.clone(),
            facts: entry.told.facts.clone(),
            drains: entry.told.drains.clone(),
            turned_away: None,
            mail: entry.mail.clone(),
        };
        let tables = self.tables();
        let live = tables.sessions.iter().map(row);
        live.chain(tables.turned_away()).collect()
    }

    pub(super) fn seats(&self) -> Vec<Seat> {
        let seat = |(host, entry): (&HostId, &Entry)| Seat {
            host: host.clone(),
            credential: entry.credential.clone(),
            shown: entry.shown,
            number: entry.number,
        };
        self.tables().sessions.iter().map(seat).collect()
    }

    /// Tells a session its host's target, if that changed.
    pub(super) fn tell_target(&self, seat: &Seat, target: Option<&TargetRecord>) {
        if let Some(entry) = self.tables().sessions.get(&seat.host) {
            entry.target.send_if_modified(|held| {
                let changes = held.as_ref() != target;
                if changes {
                    *held = target.cloned();
                }
                changes
            });
        }
    }

    /// Tells all sessions the list of coordinators, if that changed.
    pub(super) fn tell_coordinators(&self, list: Vec<Endpoint>) {
        self.0.coordinators.send_if_modified(|held| {
            let changes = *held != list;
            *held = list;
            changes
        });
    }

    /// Ends one session.
    pub(super) fn end(&self, seat: &Seat, code: RefusalCode, reason: &str) {
        if let Some(entry) = self.tables().sessions.get(&seat.host)
            && entry.number == seat.number
        {
            entry.end(code, reason);
        }
    }

    /// Ends all sessions.
    pub(super) fn end_all(&self, code: RefusalCode, reason: &str) {
        for entry in self.tables().sessions.values() {
            entry.end(code, reason);
        }
    }

    /// Waits until no session is left.
    pub(super) async fn emptied(&self) {
        let mut count = self.0.count.subscribe();
        // The sender lives as long as `self`.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    fn count(&self, tables: &Tables) {
        let sessions = tables.sessions.len();
        #[expect(clippy::cast_precision_loss)]
        metrics::gauge!(metric_names::SESSIONS).set(sessions as f64);
        self.0.count.send_replace(sessions);
    }
}

impl Tables {
    /// A session took over from another.
    fn contest(&mut self, host: &HostId, older: &dyn fmt::Display, newer: &dyn fmt::Display) {
        let contest = self.contests.entry(host.clone()).or_default();
        if contest.note(Instant::now()) {
            tracing::error!(
                %host, %older, %newer,
                "connections of this host keep taking over from each other: a clone is suspected, \
                 two machines with one identity; replace one with a new join token"
            );
        }
    }
}

impl Entry {
    /// Asks the session to say why and close; if it is stalled, the connection is cut regardless.
    fn end(&self, code: RefusalCode, reason: &str) {
        let retry_after_millis = match code {
            RefusalCode::Busy | RefusalCode::NoLeader => Some(1000),
            _ => None,
        };
        let already = self.end.send_replace(Some(Refusal {
            code,
            reason: reason.to_owned(),
            retry_after_millis,
        }));
        if already.is_none() {
            let connection = self.connection.clone();
            tokio::spawn(async move {
                if tokio::time::timeout(GRACE, connection.closed())
                    .await
                    .is_err()
                {
                    connection.close(transport::code_of(code), b"");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_gone_leave_nothing_behind() {
        let registry = Registry::default();
        let host = HostId::new("pmta1").unwrap();
        {
            let mut tables = registry.tables();
            tables.intakes.entry(host.clone()).or_default();
            tables.contests.entry(host).or_default();
        }
        registry.tidy();
        let tables = registry.tables();
        assert!(tables.intakes.is_empty() && tables.contests.is_empty());
    }
}
