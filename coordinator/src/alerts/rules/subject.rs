//! What an alert is about.

use std::fmt;
use std::net::IpAddr;

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

impl AlertSubject {
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
