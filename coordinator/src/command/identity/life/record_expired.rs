//! `record-expired`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Cause, Transition};
use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;

use super::{ACTOR_CHARS, REASON_CHARS};
use crate::alerts::rules::{Event, IdentityEvent, Line, OfIdentity};
use crate::command::Rejection;
use crate::command::refuse::{at_most, cut};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, Identity, ListedRecipients};

/// See [`Command::RecordExpired`](crate::command::Command::RecordExpired). Said by a report of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordExpired {
    /// The host.
    pub host: HostId,
    /// What it deleted.
    pub queues: Vec<ToldQueue>,
}

/// What was deleted of one virtual MTA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldQueue {
    /// Which.
    pub vmta: VmtaName,
    /// Recipients that are listed.
    pub recipients: u64,
    /// The file in which they are.
    pub file: Line,
    /// Since when what waits there is given up, as the host was told: nothing is said of another quarantine.
    pub since: Timestamp,
}

impl ToldQueue {
    /// Whether this is news of an identity.
    pub(crate) fn is_news_of(&self, identity: &Identity, host: &HostId) -> bool {
        let out = identity.life.quarantine.as_ref();
        let Some(expired) = out.and_then(|out| out.expired.as_ref()) else {
            return false;
        };
        identity.spec.host == *host
            && identity.spec.vmta == self.vmta
            && expired.at == self.since
            && expired.listed.as_ref() != Some(&self.listed(host))
    }

    fn listed(&self, host: &HostId) -> ListedRecipients {
        ListedRecipients {
            recipients: self.recipients,
            host: host.clone(),
            file: self.file.to_string(),
        }
    }
}

impl Verb for RecordExpired {
    fn name(&self) -> &'static str {
        "record-expired"
    }

    fn object(&self) -> String {
        let told = self.queues.iter();
        let told: Vec<_> = told
            .map(|queue| format!("{} of {} in {}", queue.recipients, queue.vmta, queue.file))
            .collect();
        format!("{} on host {}", told.join(", "), self.host)
    }

    /// What is said of one that was let go meanwhile, or is gone, is no error: the audit has it.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("queues", self.queues.len(), limits::STATUSES_PER_REPORT)?;
        let mut change = Change::NONE;
        for queue in &self.queues {
            let place = (self.host.clone(), queue.vmta.clone());
            let living = state.lookup.vmtas.get(&queue.vmta);
            let living = living.and_then(|address| state.identities.get(address));
            let at = (state.revision + 1, &*turn);
            let told = if let Some(identity) = living
                && queue.is_news_of(identity, &self.host)
            {
                let address = identity.spec.address;
                let identity = state.identities.get_mut(&address);
                identity.map(|one| self.note(Arc::make_mut(one), queue, at))
            } else if let Some(leaving) = state.leaving.get_mut(&place)
                && queue.is_news_of(&leaving.identity, &self.host)
            {
                let left = &mut Arc::make_mut(leaving).identity;
                let told = self.note(left, queue, at);
                // What drained is forgotten when it is empty; who went on elsewhere is not.
                if let Some(living) = state.identities.get_mut(&told.address) {
                    self.remember(Arc::make_mut(living), queue, at);
                }
                Some(told)
            } else {
                None
            };
            if let Some(event) = told {
                state.raise(Event::Identity(Box::new(event)), turn.now());
                change = Change::DONE;
            }
        }
        Ok(change)
    }
}

impl RecordExpired {
    fn note(
        &self,
        identity: &mut Identity,
        queue: &ToldQueue,
        at: (u64, &Turn<'_>),
    ) -> IdentityEvent {
        self.remember(identity, queue, at);
        let Identity { spec, life, .. } = identity;
        let out = life.quarantine.as_mut();
        if let Some(expired) = out.and_then(|out| out.expired.as_mut()) {
            expired.listed = Some(queue.listed(&self.host));
        }
        IdentityEvent {
            address: spec.address,
            domain: spec.domain.clone(),
            what: OfIdentity::QueueExpired {
                recipients: queue.recipients,
                host: self.host.clone(),
                file: queue.file.clone(),
            },
        }
    }

    /// Writes it into the history. What more of one file says is said in its place.
    fn remember(
        &self,
        identity: &mut Identity,
        queue: &ToldQueue,
        (revision, turn): (u64, &Turn<'_>),
    ) {
        let Identity { spec, life, .. } = identity;
        let place = format!("{} on host {}", queue.file, self.host);
        let reason = format!(
            "mail for {} recipients waited for 12 hours and was deleted; they are listed in {place}",
            queue.recipients
        );
        let is_same =
            |turn: &mut Transition| turn.cause == Cause::Expired && turn.reason.contains(&place);
        life.history.pop_back_if(is_same);
        life.remember(Transition {
            at: turn.now(),
            revision,
            from: Some(spec.status),
            to: spec.status,
            phase: spec.phase,
            reserve: spec.reserve,
            cause: Cause::Expired,
            forced: BTreeSet::new(),
            actor: cut(&turn.proposal.actor, ACTOR_CHARS),
            reason: cut(&reason, REASON_CHARS),
        });
    }
}
