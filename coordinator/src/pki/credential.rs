//! What a peer showed in the handshake, read once.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::id::ClusterId;
use email_engine_protocol::time::Timestamp;

use super::authority::BACKDATE_MILLIS;
use super::{IdentityError, Peer, parse_uri};
use crate::state::ShownCertificate;

/// A leaf certificate, as far as authorisation goes by it. That its chain leads to the root is for
/// [`super::verify`] to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Who it names.
    pub peer: Peer,
    /// Its serial.
    pub serial: CertificateSerial,
    /// SHA-256 of its key (SubjectPublicKeyInfo).
    pub spki: ContentHash,
    /// Its public point, uncompressed, for checking a signature by its key.
    pub point: Vec<u8>,
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

/// Why a certificate is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not a certificate, or not one that this cluster could have issued.
    #[error("certificate does not parse: {0}")]
    Form(&'static str),
    /// Names nobody of ours.
    #[error(transparent)]
    Name(#[from] IdentityError),
}

impl Credential {
    /// What the state judges of it.
    #[must_use]
    pub const fn shown(&self) -> ShownCertificate {
        ShownCertificate {
            serial: self.serial,
            spki: self.spki,
            issued_at: self.not_before.plus(BACKDATE_MILLIS),
            not_after: self.not_after,
        }
    }

    /// The cluster that a leaf names: for a node that reads its own certificate at its start.
    ///
    /// # Errors
    /// When it is not of the form that a cluster issues.
    pub fn cluster_of(leaf: &CertificateDer<'_>) -> Result<ClusterId, CredentialError> {
        let nobody = ClusterId([0; 16]);
        match Self::read(nobody, leaf) {
            Err(CredentialError::Name(IdentityError::Foreign { theirs, .. })) => Ok(theirs),
            Err(error) => Err(error),
            Ok(_) => Ok(nobody),
        }
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// When it is not of the form that this cluster issues.
    pub fn read(cluster: ClusterId, leaf: &CertificateDer<'_>) -> Result<Self, CredentialError> {
        let form = CredentialError::Form;
        let (rest, leaf) =
            X509Certificate::from_der(leaf).map_err(|_| form("it is not a certificate"))?;
        if !rest.is_empty() {
            return Err(form("bytes follow it"));
        }
        let names = leaf
            .subject_alternative_name()
            .ok()
            .flatten()
            .ok_or_else(|| form("it has no alternative name"))?;
        let mut uris = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            });
        let (Some(uri), None) = (uris.next(), uris.next()) else {
            return Err(form("it must have exactly one URI"));
        };
        let serial: [u8; 16] = leaf
            .raw_serial()
            .try_into()
            .map_err(|_| form("its serial has not 16 bytes"))?;
        let seconds = |at: i64| Timestamp(u64::try_from(at).unwrap_or(0) * Timestamp::SECOND);
        Ok(Self {
            peer: parse_uri(cluster, uri)?,
            serial: CertificateSerial(serial),
            spki: ContentHash::of(leaf.public_key().raw),
            point: leaf.public_key().subject_public_key.data.to_vec(),
            not_before: seconds(leaf.validity().not_before.timestamp()),
            not_after: seconds(leaf.validity().not_after.timestamp()),
        })
    }
}
