//! One session's seat among the others.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use email_engine_protocol::api::MailView;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::wire::Refusal;

use super::{Registry, Told, frozen};
use crate::pki::Credential;
use crate::push::intake::Intake;
use crate::state::TargetRecord;

/// A session's place in the registry; leaves it when dropped.
#[derive(Debug)]
pub(in crate::push) struct Place {
    pub(super) registry: Registry,
    pub(super) host: HostId,
    pub(super) number: u64,
    /// The host's target, as dispatch saw it last.
    pub(in crate::push) target: watch::Receiver<Option<TargetRecord>>,
    /// Set when the session has to end.
    pub(in crate::push) end: watch::Receiver<Option<Refusal>>,
    /// All coordinators.
    pub(in crate::push) coordinators: watch::Receiver<Vec<Endpoint>>,
    /// The host's outcomes on their way to the log.
    pub(in crate::push) intake: Arc<Mutex<Intake>>,
}

impl Place {
    /// Notes a renewal: the session goes on under this certificate.
    pub(in crate::push) fn note_renewed(&self, credential: Arc<Credential>) {
        if let Some(entry) = self.registry.tables().sessions.get_mut(&self.host)
            && entry.number == self.number
        {
            entry.credential = credential;
        }
    }

    /// Notes what a believed report says beyond the outcome.
    pub(in crate::push) fn note_told(&self, told: Told) {
        if let Some(entry) = self.registry.tables().sessions.get_mut(&self.host)
            && entry.number == self.number
        {
            entry.told = told;
        }
    }

    /// Notes what an operator should know of its mail.
    pub(in crate::push) fn note_mail(&self, mail: MailView) {
        if let Some(entry) = self.registry.tables().sessions.get_mut(&self.host)
            && entry.number == self.number
        {
            entry.mail = mail;
        }
    }

    /// Notes the newest generation that was offered.
    pub(in crate::push) fn note_offered(&self, generation: Generation) {
        if let Some(entry) = self.registry.tables().sessions.get_mut(&self.host)
            && entry.number == self.number
        {
            entry.offered = Some(generation);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tables = self.registry.tables();
        tables.unannounced.remove(&self.number);
        if tables
            .sessions
            .get(&self.host)
            .is_some_and(|entry| entry.number == self.number)
        {
            tables.sessions.remove(&self.host);
            // What the host accepted is in the state by its outcome. This node will not hear when it
            // changes, and would hold on to a machine that was replaced.
            tables.frozen.remove(&self.host);
            frozen::count_frozen(&tables);
        }
        self.registry.count(&tables);
    }
}
