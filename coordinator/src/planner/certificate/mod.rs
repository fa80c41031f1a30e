//! Certificates in a role file.
//!
//! ```toml
//! [[certificate]]
//! name = "web"
//! path = "/etc/email-engine/mailwizz/tls"    # a folder: chain.pem and key.pem, and nothing else
//! domains = ["{{ web.names }}"]              # templates of names with blanks between them
//! group = "www-data"                         # reads the key beside root; nobody when absent
//! directory = "{{ web.acme_directory }}"     # a template
//! contact = "{{ web.acme_contact }}"         # a template; none where it is empty
//! agreed = "{{ web.acme_terms }}"            # a template; "agreed" is the operator's word
//! webroot = "/var/www/email-engine-acme"     # what nginx serves /.well-known/acme-challenge/ from
//! key = "ecdsa-p256"                         # or ecdsa-p384
//! on_remove = "delete"                       # or leave
//! notify = ["service:nginx.service"]
//!
//! [[certificate]]
//! name = "own"
//! path = "/etc/email-engine/mailwizz/own-tls"
//! domains = ["{{ web.names }}"]
//! artifact = "web-certificate"               # the operator's: chain and one key in PEM, secret
//! on_remove = "delete"
//! ```
//!
//! Where no name comes of `domains` the host has no such certificate. The fleet does not know what web
//! servers are called: `web` is what labels of the host say.
//!
//! | label | is |
//! | --- | --- |
//! | `web-names` | names of the host's web server, with blanks or commas between them |
//! | `acme-terms` | `agreed`: the operator agrees to the terms of service of the ACME server |
//! | `acme-directory` | address of its directory; that of Let's Encrypt when absent |
//! | `acme-contact` | mail address that it may write to |
//!
//! A web server that is to run before there is a certificate, and to have one after it:
//!
//! ```text
//! server {
//!     listen 80;
//!     server_name {{ web.names }};
//!     location ^~ /.well-known/acme-challenge/ { root /var/www/email-engine-acme; }
//!     root /var/www/mailwizz;
//! }
//! server {
//!     listen 443 ssl;
//!     server_name {{ web.names }};
//!     ssl_certificate /etc/email-engine/mailwizz/tls/chain.pem;
//!     ssl_certificate_key /etc/email-engine/mailwizz/tls/key.pem;
//!     root /var/www/mailwizz;
//! }
//! ```

use std::collections::BTreeMap;

use email_engine_protocol::desired::{
    AcmeSpec, CertificateKey, CertificateSource, CertificateSpec, OnRemove, Spec, directory_host,
    is_web_name,
};
use email_engine_protocol::id::ArtifactName;
use email_engine_protocol::mail::MailAddress;
use minijinja::Value;
use serde::{Deserialize, Serialize};

use super::basics::Made;
use super::build::Build;
use super::error::BundleFault;
use super::role::RoleFile;

const NAMES_LABEL: &str = "web-names";
const TERMS_LABEL: &str = "acme-terms";
const DIRECTORY_LABEL: &str = "acme-directory";
const CONTACT_LABEL: &str = "acme-contact";
const AGREED: &str = "agreed";
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateEntry {
    name: String,
    path: String,
    domains: Vec<String>,
    group: Option<String>,
    pub(super) artifact: Option<ArtifactName>,
    directory: Option<String>,
    contact: Option<String>,
    agreed: Option<String>,
    webroot: Option<String>,
    key: Option<CertificateKey>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// What labels say of a host's web server, as templates see it.
#[derive(Debug, Serialize)]
pub(super) struct WebValues {
    /// With one blank between each two.
    names: String,
    acme_terms: String,
    acme_directory: String,
    acme_contact: String,
}

impl WebValues {
    pub(super) fn of(labels: &BTreeMap<String, String>) -> Self {
        let said = |label: &str| labels.get(label).cloned().unwrap_or_default();
        let directory = labels.get(DIRECTORY_LABEL).cloned();
        Self {
            names: listed(&said(NAMES_LABEL)).collect::<Vec<_>>().join(" "),
            acme_terms: said(TERMS_LABEL),
            acme_directory: directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
            acme_contact: said(CONTACT_LABEL),
        }
    }
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    let between = |c: char| c == ',' || c.is_ascii_whitespace();
    text.split(between).filter(|name| !name.is_empty())
}

/// What a label about certificates would have to be, unless it is or it is about something else.
pub(super) fn label_fault(label: &str, value: &str) -> Option<&'static str> {
    let (good, accepted) = match label {
        NAMES_LABEL => (
            listed(value).all(is_web_name),
            "names of web servers with blanks between them, such as mail.example.com www.example.com",
        ),
        TERMS_LABEL => (value == AGREED, "\"agreed\", or no such label"),
        DIRECTORY_LABEL => (
            directory_host(value).is_some(),
            "the https address of an ACME directory, such as https://acme-v02.api.letsencrypt.org/directory",
        ),
        CONTACT_LABEL => (
            MailAddress::new(value).is_ok(),
            "a mail address such as ops@example.com",
        ),
        _ => return None,
    };
    (!good).then_some(accepted)
}

