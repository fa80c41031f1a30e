//! Names in certificates, and what a node holds of its own.

use std::fmt;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use email_engine_protocol::id::{ClusterId, HostId, NodeId};

/// Who the other side of a connection is, by the URI in its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An agent.
    Host(HostId),
    /// A coordinator node.
    Node(NodeId),
}

/// A URI that is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not of the form that our certificates carry.
    #[error("certificate name {0:?} is not email-engine://CLUSTER/host/ID or /node/ID")]
    Form(String),
    /// Of another cluster.
    #[error("certificate is of cluster {theirs}, not of {ours}")]
    Foreign {
        /// Our cluster.
        ours: ClusterId,
        /// The certificate's.
        theirs: ClusterId,
    },
}

/// URI of an agent's certificate.
#[must_use]
pub fn host_uri(cluster: ClusterId, host: &HostId) -> String {
    format!("email-engine://{cluster}/host/{host}")
}

/// URI of a node's certificate.
#[must_use]
pub fn node_uri(cluster: ClusterId, node: NodeId) -> String {
    format!("email-engine://{cluster}/node/{node}")
}

/// DNS name of a node's certificate, for the stock verifier.
#[must_use]
pub fn node_dns_name(cluster: ClusterId, node: NodeId) -> String {
    format!("node-{node}.{cluster}.internal")
}

/// Reads a certificate's URI and refuses those of other clusters.
///
/// # Errors
/// When it is not ours.
pub fn parse_uri(cluster: ClusterId, uri: &str) -> Result<Peer, IdentityError> {
    let form = || IdentityError::Form(uri.chars().take(200).collect());
    let rest = uri.strip_prefix("email-engine://").ok_or_else(form)?;
    let mut parts = rest.splitn(3, '/');
    let (Some(theirs), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form());
    };
    let theirs: ClusterId = theirs.parse().map_err(|_| form())?;
    if theirs != cluster {
        return Err(IdentityError::Foreign {
            ours: cluster,
            theirs,
        });
    }
    match kind {
        "host" => HostId::new(id).map(Peer::Host).map_err(|_| form()),
        "node" => id
            .parse()
            .map(|id| Peer::Node(NodeId(id)))
            .map_err(|_| form()),
        _ => Err(form()),
    }
}

/// A node's own certificate and key, and the root that it trusts.
pub struct NodeIdentity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Leaf first, then the intermediate.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key (PKCS#8).
    pub key: PrivateKeyDer<'static>,
    /// The root.
    pub root: CertificateDer<'static>,
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Clone for NodeIdentity {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster,
            node: self.node,
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            root: self.root.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_cluster_are_read() {
        let ours = ClusterId([1; 16]);
        let host = HostId::new("pmta1").unwrap();
        assert_eq!(
            parse_uri(ours, &host_uri(ours, &host)),
            Ok(Peer::Host(host.clone()))
        );
        assert_eq!(
            parse_uri(ours, &node_uri(ours, NodeId(7))),
            Ok(Peer::Node(NodeId(7)))
        );
        let foreign = host_uri(ClusterId([2; 16]), &host);
        assert!(matches!(
            parse_uri(ours, &foreign),
            Err(IdentityError::Foreign { .. })
        ));
        for bad in [
            "",
            "https://x/y/z",
            "email-engine://x/host/a",
            "email-engine://",
        ] {
            assert!(
                matches!(parse_uri(ours, bad), Err(IdentityError::Form(_))),
                "{bad}"
            );
        }
        let odd = format!("email-engine://{ours}/host/A/B");
        assert!(matches!(parse_uri(ours, &odd), Err(IdentityError::Form(_))));
    }
}
