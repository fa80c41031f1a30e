//! What an agent lost is told, and made again.

mod lost_identity;
mod lost_keys;
mod lost_ledger;
mod lost_time;
