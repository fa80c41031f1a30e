//! Addresses of web services that the fleet calls.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::IdError;
use crate::mail::DomainName;

/// Where an application answers, such as `https://app.example.com`: what is asked of it is appended. What
/// goes there carries a key, so that without TLS it may only be this very machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceUrl(String);

const RULE: &str = "https://NAME[:PORT][/PATH] of at most 255 characters, without user, query and fragment; \
                    http:// only with a loopback address, because a key goes along";

impl ServiceUrl {
    /// Checks the address; slashes at its end are left out.
    ///
    /// # Errors
    /// When it is none, or a key would be readable on its way there.
    pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
        let text = text.as_ref();
        if is_service(text) {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(IdError {
                what: "address of a service",
                got: text.chars().take(120).collect(),
                rule: RULE,
            })
        }
    }

    /// The address, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_service(text: &str) -> bool {
    let (is_private, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return false,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    text.len() <= 255
        && path.bytes().all(is_path)
        && !path.split('/').any(|part| part == "." || part == "..")
        && host_of(authority).is_some_and(|host| match host {
            Host::Address(address) => is_private || address.is_loopback(),
            Host::Name => is_private,
        })
}

enum Host {
    Address(IpAddr),
    Name,
}

/// Whom `NAME`, `NAME:PORT`, `192.0.2.1:PORT` or `[2001:db8::1]:PORT` names.
fn host_of(authority: &str) -> Option<Host> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    // Digits alone: Rust would also take a sign.
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|b| b.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if !port.is_none_or(is_port) {
        return None;
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(v6) => v6.parse().ok().map(|v6| Host::Address(IpAddr::V6(v6))),
        None => match host.parse() {
            Ok(v4) => Some(Host::Address(IpAddr::V4(v4))),
            Err(_) => DomainName::new(host).ok().map(|_| Host::Name),
        },
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for ServiceUrl {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl Serialize for ServiceUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServiceUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_reached_by_tls_or_on_this_machine() {
        for (given, kept) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com/", "https://app.example.com"),
            (
                "https://app.example.com:8443/mail/",
                "https://app.example.com:8443/mail",
            ),
            (
                "https://192.0.2.1/api/index.php",
                "https://192.0.2.1/api/index.php",
            ),
            ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(ServiceUrl::new(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn what_would_show_a_key_or_lead_elsewhere_is_refused() {
        let long = format!("https://app.example.com/{}", "a".repeat(255));
        for bad in [
            "",
            "app.example.com",
            "ftp://app.example.com",
            "HTTPS://app.example.com",
            "http://app.example.com",
            "http://192.0.2.1",
            "https://",
            "https:///path",
            "https://user@app.example.com",
            "https://app.example.com?key=1",
            "https://app.example.com/#top",
            "https://app.example.com/a b",
            "https://app.example.com/../admin",
            "https://app.example.com:0",
            "https://app.example.com:+1",
            "https://app.example.com:",
            "https://2001:db8::1",
            "https://[192.0.2.1]",
            "https://app.example.com\n",
            long.as_str(),
        ] {
            let error = ServiceUrl::new(bad).unwrap_err();
            assert_eq!(error.rule, RULE, "{bad}");
        }
    }
}
