//! Names of the mail world: domains, local parts, addresses. ASCII, lower case; an internationalised
//! name is given in its A-label form (RFC 5890).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::IdError;

/// A fully qualified domain name in lower case without the final dot, at least two labels
/// (RFC 1035 section 2.3.1, RFC 1123 section 2.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

const DOMAIN_RULE: &str =
    "a domain of two or more labels of letters, digits and '-', such as mail1.example.com";

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl DomainName {
    /// Checks the name and folds its case.
    ///
    /// # Errors
    /// When it is not a fully qualified ASCII name.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into().to_ascii_lowercase();
        let labels = text.split('.').count();
        let top_is_name = text
            .rsplit('.')
            .next()
            .is_some_and(|top| !top.bytes().all(|b| b.is_ascii_digit()));
        if text.len() <= 253 && labels >= 2 && top_is_name && text.split('.').all(is_label) {
            Ok(Self(text))
        } else {
            Err(refuse("domain", &text, DOMAIN_RULE))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.0
            .strip_suffix(&ancestor.0)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The first label, such as `mail1`.
    #[must_use]
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

/// The part of an address in front of `@`: dot-atom of RFC 5322 section 3.2.3, lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(String);

const LOCAL_RULE: &str =
    "1 to 64 letters, digits, '.', '-', '_' or '+', not beginning or ending with '.'";

impl LocalPart {
    /// Checks the text and folds its case.
    ///
    /// # Errors
    /// When it holds anything that would need quoting somewhere on its way.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into().to_ascii_lowercase();
        let good = (1..=64).contains(&text.len())
            && !text.starts_with('.')
            && !text.ends_with('.')
            && !text.contains("..")
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b));
        if good {
            Ok(Self(text))
        } else {
            Err(refuse("local part", &text, LOCAL_RULE))
        }
    }

    /// The local part as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mail address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress {
    /// In front of `@`.
    pub local: LocalPart,
    /// Behind it.
    pub domain: DomainName,
}

impl MailAddress {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// When one of its parts is not valid.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let (local, domain) = text.rsplit_once('@').ok_or_else(|| {
            refuse(
                "mail address",
                text,
                "an address such as postmaster@example.com",
            )
        })?;
        Ok(Self {
            local: LocalPart::new(local)?,
            domain: DomainName::new(domain)?,
        })
    }
}

fn refuse(what: &'static str, text: &str, rule: &'static str) -> IdError {
    IdError {
        what,
        got: text.chars().take(120).collect(),
        rule,
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

macro_rules! text_serde {
    ($name:ident, $parse:expr) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.to_string())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                $parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

text_serde!(DomainName, |text: &str| DomainName::new(text));
text_serde!(LocalPart, |text: &str| LocalPart::new(text));
text_serde!(MailAddress, MailAddress::new);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_checked_and_folded() {
        assert_eq!(
            DomainName::new("Mail1.Example.COM").unwrap().as_str(),
            "mail1.example.com"
        );
        for bad in [
            "",
            "com",
            "a..b",
            "-a.com",
            "a-.com",
            "a b.com",
            "a.com.",
            "192.0.2.1",
            "é.com",
        ] {
            assert!(DomainName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_means_whole_labels() {
        let brand = DomainName::new("example.com").unwrap();
        assert!(
            DomainName::new("mail1.example.com")
                .unwrap()
                .is_within(&brand)
        );
        assert!(brand.is_within(&brand));
        assert!(!DomainName::new("notexample.com").unwrap().is_within(&brand));
    }

    #[test]
    fn addresses_round_trip_through_text() {
        let address = MailAddress::new("Bounce@mail1.example.com").unwrap();
        assert_eq!(address.to_string(), "bounce@mail1.example.com");
        assert!(MailAddress::new("no-at.example.com").is_err());
        assert!(MailAddress::new("a b@example.com").is_err());
        let raw = postcard::to_stdvec(&address).unwrap();
        assert_eq!(postcard::from_bytes::<MailAddress>(&raw).unwrap(), address);
    }
}
