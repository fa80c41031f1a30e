//! Certificates for a host's servers: what they are judged by, what is known of each, and when the next
//! one is asked for.
//!
//! - [`pair`] is a chain with its key; whatever comes from elsewhere is judged there.
//! - [`record`] is what the executor keeps in its own folder: pairs, attempts, account keys.
//! - [`issuer`] asks ACME servers beside the reconciler, [`acme`] for one certificate, with the [`account`]
//!   at its server, [`pipe`] through the network half.
//! - [`due`] says when to ask, and how long to wait after a failure. Pure.
//!
//! The resource (`resources/certificate`) puts the newest good pair in place and never talks to anybody.

mod account;
pub(crate) mod acme;
pub(crate) mod due;
pub(crate) mod issuer;
#[cfg(test)]
mod miniature;
pub(crate) mod pair;
#[cfg(test)]
mod pebble;
pub(crate) mod pipe;
pub(crate) mod record;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use record::forget_all;
