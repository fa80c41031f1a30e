//! Raft between nodes: a QUIC end point of its own, mutual TLS, one stream per request.
//!
//! [`tls`] says who may speak, [`peers`] dials and keeps connections, [`client`] is openraft's way
//! out, [`server`] and [`serve`] its way in; [`append`] pipelines log entries, [`transfer`] carries
//! snapshots. Every frame is bounded before it is read.

mod append;
mod client;
mod frame;
#[cfg(test)]
mod fuzz;
mod message;
mod peers;
#[cfg(test)]
pub(in crate::raft) mod probe;
mod serve;
mod server;
mod tls;
mod transfer;

pub(crate) use client::Network;
#[cfg(test)]
pub(crate) use frame::FRAME_BYTES;
pub(crate) use message::{
    Answered, ChangeRefusal, Member, MemberChange, ProposeAnswer, ProposeRefusal, Request, Response,
};
pub(crate) use peers::{IsRevoked, Lane, Peers, Whereabouts};
pub(crate) use serve::{Door, Serving};
pub(crate) use server::Server;
#[cfg(test)]
pub(crate) use transfer::CHUNK_BYTES;
