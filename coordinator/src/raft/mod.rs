//! Raft: one log, committed by a majority, applied in order on every node.
//!
//! Everything of openraft stays in this room. The other rooms hold a [`Cluster`]: they propose, read
//! and watch through it, and never learn whether this node leads.

mod handle;

pub use handle::{
    Applied, Cluster, Leadership, ProposeError, RaftStatus, ReadError, SessionRow, StoreError,
};
