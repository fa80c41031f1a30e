//! Certificates: one of each source and kind of key.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    AcmeSpec, ArtifactRef, CertificateKey, CertificateSource, CertificateSpec, HostPath, OnRemove,
    Policy, Resource, Spec,
};

use super::samples::resource;

pub(crate) fn all() -> Vec<Resource> {
    let path = |text: &str| HostPath::new(text).unwrap();
    let made = |id: &str, at: &str, source| {
        let spec = CertificateSpec {
            path: path(at),
            domains: vec!["mail.example.com".to_owned(), "example.com".to_owned()],
            group: Some("www-data".to_owned()),
            source,
        };
        resource(
            id,
            Spec::Certificate(spec),
            OnRemove::Delete,
            Policy::Enforce,
        )
    };
    let acme = |key, agreed| {
        CertificateSource::Acme(AcmeSpec {
            directory: "https://acme.example.net/directory".to_owned(),
            contact: Some("ops@example.com".to_owned()),
            webroot: path("/var/www/acme"),
            key,
            agreed,
        })
    };
    let supplied = CertificateSource::Supplied(ArtifactRef {
        sha256: ContentHash([7; 32]),
        length: 4096,
        pieces: vec![ContentHash([8; 32])],
        secret: true,
    });
    vec![
        made(
            "certificate:one",
            "/etc/web/one",
            acme(CertificateKey::EcdsaP256, true),
        ),
        made(
            "certificate:two",
            "/etc/web/two",
            acme(CertificateKey::EcdsaP384, false),
        ),
        made("certificate:three", "/etc/web/three", supplied),
    ]
}
