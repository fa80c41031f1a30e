//! Mail that really flows: the cluster plans, the agent writes, the stand-in of PowerMTA runs what was
//! written, and receivers judge what arrives.
//!
//! - [`alone()`] runs a scenario in a network of its own, where the documentation addresses are on the
//!   loopback and ports 25 and 53 are free.
//! - [`MailFleet`] is the fleet with everything around it: [`Names`] (DNS), [`PowerMta`], [`MailWizz`]
//!   and [`Receiver`]s. [`MailFleet::on_a_machine`] has the host's own agent run the product, at the
//!   programs of a [`Machine`].
//! - [`Verdict`] is what a strict receiver finds out about a message.

mod alone;
mod client;
mod fleet;
mod host;
mod lines;
mod mailwizz;
mod names;
mod powermta;
mod receiver;
mod tls;
mod verdict;

pub use alone::alone;
pub use client::Client;
pub use fleet::{MailFleet, RECIPIENT, addresses, identities};
pub use host::{Machine, Waiting};
pub use mailwizz::{DeliveryServer, Letter, MailWizz};
pub use names::Names;
pub use powermta::{PowerMta, Row};
pub use receiver::{Mail, Receiver};
pub use tls::Identity;
pub use verdict::{Verdict, dkimpy_verifies};
