//! Accounting files: one record for each event, in files or pipes as the configuration says.

mod category;
mod fields;
mod files;
mod pipe;
mod record;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use category::category;
pub(crate) use record::{Record, status_text};
pub(crate) use writer::Accounting;
