//! A source of packages for both tools.

use email_engine_protocol::desired::{
    AptSource, DnfSource, OnRemove, PackageRepositorySpec, Policy, Resource, Spec,
};

use super::samples::resource;

/// A block with nothing in it but the beginning of a public key.
const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmAEE\n-----END PGP PUBLIC KEY BLOCK-----\n";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn sample() -> Resource {
    resource(
        "package_repository:vendor",
        Spec::PackageRepository(PackageRepositorySpec {
            name: "vendor".to_owned(),
            enabled: true,
            apt: Some(AptSource {
                uris: texts(&["https://packages.example.com/apt/"]),
                suites: texts(&["bookworm"]),
                components: texts(&["main"]),
                architectures: texts(&["amd64"]),
                key: KEY.to_owned(),
            }),
            dnf: Some(DnfSource {
                uris: texts(&["https://packages.example.com/rhel-$releasever/"]),
                signed_lists: true,
                key: KEY.to_owned(),
            }),
        }),
        OnRemove::Delete,
        Policy::Enforce,
    )
}
