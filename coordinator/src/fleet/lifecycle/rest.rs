//! What time does to an identity: rest takes from what it reached, quarantine ends in it.

use std::fmt::Write as _;

use email_engine_protocol::api::{IpStatus, Phase, Verdict};
use email_engine_protocol::time::Timestamp;

use super::{Event, Standing};
use crate::state::{FleetState, Identity, Leaving, Quarantine};

/// Idleness that costs one phase, and that ends sending.
pub(super) const IDLE_MILLIS: u64 = 30 * Timestamp::DAY;
/// Whoever was taken up has so long for a first mail, however long it was idle before.
const TAKEN_UP_MILLIS: u64 = 7 * Timestamp::DAY;
/// Least time since the last sighting before an identity leaves quarantine.
const QUARANTINE_MILLIS: u64 = 7 * Timestamp::DAY;
/// How long mail waits at one that is in quarantine: nobody else may send it in its place, and receivers that
/// see it a day late mistrust it.
const HOLD_QUEUED_MILLIS: u64 = 12 * Timestamp::HOUR;
/// Clean sweeps, one after the other, before it does.
pub(super) const CLEAN_SWEEPS: u8 = 2;
/// Sweeps are so far apart: what is said twice within that is one sweep.
const SWEEP_MILLIS: u64 = 4 * Timestamp::HOUR;

/// How long no mail has left an identity, as far as that is known.
#[must_use]
pub fn idle_millis(standing: &Standing, now: Timestamp) -> u64 {
    let sent = standing.last_sent.unwrap_or(standing.idle_from);
    now.since(sent.max(standing.idle_from))
}

/// The phase at which an identity would be taken up now: one less for each 30 days without mail. Whoever
/// sends is where it is.
#[must_use]
pub fn resumes_at(standing: &Standing, now: Timestamp) -> Phase {
    if standing.sends() {
        return standing.phase;
    }
    standing
        .phase
        .back(idle_millis(standing, now) / IDLE_MILLIS)
}

/// Where idleness counts from once an identity is taken up. What it cost is paid with phases; what is left
/// of it goes on where it is known when mail left last, because to be taken up is no mail.
pub(super) fn idle_since(standing: &Standing, now: Timestamp) -> Timestamp {
    let Some(sent) = standing.last_sent else {
        return now;
    };
    let paid = idle_millis(standing, now) / IDLE_MILLIS;
    sent.max(standing.idle_from).plus(paid * IDLE_MILLIS)
}

/// Whether it sends no more for want of mail.
pub(super) fn is_idle(standing: &Standing, now: Timestamp) -> bool {
    idle_millis(standing, now) >= IDLE_MILLIS && now.since(standing.since) >= TAKEN_UP_MILLIS
}

/// What is due of itself now.
#[must_use]
pub fn due(standing: &Standing, now: Timestamp) -> Option<Event> {
    if standing.sends() && is_idle(standing, now) {
        return Some(Event::Idle);
    }
    let out = standing.quarantine.as_ref();
    // Who was put there by a person's word is let go by one.
    let was_listed = out.filter(|out| !out.lists.is_empty());
    let is_clean = was_listed.is_some_and(|out| unclean(out, now).is_empty());
    (standing.status == IpStatus::Quarantine && is_clean).then_some(Event::Release)
}

/// Before this an identity is not let out of quarantine.
#[must_use]
pub const fn earliest_release(quarantine: &Quarantine) -> Timestamp {
    quarantine.last_sighting.plus(QUARANTINE_MILLIS)
}

/// When mail that waits at an identity is given up; nothing where it may leave, or is given up already.
#[must_use]
pub fn mail_expires_at(identity: &Identity) -> Option<Timestamp> {
    let out = identity.life.quarantine.as_ref()?;
    let waits = identity.spec.status == IpStatus::Quarantine && out.expired.is_none();
    waits.then(|| identity.life.since.plus(HOLD_QUEUED_MILLIS))
}

/// The same of one that left and drains. Whoever was let go meanwhile may send what it left behind, unless its
/// address is elsewhere now: then nobody ever will.
#[must_use]
pub fn drained_mail_expires_at(state: &FleetState, leaving: &Leaving) -> Option<Timestamp> {
    is_held_with(state, leaving).then(|| mail_expires_at(&leaving.identity))?
}

/// Whether what drains is as its identity is where it lives now: out.
#[must_use]
pub fn is_held_with(state: &FleetState, leaving: &Leaving) -> bool {
    let living = state.identities.get(&leaving.spec().address);
    living.is_none_or(|one| leaving.took_address || one.spec.status == IpStatus::Quarantine)
}

/// What keeps an identity in quarantine, for people. Nothing: it may go.
pub(super) fn unclean(quarantine: &Quarantine, now: Timestamp) -> Vec<String> {
    let mut missing = Vec::new();
    let until = earliest_release(quarantine);
    if now < until {
        let mut lists = String::new();
        for list in &quarantine.lists {
            let _ = write!(lists, " on {}", list.escape_debug());
        }
        missing.push(format!(
            "seen last{lists} at {}, and 7 days after that are over at {until}",
            quarantine.last_sighting
        ));
    }
    if quarantine.clean_sweeps < CLEAN_SWEEPS {
        missing.push(format!(
            "{} of {CLEAN_SWEEPS} clean sweeps since then",
            quarantine.clean_sweeps
        ));
    }
    missing
}

/// What a sweep that is over comes to for an identity that is out: it was found clean, or on a list that counts.
/// One that could not look is neither. What somebody said since the sweep began is of the same sweep.
pub fn count_sweep(
    (count, last): (&mut u8, &mut Option<Timestamp>),
    is_clean: bool,
    (began_at, now): (Timestamp, Timestamp),
) {
    if !is_clean {
        (*count, *last) = (0, None);
    } else if last.is_none_or(|last| last <= began_at) {
        (*count, *last) = (count.saturating_add(1), Some(now));
    }
}

/// What a look at the lists comes to for an identity that is out. One that could not look is neither.
pub fn state_listing(quarantine: &mut Quarantine, verdict: &Verdict, now: Timestamp) {
    match verdict {
        Verdict::Invalid { .. } => {
            quarantine.last_sighting = quarantine.last_sighting.max(now);
            quarantine.clean_sweeps = 0;
            quarantine.last_sweep = None;
        }
        Verdict::Valid => {
            let apart = |last: Timestamp| now.since(last) >= SWEEP_MILLIS;
            if quarantine.last_sweep.is_none_or(apart) {
                quarantine.clean_sweeps = quarantine.clean_sweeps.saturating_add(1);
                quarantine.last_sweep = Some(now);
            }
        }
        Verdict::Unknown { .. } => {}
    }
}
