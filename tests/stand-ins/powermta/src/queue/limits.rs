//! How many connections and messages a queue may have now.

use std::net::IpAddr;

use super::one::{Mode, Queue};
use super::window::Rates;
use crate::config::{Config, Layered, Rate, SourceHost};

/// Of a queue in its mode.
pub(super) fn rates(queue: &Queue, settings: &Layered<'_>) -> Rates {
    // A back-off directive holds in back-off mode; unset, the ordinary one does.
    let rate = |ordinary: &str, in_backoff: &str| {
        let own = (queue.mode == Mode::Backoff).then(|| settings.rate(in_backoff));
        own.flatten()
            .or_else(|| settings.rate(ordinary))
            .unwrap_or(Rate::UNLIMITED)
    };
    Rates {
        messages: rate("max-msg-rate", "backoff-max-msg-rate"),
        volume: rate("max-data-volume-rate", "backoff-max-data-volume-rate"),
        connects: rate("max-connect-rate", "backoff-max-connect-rate"),
    }
}

/// Of one address within a queue.
pub(super) fn rates_of_source(settings: &Layered<'_>, source: IpAddr) -> Rates {
    let rate = |name: &str| {
        let own = settings.rate_of_source(name, source);
        own.unwrap_or(Rate::UNLIMITED)
    };
    Rates {
        messages: rate("source-ip-max-msg-rate"),
        volume: rate("source-ip-max-data-volume-rate"),
        connects: rate("source-ip-max-connect-rate"),
    }
}

/// Of a virtual MTA, over all its queues.
pub(super) fn rates_of_vmta(config: &Config, vmta: &str) -> Rates {
    let own = config.virtual_mtas.get(&vmta.to_lowercase());
    let rate = |name: &str| {
        let rate = own.and_then(|own| own.settings.rate(name));
        rate.unwrap_or(Rate::UNLIMITED)
    };
    Rates {
        messages: rate("max-smtp-msg-rate"),
        volume: rate("max-smtp-data-volume-rate"),
        connects: Rate::UNLIMITED,
    }
}

/// Connections of one address to a domain; the deprecated directive holds where the other says
/// nothing of the address.
pub(super) fn most_of_source(settings: &Layered<'_>, source: IpAddr) -> usize {
    let limit = settings
        .count_of_source("source-ip-max-smtp-out", source)
        .or_else(|| settings.count("max-smtp-out-per-source-ip"));
    whole(limit)
}

/// Recipients of one transaction.
pub(super) fn most_recipients(settings: &Layered<'_>) -> usize {
    whole(
        settings
            .count("max-rcpt-per-message")
            .filter(|&count| count > 0),
    )
}

fn whole(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

pub(super) fn most_connections(queue: &Queue, settings: &Layered<'_>) -> usize {
    let ordinary = settings.count("max-smtp-out");
    let limit = match queue.mode {
        Mode::Normal => ordinary,
        Mode::Backoff => settings.count("backoff-max-smtp-out"),
    };
    whole(limit)
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
