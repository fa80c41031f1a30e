//! Warm-up: how much an identity may send, on what evidence it may send more, and when less.
//!
//! - [`begin`], [`follow`], [`pause`], [`stop`] and [`resume`] are all that changes a [`WarmupPlan`];
//!   commands call them, and so does the simulation.
//! - [`judge()`] says once a day what the evidence comes to; [`stop_line`] on every report whether it must
//!   end at once. Neither changes anything.
//! - [`Evidence`] is what both of them go by; whoever keeps the counts fills it.
//!   [`opens_before`] and [`opens_by_day`] say what the application knows beside them.
//! - [`simulate()`] runs the same functions on evidence without a fault.
//!
//! Days are UTC days, numbered from 1970-01-01. A tick of day D judges the seven days before D.

mod evidence;
mod judge;
mod opens;
mod plan;
mod simulate;
#[cfg(test)]
mod tests;

pub use evidence::{
    Evidence, NoEvidence, Unread, WINDOW_DAYS, accounting_hosts, day_begins, day_of, is_read_past,
    rates, whole_days,
};
pub use judge::{Facts, Opens, judge, stop_line};
pub use opens::{opens_before, opens_by_day};
#[cfg(test)]
use plan::settle;
pub(crate) use plan::tighten;
pub use plan::{
    at_phase, begin, carry_over, fleet_settings, follow, half, is_warming, pause, quota_now,
    resume, settings_of, stay_stopped, stop, weight,
};
pub use simulate::{Event, LARGEST_POOL, LONGEST, Scenario, looked_at, simulate};

pub use email_engine_protocol::api::{WarmupPlan, WarmupSettings, WarmupStep, WarmupVerdict};
