//! How many connections and messages a queue may have now.

use std::net::IpAddr;

use super::one::{Mode, Queue};
use crate::config::{Config, Layered, Rate, SourceHost};

/// A back-off directive holds in back-off mode; unset, the ordinary one does.
pub(super) fn rate(queue: &Queue, settings: &Layered<'_>, name: &str) -> Rate {
    let ordinary = settings.rate(name).unwrap_or(Rate::UNLIMITED);
    if queue.mode == Mode::Normal {
        return ordinary;
    }
    settings
        .rate(&format!("backoff-{name}"))
        .unwrap_or(ordinary)
}

pub(super) fn most_connections(queue: &Queue, settings: &Layered<'_>) -> usize {
    let ordinary = settings.count("max-smtp-out");
    let limit = match queue.mode {
        Mode::Normal => ordinary,
        Mode::Backoff => settings.count("backoff-max-smtp-out"),
    };
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// The addresses of a virtual MTA; without any, the global ones; without those, the system's.
pub(crate) fn sources<'a>(config: &'a Config, vmta: &str) -> &'a [SourceHost] {
    config
        .virtual_mtas
        .get(&vmta.to_lowercase())
        .map(|vmta| vmta.source_hosts.as_slice())
        .filter(|own| !own.is_empty())
        .unwrap_or(&config.source_hosts)
}

/// Every address of a source host, in turn; a network counts with each of its hosts.
pub(super) fn addresses(hosts: &[SourceHost]) -> Vec<(IpAddr, &SourceHost)> {
    const MOST_OF_A_NETWORK: usize = 65_536;
    hosts
        .iter()
        .flat_map(|host| {
            host.network
                .hosts()
                .take(MOST_OF_A_NETWORK)
                .map(move |address| (address, host))
        })
        .collect()
}
