//! Sources of packages, as a role file has them.

use email_engine_protocol::desired::{AptSource, DnfSource, OnRemove, Resource, Spec};

use super::{find, with};
use crate::fixture::Fleet;

/// A block with nothing in it but the beginning of a public key.
const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmAEE\n-----END PGP PUBLIC KEY BLOCK-----\n";

const SOURCE: &str = r#"
[[package]]
name = "haproxy"
on_remove = "leave"
after = ["package_repository:haproxy"]

[[package_repository]]
name = "haproxy"
on_remove = "delete"
after = ["package:nftables"]

[package_repository.apt]
uris = ["https://packages.example.com/{{ host }}/"]
suites = ["bookworm", "bookworm-updates"]
components = ["main"]
architectures = ["amd64"]
key = "powermta/haproxy.asc"

[package_repository.dnf]
uris = ["http://packages.example.com/el$releasever/"]
signed_lists = true
key = """
-----BEGIN PGP PUBLIC KEY BLOCK-----

mAEE
-----END PGP PUBLIC KEY BLOCK-----
"""
"#;

fn fleet(more: &str) -> Fleet {
    with(more).with_file("powermta/haproxy.asc", &KEY.replace('\n', " \r\n"))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_source_has_its_addresses_and_key_for_both_tools_and_its_packages_wait_for_it() {
    let fleet = fleet(SOURCE);
    let made = find(&fleet, "package_repository:haproxy").unwrap();
    let Spec::PackageRepository(spec) = &made.spec else {
        panic!("a source of packages");
    };
    assert_eq!((spec.name.as_str(), spec.enabled), ("haproxy", true));
    let apt = AptSource {
        uris: texts(&["https://packages.example.com/pmta1/"]),
        suites: texts(&["bookworm", "bookworm-updates"]),
        components: texts(&["main"]),
        architectures: texts(&["amd64"]),
        key: KEY.to_owned(),
    };
    assert_eq!(
        spec.apt.as_ref(),
        Some(&apt),
        "lines of another system are put right"
    );
    let dnf = DnfSource {
        uris: texts(&["http://packages.example.com/el$releasever/"]),
        signed_lists: true,
        key: KEY.to_owned(),
    };
    assert_eq!(spec.dnf.as_ref(), Some(&dnf));
    assert_eq!(made.on_remove, OnRemove::Delete);
    assert_eq!(made.after[0].as_str(), "package:nftables");
    let Resource { after, .. } = find(&fleet, "package:haproxy").unwrap();
    assert_eq!(after, [made.id]);
}

#[test]
fn what_cannot_be_a_source_is_refused_where_it_is_planned() {
    let alone = &SOURCE[SOURCE.find("[[package_repository]]").unwrap()..];
    for (from, to, said) in [
        (
            "name = \"haproxy\"",
            "name = \"ha/proxy\"",
            "lower-case letters",
        ),
        (
            "https://packages.example.com/{{ host }}/",
            "https://packages.example.com/../",
            "uris is",
        ),
        (
            "https://packages.example.com/{{ host }}/",
            "file:///srv/",
            "https:// or http://",
        ),
        ("\"bookworm\",", "\"bookworm\\nTrusted: yes\",", "suites is"),
        ("components = [\"main\"]\n", "", "1 to 16 components"),
        (
            "signed_lists = true\n",
            "",
            "https:// where the lists are not signed",
        ),
        (
            "powermta/haproxy.asc",
            "powermta/nothing.asc",
            "the bundle has no file \"powermta/nothing.asc\"",
        ),
        ("mAEE", "mAEE=", "never a private key"),
        (
            "BLOCK-----\n\nmAEE",
            "BLOCK-----\n\nlAEE",
            "never a private key",
        ),
        ("suites = [", "trusted = true\nsuites = [", "trusted"),
        (
            "after = [\"package:nftables\"]",
            "after = [\"package:nothing\"]",
            "package:nothing",
        ),
    ] {
        let changed = alone.replacen(from, to, 1);
        assert_ne!(changed, alone, "{from}");
        let refused = fleet(&changed).refusal().to_string();
        assert!(refused.contains(said), "{to}: {refused}");
    }
    let half = alone.split("[package_repository.apt]").next().unwrap();
    let refused = fleet(half).refusal().to_string();
    assert!(
        refused.contains("what apt reads, what dnf reads"),
        "{refused}"
    );
}
