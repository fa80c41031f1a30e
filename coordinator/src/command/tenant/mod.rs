//! Verbs about customers.

mod change;
mod check;
mod create;
mod remove;
