//! The truth in DNS: which records the fleet wants, how operators get them published, and what the world
//! really answers.
//!
//! - [`wanted`] is the one source of records: of an identity, of what is gone and still judged, of a zone.
//! - [`export`] writes them for what operators load their zones with. Each form adds to a zone that has
//!   records of others, and deletes none of them.
//!
//! Both are pure: same state, same bytes.

pub mod export;
pub mod wanted;
