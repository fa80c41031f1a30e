//! Verbs about the certificates under which PowerMTA hosts take mail from the fleet. Keys and
//! certificates are made by the leader and come in the command; here is decided whether they still fit.

mod authority;
mod certificate;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::{CertificateSerial, Commitment};
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use crate::state::{SealedAtRest, SubmissionAuthority, SubmissionNames};

pub(crate) use authority::COVERED;

/// See [`Command::SetSubmissionAuthority`](super::Command::SetSubmissionAuthority).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSubmissionAuthority {
    /// The authority with its new certificate.
    pub authority: SubmissionAuthority,
    /// Serial of the certificate that it replaces; must be current.
    pub replaces: Option<CertificateSerial>,
}

/// See [`Command::SetSubmissionCertificate`](super::Command::SetSubmissionCertificate).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSubmissionCertificate {
    /// Whose.
    pub host: HostId,
    /// What it vouches for; must be what the host is called.
    pub names: SubmissionNames,
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and bytes (certificate and key in PEM), sealed.
    pub sealed: SealedAtRest,
    /// Its serial.
    pub serial: CertificateSerial,
    /// Its end.
    pub not_after: Timestamp,
    /// Serial of the authority's certificate; must be current.
    pub authority: CertificateSerial,
    /// Serial of the certificate that it replaces; must be current.
    pub replaces: Option<CertificateSerial>,
}
