//! What records count: [`tally`] by identity, hour and group of receivers, [`deferrals`] each message once,
//! `receivers` which group a recipient is of.

pub mod deferrals;
pub(super) mod receivers;
pub mod tally;
