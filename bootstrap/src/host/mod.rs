//! The only door to the machine: measures it, and takes steps on it.

mod accounts;
mod calls;
mod child;
mod files;
mod gather;
mod hands;
mod lock;
mod members;
mod os;
mod systemd;
mod wait;

pub use calls::{mail_leaves, reach};
pub use gather::{advertised, bundle, installed, machine};
pub use hands::RealHands;
pub use lock::{Lock, LockError};
pub use members::membership;
