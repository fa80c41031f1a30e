//! Secrets of tenants, by what they are called. What is in one is told to hosts alone, sealed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What a tenant's secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TenantSecret {
    /// By which programs of the tenant's know each other at its API service. Made by the cluster unless an
    /// operator gives one.
    ApiKey,
    /// By which the API service is known to MailWizz. Only an operator can give it.
    MailwizzApiKey,
}

/// A word that is no name of a tenant's secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {got:?} is not known: accepted are api-key and mailwizz-api-key")]
pub struct TenantSecretError {
    /// The refused text, cut to 120 characters.
    pub got: String,
}

impl TenantSecret {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ApiKey, Self::MailwizzApiKey];
    /// What a value must be: it stands in a file that systemd reads, and needs no quoting there.
    pub const VALUE: &str =
        "8 to 512 letters, digits and signs out of - . _ ~ + / = : @, without blanks and line ends";

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::MailwizzApiKey => "mailwizz-api-key",
        }
    }

    /// Whether a text may be the value of one: see [`VALUE`](Self::VALUE).
    #[must_use]
    pub fn accepts(value: &str) -> bool {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=:@".contains(&b);
        (8..=512).contains(&value.len()) && value.bytes().all(inner)
    }
}

impl fmt::Display for TenantSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TenantSecret {
    type Err = TenantSecretError;

    fn from_str(text: &str) -> Result<Self, TenantSecretError> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| TenantSecretError {
            got: text.chars().take(120).collect(),
        })
    }
}

/// Gives a tenant a secret, in the place of the one that it has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct TenantSecretRequest {
    /// The secret itself.
    pub value: String,
}

impl fmt::Debug for TenantSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantSecretRequest(redacted)")
    }
}

/// That a tenant has a secret. What it is is never answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSecretView {
    /// Which one.
    pub name: TenantSecret,
    /// Grows when another takes its place; none while there is none.
    pub version: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_in_a_file_of_variables_as_it_is() {
        for good in ["12345678", "0f3b.A-_~+/=:@", &"a".repeat(512)] {
            assert!(TenantSecret::accepts(good), "{good}");
        }
        let long = "a".repeat(513);
        for bad in [
            "",
            "1234567",
            "1234 5678",
            "1234567\n",
            "12345678\"",
            "12345678$",
            &long,
        ] {
            assert!(!TenantSecret::accepts(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written_and_values_never_print() {
        for name in TenantSecret::ALL {
            assert_eq!(name.as_str().parse(), Ok(name));
            let word = serde_json::to_value(name).unwrap();
            assert_eq!(word, name.as_str());
        }
        let error = "dkim".parse::<TenantSecret>().unwrap_err().to_string();
        assert!(error.contains("mailwizz-api-key"), "{error}");
        let request = TenantSecretRequest {
            value: "hunter2hunter2".to_owned(),
        };
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
