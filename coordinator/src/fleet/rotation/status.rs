//! What a rotation waits for, and whether it has waited for too long.

use email_engine_protocol::api::{RotationCause, RotationStage, Verdict};
use email_engine_protocol::time::Timestamp;

use super::{HOST_MILLIS, PUBLISH_MILLIS, URGENT_MILLIS};
use crate::state::{Identity, Rotation};

/// By when a stage should be over; none of what is only counted.
#[must_use]
pub fn deadline(rotation: &Rotation) -> Option<Timestamp> {
    let is_urgent = rotation.cause == RotationCause::Emergency;
    let millis = match rotation.stage {
        RotationStage::Publish if is_urgent => URGENT_MILLIS,
        RotationStage::Publish => PUBLISH_MILLIS,
        RotationStage::Verified | RotationStage::Switching => HOST_MILLIS,
        RotationStage::Switched | RotationStage::Retired => return None,
    };
    Some(rotation.since.plus(millis))
}

/// Why a rotation does not go on, once it should have. It is said and nothing else: nothing switches
/// because time passed.
#[must_use]
pub fn stuck(identity: &Identity, now: Timestamp) -> Option<String> {
    let rotation = identity.signing.rotation.as_ref()?;
    let by = deadline(rotation).filter(|by| *by < now)?;
    let waits = waits_for(identity, now);
    Some(format!(
        "{} should have been over by {by}: {waits}",
        rotation.stage
    ))
}

/// What a rotation waits for, for people.
#[must_use]
pub fn waits_for(identity: &Identity, now: Timestamp) -> String {
    let Some(rotation) = &identity.signing.rotation else {
        return "nothing".to_owned();
    };
    let (host, domain) = (&identity.spec.host, &identity.spec.domain);
    let left = rotation.wanted.saturating_sub(rotation.counted);
    let days = left.div_ceil(Timestamp::DAY);
    let record = |selector: &str| format!("{selector}._domainkey.{domain}");
    match rotation.stage {
        RotationStage::Publish => {
            let seen = rotation.seen.as_ref().map(|said| match &said.verdict {
                Verdict::Valid => format!("; {} saw it valid at {}", said.by, said.at),
                Verdict::Invalid { what } => format!("; {} saw at {}: {what}", said.by, said.at),
                Verdict::Unknown { why } => format!("; {} could not see it: {why}", said.by),
            });
            format!(
                "{} has to be published, and seen on every authoritative server{}",
                record(&rotation.other.selector),
                seen.unwrap_or_default()
            )
        }
        RotationStage::Verified if is_stale(rotation, now) => format!(
            "{} was seen valid more than 24 hours ago: somebody has to look again",
            record(&rotation.other.selector)
        ),
        RotationStage::Verified => format!("host {host} has to report that it has the new key"),
        RotationStage::Switching => {
            format!("host {host} has to report that it signs with the new key")
        }
        RotationStage::Switched => format!(
            "{} has to stay as it is for {days} more days",
            record(&rotation.other.selector)
        ),
        RotationStage::Retired => format!(
            "{} has to say that its key is not good any more, for {days} more days",
            record(&rotation.other.selector)
        ),
    }
}

fn is_stale(rotation: &Rotation, now: Timestamp) -> bool {
    let seen = rotation.seen.as_ref();
    seen.is_some_and(|said| now.since(said.at) > crate::fleet::lifecycle::FRESH_MILLIS)
}
