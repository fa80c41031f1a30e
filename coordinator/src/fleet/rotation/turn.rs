//! An identity after an edge: what signs, what is kept, what is counted.

use std::mem;

use email_engine_protocol::api::{Check, RotationCause, RotationStage, Statement};
use email_engine_protocol::time::Timestamp;

use super::{QUEUE_MILLIS, RECORD_MILLIS, WITHDRAWN_MILLIS};
use crate::state::{Identity, OtherKey, Rotation};

/// An old record that is to be kept somewhere else: its identity does not remember it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its selector, key and name.
    pub key: OtherKey,
    /// How long it must stay as it is: not at all, when it is withdrawn already.
    pub stays: u64,
}

/// A rotation begins, with a key that nobody had.
pub fn begin(
    identity: &mut Identity,
    other: OtherKey,
    cause: RotationCause,
    (now, revision): (Timestamp, u64),
) {
    identity.signing.rotation = Some(Rotation {
        stage: RotationStage::Publish,
        since: now,
        revision,
        begun_at: now,
        cause,
        other,
        seen: None,
        wanted: 0,
        counted: 0,
        counted_at: now,
    });
}

/// Brings a rotation to the stage to which an edge leads. Between verified and switching the keys change
/// places: from then on the other one is the old one.
pub fn turn(identity: &mut Identity, to: Option<RotationStage>, (now, revision): (Timestamp, u64)) {
    let sent_ever = identity.life.sent_ever;
    let Some(rotation) = identity.signing.rotation.as_mut() else {
        return;
    };
    let Some(to) = to else {
        identity.signing.rotation = None;
        return;
    };
    if to == rotation.stage {
        return;
    }
    rotation.stage = to;
    (rotation.since, rotation.revision) = (now, revision);
    match to {
        RotationStage::Publish | RotationStage::Verified => {}
        RotationStage::Switching => {
            mem::swap(&mut identity.spec.selector, &mut rotation.other.selector);
            mem::swap(&mut identity.dkim_key, &mut rotation.other.secret);
            mem::swap(&mut identity.dkim_public, &mut rotation.other.public);
            identity.signing.since = now;
            // What preflight asks of the record is asked of this one from now on.
            if let Some(seen) = rotation.seen.clone() {
                identity.life.checks.insert(Check::Dkim, seen);
            }
        }
        RotationStage::Switched | RotationStage::Retired => {
            rotation.wanted = match to {
                RotationStage::Retired => WITHDRAWN_MILLIS,
                _ if sent_ever => QUEUE_MILLIS + RECORD_MILLIS,
                _ => 0,
            };
            (rotation.counted, rotation.counted_at) = (0, now);
        }
    }
}

/// Counts what passed since it was counted last: a day at most, so that a leap of the clock is none of the
/// days for which a record must stay. Nothing is counted before the host signs with the new key.
pub fn count(rotation: &mut Rotation, now: Timestamp) {
    if rotation.has_two_keys() {
        return;
    }
    let passed = now.since(rotation.counted_at).min(Timestamp::DAY);
    rotation.counted = rotation.counted.saturating_add(passed).min(rotation.wanted);
    rotation.counted_at = now;
}

/// What was seen of the new record.
pub fn see(rotation: &mut Rotation, said: Statement) {
    rotation.seen = Some(said);
}

/// The record that is left of a rotation which is forgotten before its end: by another one, or because the
/// identity goes or changes its name. Of one whose key never signed nothing is left.
#[must_use]
pub fn left_behind(rotation: &Rotation, sent_ever: bool) -> Option<LeftBehind> {
    let stays = match rotation.stage {
        RotationStage::Publish | RotationStage::Verified => return None,
        RotationStage::Switching if !sent_ever => return None,
        RotationStage::Switching if rotation.cause == RotationCause::Emergency => 0,
        RotationStage::Switching => QUEUE_MILLIS + RECORD_MILLIS,
        RotationStage::Switched => rotation.wanted.saturating_sub(rotation.counted),
        RotationStage::Retired => 0,
    };
    let key = rotation.other.clone();
    Some(LeftBehind { key, stays })
}
