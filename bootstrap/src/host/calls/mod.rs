//! Whom the machine can reach, found out by calling them.

mod mail;
mod reach;

pub use mail::mail_leaves;
pub use reach::reach;
