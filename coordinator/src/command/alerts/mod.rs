//! Verbs about alerts: what was seen, how far deliveries are, and through which channels and to whom they go.
//!
//! What the leader sees and what becomes of deliveries is no change of the fleet: it has no audit entry and
//! no revision of its own, the table of alerts is its record. Channels, routes and silences are changes.

mod channel;
mod raise;
mod record;
mod route;
mod silence;
#[cfg(test)]
mod tests;

pub use channel::{RemoveChannel, SetChannel};
pub use raise::{RaiseAlerts, TestAlerts};
pub use record::RecordDeliveries;
pub use route::{RemoveRoute, SetRoute};
pub use silence::{EndSilence, SilenceAlerts};

/// Most channels, routes and silences.
const CHANNELS: usize = 64;
const ROUTES: usize = 256;
const SILENCES: usize = 1_000;
/// Most channels of one route: each alert has so many deliveries at most.
const CHANNELS_OF_ROUTE: usize = 16;
/// Most receivers of one channel.
const RECEIVERS: usize = 16;
/// Most events or results of one command.
pub(crate) const TOGETHER: usize = 200;
/// Longest silence, in minutes: 30 days.
const SILENCE_MINUTES: u32 = 43_200;
