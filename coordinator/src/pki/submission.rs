//! The authority behind STARTTLS where the fleet's hosts submit mail.
//!
//! It stands apart from the chain of nodes and agents, because machines that submit trust it for
//! everything that they connect to. So its certificate names the addresses and host names that it may
//! vouch for, and allows no others; and what it issues leads to no root that a node, an agent or a
//! client of the API trusts, says nothing of who a peer is, and is for servers alone.
//!
//! Keys of hosts are RSA: every TLS library that a version of `PowerMTA` may carry can use one.

use std::collections::BTreeSet;
use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
    SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::secret::SecretBytes;
use email_engine_protocol::time::Timestamp;

use super::authority::set_validity;
use super::term::{Life, Term};
use crate::seal::{SealError, Vault};
use crate::state::{SubmissionAuthority, SubmissionNames, certificate_pem};

/// Size of a host's key.
const BITS: usize = 2_048;
/// Life of the authority's certificate, which is renewed at half of it.
const AUTHORITY_LIFE: Life = Life::of_days(3_653);

/// Why nothing is issued for submission.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// No key.
    #[error("a key for submission cannot be made: {0}")]
    Key(String),
    /// The encoder failed.
    #[error("a certificate for submission cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The authority's key does not open.
    #[error("the key of the authority for submission does not open: {0}")]
    Seal(#[from] SealError),
}

/// The authority with its key at hand.
pub struct SubmissionIssuer(rcgen::Issuer<'static, KeyPair>);

impl fmt::Debug for SubmissionIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubmissionIssuer(redacted)")
    }
}

/// A certificate with its key, as `PowerMTA` reads them: leaf, then key, in one PEM text.
#[derive(Debug)]
pub struct SubmissionIssued {
    /// Text and salt.
    pub secret: SecretBytes,
    /// Number and dates of the certificate.
    pub term: Term,
}

/// An authority that vouches for these names, with a new key, or with that of `before`.
///
/// # Errors
/// When there is no randomness, the key does not open, or the encoder fails.
pub fn vouch(
    cluster: ClusterId,
    covers: BTreeSet<SubmissionNames>,
    before: Option<&SubmissionAuthority>,
    (vault, entropy, now): (&Vault, &Entropy<'_>, Timestamp),
) -> Result<SubmissionAuthority, SubmissionError> {
    let (pair, key) = match before {
        Some(before) => (open(before, vault)?, before.key.clone()),
        None => {
            let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            let key = Zeroizing::new(pair.serialized_der().to_vec());
            (pair, vault.seal(&key, entropy))
        }
    };
    let term = Term::fresh(now, AUTHORITY_LIFE, entropy);
    let certificate = authority_params(cluster, &covers, term).self_signed(&pair)?;
    Ok(SubmissionAuthority {
        serial: term.serial,
        certificate: certificate.der().to_vec(),
        key,
        covers,
        issued_at: now,
        not_after: term.not_after,
    })
}

impl SubmissionIssuer {
    /// The authority of a running cluster.
    ///
    /// # Errors
    /// When the key does not open or the certificate is none.
    pub fn load(authority: &SubmissionAuthority, vault: &Vault) -> Result<Self, SubmissionError> {
        let certificate = CertificateDer::from(authority.certificate.as_slice());
        let key = open(authority, vault)?;
        Ok(Self(rcgen::Issuer::from_ca_cert_der(&certificate, key)?))
    }

    /// A new key and certificate for a host. Takes a fifth of a second of processor time.
    ///
    /// # Errors
    /// When there is no randomness or the encoder fails.
    pub fn issue(
        &self,
        host: &HostId,
        names: &SubmissionNames,
        (entropy, now, life): (&Entropy<'_>, Timestamp, Life),
    ) -> Result<SubmissionIssued, SubmissionError> {
        let failed = |error: &dyn fmt::Display| SubmissionError::Key(error.to_string());
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS).map_err(|e| failed(&e))?;
        let public = key.to_public_key();
        let public = public.to_public_key_der().map_err(|e| failed(&e))?;
        let public = SubjectPublicKeyInfo::from_der(public.as_bytes())?;
        let term = Term::fresh(now, life, entropy);
        let leaf = leaf_params(host, names, term)?.signed_by(&public, &self.0)?;
        let key = key.to_pkcs8_pem(LineEnding::LF).map_err(|e| failed(&e))?;
        let text = Zeroizing::new(certificate_pem(leaf.der()) + &key);
        let secret = SecretBytes {
            salt: entropy.bytes(),
            bytes: text.as_bytes().to_vec(),
        };
        Ok(SubmissionIssued { secret, term })
    }
}

fn open(authority: &SubmissionAuthority, vault: &Vault) -> Result<KeyPair, SubmissionError> {
    let secret = vault.open(&authority.key)?;
    let der = PrivatePkcs8KeyDer::from(&secret[..]);
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(
        &der,
        &rcgen::PKCS_ECDSA_P256_SHA256,
    )?)
}

