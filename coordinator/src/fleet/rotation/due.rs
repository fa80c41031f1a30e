//! When a key is old enough to be changed by itself.

use email_engine_protocol::api::{RotationCause, RotationStage};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use crate::state::{FleetState, Identity};

/// Days after which a key is changed at the latest.
const DAYS: u32 = 180;
/// The same of an identity that sends much.
const BUSY_DAYS: u32 = 90;
/// The least that a tenant may ask for: the record of the key before stays for more than two weeks.
pub(crate) const LEAST_DAYS: u32 = 30;
/// Of the days a share in which keys of one age are spread: the last sixth.
const SPREAD: u64 = 6;
/// In so many days at least all keys of a fleet may change.
const FLEET_DAYS: usize = 14;
/// So many may change a day in the smallest fleet.
const LEAST_PER_DAY: usize = 4;

/// How often a key is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Days after which it is changed at the latest.
    pub days: u32,
}

impl Pace {
    /// Mails a day above which an identity sends much.
    pub const BUSY_DAILY: u64 = 10_000;
    /// The most days that there may be between two changes.
    pub const MOST_DAYS: u32 = DAYS;
    /// The fewest.
    pub const LEAST_DAYS: u32 = LEAST_DAYS;

    /// By how much an identity sends; a tenant may have it tighter, and not looser.
    #[must_use]
    pub fn of(is_busy: bool, tenant: Option<u32>) -> Self {
        let days = if is_busy { BUSY_DAYS } else { DAYS };
        let tenant = tenant.map_or(days, |tenant| tenant.max(LEAST_DAYS));
        Self {
            days: days.min(tenant),
        }
    }

    const fn millis(self) -> u64 {
        self.days as u64 * Timestamp::DAY
    }
}

/// The pace of an identity.
#[must_use]
pub fn pace_of(state: &FleetState, identity: &Identity, is_busy: bool) -> Pace {
    let tenant = state.tenants.get(&identity.spec.tenant);
    Pace::of(is_busy, tenant.and_then(|tenant| tenant.dkim_rotation_days))
}

/// When a key is to be changed: keys of one age are spread over the last sixth of their time, each by its
/// own name, so that a fleet that was made on one day does not change on one day.
#[must_use]
pub fn due_at(identity: &Identity, pace: Pace) -> Timestamp {
    let hash = ContentHash::of(identity.dkim_key.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.0[..8]);
    let early = u64::from_be_bytes(first) % (pace.millis() / SPREAD);
    identity.signing.since.plus(pace.millis() - early)
}

/// Whether a rotation of it begins by itself: it sends, its key is old enough, and none is under way.
#[must_use]
pub fn is_due(identity: &Identity, pace: Pace, now: Timestamp) -> bool {
    let rotation = identity.signing.rotation.as_ref();
    let is_free = rotation.is_none_or(|rotation| rotation.stage == RotationStage::Retired);
    // Of a whole fleet most are young, which is known without their own day.
    let first = pace.millis() - pace.millis() / SPREAD;
    let may_be = identity.signing.since.plus(first) <= now;
    may_be && is_free && identity.takes_mail() && due_at(identity, pace) <= now
}

/// How many may begin by themselves on one day: never a whole fleet, even when its clock leapt.
#[must_use]
pub fn per_day(identities: usize) -> usize {
    identities.div_ceil(FLEET_DAYS).max(LEAST_PER_DAY)
}

/// How many began by themselves on the day of this moment.
#[must_use]
pub fn scheduled_on(state: &FleetState, now: Timestamp) -> usize {
    let day = now.0 / Timestamp::DAY;
    let rotations = state
        .identities
        .values()
        .filter_map(|identity| identity.signing.rotation.as_ref());
    rotations
        .filter(|rotation| {
            rotation.cause == RotationCause::Scheduled
                && rotation.begun_at.0 / Timestamp::DAY == day
        })
        .count()
}
