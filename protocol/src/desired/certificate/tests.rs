use proptest::prelude::*;

use super::*;
use crate::bytes::ContentHash;
use crate::desired::{DirectorySpec, Disposition, Policy};
use crate::id::{ClusterId, HostId, ResourceId, Role};

fn acme() -> CertificateSpec {
    CertificateSpec {
        path: HostPath::new("/etc/web/tls").unwrap(),
        domains: vec!["mail.example.com".to_owned(), "example.com".to_owned()],
        group: Some("www-data".to_owned()),
        source: CertificateSource::Acme(AcmeSpec {
            directory: "https://acme.example.net/directory".to_owned(),
            contact: Some("ops@example.com".to_owned()),
            webroot: HostPath::new("/var/www/acme").unwrap(),
            key: CertificateKey::EcdsaP256,
            agreed: true,
        }),
    }
}

fn resource(spec: CertificateSpec) -> Resource {
    Resource {
        id: ResourceId::new("certificate:web").unwrap(),
        spec: Spec::Certificate(spec),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn checked(resources: Vec<Resource>) -> Result<(), String> {
    let config = HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("web1").unwrap(),
        role: Role::Mailwizz,
        disposition: Disposition::Active,
        resources,
        large_removal: false,
        accounting: None,
    };
    config.check().map_err(|error| error.to_string())
}

fn refused(change: impl FnOnce(&mut CertificateSpec)) -> String {
    let mut spec = acme();
    change(&mut spec);
    checked(vec![resource(spec)]).unwrap_err()
}

fn of_acme(change: impl FnOnce(&mut AcmeSpec)) -> String {
    refused(|spec| {
        if let CertificateSource::Acme(acme) = &mut spec.source {
            change(acme);
        }
    })
}

#[test]
fn a_certificate_is_refused_with_field_and_value_when_it_cannot_be_asked_for() {
    assert_eq!(checked(vec![resource(acme())]), Ok(()));
    for (refused, field, value) in [
        (refused(|spec| spec.domains.clear()), "domains", "\"\""),
        (
            refused(|spec| spec.domains.push("*.example.com".to_owned())),
            "domains",
            "*.example.com",
        ),
        (
            refused(|spec| spec.domains.push("example.com".to_owned())),
            "domains",
            "each name once",
        ),
        (
            refused(|spec| spec.group = Some("a b".to_owned())),
            "group",
            "a b",
        ),
        (
            of_acme(|acme| acme.directory = "http://acme.example.net/d".to_owned()),
            "directory",
            "http:",
        ),
        (
            of_acme(|acme| acme.contact = Some("nobody".to_owned())),
            "contact",
            "nobody",
        ),
        (
            of_acme(|acme| acme.webroot = HostPath::new("/etc/web/tls/www").unwrap()),
            "webroot",
            "/etc/web/tls/www",
        ),
    ] {
        assert!(
            refused.contains(field) && refused.contains(value),
            "{refused}"
        );
    }
    let many = (0..=limits::CERTIFICATE_NAMES).map(|at| format!("w{at}.example.com"));
    assert!(refused(|spec| spec.domains = many.collect()).contains("at most 100"));
    let mut switched_off = resource(acme());
    switched_off.on_remove = OnRemove::Disable;
    assert!(
        checked(vec![switched_off])
            .unwrap_err()
            .contains("delete or leave")
    );
}

#[test]
fn a_supplied_one_is_a_small_secret_artifact() {
    let supplied = |secret, length| {
        let mut spec = acme();
        spec.source = CertificateSource::Supplied(ArtifactRef {
            sha256: ContentHash::of(b"pair"),
            length,
            pieces: vec![ContentHash::of(b"pair")],
            secret,
        });
        checked(vec![resource(spec)])
    };
    assert_eq!(supplied(true, 4000), Ok(()));
    assert!(supplied(false, 4000).unwrap_err().contains("--secret"));
    assert!(supplied(true, 1024 * 1024).unwrap_err().contains("at most"));
}

#[test]
fn nothing_else_lies_in_the_folder_that_is_swapped_whole() {
    let mut below = resource(acme());
    below.id = ResourceId::new("directory:/etc/web/tls/x").unwrap();
    below.spec = Spec::Directory(DirectorySpec {
        path: HostPath::new("/etc/web/tls/x").unwrap(),
        mode: 0o755,
        owner: None,
        group: None,
    });
    let refused = checked(vec![resource(acme()), below]).unwrap_err();
    assert!(refused.contains("nothing else in it"), "{refused}");
}

#[test]
fn a_directory_is_an_https_address_of_a_named_host() {
    for (url, host) in [
        (
            "https://acme-v02.api.letsencrypt.org/directory",
            "acme-v02.api.letsencrypt.org",
        ),
        ("https://localhost:14000/dir", "localhost:14000"),
        ("https://acme.example.net/", "acme.example.net"),
    ] {
        assert_eq!(directory_host(url), Some(host));
    }
    for bad in [
        "https://acme.example.net",
        "https://user@acme.example.net/",
        "https://acme.example.net:443/",
        "https://acme.example.net:0/",
        "https://acme.example.net:99999/",
        "https://acme.example.net/d?x=y",
        "https://acme.example.net/d#x",
        "https://192.0.2.1/d",
        "https://[2001:db8::1]/d",
        "https://acme/d",
        "https://ACME.example.net/d",
        "ftp://acme.example.net/d",
        "https:///d",
    ] {
        assert_eq!(directory_host(bad), None, "{bad}");
    }
}

proptest! {
    /// Whatever is taken for a name has nothing in it that a path, a header or a shell would read
    /// otherwise.
    #[test]
    fn a_web_name_is_labels_and_nothing_else(text in "[a-zA-Z0-9.*/:@ _-]{0,40}") {
        if is_web_name(&text) {
            prop_assert!(!text.starts_with('.') && !text.ends_with('.') && !text.contains(".."));
            prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)));
        }
    }
}