fn authority_params(
    cluster: ClusterId,
    covers: &BTreeSet<SubmissionNames>,
    term: Term,
) -> CertificateParams {
    let mut params = named(&format!("Email-Engine submission {cluster}"), term);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = Some(constraints(covers));
    params
}

/// Kinds of names that are not listed at all would be free: each kind that a server can have is listed,
/// as allowed or as forbidden altogether.
fn constraints(covers: &BTreeSet<SubmissionNames>) -> NameConstraints {
    let addresses = covers
        .iter()
        .map(|names| CidrSubnet::V4(names.address.octets(), [0xff; 4]))
        .map(GeneralSubtree::IpAddress);
    let host_names: BTreeSet<_> = covers.iter().filter_map(|n| n.host_name.as_ref()).collect();
    let nameless = host_names.is_empty();
    let host_names = host_names.into_iter();
    let host_names = host_names.map(|name| GeneralSubtree::DnsName(name.to_string()));
    let all_names = nameless.then(|| GeneralSubtree::DnsName(String::new()));
    NameConstraints {
        permitted_subtrees: addresses.chain(host_names).collect(),
        excluded_subtrees: all_names
            .into_iter()
            .chain([GeneralSubtree::Rfc822Name(String::new())])
            .collect(),
    }
}

fn leaf_params(
    host: &HostId,
    names: &SubmissionNames,
    term: Term,
) -> Result<CertificateParams, SubmissionError> {
    // Two words, so that no client takes it for a name of a server.
    let mut params = named(&format!("submission at {host}"), term);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.subject_alt_names = vec![SanType::IpAddress(names.address.into())];
    if let Some(name) = &names.host_name {
        let name = name.to_string().try_into()?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    Ok(params)
}

fn named(name: &str, term: Term) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    set_validity(&mut params, term.not_before, term.not_after);
    params.serial_number = Some(SerialNumber::from_slice(term.serial.as_bytes()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ring::rand::SystemRandom;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};

    use email_engine_protocol::id::NodeId;
    use email_engine_protocol::mail::DomainName;
    use email_engine_protocol::wire::ALPN_AGENT;

    use super::super::testbed::{TestPki, now};
    use super::super::{Credential, CredentialError, node_dns_name, verify};
    use super::*;
    use crate::pki::{Denied, admit};
    use crate::state::FleetState;

    fn names(last: u8, host_name: Option<&str>) -> SubmissionNames {
        SubmissionNames {
            address: [198, 51, 100, last].into(),
            host_name: host_name.map(|name| DomainName::new(name.to_owned()).unwrap()),
        }
    }

    struct Made {
        pki: TestPki,
        authority: SubmissionAuthority,
    }

    impl Made {
        fn covering(covers: impl IntoIterator<Item = SubmissionNames>) -> Self {
            let pki = TestPki::new();
            let with = (&pki.vault, &pki.entropy(), now());
            let covers = covers.into_iter().collect();
            let authority = vouch(pki.record.id, covers, None, with).unwrap();
            Self { pki, authority }
        }

        /// A host's certificate and key.
        fn issued(
            &self,
            names: &SubmissionNames,
        ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
            let issuer = SubmissionIssuer::load(&self.authority, &self.pki.vault).unwrap();
            let random = SystemRandom::new();
            let with = (&Entropy(&random), now(), Life::default());
            let host = HostId::new("pmta1").unwrap();
            let secret = issuer.issue(&host, names, with).unwrap().secret;
            let leaf = CertificateDer::from_pem_slice(&secret.bytes).unwrap();
            (leaf, PrivateKeyDer::from_pem_slice(&secret.bytes).unwrap())
        }

        /// Whether a client that trusts this authority takes a server for this name.
        fn trusts(&self, leaf: &CertificateDer<'_>, name: &str) -> bool {
            let root = CertificateDer::from(self.authority.certificate.clone());
            let verifier: Arc<WebPkiServerVerifier> = verify::server_verifier(&root).unwrap();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier
                .verify_server_cert(leaf, &[], &name, &[], UnixTime::now())
                .is_ok()
        }
    }

    #[test]
    fn a_client_that_trusts_the_authority_finds_the_host_under_its_names_and_no_others() {
        let own = names(20, Some("pmta1.example.com"));
        let made = Made::covering([own.clone(), names(21, None)]);
        let (leaf, key) = made.issued(&own);
        for name in ["198.51.100.20", "pmta1.example.com"] {
            assert!(made.trusts(&leaf, name), "{name}");
        }
        for name in ["198.51.100.21", "pmta2.example.com"] {
            assert!(!made.trusts(&leaf, name), "{name}");
        }
        // Key and certificate belong together, or no server could use them.
        rustls::ServerConfig::builder_with_provider(verify::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)
            .unwrap();
    }

    #[test]
    fn what_the_authority_signs_beyond_its_names_is_worth_nothing() {
        let strange = [
            (names(99, None), "198.51.100.99"),
            (names(20, Some("www.example.org")), "www.example.org"),
        ];
        for covered in [names(20, None), names(20, Some("pmta1.example.com"))] {
            let made = Made::covering([covered.clone()]);
            assert!(made.trusts(&made.issued(&covered).0, "198.51.100.20"));
            for (names, name) in &strange {
                let (leaf, _) = made.issued(names);
                assert!(!made.trusts(&leaf, name), "{name} beyond {covered:?}");
            }
        }
    }

    #[test]
    fn neither_the_cluster_nor_the_authority_trusts_what_the_other_issued() {
        let own = names(20, Some("pmta1.example.com"));
        let made = Made::covering([own.clone()]);
        let (leaf, _) = made.issued(&own);
        let root = made.pki.issuer.root();
        let clients = verify::client_verifier(root, true).unwrap();
        assert!(
            clients
                .verify_client_cert(&leaf, &[], UnixTime::now())
                .is_err()
        );
        let api = verify::server_verifier(root).unwrap();
        for name in ["198.51.100.20", "pmta1.example.com"] {
            let name = ServerName::try_from(name).unwrap();
            let judged = api.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now());
            assert!(
                judged.is_err(),
                "the API's client takes a mail server for a node"
            );
        }
        let node = made.pki.node(NodeId(1), &["198.51.100.20:7443"]);
        let name = node_dns_name(made.pki.record.id, NodeId(1));
        for name in [name.as_str(), "198.51.100.20"] {
            assert!(!made.trusts(&node.chain[0], name));
        }
    }

    #[test]
    fn even_past_the_chain_it_names_nobody() {
        let own = names(20, None);
        let made = Made::covering([own.clone()]);
        let (leaf, _) = made.issued(&own);
        let read = Credential::read(made.pki.record.id, &leaf);
        assert!(matches!(read, Err(CredentialError::Form(_))));
        let state = FleetState {
            cluster: Some(made.pki.record.clone()),
            ..FleetState::default()
        };
        let denied = admit(ALPN_AGENT, &[leaf], &state, now()).unwrap_err();
        assert!(matches!(denied, Denied::Credential(_)), "{denied}");
    }

    #[test]
    fn more_names_are_vouched_for_with_the_same_key() {
        let (first, second) = (names(20, None), names(21, Some("pmta2.example.com")));
        let mut made = Made::covering([first.clone()]);
        let (old, _) = made.issued(&first);
        let with = (&made.pki.vault, &made.pki.entropy(), now());
        let covers = BTreeSet::from([first, second.clone()]);
        let wider = vouch(made.pki.record.id, covers, Some(&made.authority), with).unwrap();
        assert_ne!(wider.serial, made.authority.serial);
        assert!(!made.trusts(&made.issued(&second).0, "198.51.100.21"));
        made.authority = wider;
        assert!(
            made.trusts(&old, "198.51.100.20"),
            "nobody's certificate is lost"
        );
        assert!(made.trusts(&made.issued(&second).0, "198.51.100.21"));
        assert_eq!(
            format!(
                "{:?}",
                SubmissionIssuer::load(&made.authority, &made.pki.vault).unwrap()
            ),
            "SubmissionIssuer(redacted)"
        );
    }
}
