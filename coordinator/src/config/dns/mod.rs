//! Whom a node asks about DNS.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use crate::dns::ask::AskConfig;

/// Where resolvers are named on most machines.
const SYSTEM: &str = "/etc/resolv.conf";

/// Whom to ask about DNS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Addresses of resolvers, with ports where they are not 53, separated by commas; the machine's own when
    /// empty.
    pub resolvers: String,
    /// Port of authoritative servers.
    pub port: u16,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            resolvers: String::new(),
            port: 53,
        }
    }
}

impl DnsConfig {
    /// The resolvers that are named.
    ///
    /// # Errors
    /// When one is no address.
    pub fn named(&self) -> Result<Vec<SocketAddr>, ConfigError> {
        let words = self.resolvers.split(',').map(str::trim);
        let parse = |word: &str| {
            let with_port = word.parse::<SocketAddr>().ok();
            let alone = || word.parse::<IpAddr>().ok();
            let found = with_port.or_else(|| alone().map(|address| (address, 53).into()));
            found.ok_or_else(|| ConfigError::Value {
                key: "dns.resolvers".to_owned(),
                value: word.to_owned(),
                accepted: "addresses such as 192.0.2.53 or 192.0.2.53:5353, separated by commas"
                    .to_owned(),
            })
        };
        words.filter(|word| !word.is_empty()).map(parse).collect()
    }

    /// Whom to ask.
    ///
    /// # Errors
    /// When a resolver is no address.
    pub fn ask(&self) -> Result<AskConfig, ConfigError> {
        let named = self.named()?;
        let are_named = !named.is_empty();
        let resolvers = match are_named {
            true => named,
            false => AskConfig::resolvers_of(Path::new(SYSTEM)),
        };
        Ok(AskConfig {
            resolvers,
            are_named,
            port: self.port,
            patience: AskConfig::PATIENCE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resolvers: &str) -> DnsConfig {
        DnsConfig {
            resolvers: resolvers.to_owned(),
            ..DnsConfig::default()
        }
    }

    #[test]
    fn resolvers_are_addresses_with_or_without_ports() {
        let named = of("192.0.2.53, [2001:db8::53]:5353").named().unwrap();
        let wanted: Vec<SocketAddr> = ["192.0.2.53:53", "[2001:db8::53]:5353"]
            .map(|one| one.parse().unwrap())
            .into();
        assert_eq!(named, wanted);
        let error = of("ns1.example.com").named().unwrap_err().to_string();
        assert!(error.contains("dns.resolvers") && error.contains("ns1.example.com"));
    }

    #[test]
    fn the_machines_own_resolvers_are_not_named() {
        assert!(!of("").ask().unwrap().are_named);
        assert!(of("192.0.2.53").ask().unwrap().are_named);
    }
}
