//! The tables.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::id::SecretId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::state::SealedAtRest;

/// How one host is called by whoever submits there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubmissionNames {
    /// Its admin address: what the fleet's own hosts connect to.
    pub address: Ipv4Addr,
    /// Its mail name, when it has one.
    pub host_name: Option<DomainName>,
}

/// Vouches for the submission of this cluster's hosts, and for no other name: its certificate says
/// so. It is no part of the chain that nodes and agents trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionAuthority {
    /// Of its present certificate, which is made anew for the same key whenever the names change.
    pub serial: CertificateSerial,
    /// The certificate (DER): what clients trust.
    pub certificate: Vec<u8>,
    /// Its private key (PKCS#8), sealed.
    pub key: SealedAtRest,
    /// What it may vouch for.
    pub covers: BTreeSet<SubmissionNames>,
    /// When the certificate was made.
    pub issued_at: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

/// The authority in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionAuthorityRecord {
    /// The authority.
    pub authority: SubmissionAuthority,
    /// Fleet revision that brought its present certificate: who converged on a target of after it
    /// trusts it.
    pub revision: u64,
    /// Certificates that were issued so far. Each host's secret has its number as version, so that a
    /// name that is used again later never has an old version with other bytes.
    pub issued: u32,
}

/// A host's certificate in use. Certificate and key are one secret: PowerMTA reads them from one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionCertificate {
    /// The file's content in the table of secrets.
    pub secret: SecretId,
    /// What it vouches for.
    pub names: SubmissionNames,
    /// Its serial.
    pub serial: CertificateSerial,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

impl SubmissionAuthority {
    /// Its certificate in PEM, as clients read it.
    #[must_use]
    pub fn pem(&self) -> String {
        certificate_pem(&self.certificate)
    }
}

/// A certificate (DER) in PEM.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    const LINE: usize = 64;
    let text = data_encoding::BASE64.encode(der);
    let lines = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
    let body: Vec<_> = lines.collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        body.join("\n")
    )
}
