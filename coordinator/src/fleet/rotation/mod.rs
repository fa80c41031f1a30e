//! The rotation of a DKIM key: one table of edges, what each of them asks, and the deadlines.
//!
//! ```text
//!            seen valid            host has the file        host signs with it       14 days and a queue's life
//! publish ------------> verified ----------------> switching ---------------> switched ----------------> retired --> gone
//!    ^  <--------------   (seen invalid)                  \__ emergency, or it never sent: at once _____/ (p= is empty)
//!    |__ begins: nothing under way, or a record that is only withdrawn; by emergency out of switched as well
//! ```
//!
//! Whatever is not in that table is refused. Two things follow from it: nothing signs with a key whose
//! record was not seen, and the record of the key that signs is never withdrawn. A record stays, or says
//! that its key is not good any more, for days that are counted one by one: a clock that leaps a year makes
//! one day of it, and one that goes back none.

mod applied;
mod due;
mod records;
mod selector;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod turn;

pub use applied::has_host_applied;
pub use due::{Pace, due_at, is_due, pace_of, per_day, scheduled_on};
pub use records::{Published, published};
pub use selector::next_selector;
pub use status::{deadline, stuck, waits_for};
pub use table::{Event, Facts, Refusal, next};
pub use turn::{LeftBehind, begin, count, left_behind, see, turn};

use email_engine_protocol::time::Timestamp;

/// How long mail may lie in a queue. What was signed before a host signed with another key may still be on
/// its way for so long. Every configuration says `bounce-after 24h`; a base or an operator's own lines may
/// say otherwise for some receivers, and the product's own default is 4d12h: this is above both.
pub const QUEUE_MILLIS: u64 = 5 * Timestamp::DAY;
/// How long a record stays after the last mail that was signed with its key.
pub const RECORD_MILLIS: u64 = 14 * Timestamp::DAY;
/// How long a record then says that its key is not good any more, before it may go.
pub const WITHDRAWN_MILLIS: u64 = 30 * Timestamp::DAY;
/// By when a new record should be seen.
pub const PUBLISH_MILLIS: u64 = 7 * Timestamp::DAY;
/// The same, of a key that replaces one that others know.
pub const URGENT_MILLIS: u64 = Timestamp::DAY;
/// By when a host should have what it is told.
pub const HOST_MILLIS: u64 = Timestamp::HOUR;
