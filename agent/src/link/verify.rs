//! Is the other side a coordinator node of our cluster?
//!
//! The agent dials addresses and does not know node numbers, so the certificate says which node it
//! is, and that name is then given to the stock verifier: chain, dates, purpose and name are all
//! checked by it, against one root. While enrolling, the root is whichever presented certificate
//! has the key that the token pins.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use email_engine_protocol::bytes::{CaPin, ContentHash};
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::time::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::identity::Validity;

/// Most certificates that are looked at: leaf, two intermediates, root, one to spare.
const CHAIN: usize = 5;

/// What the chain must end in.
#[derive(Clone, Debug)]
pub(super) enum Anchor {
    /// A certificate with this key, shown by the server.
    Pin(CaPin),
    /// This certificate.
    Root(CertificateDer<'static>),
}

/// How strictly the dates of the server's certificates are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dates {
    /// By this time.
    At(Timestamp),
    /// Not at all: our own clock may be wrong. Only for asking for a renewal, where whoever holds
    /// an old node key could do no more than not answer.
    Any,
}

/// Why the other side is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerRefusal {
    /// No presented certificate has the pinned key.
    #[error("its CA is not the one that the token pins: expected {expected}, found {found}")]
    Pin {
        /// From the token.
        expected: CaPin,
        /// Of the last certificate that was shown.
        found: CaPin,
    },
    /// The certificate names no node.
    #[error("its certificate is not that of a coordinator node: {0}")]
    NotANode(&'static str),
    /// The certificate is for a node of another cluster.
    #[error("it belongs to another cluster: expected {expected}, found {found}")]
    Cluster {
        /// Ours.
        expected: ClusterId,
        /// Theirs.
        found: ClusterId,
    },
    /// By our clock the certificate is over, or not yet valid.
    #[error("its certificate is not valid at {now}, which is what our clock shows")]
    Dates {
        /// Our clock.
        now: Timestamp,
    },
    /// The stock verifier refuses it.
    #[error("its certificate is refused: {0}")]
    Chain(String),
}

/// The verifier of one dial. Keeps what it refused, because the transport only hands on a text.
pub(super) struct NodeVerifier {
    cluster: ClusterId,
    anchor: Anchor,
    dates: Dates,
    provider: Arc<CryptoProvider>,
    refusal: Mutex<Option<ServerRefusal>>,
}

impl fmt::Debug for NodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeVerifier({}, {:?})", self.cluster, self.dates)
    }
}

impl NodeVerifier {
    pub(super) fn new(
        cluster: ClusterId,
        anchor: Anchor,
        dates: Dates,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self {
            cluster,
            anchor,
            dates,
            provider,
            refusal: Mutex::new(None),
        }
    }

    /// Why the handshake failed, when it was this verifier that refused.
    pub(super) fn refusal(&self) -> Option<ServerRefusal> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
    ) -> Result<ServerCertVerified, ServerRefusal> {
        let root = self.root(leaf, above)?;
        let (cluster, node) = node_name(leaf)?;
        if cluster != self.cluster {
            return Err(ServerRefusal::Cluster {
                expected: self.cluster,
                found: cluster,
            });
        }
        let now = match self.dates {
            Dates::At(now) => now,
            Dates::Any => middle_of(leaf, above)?,
        };
        let name = ServerName::try_from(format!("node-{node}.{cluster}.internal"))
            .map_err(|_| ServerRefusal::NotANode("its name is no host name"))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).map_err(chain)?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| ServerRefusal::Chain(error.to_string()))?
            .verify_server_cert(leaf, above, &name, &[], unix(now))
            .map_err(|error| match error {
                rustls::Error::InvalidCertificate(
                    CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. },
                ) => ServerRefusal::Dates { now },
                other => chain(other),
            })
    }

    fn root<'a>(
        &'a self,
        leaf: &'a CertificateDer<'a>,
        above: &'a [CertificateDer<'a>],
    ) -> Result<&'a CertificateDer<'a>, ServerRefusal> {
        let expected = match &self.anchor {
            Anchor::Root(root) => return Ok(root),
            Anchor::Pin(pin) => *pin,
        };
        for certificate in above.iter().take(CHAIN) {
            if key_pin(certificate)? == expected {
                return Ok(certificate);
            }
        }
        Err(ServerRefusal::Pin {
            expected,
            found: key_pin(above.last().unwrap_or(leaf))?,
        })
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(leaf, above).map_err(|refusal| {
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal.clone());
            rustls::Error::General(refusal.to_string())
        })
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            leaf,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
pub(super) fn key_pin(certificate: &[u8]) -> Result<CaPin, ServerRefusal> {
    let parsed = parse(certificate)?;
    Ok(CaPin(ContentHash::of(parsed.public_key().raw).0))
}

/// The one node URI of a certificate.
fn node_name(leaf: &[u8]) -> Result<(ClusterId, NodeId), ServerRefusal> {
    let parsed = parse(leaf)?;
    let mut names = uris(&parsed).into_iter().filter_map(|uri| {
        let (cluster, node) = uri.strip_prefix("email-engine://")?.split_once("/node/")?;
        let (cluster, node) = (
            cluster.parse::<ClusterId>().ok()?,
            node.parse::<u64>().ok()?,
        );
        // One spelling per name: what was not written by our CA's rule is no name.
        (uri == format!("email-engine://{cluster}/node/{node}")).then_some((cluster, NodeId(node)))
    });
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(ServerRefusal::NotANode("it carries no node name")),
        (Some(_), Some(_)) => Err(ServerRefusal::NotANode("it carries two node names")),
    }
}

