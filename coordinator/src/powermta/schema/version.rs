//! Versions of the product, as far as their rules differ.

use std::fmt;

/// A version whose rules a text is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 4.5.
    V4_5,
    /// 5.0, which the guide at hand describes.
    #[default]
    V5_0,
}

/// Since when a directive is known. What nothing calls new counts as 4.5's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// 4.5 or before.
    V4_5,
    /// 5.0.
    V5_0,
    /// In a later revision of the guide only.
    Later,
}

impl Since {
    /// As tables write it.
    pub(super) fn named(text: &str) -> Option<Self> {
        match text {
            "4.5" => Some(Self::V4_5),
            "5.0" => Some(Self::V5_0),
            "later" => Some(Self::Later),
            _ => None,
        }
    }
}

impl Version {
    /// Whether it knows what is there since `since`.
    #[must_use]
    pub const fn knows(self, since: Since) -> bool {
        match since {
            Since::V4_5 => true,
            Since::V5_0 => matches!(self, Self::V5_0),
            Since::Later => false,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4_5 => "4.5",
            Self::V5_0 => "5.0",
        })
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4_5 => "4.5",
            Self::V5_0 => "5.0",
            Self::Later => "after 5.0",
        })
    }
}
