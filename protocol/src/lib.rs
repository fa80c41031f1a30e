//! The nouns of Email-Engine and the wire between coordinators, agents and operators.
//!
//! Everything here is a value: no IO, no clock, no randomness. Time, random bytes and keys arrive as
//! arguments. The other crates import this one; it imports none of them.
//!
//! - [`id`], [`generation`], [`time`], [`bytes`]: how things are named, numbered, dated and hashed.
//! - [`desired`]: what a host shall be. [`observed`]: what it was seen to be.
//! - [`crypto`]: signatures over exact bytes, and secrets sealed to one host.
//! - [`secret`]: references to secrets, which travel apart from the configuration that names them.
//! - [`join`]: the one string that lets a new machine in. [`enroll`]: what it says and is given.
//! - [`wire`]: frames, version negotiation and the messages of version 1.
//! - [`api`]: request and response bodies of the HTTP API, shared with the command line and tests.

pub mod api;
pub mod bytes;
mod canonical;
pub mod crypto;
pub mod desired;
pub mod enroll;
pub mod generation;
pub mod id;
pub mod join;
pub mod limits;
pub mod mail;
pub mod observed;
pub mod secret;
pub mod time;
pub mod url;
pub mod wire;
