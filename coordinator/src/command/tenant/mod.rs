//! Verbs about customers.

mod change;
mod check;
mod create;
mod remove;
mod set_secret;

pub use set_secret::SetSecret;