/// URI names of a certificate.
pub(super) fn uris(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

/// A moment at which every shown certificate is valid.
fn middle_of(
    leaf: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
) -> Result<Timestamp, ServerRefusal> {
    let mut common = Validity {
        not_before: Timestamp(0),
        not_after: Timestamp(u64::MAX),
    };
    for certificate in std::iter::once(leaf).chain(above.iter().take(CHAIN)) {
        let one =
            Validity::of(certificate).map_err(|_| ServerRefusal::NotANode("it does not parse"))?;
        common.not_before = common.not_before.max(one.not_before);
        common.not_after = common.not_after.min(one.not_after);
    }
    Ok(common
        .not_before
        .plus(common.not_after.since(common.not_before) / 2))
}

fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, ServerRefusal> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|_| ServerRefusal::NotANode("it does not parse"))
}

// By value, because it is handed to `map_err`.
#[expect(clippy::needless_pass_by_value)]
fn chain(error: rustls::Error) -> ServerRefusal {
    ServerRefusal::Chain(error.to_string())
}

pub(super) fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(at.0))
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{NodeNames, TestCluster};
    use super::super::tls;
    use super::*;

    fn judge(
        cluster: &TestCluster,
        shown: &[CertificateDer<'static>],
        anchor: Anchor,
        dates: Dates,
    ) -> Result<(), ServerRefusal> {
        let verifier = NodeVerifier::new(cluster.id, anchor, dates, tls::provider());
        verifier.judge(&shown[0], &shown[1..]).map(|_| ())
    }

    fn now() -> Dates {
        Dates::At(TestCluster::now())
    }

    #[test]
    fn a_node_of_our_cluster_is_believed_by_root_and_by_pin() {
        let ours = TestCluster::new(1);
        let (chain, _) = ours.node(3, &NodeNames::default());
        judge(&ours, &chain, Anchor::Root(ours.root.clone()), now()).unwrap();
        judge(&ours, &chain, Anchor::Pin(ours.pin()), now()).unwrap();
    }

    #[test]
    fn another_ca_is_refused_by_naming_both_pins() {
        let (ours, theirs) = (TestCluster::new(1), TestCluster::new(1));
        let (chain, _) = theirs.node(3, &NodeNames::default());
        let refusal = judge(&ours, &chain, Anchor::Pin(ours.pin()), now()).unwrap_err();
        let (expected, found) = (ours.pin(), theirs.pin());
        assert_eq!(refusal, ServerRefusal::Pin { expected, found });
        let text = refusal.to_string();
        assert!(text.contains(&expected.to_string()) && text.contains(&found.to_string()));
        let refusal = judge(&ours, &chain, Anchor::Root(ours.root.clone()), now()).unwrap_err();
        assert!(matches!(refusal, ServerRefusal::Chain(_)), "{refusal}");
    }

    #[test]
    fn a_root_that_is_only_shown_vouches_for_nothing() {
        let (ours, theirs) = (TestCluster::new(1), TestCluster::new(1));
        let (mut chain, _) = theirs.node(3, &NodeNames::default());
        chain.push(ours.root.clone());
        let refusal = judge(&ours, &chain, Anchor::Pin(ours.pin()), now()).unwrap_err();
        assert!(matches!(refusal, ServerRefusal::Chain(_)), "{refusal}");
    }

    #[test]
    fn other_clusters_hosts_and_false_names_are_refused() {
        let ours = TestCluster::new(1);
        let other = TestCluster::new(2);
        let anchor = || Anchor::Root(ours.root.clone());
        let refused = |names: NodeNames| {
            let (chain, _) = ours.node(3, &names);
            judge(&ours, &chain, anchor(), now()).unwrap_err()
        };
        let uri = format!("email-engine://{}/node/3", other.id);
        let refusal = refused(NodeNames {
            uri: Some(uri),
            ..NodeNames::default()
        });
        assert!(
            matches!(refusal, ServerRefusal::Cluster { .. }),
            "{refusal}"
        );
        for uri in [
            format!("email-engine://{}/host/3", ours.id),
            format!("email-engine://{}/node/03", ours.id),
            format!("https://{}/node/3", ours.id),
        ] {
            let refusal = refused(NodeNames {
                uri: Some(uri),
                ..NodeNames::default()
            });
            assert!(matches!(refusal, ServerRefusal::NotANode(_)), "{refusal}");
        }
        let dns = format!("node-4.{}.internal", ours.id);
        let refusal = refused(NodeNames {
            dns: Some(dns),
            ..NodeNames::default()
        });
        assert!(matches!(refusal, ServerRefusal::Chain(_)), "{refusal}");
        let refusal = refused(NodeNames {
            client_only: true,
            ..NodeNames::default()
        });
        assert!(matches!(refusal, ServerRefusal::Chain(_)), "{refusal}");
        let identity = ours.identity("pmta1");
        let refusal = judge(&ours, &identity.chain, anchor(), now()).unwrap_err();
        assert!(matches!(refusal, ServerRefusal::NotANode(_)), "{refusal}");
    }

    #[test]
    fn dates_count_except_for_whoever_cannot_trust_its_clock() {
        let ours = TestCluster::new(1);
        let (chain, _) = ours.node(3, &NodeNames::default());
        let anchor = || Anchor::Root(ours.root.clone());
        for at in [Timestamp(0), TestCluster::now().plus(4000 * Timestamp::DAY)] {
            let refusal = judge(&ours, &chain, anchor(), Dates::At(at)).unwrap_err();
            assert_eq!(refusal, ServerRefusal::Dates { now: at });
        }
        judge(&ours, &chain, anchor(), Dates::Any).unwrap();
    }
}
