//! A chain and the key of its first certificate, in PEM, and what is believed of them.

use std::fmt;
use std::time::Duration;

use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::identity::Validity;

/// Certificates of a chain.
const LINKS: usize = 10;
/// Longest life that is believed of what was issued; public authorities give 398 days at most.
const LIFE: u64 = 400 * Timestamp::DAY;
/// Farthest end of one in place that binds the next one.
const FARTHEST_END: u64 = 398 * Timestamp::DAY;
/// By this organisation a placeholder is told from what an authority issued.
const PLACEHOLDER: &str = "Email-Engine placeholder, not issued by anybody";

/// A chain and its key. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Pair {
    /// Certificates in PEM, the host's own first.
    pub(crate) chain: String,
    /// The private key in PEM.
    pub(crate) key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({} bytes of chain, key redacted)", self.chain.len())
    }
}

/// What a chain says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The host names that it is for, in order.
    pub(crate) names: Vec<String>,
    /// Its life.
    pub(crate) validity: Validity,
}

/// Why a chain and a key are not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairFault {
    /// Too much of it.
    #[error("it is {got} {what}, at most {limit} are accepted")]
    TooLarge {
        what: &'static str,
        got: usize,
        limit: usize,
    },
    /// Not what was promised.
    #[error("it is no chain of certificates with its key in PEM: {0}")]
    Form(String),
    /// Somebody else's certificate.
    #[error("its certificate is for another key")]
    OtherKey,
    /// It would be shown for names that it is not for.
    #[error("its certificate is for {got}, and {wanted} is wanted")]
    OtherNames { got: String, wanted: String },
    /// A certificate whose issuer is not the next one.
    #[error("its certificates do not follow from each other: {0}")]
    Chain(String),
    /// Dates that cannot be.
    #[error("its certificate lives from {} to {}: {accepted}", validity.not_before, validity.not_after)]
    Dates {
        validity: Validity,
        accepted: &'static str,
    },
}

fn form(error: impl fmt::Display) -> PairFault {
    PairFault::Form(error.to_string())
}

/// A self-signed certificate for names that have no other yet. Its dates are never in question.
pub(crate) fn placeholder(domains: &[String]) -> Result<Pair, PairFault> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(form)?;
    let mut params = CertificateParams::new(domains).map_err(form)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, PLACEHOLDER);
    params.distinguished_name = name;
    let made = params.self_signed(&key).map_err(form)?;
    Ok(Pair {
        chain: made.pem(),
        key: key.serialize_pem(),
    })
}

/// A pair out of one text, as operators keep it.
pub(crate) fn supplied(bytes: &[u8]) -> Result<Pair, PairFault> {
    within("bytes long", bytes.len(), limits::PAIR_BYTES)?;
    let text = std::str::from_utf8(bytes).map_err(form)?;
    let (mut chain, mut keys) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("-----BEGIN ") {
        let label = &rest[at + "-----BEGIN ".len()..];
        let label = label.split("-----").next().unwrap_or_default();
        let ends = format!("-----END {label}-----");
        let until = rest[at..]
            .find(&ends)
            .ok_or_else(|| form("a part has no end"))?;
        let until = at + until + ends.len();
        let part = &rest[at..until];
        if label == "CERTIFICATE" {
            chain.push_str(part);
            chain.push('\n');
        } else if label.ends_with("PRIVATE KEY") {
            keys.push(format!("{part}\n"));
        }
        rest = &rest[until..];
    }
    let count = keys.len();
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if !chain.is_empty() => Ok(Pair { chain, key }),
        (only, more) => {
            only.into_iter()
                .chain(more)
                .chain(keys)
                .for_each(|mut key| key.zeroize());
            let certificates = chain.matches("-----BEGIN").count();
            Err(form(format_args!(
                "{certificates} certificates and {count} private keys are in it, at least one and exactly \
                 one are accepted"
            )))
        }
    }
}

/// Certificates of a text and nothing else of it, written as everybody writes them.
pub(crate) fn canonical(text: &str) -> Result<String, PairFault> {
    within("bytes long", text.len(), limits::PAIR_BYTES)?;
    let mut chain = String::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let base64 = data_encoding::BASE64.encode(&certificate.map_err(form)?);
        chain.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            chain.push_str(&String::from_utf8_lossy(line));
            chain.push('\n');
        }
        chain.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(chain)
}

