//! Verbs about machines.

mod add;
mod allow_removal;
mod allow_restart;
mod change;
mod check;
mod cut_off;
mod readmit;
mod record_outcome;
mod retire;
mod retry_change;
mod set_database_password;

pub(in crate::command) use check::shares_no_address;
pub use set_database_password::SetDatabasePassword;
