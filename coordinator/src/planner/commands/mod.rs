//! What is run on hosts, as a role file has it: steps, transactions with their tests and what puts them in force,
//! and suspensions.

pub(super) mod step;
pub(super) mod suspension;
pub(super) mod transaction;
