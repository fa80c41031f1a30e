//! A tenant's MailWizz, by its REST API: which delivery servers it has, and campaigns that it shall send.
//!
//! `draft` is a campaign as its API wants it, `reply` what it answers; both are pure. `client` asks, and
//! `applications` opens keys for it: it is bounded in time and size, follows nobody elsewhere, and tells what
//! was refused from what may have happened. Reading is asked again when nobody answers; making a campaign only when it cannot have arrived.
//!
//! The API has no way to make or change delivery servers: those are rows of the application's database, which
//! its host keeps (`mailwizz/application.toml`). They are found here by the name that they have there.

mod applications;
mod client;
mod draft;
mod reply;
#[cfg(test)]
pub(crate) mod testbed;
#[cfg(test)]
mod tests;

pub use applications::{Applications, SealedDoor};
pub use client::{CallError, Client, ClientError, Door, MAILWIZZ_CALLS};
pub use draft::{Draft, DraftError};
pub use reply::DeliveryServer;

use email_engine_protocol::id::VmtaName;

/// What the row of an identity's delivery server is called (`name` in `mailwizz/application.toml`).
#[must_use]
pub fn server_name(vmta: &VmtaName) -> String {
    format!("{vmta} (Email-Engine)")
}
