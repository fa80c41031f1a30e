//! DNS by the name servers of the configuration.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MessageAuthenticator, SpfResult};
use thiserror::Error;

use crate::config::{Config, RollupRule};
use crate::engine::Overrides;

/// Looks names up.
pub(crate) struct Resolver {
    resolver: TokioResolver,
    checker: MessageAuthenticator,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Why there is no resolver, or no answer.
#[derive(Debug, Error)]
pub(crate) enum ResolverError {
    #[error("the resolver cannot be set up: {0}")]
    Setup(NetError),
    #[error("{name} does not exist")]
    NoSuchName { name: String },
    #[error("no answer about {name}: {why}")]
    NoAnswer { name: String, why: String },
}

/// A mail exchanger with its preference.
pub(crate) type Exchanger = (u16, String);

impl Resolver {
    pub(crate) fn new(config: &Config, overrides: &Overrides) -> Result<Self, ResolverError> {
        let server = |address: IpAddr, port: u16| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut one| {
                one.port = port;
                one
            });
            NameServerConfig::new(address, true, connections.into())
        };
        let servers: Vec<_> = match overrides.name_server {
            Some(address) => vec![server(address.ip(), address.port())],
            None => config
                .name_servers
                .iter()
                .map(|address| server(*address, 53))
                .collect(),
        };
        let (names, mut options) = if servers.is_empty() {
            hickory_resolver::system_conf::read_system_conf().map_err(ResolverError::Setup)?
        } else {
            (
                ResolverConfig::from_parts(None, Vec::new(), servers),
                ResolverOpts::default(),
            )
        };
        // Zones change under tests, and nothing here is looked up often.
        options.cache_size = 0;
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(names.clone(), provider)
            .with_options(options.clone())
            .build()
            .map_err(ResolverError::Setup)?;
        let checker = MessageAuthenticator::new(names, options).map_err(ResolverError::Setup)?;
        Ok(Self { resolver, checker })
    }

    /// Mail exchangers by preference; a domain without any is its own.
    pub(crate) async fn exchangers(&self, domain: &str) -> Result<Vec<Exchanger>, ResolverError> {
        match self.resolver.mx_lookup(absolute(domain)).await {
            Ok(found) => {
                let mut all: Vec<Exchanger> = found
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::MX(mx) => {
                            let name = mx.exchange.to_ascii();
                            Some((mx.preference, name.trim_end_matches('.').to_lowercase()))
                        }
                        _ => None,
                    })
                    .collect();
                all.sort();
                Ok(all)
            }
            Err(error) if error.is_nx_domain() => Err(ResolverError::NoSuchName {
                name: domain.to_owned(),
            }),
            Err(error) if error.is_no_records_found() => Ok(vec![(0, domain.to_owned())]),
            Err(error) => Err(no_answer(domain, &error)),
        }
    }

    /// Addresses of a host.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolverError> {
        match self.resolver.lookup_ip(absolute(host)).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
                Err(ResolverError::NoSuchName {
                    name: host.to_owned(),
                })
            }
            Err(error) => Err(no_answer(host, &error)),
        }
    }

    /// The rollup queue of a domain: every named exchanger of the queue is among the best ones.
    pub(crate) async fn rollup(&self, rules: &[RollupRule], domain: &str) -> Option<String> {
        let all = self.exchangers(domain).await.ok()?;
        let best = all.first()?.0;
        let names: Vec<_> = all
            .iter()
            .filter(|(preference, _)| *preference == best)
            .map(|(_, name)| name.as_str())
            .collect();
        let rule = rules.iter().find(|rule| {
            names
                .iter()
                .any(|name| crate::config::wildcard(&rule.exchanger, name))
        })?;
        let mut named = rules
            .iter()
            .filter(|other| other.queue == rule.queue && !other.exchanger.contains('*'));
        named
            .all(|other| names.contains(&other.exchanger.as_str()))
            .then(|| rule.queue.clone())
    }

    /// Whether mail of this sender may come from this address; absent when that is not known now.
    pub(crate) async fn spf(&self, source: IpAddr, helo: &str, orig: &str) -> Option<bool> {
        let parameters = SpfParameters::verify_mail_from(source, helo, helo, orig);
        match self.checker.verify_spf(parameters).await.result() {
            SpfResult::Pass => Some(true),
            SpfResult::TempError => None,
            _ => Some(false),
        }
    }
}

fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn no_answer(name: &str, error: &NetError) -> ResolverError {
    ResolverError::NoAnswer {
        name: name.to_owned(),
        why: error.to_string(),
    }
}
