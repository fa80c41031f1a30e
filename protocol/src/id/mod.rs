//! Names of things. Each is checked where it enters, so that a value of these types is always good.

mod role;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bytes::{self, HexError};

pub use role::{Role, RoleName};

/// A name that does not follow its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {got:?} is not valid: {rule}")]
pub struct IdError {
    /// Which kind of name, such as `tenant id`.
    pub what: &'static str,
    /// The refused text, cut to 120 characters.
    pub got: String,
    /// What would be accepted.
    pub rule: &'static str,
}

const SLUG_RULE: &str =
    "1 to 63 lower-case letters, digits and '-', beginning with a letter and not ending with '-'";
const PATH_RULE: &str = "1 to 255 visible ASCII characters without blanks";
const REQUEST_RULE: &str = "1 to 64 letters, digits, '-', '_', '.' or ':'";

fn is_slug(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_path(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_request(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// Declares a validated string newtype.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:expr, $check:expr, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the name.
            ///
            /// # Errors
            /// When the text breaks the rule that the error states.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                if $check(&text) {
                    Ok(Self(text))
                } else {
                    let got = text.chars().take(120).collect();
                    Err(IdError { what: $what, got, rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

name_type!(
    /// A customer's slug, such as `client-1`.
    TenantId, "tenant id", is_slug, SLUG_RULE
);
name_type!(
    /// A managed machine's slug, such as `pmta1`.
    HostId, "host id", is_slug, SLUG_RULE
);
name_type!(
    /// Name of an inventory group of one tenant's identities, such as `client1-pool`.
    PoolName, "pool name", is_slug, SLUG_RULE
);
name_type!(
    /// Name of a virtual MTA. PowerMTA compares such names without case; ours are lower case.
    VmtaName, "virtual MTA name", is_slug, SLUG_RULE
);
name_type!(
    /// Public half of an API key: the part that is listed, logged and revoked by.
    ApiKeyId, "API key id", is_slug, SLUG_RULE
);
name_type!(
    /// Public half of a join token.
    TokenId, "token id", is_slug, SLUG_RULE
);
name_type!(
    /// Whoever judges mail by one set of rules: a provider of the catalogue, such as `gmail`, or `other`.
    ReceiverGroup, "receiver group", is_slug, SLUG_RULE
);
name_type!(
    /// What role files call an artifact, such as `mailwizz`: which one is meant is said apart.
    ArtifactName, "artifact name", is_slug, SLUG_RULE
);
name_type!(
    /// A list of bad senders that is asked by DNS, such as `spamhaus-zen`.
    ListId, "list id", is_slug, SLUG_RULE
);
name_type!(
    /// A way by which alerts go to people, such as `ops-chat`.
    ChannelName, "channel name", is_slug, SLUG_RULE
);
name_type!(
    /// Says which alerts go to which channels.
    RouteName, "route name", is_slug, SLUG_RULE
);
name_type!(
    /// Name of a secret, such as `dkim/mail1.example.com/mail`.
    SecretId, "secret id", is_path, PATH_RULE
);
name_type!(
    /// Name of a resource within one host's desired state, such as `file:/etc/pmta/config`.
    ResourceId, "resource id", is_path, PATH_RULE
);
name_type!(
    /// Chosen by whoever asks; a repeated one returns the first outcome.
    RequestId, "request id", is_request, REQUEST_RULE
);

/// Number of a coordinator node. Never reused: a wiped node comes back under a new one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which cluster: 16 random bytes, as 32 hex digits in names and certificates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytes::encode_hex(&self.0, f)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

impl FromStr for ClusterId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        bytes::decode_hex("cluster id", text).map(Self)
    }
}

impl Serialize for ClusterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bytes::deserialize("cluster id", deserializer).map(Self)
    }
}

impl ReceiverGroup {
    /// Receivers that the catalogue does not know.
    #[must_use]
    pub fn other() -> Self {
        Self("other".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_dns_labels() {
        for good in ["a", "client-1", &"a".repeat(63)] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a-", "A", "a_b", "a.b", "é", &"a".repeat(64)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_when_read_and_says_the_rule() {
        let error = serde_json::from_str::<HostId>("\"Bad Name\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("host id \"Bad Name\" is not valid: 1 to 63"),
            "{error}"
        );
    }
}
