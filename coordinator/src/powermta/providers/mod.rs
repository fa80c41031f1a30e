//! What is known of receivers, as data.
//!
//! A [`Catalogue`] is made of files of the role bundle, so a host's release pins it by hash:
//! - `powermta/providers/NAME.toml` is one [`Provider`]: its domains, the queues that its MX hosts
//!   share, limits, and rules for what it replies, each with replies that the rule must take and
//!   replies that it must leave alone;
//! - `powermta/providers/bounces.toml` holds the categories of bounces;
//! - `powermta/base.toml` is an operator's own [`Base`], often made by [`import()`] of an earlier
//!   configuration. Its providers go before those of the catalogue.
//!
//! Reading a catalogue ([`Catalogue::load`]) is cheap and refuses what must not be rendered.
//! [`Catalogue::examined`], which a bundle passes before it is stored, also judges every sample by the
//! order in which the rules are written, as the product does: the first expression that matches wins.
//!
//! The provider called [`EVERYONE`] stands for all receivers; its rules stand behind those of each
//! provider, because a queue has one list.

mod base;
mod check;
mod error;
mod examine;
mod expression;
mod import;
mod load;
mod model;
mod ordinary;

pub use base::Base;
pub use error::{CatalogueError, Fault};
pub(in crate::powermta) use expression::{compile, takes};
pub use import::{Imported, Note, Verdict, import};
pub use load::{BASE_PATH, FOLDER};
pub use model::{
    Action, CATEGORIES, Catalogue, Category, Confidence, EVERYONE, Provider, Reply, Rollup, Spool,
};
pub(in crate::powermta) use ordinary::ordinary_taken;
