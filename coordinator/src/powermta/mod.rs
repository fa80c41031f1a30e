//! The configuration language of PowerMTA, as far as this fleet speaks it.
//!
//! [`Configuration`] is the model: what one host shall route, from which address, for whom.
//! [`render()`] turns it into the text of `/etc/pmta/config`; same model, same bytes. Every directive
//! that is written stands in the table of [`schema`], with its place in the vendor's guide; a word
//! that is not in the table is never written, because the product refuses a file with an unknown one.
//!
//! How mail finds its way (and why it cannot find another):
//! - the client's address picks the `<source>`, and each source belongs to one tenant;
//! - the source names the tenant's pattern list, which maps the domain of the *envelope* sender to
//!   the virtual MTA of that domain's identity, and everything else to a virtual MTA that discards;
//! - the virtual MTA has one address, one EHLO name and one DKIM key.

mod inbound;
mod model;
mod rate;
mod render;
mod routing;
pub mod schema;
mod text;

pub use model::{Configuration, Egress, TenantRoute, is_accounting_size, is_reserved, is_selector};
pub use rate::{hourly_cap, hourly_quota};
pub use render::render;

/// Where PowerMTA keeps its configuration.
pub const CONFIG_PATH: &str = "/etc/pmta/config";
/// Port on which the fleet's hosts submit.
pub const SUBMISSION_PORT: u16 = 2525;
