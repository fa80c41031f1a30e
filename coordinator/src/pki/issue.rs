//! Leaves: certificates of hosts and nodes, made from a request of which only the key counts.

use std::fmt;
use std::net::IpAddr;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::{ClusterId, HostId, NodeId};
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;

use super::authority::{Authority, AuthorityError, key_pair, set_validity};
use super::term::{Life, Term};
use super::{NodeIdentity, host_uri, node_dns_name, node_uri};

/// Bytes of an uncompressed P-256 point.
const P256_POINT: usize = 65;

/// An issued certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Leaf first, then the intermediate (DER).
    pub chain: Vec<Vec<u8>>,
    /// Its serial.
    pub serial: CertificateSerial,
    /// SHA-256 of its key (SubjectPublicKeyInfo).
    pub spki: ContentHash,
    /// Its end.
    pub not_after: Timestamp,
}

/// Why no certificate is issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Larger than a request may be.
    #[error("certificate request of {0} bytes is over the limit of {limit}", limit = limits::CERTIFICATE_BYTES)]
    TooLarge(usize),
    /// Not PKCS#10, or its signature is not by its key.
    #[error("certificate request does not parse or prove its key: {0}")]
    Request(rcgen::Error),
    /// Another kind of key.
    #[error("certificate request is for another key than ECDSA P-256")]
    Key,
    /// An end point that no certificate can carry.
    #[error("end point {0:?} is not HOST:PORT")]
    Endpoint(Endpoint),
    /// No new key.
    #[error(transparent)]
    Make(Box<AuthorityError>),
    /// The encoder failed.
    #[error("certificate cannot be signed: {0}")]
    Sign(rcgen::Error),
}

/// A request that proved possession of a P-256 key.
#[derive(Debug)]
pub struct Request {
    parsed: CertificateSigningRequestParams,
    spki: ContentHash,
}

impl Request {
    /// Checks a PKCS#10 request (DER).
    ///
    /// # Errors
    /// When it does not prove possession of a P-256 key.
    pub fn parse(der: &[u8]) -> Result<Self, IssueError> {
        if der.len() > limits::CERTIFICATE_BYTES {
            return Err(IssueError::TooLarge(der.len()));
        }
        let parsed =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
                .map_err(IssueError::Request)?;
        let key = &parsed.public_key;
        if PublicKeyData::algorithm(key) != &rcgen::PKCS_ECDSA_P256_SHA256
            || key.der_bytes().len() != P256_POINT
        {
            return Err(IssueError::Key);
        }
        let spki = ContentHash::of(&key.subject_public_key_info());
        Ok(Self { parsed, spki })
    }

    /// SHA-256 of its key (SubjectPublicKeyInfo).
    #[must_use]
    pub const fn spki(&self) -> ContentHash {
        self.spki
    }
}

impl Authority {
    /// A host's certificate.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn issue_host(
        &self,
        request: &Request,
        host: &HostId,
        term: Term,
    ) -> Result<Issued, IssueError> {
        let mut params = leaf_params(&format!("host {host}"), term);
        params.subject_alt_names = vec![uri(host_uri(self.cluster, host))?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params, request, term)
    }

    /// A node's certificate, good for the names under which it is reached.
    ///
    /// # Errors
    /// When an end point is none, or the encoder fails.
    pub fn issue_node(
        &self,
        request: &Request,
        node: NodeId,
        endpoints: &[Endpoint],
        term: Term,
    ) -> Result<Issued, IssueError> {
        let mut params = leaf_params(&format!("node {node}"), term);
        let mut names = vec![
            uri(node_uri(self.cluster, node))?,
            dns(node_dns_name(self.cluster, node))?,
        ];
        for endpoint in endpoints {
            let name = endpoint_name(endpoint)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        params.subject_alt_names = names;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        self.sign(&params, request, term)
    }

    /// A new key and certificate for a node of ours, issued by itself: the first node of a new
    /// cluster, or any node that renews.
    ///
    /// # Errors
    /// As [`issue_node`](Self::issue_node), or when there is no randomness.
    pub fn issue_own(
        &self,
        node: NodeId,
        endpoints: &[Endpoint],
        (now, life): (Timestamp, Life),
    ) -> Result<(NodeIdentity, Issued), IssueError> {
        let key = NodeKey::generate().map_err(|error| IssueError::Make(Box::new(error)))?;
        let request = Request::parse(key.request())?;
        let term = Term::fresh(now, life, &Entropy(&ring::rand::SystemRandom::new()));
        let issued = self.issue_node(&request, node, endpoints, term)?;
        let identity = key.into_identity(self.cluster, node, &issued.chain, &self.root);
        Ok((identity, issued))
    }

    fn sign(
        &self,
        params: &CertificateParams,
        request: &Request,
        term: Term,
    ) -> Result<Issued, IssueError> {
        let leaf = params
            .signed_by(&request.parsed.public_key, &self.issuer)
            .map_err(IssueError::Sign)?;
        Ok(Issued {
            chain: vec![leaf.der().to_vec(), self.intermediate.to_vec()],
            serial: term.serial,
            spki: request.spki,
            not_after: term.not_after,
        })
    }
}

/// A node's new key with the request for its certificate. Never printed.
pub struct NodeKey {
    pair: KeyPair,
    request: Vec<u8>,
}

/// A key that is not a node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a P-256 key in PKCS#8 form")]
pub struct NodeKeyError;

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(redacted)")
    }
}

