//! DNS zones that the fleet changes, and that are not as they have to be.

use email_engine_protocol::api::ZoneMode;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Event, Line, OfCluster};
use crate::state::FleetState;

/// A zone is stuck when it is so for this long: a server that starts anew, a zone that is signed, a record
/// that waits for another take minutes, and tries are an hour apart by then.
const STUCK_MILLIS: u64 = Timestamp::HOUR;

/// Those that are stuck.
pub(super) fn stuck(state: &FleetState, now: Timestamp) -> impl Iterator<Item = Event> {
    let zones = state.dns_zones.declared.iter();
    let managed = zones.filter(|(_, row)| row.mode == ZoneMode::Manage);
    managed.filter_map(move |(zone, row)| {
        let last = row.last.as_ref()?;
        let (since, why) = (last.stuck_since?, last.stuck.as_ref()?);
        (now.since(since) >= STUCK_MILLIS).then(|| {
            Event::Cluster(OfCluster::ZoneStuck {
                zone: zone.clone(),
                since,
                why: Line::said(why),
            })
        })
    })
}
