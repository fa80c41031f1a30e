//! How this node asks lists of bad senders.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use super::ConfigError;
use crate::state::SweepRules;

/// See the section `[dnsbl]` of the documented file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsblConfig {
    /// The resolver that lists are asked through.
    pub resolver: SocketAddr,
    /// Another one, by which a cluster of one node confirms what the first said.
    pub second_resolver: Option<SocketAddr>,
    /// Resolvers of others are used as well.
    pub foreign_resolvers: bool,
    /// Between the beginnings of two sweeps; 0 for none but those that are asked for.
    pub sweep_seconds: u64,
    /// Between two sightings that confirm each other.
    pub confirm_seconds: u64,
    /// After which another node takes over what one was to ask.
    pub takeover_seconds: u64,
    /// After a reply that names a list, until that list is asked about the identity.
    pub reply_seconds: u64,
    /// Lists with which this node's resolver is registered.
    pub registered: BTreeSet<ListId>,
}

impl Default for DnsblConfig {
    fn default() -> Self {
        Self {
            resolver: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
            second_resolver: None,
            foreign_resolvers: false,
            sweep_seconds: 4 * 3_600,
            confirm_seconds: 600,
            takeover_seconds: 900,
            reply_seconds: 120,
            registered: BTreeSet::new(),
        }
    }
}

/// Longest of the times.
const WEEK: u64 = 7 * 24 * 3_600;

impl DnsblConfig {
    /// Times that a sweep goes by which this node begins.
    #[must_use]
    pub const fn rules(&self) -> SweepRules {
        SweepRules {
            every: self.sweep_seconds * Timestamp::SECOND,
            confirm: self.confirm_seconds * Timestamp::SECOND,
            takeover: self.takeover_seconds * Timestamp::SECOND,
        }
    }

    /// How long replies wait for the list that they name to be asked, in milliseconds.
    #[must_use]
    pub const fn reply_delay(&self) -> u64 {
        self.reply_seconds * Timestamp::SECOND
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refused = |key: &str, value: String, accepted: &str| {
            Err(ConfigError::Value {
                key: format!("dnsbl.{key}"),
                value,
                accepted: accepted.to_owned(),
            })
        };
        for (key, value, least) in [
            ("sweep_seconds", self.sweep_seconds, 0),
            ("confirm_seconds", self.confirm_seconds, 1),
            ("takeover_seconds", self.takeover_seconds, 1),
            ("reply_seconds", self.reply_seconds, 1),
        ] {
            if !(least..=WEEK).contains(&value) {
                return refused(
                    key,
                    value.to_string(),
                    &format!("{least} to {WEEK} (7 days)"),
                );
            }
        }
        if self.second_resolver == Some(self.resolver) {
            let accepted = "another one than dnsbl.resolver";
            return refused("second_resolver", self.resolver.to_string(), accepted);
        }
        for (key, resolver) in [
            ("resolver", Some(self.resolver)),
            ("second_resolver", self.second_resolver),
        ] {
            if let Some(resolver) =
                resolver.filter(|one| !self.foreign_resolvers && !is_own(one.ip()))
            {
                let accepted = "a resolver of your own, on a loopback or private address: lists refuse those \
                                that many share, or tell them wrong things; `foreign_resolvers = true` uses \
                                it all the same";
                return refused(key, resolver.to_string(), accepted);
            }
        }
        Ok(())
    }
}

/// Whether an address is of this machine or its own network.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        // fc00::/7, RFC 4193.
        IpAddr::V6(address) => address.is_loopback() || address.segments()[0] & 0xfe00 == 0xfc00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_of_others_are_refused_unless_somebody_insists() {
        let config = |resolver: &str| DnsblConfig {
            resolver: resolver.parse().unwrap(),
            ..DnsblConfig::default()
        };
        for own in ["127.0.0.1:53", "[::1]:53", "[fd00::1]:53"] {
            config(own).check().unwrap();
        }
        for other in ["192.0.2.53:53", "[2001:db8::53]:53"] {
            let error = config(other).check().unwrap_err().to_string();
            assert!(
                error.contains("dnsbl.resolver") && error.contains(other),
                "{error}"
            );
            let insists = DnsblConfig {
                foreign_resolvers: true,
                ..config(other)
            };
            insists.check().unwrap();
        }
        let twice = DnsblConfig {
            second_resolver: Some(config("127.0.0.1:53").resolver),
            ..DnsblConfig::default()
        };
        assert!(
            twice
                .check()
                .unwrap_err()
                .to_string()
                .contains("dnsbl.second_resolver")
        );
        let never = DnsblConfig {
            confirm_seconds: 0,
            ..DnsblConfig::default()
        };
        assert!(
            never
                .check()
                .unwrap_err()
                .to_string()
                .contains("dnsbl.confirm_seconds")
        );
    }
}
