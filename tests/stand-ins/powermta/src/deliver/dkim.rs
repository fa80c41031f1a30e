//! DKIM signatures with the key that the guide's rules choose.

use std::fs;

use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::config::{Config, DomainKey, Layered};
use crate::headers;

/// Signed whenever they are there; the list of version 5.0.
const ALWAYS: [&str; 28] = [
    "CC",
    "List-Id",
    "Resent-Date",
    "Content-Description",
    "List-Owner",
    "Resent-From",
    "Content-Id",
    "List-Post",
    "Resent-Message-ID",
    "Content-Transfer-Encoding",
    "List-Subscribe",
    "Resent-Sender",
    "Content-Type",
    "List-Unsubscribe",
    "Resent-To",
    "Date",
    "MIME-Version",
    "Sender",
    "From",
    "Message-ID",
    "Subject",
    "In-Reply-To",
    "References",
    "To",
    "List-Archive",
    "Reply-To",
    "List-Help",
    "Resent-Cc",
];

/// The message with its signature in front; as it is when nothing is to be signed.
pub(super) fn signed(
    config: &Config,
    settings: &Layered<'_>,
    vmta: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, String> {
    if !matches!(
        settings.text("dkim-sign").to_lowercase().as_str(),
        "yes" | "true"
    ) {
        return Ok(message);
    }
    let Some(domain) = signing_domain(settings, &message) else {
        return Ok(message);
    };
    let Some(key) = chosen_key(config, vmta, &domain) else {
        return Ok(message);
    };
    let header = signature(settings, key, &domain, &message)?;
    Ok(headers::with(&message, header.trim_end()))
}

/// Of the Sender header, else of From, unless `dkim-identity` names another.
fn signing_domain(settings: &Layered<'_>, message: &[u8]) -> Option<String> {
    let identity = settings.text("dkim-identity");
    let address = match identity.as_str() {
        "sender-or-from" | "" => ["sender", "from"]
            .iter()
            .find_map(|name| headers::find(message, name))
            .and_then(|body| headers::address(&body))?,
        "strict-from" => headers::find(message, "from").and_then(|body| headers::address(&body))?,
        _ => identity,
    };
    address
        .rsplit_once('@')
        .map(|(_, domain)| domain.to_lowercase())
}

/// The first key whose domain is the signing domain or a parent of it: the virtual MTA's keys, those
/// of its pools, then the global ones.
fn chosen_key<'a>(config: &'a Config, vmta: &str, domain: &str) -> Option<&'a DomainKey> {
    let vmta = vmta.to_lowercase();
    let own = config
        .virtual_mtas
        .get(&vmta)
        .map(|own| own.domain_keys.as_slice());
    let pools = config
        .pools
        .values()
        .filter(|pool| {
            pool.members
                .iter()
                .any(|member| member.to_lowercase() == vmta)
        })
        .flat_map(|pool| &pool.domain_keys);
    own.unwrap_or_default()
        .iter()
        .chain(pools)
        .chain(&config.domain_keys)
        .find(|key| {
            key.domain.as_ref().is_none_or(|parent| {
                domain == parent
                    || domain
                        .strip_suffix(parent.as_str())
                        .is_some_and(|front| front.ends_with('.'))
            })
        })
}

fn signature(
    settings: &Layered<'_>,
    key: &DomainKey,
    domain: &str,
    message: &[u8],
) -> Result<String, String> {
    let fault = |what: String| format!("domain-key {}: {what}", key.file.display());
    let pem = fs::read(&key.file).map_err(|error| fault(error.to_string()))?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| fault(error.to_string()))?;
    let private = RsaKey::<Sha256>::from_key_der(der).map_err(|error| fault(error.to_string()))?;
    let mut names: Vec<String> = ALWAYS.iter().map(|&name| name.to_owned()).collect();
    names.extend(settings.list("dkim-headers"));
    names.retain(|name| headers::find(message, name).is_some());
    let canonical = |name: &str| match settings.text(name).as_str() {
        "simple" => Canonicalization::Simple,
        _ => Canonicalization::Relaxed,
    };
    let mut signer = DkimSigner::from_key(private)
        .domain(key.domain.as_deref().unwrap_or(domain))
        .selector(&key.selector)
        .headers(names)
        .header_canonicalization(canonical("dkim-headers-canon"))
        .body_canonicalization(canonical("dkim-body-canon"));
    if let Some(after) = settings.time("dkim-expire-after") {
        signer = signer.expiration(after.as_secs());
    }
    let signed = signer
        .sign(message)
        .map_err(|error| fault(error.to_string()))?;
    Ok(signed.to_header())
}
