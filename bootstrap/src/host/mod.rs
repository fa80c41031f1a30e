//! The only door to the machine: measures it, and takes steps on it.

mod accounts;
mod child;
mod files;
mod gather;
mod hands;
mod lock;
mod mail;
mod members;
mod os;
mod reach;
mod systemd;
mod wait;

pub use gather::{advertised, bundle, installed, machine};
pub use hands::RealHands;
pub use lock::{Lock, LockError};
pub use mail::mail_leaves;
pub use members::membership;
pub use reach::reach;
