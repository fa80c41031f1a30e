//! A stand-in for PowerMTA that behaves as the guide of version 5.0 says, for tests.
//!
//! The product cannot be had where Email-Engine is built. This crate reads a configuration by a
//! parser of its own, relays mail from the addresses of virtual MTAs, writes accounting files and
//! answers the commands of `pmta`. It shares no code with what renders configurations: an error in
//! one has to show against the other. It is never shipped.

mod accounting;
mod clock;
pub mod config;
pub mod daemon;
mod deliver;
mod engine;
mod headers;
mod inbound;
pub mod manage;
mod queue;
mod receive;
mod spool;
mod stream;

pub use engine::Overrides;
