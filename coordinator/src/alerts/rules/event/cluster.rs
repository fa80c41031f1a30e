//! What is told of the cluster, its nodes, and the alerts themselves.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AlertKind;
use email_engine_protocol::id::{ChannelName, NodeId, RequestId, TokenId};
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{AlertSubject, Line, Words};

/// What is told of the cluster. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfCluster {
    /// A channel takes nothing.
    ChannelDead {
        /// Which one.
        channel: ChannelName,
        /// Since when.
        since: Timestamp,
        /// Why, the last time.
        error: Line,
    },
    /// A second machine showed a used token.
    Clone {
        /// Which token.
        token: TokenId,
        /// Who used it.
        holder: Line,
        /// Who was refused.
        refused: Line,
    },
    /// A node's certificate ends soon.
    NodeCertificateEnding {
        /// Which node.
        node: NodeId,
        /// When.
        ends_at: Timestamp,
    },
    /// A node hears no majority.
    NoQuorum {
        /// Which node says so.
        node: NodeId,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody tries whether alerts arrive.
    Test {
        /// Who.
        by: Line,
        /// To this channel alone.
        channel: Option<ChannelName>,
        /// By which request: two of them are two.
        request: RequestId,
    },
    /// A zone that the fleet changes is not as it has to be.
    ZoneStuck {
        /// Which zone.
        zone: DomainName,
        /// Since when.
        since: Timestamp,
        /// Why, the last time.
        why: Line,
    },
}

impl OfCluster {
    pub(super) const fn kind(&self) -> AlertKind {
        match self {
            Self::ChannelDead { .. } => AlertKind::ChannelDead,
            Self::Clone { .. } => AlertKind::CloneRefused,
            Self::NodeCertificateEnding { .. } => AlertKind::CertificateEnding,
            Self::NoQuorum { .. } => AlertKind::NoQuorum,
            Self::Test { .. } => AlertKind::Test,
            Self::ZoneStuck { .. } => AlertKind::DnsZoneStuck,
        }
    }

    pub(super) fn subject(&self) -> AlertSubject {
        match self {
            Self::ChannelDead { channel, .. } => AlertSubject::Channel(channel.clone()),
            Self::Clone { token, .. } => AlertSubject::Token(token.clone()),
            Self::NodeCertificateEnding { node, .. } | Self::NoQuorum { node, .. } => {
                AlertSubject::Node(*node)
            }
            Self::Test { .. } => AlertSubject::Cluster,
            Self::ZoneStuck { zone, .. } => AlertSubject::Zone(zone.clone()),
        }
    }

    pub(super) fn cause(&self) -> Line {
        match self {
            Self::Clone { refused, .. } => refused.clone(),
            Self::Test { request, .. } => request.as_str().into(),
            Self::ChannelDead { .. }
            | Self::NodeCertificateEnding { .. }
            | Self::NoQuorum { .. }
            | Self::ZoneStuck { .. } => Line::default(),
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Self::ChannelDead {
                channel,
                since,
                error,
            } => Words::new(format!("Channel {channel} takes no alerts since {since}"))
                .line(error.to_string())
                .line("What waits for it is kept for three days and tried again and again."),
            Self::Clone {
                token,
                holder,
                refused,
            } => Words::new(format!("Token {token}: a second machine showed it and was refused"))
                .line(format!("Used by {holder}."))
                .line(format!("Refused to {refused}."))
                .line("Action required: one of them may be an intruder's. If you do not know both, revoke the host and issue a new token."),
            Self::NodeCertificateEnding { node, ends_at } => {
                Words::new(format!("Node {node}: its certificate ends at {ends_at}"))
                    .line("It did not renew it at half of its life: see the node's log.")
            }
            Self::NoQuorum { node, since } => {
                Words::new(format!("Node {node} hears no majority of the cluster since {since}"))
                    .line("Hosts keep running as they are; nothing can be changed, and nothing is found or replaced.")
            }
            Self::Test { by, .. } => Words::new("A test: alerts of this cluster arrive here")
                .line(format!("Sent by {by}.")),
            Self::ZoneStuck { zone, since, why } => {
                Words::new(format!("Zone {zone} is not published as it has to be since {since}"))
                    .line(why.to_string())
                    .line(format!(
                        "It is tried again every hour. `email-engine dns plan {zone}` shows what is missing, `email-engine dns zones list` what was seen last."
                    ))
            }
        }
    }
}
