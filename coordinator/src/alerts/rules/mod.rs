//! Alerts as rules, without a clock, a network or chance.
//!
//! ```text
//! raise --> the same as an open one? --yes--> counted there, nobody is told again
//!             | no
//!             v
//!           silenced? --yes--> listed, nobody is told
//!             | no
//!             v
//!           routes --> one delivery for each channel --> letter --> delivered | again later | given up
//! resolve --> the same channels are told that it is over
//! ```
//!
//! One is told at most once an hour per subject and cause; a state that goes on is told once more after a
//! day. What is told is kept as what it is ([`Event`]) and put into words when it is sent.

mod backoff;
mod event;
mod fold;
mod letter;
mod line;
mod look;
mod outcome;
mod parcel;
mod route;
mod subject;
#[cfg(test)]
mod tests;
mod words;

pub use backoff::{LONGEST, pause};
pub use event::{
    Event, HostEvent, IdentityEvent, ListEvent, ListHit, Listing, OfCluster, OfHost, OfIdentity,
    OfList, OfTenant, Remedy, TenantEvent,
};
pub use fold::{ALERTS, AlertKey, FOLD_MILLIS, REMIND_MILLIS};
pub use letter::{Letter, Notice, TELEGRAM_CHARS};
pub use line::Line;
pub use look::{AWAY_MILLIS, DiskSeen, HostSeen, Looked, Seen, look, refused};
pub use outcome::{DEAD_MILLIS, DeliveryOutcome, DeliveryResult, GIVE_UP_MILLIS, channel_dead};
pub use parcel::{PARCEL, Parcel, parcels};
pub use subject::{AlertSubject, UnknownSubject};
pub use words::Words;
