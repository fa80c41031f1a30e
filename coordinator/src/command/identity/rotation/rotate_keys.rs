//! `rotate-keys`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{RotationCause, RotationStage};
use email_engine_protocol::id::SecretId;
use email_engine_protocol::time::Timestamp;

use super::{PER_COMMAND, facts, object, refused};
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, NoPreparedKey};
use crate::command::identity::roster::{depart, dkim_name, take_key};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::rotation::{
    Event, begin, is_due, left_behind, next, next_selector, pace_of, per_day, scheduled_on,
};
use crate::state::{FleetState, Identity, OtherKey};

/// Longest name in DNS.
const NAME_CHARS: usize = 253;

/// See [`Command::RotateKeys`](crate::command::Command::RotateKeys).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateKeys {
    /// Of which identities. All or none, unless it is scheduled: then those that are due.
    pub addresses: BTreeSet<IpAddr>,
    /// Why.
    pub cause: RotationCause,
    /// Those of them that send more than 10,000 mails a day.
    pub busy: BTreeSet<IpAddr>,
}

/// What becomes of one identity.
enum Start {
    /// It takes a key under this name.
    New(Named),
    /// What is under way is made haste of.
    Hurry,
}

/// A selector, where it stands in the row of those that were given, and the name of its key.
struct Named {
    selector: String,
    given: (u32, u32),
    secret: SecretId,
}

impl Verb for RotateKeys {
    fn name(&self) -> &'static str {
        match self.cause {
            RotationCause::Asked => "rotate-keys",
            RotationCause::Scheduled => "rotate-due-keys",
            RotationCause::Emergency => "rotate-leaked-keys",
        }
    }

    fn object(&self) -> String {
        object(&self.addresses)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if self.addresses.is_empty() {
            return Err(refuse(Invalid, "addresses", &"", "at least one identity"));
        }
        at_most("addresses", self.addresses.len(), PER_COMMAND)?;
        let starts = match self.cause {
            RotationCause::Scheduled => self.due(state, turn.now())?,
            _ => self.asked(state, turn.now())?,
        };
        let wanted = starts.iter().filter(|(_, start)| start.takes_key()).count();
        if wanted > state.prepared_keys.len() {
            let accepted = "a DKIM key for each is made ahead; more are being made, try again soon";
            return Err(refuse(NoPreparedKey, "addresses", &wanted, accepted));
        }
        if starts.is_empty() {
            return Ok(Change::NONE);
        }
        let at = (turn.now(), state.revision + 1);
        for (address, start) in starts {
            self.start(state, address, start, at);
        }
        Ok(Change::DONE)
    }
}

impl Start {
    const fn takes_key(&self) -> bool {
        matches!(self, Self::New(_))
    }
}

impl RotateKeys {
    /// All of them, or the first that cannot.
    fn asked(&self, state: &FleetState, now: Timestamp) -> Result<Vec<(IpAddr, Start)>, Rejection> {
        let mut starts = Vec::new();
        for address in &self.addresses {
            let Some(identity) = state.identities.get(address) else {
                return Err(not_found("address", address, "identity"));
            };
            let rotation = identity.signing.rotation.as_ref();
            let event = Event::Begin(self.cause);
            let to = next(rotation, &event, &facts(state, identity, now))
                .map_err(|refusal| refused(*address, &refusal))?;
            let is_fresh = rotation.is_none_or(|one| !one.has_two_keys());
            let start = match to {
                Some(RotationStage::Publish) if is_fresh => {
                    Start::New(named(state, identity, now)?)
                }
                _ if rotation.is_some_and(|one| one.cause == self.cause) => continue,
                _ => Start::Hurry,
            };
            starts.push((*address, start));
        }
        Ok(starts)
    }

    /// Those that are due, as many as may begin on one day.
    fn due(&self, state: &FleetState, now: Timestamp) -> Result<Vec<(IpAddr, Start)>, Rejection> {
        let room = per_day(state.identities.len()).saturating_sub(scheduled_on(state, now));
        let due = self.addresses.iter().filter_map(|address| {
            let identity = state.identities.get(address)?;
            let pace = pace_of(state, identity, self.busy.contains(address));
            is_due(identity, pace, now).then_some((*address, identity))
        });
        let mut starts = Vec::new();
        for (address, identity) in due.take(room) {
            starts.push((address, Start::New(named(state, identity, now)?)));
        }
        Ok(starts)
    }

    fn start(&self, state: &mut FleetState, address: IpAddr, start: Start, at: (Timestamp, u64)) {
        let Some(identity) = state.identities.get(&address) else {
            return;
        };
        let mut changed = (**identity).clone();
        let Named {
            selector,
            given,
            secret,
        } = match start {
            Start::New(named) => named,
            Start::Hurry => {
                if let Some(rotation) = changed.signing.rotation.as_mut() {
                    rotation.cause = self.cause;
                }
                state.identities.insert(address, Arc::new(changed));
                return;
            }
        };
        let before = changed.signing.rotation.take();
        let sent_ever = changed.life.sent_ever;
        if let Some(mut left) = before.and_then(|one| left_behind(&one, sent_ever)) {
            // Whoever has the key that signs may have had the one before it too.
            if self.cause == RotationCause::Emergency {
                left.stays = 0;
            }
            depart(state, &changed.spec, left, at.0);
        }
        let other = OtherKey {
            public: take_key(state, &secret),
            secret,
            selector,
        };
        changed.signing.last_given = Some(given);
        begin(&mut changed, other, self.cause, at);
        state.identities.insert(address, Arc::new(changed));
    }
}

/// A selector that no key of this domain has or had.
fn named(state: &FleetState, identity: &Identity, now: Timestamp) -> Result<Named, Rejection> {
    let domain = &identity.spec.domain;
    let mut last = identity.signing.last_given;
    loop {
        let (selector, given) = next_selector(&identity.signing.declared, last, now);
        let record = format!("{selector}._domainkey.{domain}");
        let secret = dkim_name(domain, &selector)?;
        if record.len() > NAME_CHARS {
            let accepted = "an identity whose DKIM record has a name of at most 253 characters";
            return Err(refuse(Invalid, "selector", &record, accepted));
        }
        let was_there = state.lookup.departed.contains_key(&secret);
        if !was_there && !state.secrets.contains_key(&secret) {
            return Ok(Named {
                selector,
                given,
                secret,
            });
        }
        last = Some(given);
    }
}
