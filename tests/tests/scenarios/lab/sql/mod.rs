//! What the database servers of a real host hold.

mod databases;
mod quotas;
mod rows;
