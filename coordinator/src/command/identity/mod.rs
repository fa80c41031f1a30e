//! Verbs about sending identities and their keys.

mod add;
mod change;
mod check;
mod retire;
mod roster;
mod stock_keys;
