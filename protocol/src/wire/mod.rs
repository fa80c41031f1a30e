//! The wire: how bytes become messages, and which messages there are.
//!
//! Agents call on [`ALPN_AGENT`] with a certificate, on [`ALPN_ENROLL`] without one. Every message is
//! a [`frame`]: 4 bytes of length, big endian, then postcard. postcard is not self-describing: the
//! order of fields and variants *is* the format. Messages of a version are append-only, and golden
//! bytes in this crate's tests show every change.
//!
//! On an agent connection the agent opens one bidirectional *control* stream and says
//! [`v1::AgentMessage::Hello`]; the coordinator answers `Welcome` or `Refused`; from then on both
//! speak when they have something to say. Bodies are fetched by hash on streams of their own
//! ([`v1::BodyRequest`]), so that a large file never delays a heartbeat.

pub mod frame;
mod hello;
pub mod v1;

pub use hello::{
    Floor, Hello, Refusal, RefusalCode, SUPPORTED, VersionError, Versions, Welcome, negotiate,
};

/// ALPN of agents with a certificate.
pub const ALPN_AGENT: &[u8] = b"email-engine-agent/1";
/// ALPN of machines that have none yet.
pub const ALPN_ENROLL: &[u8] = b"email-engine-enroll/1";
/// ALPN between coordinator nodes, on an end point of their own.
pub const ALPN_RAFT: &[u8] = b"email-engine-raft/1";
