//! The join token: one string that lets one new machine in.
//!
//! It carries where to call, the pin of the CA to expect there, what the machine may become, whom it may
//! believe from then on, and a single-use secret of which the cluster stores only the hash.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bytes::{CaPin, RecoveryPin, SecretHash};
use crate::canonical;
use crate::id::{ClusterId, HostId, Role, TokenId};
use crate::limits;
use crate::time::Timestamp;

/// Where a coordinator is reached: host name or address, and port, such as `192.0.2.10:7443`.
pub type Endpoint = String;

/// What a token lets its bearer become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// The agent of this host.
    Host {
        /// Its name.
        host: HostId,
        /// Its role.
        role: Role,
    },
    /// A new coordinator node; its number is given when it joins.
    Node,
}

/// Whom a new machine may believe, by whoever made its token: the root of all that is signed for hosts,
/// and where the fleet stood. Somebody between the two cannot put another cluster in its place, nor a plan
/// key that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustPin {
    /// Hash of the recovery key's public halves.
    pub recovery: RecoveryPin,
    /// The plan key in force: none below it is believed.
    pub plan_key_version: u32,
    /// The epoch in force: one above it needs the recovery key's grant.
    pub epoch: u64,
}

/// A join token as its bearer holds it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Its public half: listed, logged and revoked by this name.
    pub id: TokenId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Hash of the CA's public key: the coordinator must show a chain to it.
    pub ca_pin: CaPin,
    /// Whom to believe.
    pub trust: TrustPin,
    /// Where to call.
    pub endpoints: Vec<Endpoint>,
    /// What it lets its bearer become.
    pub admission: Admission,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Its secret half.
    pub secret: [u8; 32],
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id)
            .field("cluster", &self.cluster)
            .field("admission", &self.admission)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A text that is not a join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Not one at all.
    #[error(
        "a join token begins with {PREFIX:?} and is one unbroken line of at most 4096 characters"
    )]
    Form,
    /// Cut or mistyped.
    #[error("join token is damaged: its checksum does not fit; copy it again, whole")]
    Checksum,
    /// Made by an older version.
    #[error(
        "join token was made by an older version of Email-Engine and does not say whom to believe: make \
         another one with `email-engine token create`"
    )]
    Outdated,
    /// Made by a newer version.
    #[error("join token was made by a newer version of Email-Engine")]
    Version,
}

const PREFIX: &str = "eejoin2.";
/// Of every form that there was or will be: the form's number follows, and a dot.
const FAMILY: &str = "eejoin";
const FORM: u32 = 2;

/// What follows the beginning of a token of our form.
fn body(text: &str) -> Result<&str, JoinTokenError> {
    let versioned = text.strip_prefix(FAMILY).ok_or(JoinTokenError::Form)?;
    let (form, body) = versioned.split_once('.').ok_or(JoinTokenError::Form)?;
    match form.parse::<u32>() {
        // One number has one text: `eejoin02.` is nobody's.
        Ok(number) if number.to_string() != form => Err(JoinTokenError::Form),
        Ok(FORM) => Ok(body),
        Ok(number) if number < FORM => Err(JoinTokenError::Outdated),
        Ok(_) => Err(JoinTokenError::Version),
        Err(_) => Err(JoinTokenError::Form),
    }
}

impl JoinToken {
    /// What the cluster stores instead of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> SecretHash {
        hash_secret(&self.secret)
    }

    /// The string that is handed over.
    ///
    /// # Panics
    /// Never: a token serialises.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(postcard::to_stdvec(self).expect("a token serialises"));
        let sum = crc32c::crc32c(&bytes).to_be_bytes();
        bytes.extend_from_slice(&sum);
        Zeroizing::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }
}

/// SHA-256 of a random 32-byte secret, under a domain. Such a secret needs no slow hash.
#[must_use]
pub fn hash_secret(secret: &[u8; 32]) -> SecretHash {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(b"email-engine/secret-hash/v1\0");
    context.update(secret);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    SecretHash(out)
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim();
        if text.len() > limits::TOKEN_CHARS {
            return Err(JoinTokenError::Form);
        }
        let body = body(text)?;
        let bytes = Zeroizing::new(
            BASE64URL_NOPAD
                .decode(body.as_bytes())
                .map_err(|_| JoinTokenError::Form)?,
        );
        let split = bytes.len().checked_sub(4).ok_or(JoinTokenError::Form)?;
        let (payload, sum) = bytes.split_at(split);
        if sum != crc32c::crc32c(payload).to_be_bytes() {
            return Err(JoinTokenError::Checksum);
        }
        canonical::decode(payload).map_err(|_| JoinTokenError::Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            id: TokenId::new("t-1").unwrap(),
            cluster: ClusterId([1; 16]),
            ca_pin: CaPin([2; 32]),
            trust: TrustPin {
                recovery: RecoveryPin([3; 32]),
                plan_key_version: 1,
                epoch: 1,
            },
            endpoints: vec!["192.0.2.10:7443".to_owned()],
            admission: Admission::Host {
                host: HostId::new("pmta1").unwrap(),
                role: Role::Powermta,
            },
            expires_at: Timestamp(5),
            secret: [9; 32],
        }
    }

    #[test]
    fn a_token_round_trips_and_damage_is_seen() {
        let text = token().to_text();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token());
        let cut = &text[..text.len() - 4];
        assert!(cut.parse::<JoinToken>().is_err());
        assert_eq!(
            "hello".parse::<JoinToken>().unwrap_err(),
            JoinTokenError::Form
        );
    }

    #[test]
    fn a_token_of_another_form_is_refused_by_its_age_whatever_is_in_it() {
        let ours = token().to_text();
        let body = ours.strip_prefix(PREFIX).unwrap();
        for (beginning, refusal) in [
            ("eejoin1.", JoinTokenError::Outdated),
            ("eejoin0.", JoinTokenError::Outdated),
            ("eejoin3.", JoinTokenError::Version),
            ("eejoin02.", JoinTokenError::Form),
            ("eejoin+2.", JoinTokenError::Form),
            ("eejoin.", JoinTokenError::Form),
            ("eejoin99999999999.", JoinTokenError::Form),
        ] {
            let text = format!("{beginning}{body}");
            assert_eq!(text.parse::<JoinToken>(), Err(refusal), "{beginning}");
        }
        assert_eq!(PREFIX, format!("{FAMILY}{FORM}."));
    }

    #[test]
    fn a_token_never_prints_its_secret() {
        let shown = format!("{:?}", token());
        assert!(
            shown.contains("pmta1") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
