//! What is known of opens and clicks. The application tells them of a campaign and not of who sent it: they
//! are an identity's where it sent the campaign alone, and unknown else. Machines open too, and people late:
//! what was opened is set against what had been out for most of a day, and too few holds, at most.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::time::Timestamp;

use super::evidence::WINDOW_DAYS;
use super::judge::Opens;
use crate::state::{Campaign, Figures, FleetState, Subject};

/// What was out for so long may have been opened. Readings of two days are rarely a whole day apart.
const RIPE_MILLIS: u64 = 20 * Timestamp::HOUR;

/// Opens by identity, of the campaigns that each sent alone and that began within the seven days before a
/// day; by what was read before that day. Who is not among them has none that are known.
#[must_use]
pub fn opens_before(state: &FleetState, day: u32) -> BTreeMap<IpAddr, Opens> {
    let mut all: BTreeMap<IpAddr, Opens> = BTreeMap::new();
    for campaign in state.campaigns.values() {
        let Some(address) = campaign.only_sender() else {
            continue;
        };
        let owner = state.identities.get(&address).map(|own| &own.spec.tenant);
        if let Some(opens) = ripe(campaign, day).filter(|_| owner == Some(&campaign.tenant)) {
            let sum = all.entry(address).or_insert(Opens {
                opened: 0,
                delivered: 0,
            });
            sum.opened = sum.opened.saturating_add(opens.opened);
            sum.delivered = sum.delivered.saturating_add(opens.delivered);
        }
    }
    all
}

/// What a campaign comes to before a day, when some of it was out for long enough.
fn ripe(campaign: &Campaign, day: u32) -> Option<Opens> {
    let readings = &campaign.readings.0;
    let (first, _) = readings.first_key_value()?;
    if !(day.saturating_sub(WINDOW_DAYS)..day).contains(first) {
        return None;
    }
    let (_, latest) = readings.range(..day).next_back()?;
    let mut earlier = readings.range(..day).rev().map(|(_, reading)| reading);
    let out = earlier.find(|reading| latest.at.since(reading.at) >= RIPE_MILLIS)?;
    let delivered = out.figures.delivered;
    (delivered > 0).then_some(Opens {
        opened: latest.figures.opened.min(delivered),
        delivered,
    })
}

/// What came to the figures of a subject's campaigns on each day on which they were read, from the first to
/// the last of these days. Of an identity those that it sent alone; of a tenant all. Days that are left out
/// are unknown.
#[must_use]
pub fn opens_by_day(
    state: &FleetState,
    subject: &Subject,
    (from, to): (u32, u32),
) -> BTreeMap<u32, Figures> {
    let mut days: BTreeMap<u32, Figures> = BTreeMap::new();
    let is_own = |campaign: &Campaign| match subject {
        Subject::Tenant(tenant) => campaign.tenant == *tenant,
        Subject::Identity(tenant, address) => {
            campaign.tenant == *tenant && campaign.only_sender() == Some(*address)
        }
    };
    for campaign in state.campaigns.values().filter(|one| is_own(one)) {
        let mut before = Figures::default();
        for (day, reading) in &campaign.readings.0 {
            let now = reading.figures;
            if (from..=to).contains(day) {
                let sum = days.entry(*day).or_default();
                for (sum, now, before) in [
                    (&mut sum.delivered, now.delivered, before.delivered),
                    (&mut sum.opened, now.opened, before.opened),
                    (&mut sum.clicked, now.clicked, before.clicked),
                ] {
                    *sum = sum.saturating_add(now.saturating_sub(before));
                }
            }
            before = now;
        }
    }
    days
}
