//! The way between the two halves when each is a process of its own: a Unix socket.
//!
//! The executor listens, because it is there first and for good; the network half calls, and calls
//! again when it was started anew. Each side looks at whose process is at the other end before it says
//! a word. The executor's word comes first ([`Begin`]: its public keys and where it stands), then both
//! send messages of [`crate::halves`] until the connection ends.
//!
//! - `frames` is how messages lie on the socket, and how much of them is read before it is believed.
//! - [`place`] is where the socket stands, and who may open it.
//! - [`serve`] is the executor's side, [`call`] the network half's.
//!
//! Nothing that crosses it is a secret in clear: secrets pass sealed, reports signed. Whoever takes over
//! the network half's process can say nothing here that it could not have said before.

pub mod call;
mod frames;
pub mod place;
pub mod serve;
#[cfg(test)]
mod tests;

pub use frames::SocketError;
use serde::{Deserialize, Serialize};

use crate::halves::{ExecutorKeys, Standing, Trust};
use crate::ledger::expected::Expected;

/// Version of what is said here. Both halves are one program; between an upgrade of the file and the
/// restart of both they may differ, and say so instead of misunderstanding each other.
pub const VERSION: u32 = 4;

/// The executor's first word on a connection, after its [`VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Its public keys, for enrolment.
    pub keys: ExecutorKeys,
    /// Where it stands.
    pub standing: Standing,
    /// The trust that it has pinned.
    pub trust: Option<Trust>,
    /// Whom the host may belong to while it has none: another one is refused.
    pub expected: Option<Expected>,
    /// Whether the host was retired and nobody has joined the machine anew since.
    pub retired: bool,
}
