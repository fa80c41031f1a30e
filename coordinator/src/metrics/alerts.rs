//! Figures of alerts.

use std::collections::BTreeMap;

use metrics::gauge;

use email_engine_protocol::api::Severity;
use email_engine_protocol::time::Timestamp;

use super::figure;
use super::list::{ALERT_OLDEST, ALERTS};
use crate::state::FleetState;

/// Alerts by severity and state, and how long the oldest waits that nobody took.
pub(super) fn observe(state: &FleetState, now: Timestamp) {
    let mut counts = BTreeMap::new();
    for severity in Severity::ALL {
        for word in ["open", "over"] {
            counts.insert((severity.as_str(), word), 0);
        }
    }
    let rows = &state.alerts.rows;
    for row in rows.values() {
        let word = if row.is_open() { "open" } else { "over" };
        let severity = row.event.kind().severity().as_str();
        *counts.entry((severity, word)).or_default() += 1;
    }
    for ((severity, word), count) in counts {
        gauge!(ALERTS, "severity" => severity, "state" => word).set(figure(count));
    }
    let due = state.alerts.due.iter();
    let begun = due.filter_map(|(_, id, ..)| Some(rows.get(id)?.told_from));
    let oldest = begun.min().map_or(0, |since| now.since(since));
    gauge!(ALERT_OLDEST).set(figure(oldest / Timestamp::SECOND));
}