/// Templates among the texts of these entries.
pub(super) fn texts(entries: &[CertificateEntry]) -> impl Iterator<Item = &str> {
    let texts = entries.iter().flat_map(|entry| {
        let fields = [&entry.directory, &entry.contact, &entry.agreed];
        let fields = fields.into_iter().flatten();
        entry.domains.iter().chain(fields)
    });
    let texts: std::collections::BTreeSet<&str> = texts.map(String::as_str).collect();
    texts.into_iter()
}

/// The certificates of a role file that are for some name.
pub(super) fn made<'a>(
    build: &Build<'_>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let context = build.context(None);
    let mut made = Vec::new();
    for entry in &role.certificates {
        let mut domains = Vec::new();
        for template in &entry.domains {
            let text = build.templates.text(template, &role.path, &context)?;
            for name in listed(&text).map(str::to_owned) {
                if !domains.contains(&name) {
                    domains.push(name);
                }
            }
        }
        let source = source(build, entry, &context)?;
        if domains.is_empty() {
            continue;
        }
        let spec = CertificateSpec {
            path: build.path(&entry.path)?,
            domains,
            group: entry.group.clone(),
            source,
        };
        made.push(Made {
            id: format!("certificate:{}", entry.name),
            spec: Spec::Certificate(spec),
            on_remove: entry.on_remove,
            after: &entry.after,
            notify: &entry.notify,
        });
    }
    Ok(made)
}

fn source(
    build: &Build<'_>,
    entry: &CertificateEntry,
    context: &Value,
) -> Result<CertificateSource, BundleFault> {
    let name = &entry.name;
    let asked = [
        &entry.directory,
        &entry.contact,
        &entry.agreed,
        &entry.webroot,
    ];
    if let Some(artifact) = &entry.artifact {
        if asked.into_iter().any(Option::is_some) || entry.key.is_some() {
            return Err(build.fault(&format!(
                "certificate {name:?} is an artifact: directory, contact, agreed, webroot and key are \
                 not for it"
            )));
        }
        return Ok(CertificateSource::Supplied(build.artifact(artifact)?));
    }
    let filled = |template: &Option<String>| {
        let text = template.as_ref();
        let text = text.map(|text| build.templates.text(text, &build.role.path, context));
        Ok(text.transpose()?.map(|text| text.trim().to_owned()))
    };
    let missing = |field: &str| {
        build.fault(&format!(
            "certificate {name:?} has neither artifact nor {field}: one of them is accepted"
        ))
    };
    let directory = filled(&entry.directory)?.ok_or_else(|| missing("directory"))?;
    let webroot = entry.webroot.as_ref().ok_or_else(|| missing("webroot"))?;
    let agreed = filled(&entry.agreed)?.unwrap_or_default();
    if ![AGREED, ""].contains(&agreed.as_str()) {
        let agreed: String = agreed.chars().take(120).collect();
        return Err(build.fault(&format!(
            "certificate {name:?}: agreed is {agreed:?}, accepted is \"agreed\" or nothing"
        )));
    }
    Ok(CertificateSource::Acme(AcmeSpec {
        directory,
        contact: filled(&entry.contact)?.filter(|text| !text.is_empty()),
        webroot: build.path(webroot)?,
        key: entry.key.unwrap_or_default(),
        agreed: agreed == AGREED,
    }))
}
