//! What is run on hosts, as a role file has it: steps, transactions with their tests and what puts them in force,
//! suspensions, and what is thrown away.

pub(super) mod discard;
pub(super) mod step;
pub(super) mod suspension;
pub(super) mod transaction;