impl Pair {
    /// What it says of itself, when the key belongs to the chain and each certificate to the next one.
    pub(crate) fn judge(&self) -> Result<Seen, PairFault> {
        within(
            "bytes long",
            self.chain.len() + self.key.len(),
            limits::PAIR_BYTES,
        )?;
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain: Vec<CertificateDer<'_>> = chain.collect::<Result<_, _>>().map_err(form)?;
        within("certificates", chain.len(), LINKS)?;
        let leaf = chain.first().ok_or_else(|| form("it has no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|_| form("its private key is none"))?;
        let key =
            any_supported_type(&key).map_err(|_| form("its private key is of no known kind"))?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(form)?;
        let public = key
            .public_key()
            .ok_or_else(|| form("its key has no public half"))?;
        if public.as_ref() != parsed.public_key().raw {
            return Err(PairFault::OtherKey);
        }
        let validity = Validity::of(leaf).map_err(form)?;
        if validity.not_after <= validity.not_before {
            let accepted = "an end after the beginning is accepted";
            return Err(PairFault::Dates { validity, accepted });
        }
        linked(&chain, validity)?;
        let names = parsed.subject_alternative_name().map_err(form)?;
        let names = names
            .into_iter()
            .flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        Ok(Seen {
            names: names.collect(),
            validity,
        })
    }

    /// The same of what an authority issued: for these names and no other, for a life that can be, and
    /// longer than what it takes the place of.
    pub(crate) fn judge_issued(
        &self,
        domains: &[String],
        before: Option<Validity>,
    ) -> Result<Seen, PairFault> {
        let seen = self.judge()?;
        let (mut got, mut wanted) = (seen.names.clone(), domains.to_vec());
        got.sort();
        wanted.sort();
        if got != wanted {
            return Err(other_names(&seen.names, domains));
        }
        let validity = seen.validity;
        let dates = |accepted| Err(PairFault::Dates { validity, accepted });
        if validity.not_after.since(validity.not_before) > LIFE {
            return dates("at most 400 days are accepted");
        }
        if before.is_some_and(|before| validity.not_after <= before.not_after) {
            return dates("an end after that of the one in place is accepted");
        }
        Ok(seen)
    }

    /// The same of an operator's own: whatever else it is for, it is for these names.
    pub(crate) fn judge_supplied(&self, domains: &[String]) -> Result<Seen, PairFault> {
        let seen = self.judge()?;
        let is_covered = |domain: &&String| seen.names.iter().any(|name| covers(name, domain));
        match domains.iter().find(|domain| !is_covered(domain)) {
            None => Ok(seen),
            Some(missing) => Err(other_names(&seen.names, std::slice::from_ref(missing))),
        }
    }
}

/// Whether one in place binds what takes its place to a later end. One that no public authority can have
/// issued does not: no real one would ever be good enough.
pub(crate) fn binds(in_place: Validity, now: Timestamp) -> bool {
    in_place.not_after.since(now) <= FARTHEST_END
}

fn within(what: &'static str, got: usize, limit: usize) -> Result<(), PairFault> {
    if got > limit {
        return Err(PairFault::TooLarge { what, got, limit });
    }
    Ok(())
}

fn other_names(got: &[String], wanted: &[String]) -> PairFault {
    let shown = |names: &[String]| match names {
        [] => "no name".to_owned(),
        [some @ .., _] if names.len() > 5 => format!("{} and others", some[..4].join(", ")),
        all => all.join(", "),
    };
    PairFault::OtherNames {
        got: shown(got).chars().take(600).collect(),
        wanted: shown(wanted).chars().take(600).collect(),
    }
}

/// Whether a name of a certificate is or covers a host's.
fn covers(name: &str, domain: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == domain
        || name.strip_prefix("*.").is_some_and(|above| {
            domain
                .split_once('.')
                .is_some_and(|(_, rest)| rest == above)
        })
}

/// Whether each certificate was issued by the next one. Whether the last one is worth anything is for
/// those to say who connect.
fn linked(chain: &[CertificateDer<'_>], validity: Validity) -> Result<(), PairFault> {
    let [leaf, between @ .., last] = chain else {
        return Ok(());
    };
    let broken = |error: rustls::Error| PairFault::Chain(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(last.clone().into_owned()).map_err(broken)?;
    let leaf = ParsedCertificate::try_from(leaf).map_err(broken)?;
    // Its own dates are judged apart: what counts here is who signed whom.
    let within = validity.not_before.0 / 2 + validity.not_after.0 / 2;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(within));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, between, at, algorithms.all)
        .map_err(broken)
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer, SanType};

    use super::*;

    /// An authority in miniature.
    pub(crate) struct Authority {
        certificate: rcgen::Certificate,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        pub(crate) fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap();
            let issuer = Issuer::new(params, key);
            Self {
                certificate,
                issuer,
            }
        }

        pub(crate) fn issue(&self, domains: &[&str], days: u64) -> Pair {
            let key = KeyPair::generate().unwrap();
            Pair {
                chain: self.chain(domains, &key, days),
                key: key.serialize_pem(),
            }
        }

        fn chain(&self, domains: &[&str], key: &KeyPair, days: u64) -> String {
            let domains: Vec<String> = domains.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(domains).unwrap();
            let now = std::time::SystemTime::now();
            params.not_before = (now - Duration::from_secs(60)).into();
            params.not_after = (now + Duration::from_secs(days * 86400)).into();
            let leaf = params.signed_by(key, &self.issuer).unwrap();
            format!("{}{}", leaf.pem(), self.certificate.pem())
        }

        /// What a request asks for, but for these names.
        pub(crate) fn sign(&self, request: &[u8], domains: &[&str], days: u64) -> String {
            let mut request =
                CertificateSigningRequestParams::from_der(&request.to_vec().into()).unwrap();
            let domains = domains
                .iter()
                .map(|name| SanType::DnsName((*name).try_into().unwrap()));
            request.params.subject_alt_names = domains.collect();
            let now = std::time::SystemTime::now();
            request.params.not_before = (now - Duration::from_secs(60)).into();
            request.params.not_after = (now + Duration::from_secs(days * 86400)).into();
            let leaf = request.signed_by(&self.issuer).unwrap();
            format!("{}{}", leaf.pem(), self.certificate.pem())
        }
    }

