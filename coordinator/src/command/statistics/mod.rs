//! Commands about what accounting files say.

mod check;
mod files;
mod owners;
mod record;
mod replies;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use record::{BATCHES, ROWS};
