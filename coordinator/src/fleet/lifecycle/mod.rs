//! The life of a sending identity: one table of edges, and what each of them asks.
//!
//! ```text
//!            activate            week 6 passed
//! standby ------------> warming ----------------> active <--> reserve (active, at weight 5)
//!    ^  \__ passed week 6, sent lately _____________^
//!    |                     |  rest, 30 days without mail  |
//!    |      release        +-------------+----------------+     a list has it: from active, warming, standby
//!    +------------------ resting <-------------- quarantine     any: retire, which drains and removes
//! ```
//!
//! Whatever is not in that table is refused, by whomever it is asked: a call, a file or the fleet
//! itself. Everything here is a function of what it is given; the time is an argument, and one that
//! went back or leapt takes nothing away that rests on evidence.

mod asks;
mod preflight;
mod rest;
mod table;
#[cfg(test)]
mod tests;

pub use asks::{Refusal, Turned, declare, next};
pub use preflight::{FRESH_MILLIS, Preflight};
pub use rest::{
    count_sweep, drained_mail_expires_at, due, earliest_release, idle_millis, is_held_with,
    mail_expires_at, resumes_at, state_listing,
};
pub use table::{Event, allowed_from};

use email_engine_protocol::api::{IpSpec, IpStatus, Phase};
use email_engine_protocol::time::Timestamp;

use crate::state::{Identity, Life, Quarantine};

/// Where an identity stands: what the rules read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: IpStatus,
    /// The phase of the warm-up that it reached.
    pub phase: Phase,
    /// Whether it is active and only kept warm.
    pub reserve: bool,
    /// Since when it has its status.
    pub since: Timestamp,
    /// When mail left it last, as far as that is known.
    pub last_sent: Option<Timestamp>,
    /// Idleness counts from here, or from the last mail when that is later.
    pub idle_from: Timestamp,
    /// Whether mail may ever have left it.
    pub sent_ever: bool,
    /// Why it is out, while it is.
    pub quarantine: Option<Quarantine>,
}

impl Standing {
    /// Where an identity stands.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        Self::with(&identity.spec, &identity.life)
    }

    /// Where one of this declaration and life stands.
    #[must_use]
    pub fn with(spec: &IpSpec, life: &Life) -> Self {
        Self {
            status: spec.status,
            phase: spec.phase,
            reserve: spec.reserve,
            since: life.since,
            last_sent: life.last_sent,
            idle_from: life.idle_from,
            sent_ever: life.sent_ever,
            quarantine: life.quarantine.clone(),
        }
    }

    /// Writes back where it stands.
    pub fn put(self, spec: &mut IpSpec, life: &mut Life) {
        (spec.status, spec.phase, spec.reserve) = (self.status, self.phase, self.reserve);
        life.since = self.since;
        life.last_sent = self.last_sent;
        life.idle_from = self.idle_from;
        life.sent_ever = self.sent_ever;
        life.quarantine = self.quarantine;
    }

    /// Whether new mail is accepted for it.
    #[must_use]
    pub const fn sends(&self) -> bool {
        sends(self.status)
    }
}

const fn sends(status: IpStatus) -> bool {
    matches!(status, IpStatus::Active | IpStatus::Warming)
}
