//! Identity: who is let in, under which certificate, and for how long.
//!
//! A long-lived root whose private key is sealed to the recovery key, an intermediate that the nodes
//! issue with, and short-lived leaves ([`term`], 7 days by default) for nodes and agents. Authorisation goes by the URI in the leaf.
//!
//! - [`authority`] founds a cluster and holds the intermediate; [`issue`] makes leaves with it.
//! - [`verify`] is what TLS checks: the chain, the dates, no resumption. [`credential`] reads what a
//!   peer showed. [`admit()`] is the one door behind that: it knows ALPN, certificate and state.
//!   [`pin`] is for whoever has no root yet.
//! - [`store`] keeps a node's own identity on disk.
//! - [`submission`] stands apart: it vouches for the servers at which the fleet's hosts submit mail.

pub mod admit;
pub mod authority;
pub mod credential;
mod identity;
pub mod issue;
pub mod pin;
pub mod store;
pub mod submission;
pub mod term;
#[cfg(test)]
pub(crate) mod testbed;
pub mod verify;

pub use admit::{Admitted, Denied, admit, remains, returning};
pub use authority::{Authority, AuthorityError, Founding, found, grant_epoch, plan_signer};
pub use credential::{Credential, CredentialError};
pub use identity::{
    IdentityError, NodeIdentity, Peer, host_uri, node_dns_name, node_uri, parse_uri,
};
pub use issue::{IssueError, Issued, NodeKey};
pub use term::{Life, Term};
