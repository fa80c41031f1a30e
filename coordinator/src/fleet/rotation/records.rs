//! Which DKIM records an identity must have now.

use email_engine_protocol::api::RotationStage;
use email_engine_protocol::time::Timestamp;

use crate::state::Identity;

/// A record below `_domainkey` of an identity's domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published<'a> {
    /// Its selector.
    pub selector: &'a str,
    /// The key; none in a record that says that its key is not good any more.
    pub key: Option<&'a str>,
    /// When that may end, as far as it is known.
    pub until: Option<Timestamp>,
}

/// The records of an identity: that of the key that it signs with first, with the key in it whatever
/// happens.
#[must_use]
pub fn published(identity: &Identity) -> Vec<Published<'_>> {
    let mut records = vec![Published {
        selector: &identity.spec.selector,
        key: Some(&identity.dkim_public),
        until: None,
    }];
    records.extend(identity.signing.rotation.as_ref().map(|rotation| {
        let left = rotation.wanted.saturating_sub(rotation.counted);
        let counted = matches!(
            rotation.stage,
            RotationStage::Switched | RotationStage::Retired
        );
        Published {
            selector: &rotation.other.selector,
            key: (rotation.stage != RotationStage::Retired).then_some(&*rotation.other.public),
            until: counted.then(|| rotation.counted_at.plus(left)),
        }
    }));
    records
}
