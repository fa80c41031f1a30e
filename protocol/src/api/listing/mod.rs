//! What lists of bad senders say, and what of it an operator is told.

use serde::{Deserialize, Serialize};

/// What a listing means for whom it names. Ordered: the strongest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListingClass {
    /// Confirmed, it takes an identity out of service.
    A,
    /// It slows an identity; a second piece of evidence takes it out of service.
    B,
    /// It is told, and nothing else.
    C,
    /// It says what an address is for, not what it did: it keeps it from entering service.
    Policy,
}

impl ListingClass {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::Policy => "policy",
        }
    }
}