    pub(crate) fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_an_authority_issued_is_for_our_key_our_names_and_a_later_end() {
        let authority = Authority::new();
        let good = authority.issue(&["a.example.com", "b.example.com"], 90);
        let wanted = names(&["b.example.com", "a.example.com"]);
        let seen = good.judge_issued(&wanted, None).unwrap();
        let shorter = authority.issue(&["a.example.com", "b.example.com"], 80);
        let refused = shorter
            .judge_issued(&wanted, Some(seen.validity))
            .unwrap_err();
        assert!(matches!(refused, PairFault::Dates { .. }), "{refused}");
        for other in [
            &["a.example.com"][..],
            &["a.example.com", "b.example.com", "c.example.com"],
        ] {
            let refused = authority
                .issue(other, 90)
                .judge_issued(&wanted, None)
                .unwrap_err();
            assert!(matches!(refused, PairFault::OtherNames { .. }), "{refused}");
        }
        let mut mixed = good;
        mixed.key.clone_from(&shorter.key);
        assert_eq!(mixed.judge_issued(&wanted, None), Err(PairFault::OtherKey));
        for days in [401, 1830, 4000] {
            let endless = authority.issue(&["a.example.com", "b.example.com"], days);
            assert!(
                matches!(
                    endless.judge_issued(&wanted, None),
                    Err(PairFault::Dates { .. })
                ),
                "{days} days"
            );
        }
    }

    #[test]
    fn certificates_that_do_not_follow_from_each_other_are_refused() {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let mut pair = ours.issue(&["a.example.com"], 90);
        let own = pair.chain.find("-----END CERTIFICATE-----").unwrap() + 26;
        pair.chain.truncate(own);
        assert!(pair.judge().is_ok(), "one alone is nobody's to judge");
        pair.chain.push_str(&theirs.certificate.pem());
        assert!(matches!(pair.judge(), Err(PairFault::Chain(_))));
    }

    #[test]
    fn an_operators_file_may_cover_more_and_holds_one_key() {
        let authority = Authority::new();
        let pair = authority.issue(&["*.example.com", "example.com"], 90);
        let text = format!("# ours\n{}{}", pair.key, pair.chain);
        let read = supplied(text.as_bytes()).unwrap();
        assert!(
            read.judge_supplied(&names(&["mail.example.com", "example.com"]))
                .is_ok()
        );
        let refused = read
            .judge_supplied(&names(&["a.b.example.com"]))
            .unwrap_err();
        assert!(
            refused.to_string().contains("a.b.example.com is wanted"),
            "{refused}"
        );
        for bad in [
            pair.chain.clone(),
            pair.key.clone(),
            format!("{}{}{}", pair.key, pair.key, pair.chain),
            "-----BEGIN CERTIFICATE-----\n".to_owned(),
            String::new(),
        ] {
            let refused = supplied(bad.as_bytes()).unwrap_err();
            assert!(matches!(refused, PairFault::Form(_)), "{refused}");
            assert!(!refused.to_string().contains("MI"), "{refused}");
        }
        let long = vec![b'x'; limits::PAIR_BYTES + 1];
        assert!(matches!(supplied(&long), Err(PairFault::TooLarge { .. })));
    }

    #[test]
    fn a_placeholder_is_a_pair_for_all_names_and_prints_no_key() {
        let domains = names(&["a.example.com", "b.example.com"]);
        let made = placeholder(&domains).unwrap();
        let seen = made.judge().unwrap();
        assert_eq!(seen.names, domains);
        assert!(seen.validity.contains(Timestamp(1_000_000_000_000)));
        let shown = format!("{made:?}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }
}
