//! What is to be sent now, and through which channel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use email_engine_protocol::api::{ChannelSpec, Occasion};
use email_engine_protocol::id::ChannelName;
use email_engine_protocol::time::Timestamp;

use super::{AlertKey, Letter, Notice, TELEGRAM_CHARS};
use crate::state::{Alert, Alerts, Channel, FleetState};

/// Most notices of one letter.
pub const PARCEL: usize = 50;

/// One letter on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The channel as it is now.
    pub channel: Arc<Channel>,
    /// What is sent.
    pub letter: Letter,
    /// Which deliveries those are, in the order of the notices.
    pub items: Vec<(u64, Occasion)>,
}

impl FleetState {
    /// The name that this cluster's alerts begin with.
    #[must_use]
    pub fn alert_key(&self, id: u64, row: &Alert) -> String {
        let cluster = self.cluster.as_ref().map(|cluster| cluster.id.to_string());
        let cluster = cluster.unwrap_or_default();
        // A restored cluster gives numbers again that were given: the moment tells them apart.
        format!("{cluster}-{}-{id}", row.raised_at.0)
    }

    fn notice(&self, id: u64, row: &Alert, occasion: Occasion) -> Notice {
        let AlertKey { kind, subject, .. } = row.event.key();
        let alert = self.alert_key(id, row);
        Notice {
            id: format!("{alert}-{}", occasion.as_str()),
            alert,
            occasion,
            kind,
            severity: kind.severity(),
            subject: subject.to_string(),
            tenant: row.tenant.clone(),
            title: String::new(),
            text: Vec::new(),
            raised_at: row.raised_at,
            last_at: row.last_at,
            count: row.count,
            resolved_at: row.resolved_at,
        }
        .with(row.event.words())
    }
}

/// What is due, one letter for each channel that is neither at work nor waits.
#[must_use]
pub fn parcels(state: &FleetState, now: Timestamp, busy: &BTreeSet<ChannelName>) -> Vec<Parcel> {
    let alerts = &state.alerts;
    let mut due: BTreeMap<&ChannelName, Vec<(u64, Occasion)>> = BTreeMap::new();
    for (at, id, occasion, channel) in alerts.due.iter() {
        if *at > now {
            break;
        }
        let items = due.entry(channel).or_default();
        if items.len() < PARCEL && !busy.contains(channel) {
            items.push((*id, *occasion));
        }
    }
    let parcels = due.into_iter().filter_map(|(name, items)| {
        let channel = alerts.channels.get(name)?;
        let items = together(alerts, name, items);
        if items.is_empty() || channel.wait_until > now {
            return None;
        }
        Some(parcel(state, (name, channel), items, now))
    });
    parcels.collect()
}

/// Those that go into one letter: what was refused in company goes alone.
fn together(
    alerts: &Alerts,
    channel: &ChannelName,
    mut items: Vec<(u64, Occasion)>,
) -> Vec<(u64, Occasion)> {
    let is_alone = |(id, occasion): &(u64, Occasion)| {
        let row = alerts.rows.get(id);
        let delivery = row.and_then(|row| row.deliveries.get(&(channel.clone(), *occasion)));
        delivery.is_some_and(|delivery| delivery.alone)
    };
    match items.iter().position(is_alone) {
        Some(0) => items.truncate(1),
        Some(first) => items.truncate(first),
        None => {}
    }
    items
}

fn parcel(
    state: &FleetState,
    (name, channel): (&ChannelName, &Arc<Channel>),
    mut items: Vec<(u64, Occasion)>,
    now: Timestamp,
) -> Parcel {
    let cluster = state.cluster.as_ref().map(|cluster| cluster.id.to_string());
    let notices = items.iter().filter_map(|(id, occasion)| {
        let row = state.alerts.rows.get(id)?;
        Some(state.notice(*id, row, *occasion))
    });
    let mut letter = Letter {
        channel: name.clone(),
        cluster: cluster.unwrap_or_default(),
        sent_at: now,
        notices: notices.collect(),
    };
    if matches!(channel.spec, ChannelSpec::Telegram(_)) {
        let (_, taken) = letter.telegram(TELEGRAM_CHARS);
        letter.notices.truncate(taken);
        items.truncate(taken);
    }
    Parcel {
        channel: Arc::clone(channel),
        letter,
        items,
    }
}