impl NodeKey {
    /// A new random P-256 key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, AuthorityError> {
        Self::of(key_pair("a node's key")?)
    }

    /// The key with this PKCS#8 form.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NodeKeyError> {
        KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(der),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
        .map_err(|_| NodeKeyError)
        .and_then(|pair| Self::of(pair).map_err(|_| NodeKeyError))
    }

    /// The private key (PKCS#8 DER), for storing it.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.pair.serialized_der()
    }

    /// SHA-256 of its public half (SubjectPublicKeyInfo).
    #[must_use]
    pub fn spki(&self) -> ContentHash {
        ContentHash::of(&self.pair.subject_public_key_info())
    }

    fn of(pair: KeyPair) -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&pair)
            .map_err(|source| AuthorityError::Make {
                what: "a certificate request",
                source,
            })?;
        let request = request.der().to_vec();
        Ok(Self { pair, request })
    }

    /// PKCS#10 request (DER). Names nobody: the cluster knows whom it lets in.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The identity with the certificate that was issued for this key.
    #[must_use]
    pub fn into_identity(
        self,
        cluster: ClusterId,
        node: NodeId,
        chain: &[Vec<u8>],
        root: &[u8],
    ) -> NodeIdentity {
        NodeIdentity {
            cluster,
            node,
            chain: chain.iter().cloned().map(CertificateDer::from).collect(),
            key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.pair.serialize_der())),
            root: CertificateDer::from(root.to_vec()),
        }
    }
}

fn leaf_params(name: &str, term: Term) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    set_validity(&mut params, term.not_before, term.not_after);
    params.serial_number = Some(SerialNumber::from_slice(term.serial.as_bytes()));
    // Says "no CA" aloud, which also makes the encoder write the subject key identifier.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn uri(uri: String) -> Result<SanType, IssueError> {
    uri.try_into().map(SanType::URI).map_err(IssueError::Sign)
}

fn dns(name: String) -> Result<SanType, IssueError> {
    name.try_into()
        .map(SanType::DnsName)
        .map_err(IssueError::Sign)
}

fn endpoint_name(endpoint: &Endpoint) -> Result<SanType, IssueError> {
    let (name, _) = endpoint
        .rsplit_once(':')
        .filter(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
        .ok_or_else(|| IssueError::Endpoint(endpoint.clone()))?;
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => dns(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::ServerName;
    use x509_parser::prelude::*;

    use super::super::testbed::{TestPki, now};
    use super::super::verify;
    use super::*;

    #[test]
    fn a_host_gets_a_name_and_nothing_that_it_asked_for() {
        let pki = TestPki::new();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["node-1.evil.internal".to_owned()]).unwrap();
        wish.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let csr = wish.serialize_request(&key).unwrap();
        let request = Request::parse(csr.der()).unwrap();
        let term = Term::fresh(now(), Life::default(), &pki.entropy());
        let host = HostId::new("pmta1").unwrap();
        let issued = pki.issuer.issue_host(&request, &host, term).unwrap();
        let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
        assert!(!leaf.is_ca());
        let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.client_auth && !purposes.server_auth);
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value;
        let expected = host_uri(pki.record.id, &host);
        assert_eq!(names.general_names, [GeneralName::URI(&expected)]);
        assert_eq!(leaf.raw_serial(), term.serial.as_bytes());
        assert_eq!(ContentHash::of(leaf.public_key().raw), issued.spki);
        let life = leaf.validity();
        let days = (life.not_after.timestamp() - life.not_before.timestamp()) / 86_400;
        assert_eq!(days, 9);
        for oid in [
            oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
            oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
        ] {
            assert!(leaf.get_extension_unique(&oid).unwrap().is_some(), "{oid}");
        }
    }

    #[test]
    fn a_node_is_good_for_its_names_and_a_host_is_no_server() {
        let pki = TestPki::new();
        let node = pki.node(
            NodeId(3),
            &[
                "192.0.2.7:7443",
                "n3.example.com:7444",
                "[2001:db8::7]:7443",
            ],
        );
        let judge = |chain: &[CertificateDer<'static>], name: &str| {
            let verifier = verify::server_verifier(&node.root).unwrap();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let at = rustls_pki_types::UnixTime::now();
            verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], at)
        };
        let dns_name = node_dns_name(pki.record.id, NodeId(3));
        for name in [
            dns_name.as_str(),
            "192.0.2.7",
            "n3.example.com",
            "2001:db8::7",
        ] {
            judge(&node.chain, name).unwrap();
        }
        assert!(judge(&node.chain, "192.0.2.8").is_err());
        let other = node_dns_name(pki.record.id, NodeId(4));
        assert!(judge(&node.chain, &other).is_err());
        let (host, _) = pki.host_chain("pmta1", now());
        assert!(judge(&host, "192.0.2.7").is_err());
    }

    #[test]
    fn foreign_keys_forged_and_oversized_requests_are_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        assert!(matches!(Request::parse(csr.der()), Err(IssueError::Key)));
        let mut forged = NodeKey::generate().unwrap().request().to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert!(matches!(
            Request::parse(&forged),
            Err(IssueError::Request(_))
        ));
        let big = vec![0; limits::CERTIFICATE_BYTES + 1];
        assert!(matches!(Request::parse(&big), Err(IssueError::TooLarge(_))));
        assert!(Request::parse(b"").is_err());
    }
}
