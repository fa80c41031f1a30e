//! Identity: who is let in, under which certificate, and for how long.
//!
//! A long-lived root whose private key is sealed to the recovery key, an intermediate that the nodes
//! issue with, and leaves of 7 days for nodes and agents. Authorisation goes by the URI in the leaf.

mod identity;

pub use identity::{
    IdentityError, NodeIdentity, Peer, host_uri, node_dns_name, node_uri, parse_uri,
};
