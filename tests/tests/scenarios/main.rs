//! Scenarios: each file is one promise, shown over real processes.
//!
//! - [`convergence`]: what is declared reaches the hosts, and stays.
//! - [`cluster`]: nodes come, go, fall and return.
//! - [`counting`]: what was sent is counted, once.
//! - [`dns`]: records are published, and seen as servers show them.
//! - [`lab`]: real hosts with systemd, from nothing to mail.
//! - [`lists`]: who is on a list of bad senders is seen, taken out and replaced, and nobody else.
//! - [`loss`]: what an agent lost is told, and made again.
//! - [`access`]: who may do what, and where secrets are.
//! - [`artifacts`]: files of an operator are uploaded once and on the hosts that name them.
//! - [`mail`]: mail flows, and only where it should.
//! - [`operator`]: what those who run the fleet type and watch.
//! - [`halves`]: an agent whose halves are two processes.
//! - [`input`]: what is wrong is refused, clearly and wholly.
//! - [`trial`]: all of it on one machine, by one command.

#![allow(
    clippy::unwrap_used,
    reason = "a scenario that cannot go on has failed"
)]

mod access;
mod alerts;
mod artifacts;
mod cluster;
mod convergence;
mod counting;
mod dns;
mod halves;
mod input;
mod lab;
mod lists;
mod loss;
mod mail;
mod operator;
mod trial;
