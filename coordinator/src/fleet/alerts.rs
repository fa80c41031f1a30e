//! What must hold of alerts.

use email_engine_protocol::api::RouteSpec;

use super::Violation;
use crate::alerts::rules::ALERTS;
use crate::state::{FleetState, Keys, Table};

/// Alerts are bounded, what follows from their rows does, nothing of one tenant's waits for another's
/// channel, and routes lead to channels that may have what they carry.
///
/// # Errors
/// Names what does not hold.
pub fn alerts_are_told_to_their_own(state: &FleetState) -> Result<(), Violation> {
    let broken = |what: String| {
        Err(Violation {
            invariant: "alerts_are_told_to_their_own",
            what,
        })
    };
    let alerts = &state.alerts;
    let (mut due, mut settled) = (Keys::default(), Keys::default());
    let mut newest = Table::new();
    for (id, row) in &alerts.rows {
        newest.insert(row.event.key(), *id);
        for (at, channel, occasion) in row.waiting() {
            let own = alerts.channels.get(channel);
            let is_its = own.is_some_and(|own| own.tenant.is_none() || own.tenant == row.tenant);
            if !is_its {
                return broken(format!("alert {id} waits for channel {channel}"));
            }
            due.insert((at, *id, occasion, channel.clone()));
        }
        if row.is_settled() {
            settled.insert(*id);
        }
    }
    if alerts.rows.len() > ALERTS || alerts.rows.keys().any(|id| *id >= alerts.next) {
        return broken("there are too many, or one has a number that was not given".to_owned());
    }
    if (&due, &settled, &newest) != (&alerts.due, &alerts.settled, &alerts.last) {
        return broken("what follows from the rows does not".to_owned());
    }
    for (name, route) in &alerts.routes {
        let RouteSpec {
            channels, tenant, ..
        } = route;
        for channel in channels {
            let own = alerts.channels.get(channel);
            let may = own.is_some_and(|own| own.tenant.is_none() || own.tenant == *tenant);
            if !may {
                return broken(format!("route {name} leads to channel {channel}"));
            }
        }
    }
    Ok(())
}
