//! What records count: [`tally`] by identity, hour and group of receivers, [`deferrals`] each message once,
//! `receivers` which group a recipient is of, [`replies`] which list of bad senders a receiver names.

pub mod deferrals;
pub(super) mod receivers;
pub mod replies;
pub mod tally;
