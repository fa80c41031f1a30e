//! A certificate with its key, for the servers of a host: from an ACME server, or an operator's own.
//!
//! Both lie in one folder, which is swapped as a whole, so that nobody reads a key beside the chain of
//! another.

mod names;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::names::check as name;
use super::{ArtifactRef, ConfigError, HostConfig, HostPath, OnRemove, Resource, Spec};
use crate::limits;

pub use names::{directory_host, is_web_name};

const REMOVAL: &str = "delete or leave";
const DIRECTORY: &str = "the https address of an ACME directory: https://HOST[:PORT]/PATH with a host's name in \
     lower case, without user, query and fragment, at most 512 characters";
const CONTACT: &str = "a mail address such as ops@example.com";
const WEB_NAME: &str = "a web server's name in lower-case ASCII with at least two labels, without wildcard, final dot \
     and port, at most 253 characters";
const GROUP: &str =
    "a group's name: lower-case letters, digits, '_' and '-', at most 32 characters";
const ONCE: &str = "each name once";

/// The file with the chain, the host's own certificate first.
pub const CHAIN_FILE: &str = "chain.pem";
/// The file with the private key.
pub const KEY_FILE: &str = "key.pem";
/// Where an ACME server looks for its answers, below the folder of a web server.
pub const CHALLENGES: &str = ".well-known/acme-challenge";

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// The folder that holds `chain.pem` and `key.pem` and nothing else.
    pub path: HostPath,
    /// Names that it is for, the first one as its name for people.
    pub domains: Vec<String>,
    /// Who reads the key beside root; nobody when absent.
    pub group: Option<String>,
    /// Where it comes from.
    pub source: CertificateSource,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// Asked for by the agent, and renewed.
    Acme(AcmeSpec),
    /// A file of the operator's in PEM with the chain and one private key; it is secret.
    Supplied(ArtifactRef),
}

/// How an ACME server is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeSpec {
    /// Address of its directory. Nothing is asked of any other host.
    pub directory: String,
    /// Mail address that it may write to.
    pub contact: Option<String>,
    /// Folder of a web server that serves, for every one of the names and without TLS, what lies below
    /// `.well-known/acme-challenge` in it.
    pub webroot: HostPath,
    /// Kind of the key.
    pub key: CertificateKey,
    /// The operator agrees to the server's terms of service. Without that nothing is asked.
    pub agreed: bool,
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateKey {
    /// ECDSA on P-256.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
}

impl CertificateKey {
    /// As it is written in role files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
        }
    }
}

impl CertificateSpec {
    /// A file in its folder.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<HostPath> {
        HostPath::new(format!("{}/{name}", self.path)).ok()
    }

    /// Mode of the key: its owner's alone, or its group's as well.
    #[must_use]
    pub const fn key_mode(&self) -> u32 {
        if self.group.is_some() { 0o640 } else { 0o600 }
    }
}

impl AcmeSpec {
    /// The folder of answers.
    #[must_use]
    pub fn challenges(&self) -> Option<HostPath> {
        HostPath::new(format!("{}/{CHALLENGES}", self.webroot)).ok()
    }
}

/// Checks one of these.
pub(super) fn check(resource: &Resource, spec: &CertificateSpec) -> Result<(), ConfigError> {
    let good = resource.on_remove != OnRemove::Disable;
    name(resource, "on_remove", "disable", good, REMOVAL)?;
    let (what, most) = (
        "number of names of a certificate",
        limits::CERTIFICATE_NAMES,
    );
    super::config::at_most(what, spec.domains.len(), most)?;
    name(resource, "domains", "", !spec.domains.is_empty(), WEB_NAME)?;
    for (at, domain) in spec.domains.iter().enumerate() {
        name(resource, "domains", domain, is_web_name(domain), WEB_NAME)?;
        let once = !spec.domains[..at].contains(domain);
        name(resource, "domains", domain, once, ONCE)?;
    }
    if let Some(group) = &spec.group {
        name(resource, "group", group, names::is_group(group), GROUP)?;
    }
    match &spec.source {
        CertificateSource::Acme(acme) => {
            let url = &acme.directory;
            name(
                resource,
                "directory",
                url,
                directory_host(url).is_some(),
                DIRECTORY,
            )?;
            if let Some(contact) = &acme.contact {
                let good = crate::mail::MailAddress::new(contact).is_ok();
                name(resource, "contact", contact, good, CONTACT)?;
            }
            if acme.challenges().is_none() || acme.webroot.is_within(&spec.path) {
                let accepted = "a folder outside of that of the certificate, of at most 4000 bytes";
                return name(resource, "webroot", acme.webroot.as_str(), false, accepted);
            }
        }
        CertificateSource::Supplied(artifact) => {
            let (what, most) = (
                "size of a certificate with its key",
                limits::PAIR_BYTES as u64,
            );
            super::config::bound(what, artifact.length, most)?;
            if !artifact.secret {
                let reason = "its artifact holds a private key and is not secret: \
                              `email-engine artifact put --secret` is accepted";
                return Err(ConfigError::Artifact {
                    resource: resource.id.clone(),
                    reason: reason.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// A folder that is swapped whole would take along what others put into it.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    let folders = config.resources.iter().filter_map(|one| match &one.spec {
        Spec::Certificate(spec) => Some((one, spec)),
        _ => None,
    });
    let mut count = 0;
    for (resource, spec) in folders {
        count += 1;
        super::config::at_most("number of certificates", count, limits::CERTIFICATES)?;
        for other in &config.resources {
            let path = other.spec.path();
            if path.is_some_and(|path| path != &spec.path && path.is_within(&spec.path)) {
                let accepted = "a folder with nothing else in it";
                return name(resource, "path", spec.path.as_str(), false, accepted);
            }
        }
    }
    Ok(())
}
