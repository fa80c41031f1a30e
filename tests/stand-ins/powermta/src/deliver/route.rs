//! Which hosts take mail for a queue.

use std::net::{IpAddr, SocketAddr};

use super::resolver::{Resolver, ResolverError};
use crate::config::{Config, Layered};

/// A host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) host: String,
    pub(super) address: SocketAddr,
}

/// Why there is no way.
#[derive(Debug)]
pub(super) enum NoRoute {
    /// The domain does not exist, or takes no mail.
    Never(String),
    /// Ask again.
    Later(String),
}

impl From<ResolverError> for NoRoute {
    fn from(error: ResolverError) -> Self {
        match error {
            ResolverError::NoSuchName { .. } => Self::Never(error.to_string()),
            _ => Self::Later(error.to_string()),
        }
    }
}

/// Hosts in the order in which they are tried.
pub(super) async fn hops(
    resolver: &Resolver,
    config: &Config,
    settings: &Layered<'_>,
    domain: &str,
) -> Result<Vec<Hop>, NoRoute> {
    let port = settings.count("default-smtp-port").unwrap_or(25);
    let port = u16::try_from(port).unwrap_or(25);
    let written = settings.text("smtp-hosts");
    if written.is_empty() {
        let named = rollup_hosts(config, domain);
        if !named.is_empty() {
            return of_hosts(resolver, named.into_iter().map(|name| (name, port))).await;
        }
        return by_exchangers(resolver, domain, port).await;
    }
    if let Some(other) = written.strip_prefix("lookup-mx:") {
        return by_exchangers(resolver, other.trim(), port).await;
    }
    // Commas part hosts of one preference, semicolons preferences: one order for both.
    let hosts = written
        .split([',', ';'])
        .map(str::trim)
        .filter(|host| !host.is_empty());
    of_hosts(resolver, hosts.map(|host| with_port(host, port))).await
}

/// A rollup queue without wildcards goes to the exchangers that its lines name.
fn rollup_hosts(config: &Config, queue: &str) -> Vec<String> {
    let rules = config.rollups.iter().filter(|rule| rule.queue == queue);
    rules
        .filter(|rule| !rule.exchanger.contains('*'))
        .map(|rule| rule.exchanger.clone())
        .collect()
}

async fn by_exchangers(resolver: &Resolver, domain: &str, port: u16) -> Result<Vec<Hop>, NoRoute> {
    if let Some(literal) = domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return of_hosts(resolver, std::iter::once((format!("[{literal}]"), port))).await;
    }
    let exchangers = resolver.exchangers(domain).await?;
    // RFC 7505: a single `.` says that the domain takes no mail.
    if exchangers.iter().all(|(_, name)| name.is_empty()) {
        return Err(NoRoute::Never(format!("{domain} takes no mail")));
    }
    of_hosts(
        resolver,
        exchangers.into_iter().map(|(_, name)| (name, port)),
    )
    .await
}

async fn of_hosts(
    resolver: &Resolver,
    hosts: impl Iterator<Item = (String, u16)>,
) -> Result<Vec<Hop>, NoRoute> {
    let mut hops = Vec::new();
    let mut failure = NoRoute::Never("no host to deliver to".to_owned());
    for (host, port) in hosts {
        let literal = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .map(|inner| inner.trim_start_matches("IPv6:"));
        let found = match literal.map(str::parse::<IpAddr>) {
            Some(Ok(address)) => Ok(vec![address]),
            Some(Err(_)) => Err(NoRoute::Never(format!("{host} is no address"))),
            None => resolver.addresses(&host).await.map_err(NoRoute::from),
        };
        match found {
            Ok(addresses) => hops.extend(addresses.into_iter().map(|address| Hop {
                host: host.clone(),
                address: SocketAddr::new(address, port),
            })),
            Err(why) => {
                // That one host is not known now is no reason to bounce.
                if !matches!(failure, NoRoute::Later(_)) {
                    failure = why;
                }
            }
        }
    }
    if hops.is_empty() {
        Err(failure)
    } else {
        Ok(hops)
    }
}

fn with_port(host: &str, port: u16) -> (String, u16) {
    let after_bracket = host.rfind(']').map_or(0, |at| at + 1);
    match host[after_bracket..].rsplit_once(':') {
        Some((_, digits)) if digits.parse::<u16>().is_ok() => {
            let name = &host[..host.len() - digits.len() - 1];
            (name.to_owned(), digits.parse().unwrap_or(port))
        }
        _ => (host.to_owned(), port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_carry_its_port() {
        let read = |host: &str| with_port(host, 25);
        assert_eq!(read("h1.example:1025"), ("h1.example".to_owned(), 1025));
        assert_eq!(read("[192.0.2.1]:2525"), ("[192.0.2.1]".to_owned(), 2525));
        assert_eq!(
            read("[IPv6:2001:db8::1]"),
            ("[IPv6:2001:db8::1]".to_owned(), 25)
        );
    }
}
