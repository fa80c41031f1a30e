//! The configuration language of PowerMTA.
//!
//! - [`syntax`] turns a text into a tree that forgets nothing, and back; it follows includes.
//! - [`schema`] knows every directive of the vendor's guide: where it stands, what it takes, since
//!   which version, and whether a change of it needs a restart.
//! - [`lint()`] names what is wrong with a configuration, with codes that do not change.
//! - [`providers`] is what is known of receivers: limits, replies, categories of bounces.
//! - [`Configuration`] is the model of one host: what it shall route, from which address, for whom.
//!   [`render()`] turns it into the text of `/etc/pmta/config`; same model, same bytes. What is
//!   written passes the linter, because the product refuses a file with a word that it does not know.
//!
//! How mail finds its way (and why it cannot find another):
//! - the client's address picks the `<source>`, and each source belongs to one tenant;
//! - the source names the tenant's pattern list, which maps the domain of the *envelope* sender to
//!   the virtual MTA of that domain's identity, and everything else to a virtual MTA that discards;
//! - the virtual MTA has one address, one EHLO name and one DKIM key.

pub mod lint;
mod model;
pub mod providers;
mod render;
pub mod schema;
pub mod syntax;
mod verbatim;

pub use lint::{lint, restart_lines};
pub use model::{
    Configuration, Egress, Leaver, TenantRoute, is_accounting_size, is_file_path, is_reserved,
    is_selector,
};
pub use render::{accounting, hourly_cap, hourly_quota, render};
pub use verbatim::{Verbatim, VerbatimError};

/// Where PowerMTA keeps its configuration.
pub const CONFIG_PATH: &str = "/etc/pmta/config";
/// Port on which the fleet's hosts submit.
pub const SUBMISSION_PORT: u16 = 2525;
