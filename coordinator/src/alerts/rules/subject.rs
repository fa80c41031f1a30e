//! What an alert is about.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::{ChannelName, HostId, NodeId, TenantId, TokenId};
use email_engine_protocol::mail::DomainName;

use super::Line;
use crate::state::FleetState;

/// What an alert is about. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlertSubject {
    /// A channel of alerts.
    Channel(ChannelName),
    /// The cluster as a whole.
    Cluster,
    /// A machine.
    Host(HostId),
    /// A sending identity.
    Identity(IpAddr),
    /// A list that names addresses.
    List(Line),
    /// A node of the cluster.
    Node(NodeId),
    /// A customer.
    Tenant(TenantId),
    /// A join token.
    Token(TokenId),
    /// A DNS zone.
    Zone(DomainName),
}

/// No alert is about this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{ACCEPTED}")]
pub struct UnknownSubject;

/// How what an alert is about is said.
const ACCEPTED: &str = "cluster, or channel, host, ip, list, node, tenant, token or zone and its name, as \
                            alerts say it: 'host pmta1'";

impl FromStr for AlertSubject {
    type Err = UnknownSubject;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, UnknownSubject> {
        if text == "cluster" {
            return Ok(Self::Cluster);
        }
        let (noun, name) = text.split_once(' ').ok_or(UnknownSubject)?;
        let read = match noun {
            "channel" => name.parse().map(Self::Channel).ok(),
            "host" => name.parse().map(Self::Host).ok(),
            "ip" => name.parse().map(Self::Identity).ok(),
            "list" => (!name.trim().is_empty()).then(|| Self::List(Line::new(name))),
            "node" => name.parse().map(NodeId).map(Self::Node).ok(),
            "tenant" => name.parse().map(Self::Tenant).ok(),
            "token" => name.parse().map(Self::Token).ok(),
            "zone" => name.parse().map(Self::Zone).ok(),
            _ => None,
        };
        read.ok_or(UnknownSubject)
    }
}

impl AlertSubject {
    /// Whether no tenant ever has it.
    #[must_use]
    pub const fn is_the_fleets(&self) -> bool {
        match self {
            Self::Channel(_) | Self::Host(_) | Self::Identity(_) | Self::Tenant(_) => false,
            Self::Cluster | Self::List(_) | Self::Node(_) | Self::Token(_) | Self::Zone(_) => true,
        }
    }

    /// Whose it is; none: the fleet's.
    #[must_use]
    pub fn tenant(&self, state: &FleetState) -> Option<TenantId> {
        match self {
            Self::Identity(address) => {
                let own = state.identities.get(address);
                own.map(|identity| identity.spec.tenant.clone())
            }
            Self::Host(host) => state.hosts.get(host)?.spec.tenant.clone(),
            Self::Tenant(tenant) => Some(tenant.clone()),
            Self::Channel(channel) => state.alerts.channels.get(channel)?.tenant.clone(),
            Self::Cluster | Self::List(_) | Self::Node(_) | Self::Token(_) | Self::Zone(_) => None,
        }
    }
}

impl fmt::Display for AlertSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(channel) => write!(f, "channel {channel}"),
            Self::Cluster => f.write_str("cluster"),
            Self::Host(host) => write!(f, "host {host}"),
            Self::Identity(address) => write!(f, "ip {address}"),
            Self::List(list) => write!(f, "list {list}"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Token(token) => write!(f, "token {token}"),
            Self::Zone(zone) => write!(f, "zone {zone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_subject_is_read_as_it() {
        let said = [
            "channel ops",
            "cluster",
            "host pmta1",
            "ip 192.0.2.1",
            "ip 2001:db8::1",
            "list zen.example.org",
            "node 3",
            "tenant client-1",
            "token t-1",
            "zone example.com",
        ];
        for text in said {
            let subject: AlertSubject = text.parse().unwrap();
            assert_eq!(subject.to_string(), text);
        }
        let long: AlertSubject = "ip 2001:DB8:0::1".parse().unwrap();
        assert_eq!(long.to_string(), "ip 2001:db8::1");
        let nothing = [
            "",
            "pmta1",
            "192.0.2.1",
            "host",
            "host ",
            "list ",
            "ip pmta1",
            "node one",
            "Host pmta1",
        ];
        for text in nothing {
            assert_eq!(text.parse::<AlertSubject>(), Err(UnknownSubject), "{text}");
        }
    }
}
