//! Who is authoritative for a name.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};

use super::exchange::exchange;
use super::message::{name, query, written};
use super::{AskConfig, ExchangeError};

/// Name servers of a zone that are asked.
const SERVERS: usize = 13;

/// A server of a zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddr,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.address.ip())
    }
}

/// A zone and who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub apex: String,
    /// Its servers.
    pub servers: Vec<Server>,
    /// Names of servers whose addresses nobody knows.
    pub lost: Vec<String>,
}

/// Asks the resolvers in turn until one answers.
pub(super) async fn resolve(
    config: &AskConfig,
    text: &str,
    kind: RecordType,
) -> Result<Message, String> {
    let Some(asked) = name(text) else {
        return Err(format!("{text:?} is no name that could be asked for"));
    };
    let mut why = "no resolver is configured".to_owned();
    for resolver in &config.resolvers {
        let message = query(asked.clone(), kind, true);
        match exchange(*resolver, &message, config.patience).await {
            Ok(answer) => match answer.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => return Ok(answer),
                code => why = format!("resolver {resolver} answers {code}"),
            },
            Err(error) => why = said(*resolver, &error),
        }
    }
    Err(why)
}

fn said(resolver: SocketAddr, error: &ExchangeError) -> String {
    format!("resolver {resolver} {error}")
}

/// Finds the zone that holds a name, and all its servers.
pub(super) async fn zone_of(config: &AskConfig, text: &str) -> Result<Zone, String> {
    let apex = apex_of(config, text).await?;
    let answer = resolve(config, &apex, RecordType::NS).await?;
    let names: BTreeSet<String> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::NS(server) if written(&record.name) == apex => Some(written(server)),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Err(format!("zone {apex} names no server"));
    }
    let mut zone = Zone {
        apex,
        servers: Vec::new(),
        lost: Vec::new(),
    };
    for server in names.into_iter().take(SERVERS) {
        let addresses = addresses_of(config, &server).await;
        if addresses.is_empty() {
            zone.lost.push(server);
            continue;
        }
        let at = addresses.into_iter().map(|address| Server {
            name: server.clone(),
            address: SocketAddr::new(address, config.port),
        });
        zone.servers.extend(at);
    }
    Ok(zone)
}

/// The apex of the zone: whoever answers names its SOA, as the answer or beside it.
async fn apex_of(config: &AskConfig, text: &str) -> Result<String, String> {
    let mut rest = text;
    loop {
        let answer = resolve(config, rest, RecordType::SOA).await?;
        let records = answer.answers.iter().chain(&answer.authorities);
        let mut owners = records.filter_map(|record| match &record.data {
            RData::SOA(_) => Some(written(&record.name)),
            _ => None,
        });
        let holds = |owner: &String| {
            text.strip_suffix(owner.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        if let Some(apex) = owners.find(holds) {
            return Ok(apex);
        }
        // An alias's answer tells of the zone that the alias leads to.
        match rest.split_once('.') {
            Some((_, parent)) => rest = parent,
            None => return Err(format!("nobody knows which zone holds {text}")),
        }
    }
}

async fn addresses_of(config: &AskConfig, server: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let Ok(answer) = resolve(config, server, kind).await else {
            continue;
        };
        found.extend(
            answer
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                }),
        );
    }
    found
}
