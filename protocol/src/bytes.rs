//! Fixed-size byte values: hashes, public keys, signatures.
//!
//! In JSON and TOML they are lower-case hex; on the wire and in the log they are raw bytes with a
//! length, so that a value of the wrong size is refused instead of shifting what follows.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not the hex form of a value of this size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {expected} hex digits, got {got:?}")]
pub struct HexError {
    /// What was being read, such as `content hash`.
    pub what: &'static str,
    /// Number of hex digits that the value has.
    pub expected: usize,
    /// The refused text, cut to 80 characters.
    pub got: String,
}

pub(crate) fn decode_hex<const N: usize>(
    what: &'static str,
    text: &str,
) -> Result<[u8; N], HexError> {
    let refuse = || HexError {
        what,
        expected: N * 2,
        got: text.chars().take(80).collect(),
    };
    if text.len() != N * 2 {
        return Err(refuse());
    }
    let decoded = HEXLOWER
        .decode(text.to_ascii_lowercase().as_bytes())
        .map_err(|_| refuse())?;
    decoded.try_into().map_err(|_| refuse())
}

pub(crate) fn encode_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&HEXLOWER.encode(bytes))
}

/// Serialises as hex for people and as bytes for machines.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        HEXLOWER.encode(bytes).serialize(serializer)
    } else {
        serializer.serialize_bytes(bytes)
    }
}

struct Sized<const N: usize>(&'static str);

impl<const N: usize> de::Visitor<'_> for Sized<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {N} bytes", self.0)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes
            .try_into()
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
    what: &'static str,
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        decode_hex(what, &text).map_err(de::Error::custom)
    } else {
        deserializer.deserialize_bytes(Sized::<N>(what))
    }
}

/// Declares a newtype over `[u8; N]` with hex text form.
macro_rules! byte_type {
    ($(#[$doc:meta])* $name:ident, $size:expr, $what:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                decode_hex($what, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize($what, deserializer).map(Self)
            }
        }
    };
}

byte_type!(
    /// SHA-256 of a body: its name in every store, manifest and request.
    ContentHash, 32, "content hash"
);
byte_type!(
    /// An Ed25519 public key.
    VerifyingKey, 32, "Ed25519 public key"
);
byte_type!(
    /// An Ed25519 signature.
    Signature, 64, "Ed25519 signature"
);
byte_type!(
    /// An X25519 public key to which secrets are sealed (RFC 9180, DHKEM).
    SealingPublicKey, 32, "X25519 public key"
);
byte_type!(
    /// SHA-256 of the DER SubjectPublicKeyInfo of a root certificate.
    CaPin, 32, "CA pin"
);
byte_type!(
    /// SHA-256 of the public halves of a cluster's recovery key.
    RecoveryPin, 32, "recovery pin"
);
byte_type!(
    /// Salted SHA-256 of a secret: says which bytes are meant without telling them.
    Commitment, 32, "commitment"
);
byte_type!(
    /// Random bytes that a coordinator chose for one session, so that old reports cannot be replayed.
    Nonce, 16, "nonce"
);
byte_type!(
    /// SHA-256 of a token's or API key's secret half: what is stored instead of it.
    SecretHash, 32, "secret hash"
);
byte_type!(
    /// Serial number of an issued certificate (RFC 5280 section 4.1.2.2, 16 random bytes).
    CertificateSerial, 16, "certificate serial"
);

impl ContentHash {
    /// The hash of a body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, body);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_raw_forms_round_trip() {
        let hash = ContentHash::of(b"body");
        assert_eq!(hash.to_string().parse::<ContentHash>().unwrap(), hash);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
        let raw = postcard::to_stdvec(&hash).unwrap();
        assert_eq!(raw.len(), 33);
        assert_eq!(postcard::from_bytes::<ContentHash>(&raw).unwrap(), hash);
    }

    #[test]
    fn a_value_of_the_wrong_size_is_refused() {
        let raw = postcard::to_stdvec(&Nonce([7; 16])).unwrap();
        assert!(postcard::from_bytes::<ContentHash>(&raw).is_err());
        let error = "abc".parse::<Nonce>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "nonce must be 32 hex digits, got \"abc\""
        );
        assert!("é".repeat(16).parse::<Nonce>().is_err());
    }
}
