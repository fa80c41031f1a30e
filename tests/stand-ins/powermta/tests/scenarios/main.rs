//! The stand-in as real processes on loopback: a sink that takes mail, a DNS server that says where
//! it is, `pmtad`, and `pmta` to ask it.

#![allow(
    clippy::unwrap_used,
    reason = "everything in this crate is a test, its functions too"
)]

mod backoff;
mod bed;
mod commands;
mod inbound;
mod limits;
mod living;
mod packages;
mod rendered;
mod routes;
mod sending;
