//! The configuration language: lines, sections, values, and what the guide refuses.
//!
//! `parse` turns files into a tree and checks every directive against the table of `schema`;
//! `build` turns the tree into a [`Config`] and checks what one line says about another. The first
//! fault stops the reading, as with the product, and names file and line.

mod build;
mod check;
mod error;
mod line;
mod model;
mod named;
mod parse;
mod pattern;
mod quantity;
mod schema;
mod settings;
mod value;

pub use error::ConfigError;
pub use model::{
    AccountingFile, AddressMatch, Alias, Certificate, Config, DomainKey, DomainMatch, Listener,
    PatternList, PatternResult, PatternRule, Pool, Processor, ReplyAction, ReplyRule, RollupRule,
    SmtpUser, Source, SourceHost, SourceMatch, Subject, VirtualMta,
};
pub(crate) use pattern::wildcard;
pub use pattern::{DomainPattern, Expression};
pub use quantity::{Rate, time as interval};
pub use settings::{Layered, Settings};

#[cfg(test)]
mod tests;
