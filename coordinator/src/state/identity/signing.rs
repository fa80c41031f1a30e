//! What an identity signs with: the key of today, the one that comes, the one that went.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{RotationCause, RotationStage, Statement};
use email_engine_protocol::id::SecretId;
use email_engine_protocol::time::Timestamp;

use super::Identity;

/// What is kept of an identity's DKIM keys beside the one that signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// The selector that was declared last. A file that says it again says nothing new: what rotations
    /// made of it since stands.
    pub declared: String,
    /// Since when its key signs.
    pub since: Timestamp,
    /// Day (`20261122`) and number of the last selector that a rotation gave. They only grow, so that none
    /// is given twice.
    pub last_given: Option<(u32, u32)>,
    /// The rotation that is under way, or whose old record is not gone yet.
    pub rotation: Option<Rotation>,
}

/// A rotation. What may become of it is said by [`crate::fleet::rotation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Where it stands.
    pub stage: RotationStage,
    /// Since when.
    pub since: Timestamp,
    /// Fleet revision since which a target knows of it: a host that is at one which was planned later has
    /// what this stage asks of it.
    pub revision: u64,
    /// When it began.
    pub begun_at: Timestamp,
    /// Why.
    pub cause: RotationCause,
    /// The other key: the new one until it signs, the old one from then on.
    pub other: OtherKey,
    /// What was seen of the new record last.
    pub seen: Option<Statement>,
    /// Milliseconds that the old record must stay, and then its withdrawal, in this stage.
    pub wanted: u64,
    /// Milliseconds of them that were counted.
    pub counted: u64,
    /// When they were counted last.
    pub counted_at: Timestamp,
}

/// A key of an identity that does not sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherKey {
    /// Its private half in the table of secrets; there until it is the old one and not on a host any more.
    pub secret: SecretId,
    /// Its selector.
    pub selector: String,
    /// Its public half, as in [`Identity::dkim_public`].
    pub public: String,
}

impl Signing {
    /// Of an identity that begins with the selector that was declared.
    #[must_use]
    pub const fn new(declared: String, now: Timestamp) -> Self {
        Self {
            declared,
            since: now,
            last_given: None,
            rotation: None,
        }
    }
}

impl Rotation {
    /// Whether the private half of the other key is kept.
    #[must_use]
    pub const fn has_two_keys(&self) -> bool {
        use RotationStage::{Publish, Switching, Verified};
        matches!(self.stage, Publish | Verified | Switching)
    }

    /// Whether its host shall have the other key's file.
    #[must_use]
    pub const fn is_on_host(&self) -> bool {
        matches!(
            self.stage,
            RotationStage::Verified | RotationStage::Switching
        )
    }

    /// Whether the new key is the one that its host shall sign with.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        use RotationStage::{Retired, Switched, Switching};
        matches!(self.stage, Switching | Switched | Retired)
    }
}

impl Identity {
    /// The key beside the one that signs, while its private half is kept.
    #[must_use]
    pub fn second_key(&self) -> Option<&OtherKey> {
        let rotation = self.signing.rotation.as_ref();
        let rotation = rotation.filter(|rotation| rotation.has_two_keys());
        rotation.map(|rotation| &rotation.other)
    }

    /// The key beside the one that signs whose file its host shall have.
    #[must_use]
    pub fn second_key_file(&self) -> Option<&OtherKey> {
        let rotation = self.signing.rotation.as_ref();
        let rotation = rotation.filter(|rotation| rotation.is_on_host());
        rotation.map(|rotation| &rotation.other)
    }

    /// The public halves of the keys whose private halves it has.
    pub fn publics(&self) -> impl Iterator<Item = &String> {
        let second = self.second_key().map(|other| &other.public);
        std::iter::once(&self.dkim_public).chain(second)
    }

    /// The public half of a key whose private half it has.
    #[must_use]
    pub fn public_of(&self, key: &SecretId) -> Option<&String> {
        if self.dkim_key == *key {
            return Some(&self.dkim_public);
        }
        let second = self.second_key().filter(|other| other.secret == *key);
        second.map(|other| &other.public)
    }

    /// Whether it has the private half of a key.
    #[must_use]
    pub fn has_key(&self, key: &SecretId) -> bool {
        self.public_of(key).is_some()
    }
}
