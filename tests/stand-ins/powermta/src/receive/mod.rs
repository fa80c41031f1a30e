//! Taking mail in: listeners, sessions, who may relay, and which virtual MTA a message gets.

mod auth;
mod choose;
mod finish;
mod listener;
mod session;

pub(crate) use listener::serve;
