//! The truth in DNS: which records the fleet wants, how operators get them published, and what the world
//! really answers.
//!
//! - [`wanted`] is the one source of records: of an identity, of what is gone and still judged, of a zone.
//! - [`export`] writes them for what operators load their zones with. Each form adds to a zone that has
//!   records of others, and deletes none of them.
//!
//! - [`verdict`] judges what the servers of zones answer.
//!
//! - [`compliance`] holds what is known against receivers' rules. [`due`] says when records are looked at.
//!
//! - [`publish`] plans what would be changed in a zone that the fleet may change.
//!
//! These are pure: same state, same bytes. [`ask`] goes to the network, and knows of nothing but questions
//! and answers; [`primary`] reads and changes a zone on its primary server.

pub mod ask;
pub mod compliance;
pub mod due;
pub mod export;
pub mod primary;
pub mod publish;
pub mod verdict;
pub mod wanted;
