//! What the database servers of a real host hold.

mod application;
mod campaigns;
mod databases;
mod quotas;
mod rows;
