use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;
use crate::desired::{Disposition, OnRemove, Policy};
use crate::id::{ClusterId, HostId, ResourceId, Role};

/// As gpg wrote it.
const PUBLIC: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawKmbxYJKwYBBAHaRw8BAQdAaZiK7eb/Nj0PXlKaOs1oQCtqdBO2wKlXxxFS
u1lPPlG0J0V4YW1wbGUgUGFja2FnZXMgPHBhY2thZ2VzQGV4YW1wbGUuY29tPoiQ
BBMWCAA4FiEEBvb/jwnKfnKldw4tKJnYMK6ESUIFAmsCpm8CGwMFCwkIBwIGFQoJ
CAsCBBYCAwECHgECF4AACgkQKJnYMK6ESUI9gQEA1MDxFgeMrSSpTTV82BPDO7YT
C+vcdeZXsDjPYPiA/IcBAIfr8bKIhH0ucKPayOme1mgBaKm/3lF27VxY9ZpFv+oG
=mNY8
-----END PGP PUBLIC KEY BLOCK-----
";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn spec() -> PackageRepositorySpec {
    PackageRepositorySpec {
        name: "haproxy".to_owned(),
        enabled: true,
        apt: Some(AptSource {
            uris: texts(&["https://packages.example.com/apt/"]),
            suites: texts(&["bookworm", "bookworm-updates"]),
            components: texts(&["main", "non-free/debug"]),
            architectures: texts(&["amd64"]),
            key: PUBLIC.to_owned(),
        }),
        dnf: Some(DnfSource {
            uris: texts(&["http://packages.example.com/rhel-$releasever-$basearch"]),
            signed_lists: true,
            key: PUBLIC.to_owned(),
        }),
    }
}

fn checked(spec: PackageRepositorySpec) -> Result<(), String> {
    all(vec![spec])
}

fn all(specs: Vec<PackageRepositorySpec>) -> Result<(), String> {
    let resources = specs.into_iter().enumerate().map(|(at, spec)| Resource {
        id: ResourceId::new(format!("package_repository:{at:03}")).unwrap(),
        spec: Spec::PackageRepository(spec),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    });
    let config = HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("relay1").unwrap(),
        role: Role::Api,
        disposition: Disposition::Active,
        resources: resources.collect(),
        large_removal: false,
        accounting: None,
    };
    config.check().map_err(|error| error.to_string())
}

fn apt(change: impl FnOnce(&mut AptSource)) -> Result<(), String> {
    let mut spec = spec();
    change(spec.apt.as_mut().unwrap());
    checked(spec)
}

fn with_key(key: &str) -> Result<(), String> {
    apt(|source| key.clone_into(&mut source.key))
}

/// A block that calls itself a public key, whatever is in it.
fn armoured(bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
        lines.join("\n")
    )
}

#[test]
fn a_repository_of_either_tool_or_of_both_is_one() {
    assert_eq!(checked(spec()), Ok(()));
    let mut one = spec();
    one.dnf = None;
    assert_eq!(checked(one), Ok(()));
    let mut other = spec();
    other.apt = None;
    assert_eq!(checked(other), Ok(()));
    let mut none = spec();
    (none.apt, none.dnf) = (None, None);
    let refused = checked(none).unwrap_err();
    assert!(
        refused.contains("what apt reads, what dnf reads"),
        "{refused}"
    );
    let mut open = spec();
    open.dnf.as_mut().unwrap().signed_lists = false;
    let refused = checked(open).unwrap_err();
    assert!(
        refused.contains("https:// where the lists are not signed"),
        "{refused}"
    );
    let flat = apt(|source| {
        source.suites = texts(&["/"]);
        source.components.clear();
    });
    assert_eq!(flat, Ok(()));
}

#[test]
fn what_is_no_name_address_suite_or_component_is_refused_with_what_would_be_one() {
    type Change = fn(&mut AptSource);
    let cases: [(Change, &str, &str); 12] = [
        (|one| one.uris.clear(), "uris", "1 to 16 addresses"),
        (
            |one| one.uris.push(one.uris[0].clone()),
            "uris",
            "each once",
        ),
        (
            |one| one.uris = texts(&["ftp://example.com/"]),
            "ftp://",
            "https:// or http://",
        ),
        (
            |one| one.uris = texts(&["https://example.com/$arch"]),
            "$arch",
            "letters, digits",
        ),
        (|one| one.suites.clear(), "suites", "1 to 16 suites"),
        (
            |one| one.suites = texts(&["a/../../b"]),
            "a/../../b",
            "without '.' or '..'",
        ),
        (
            |one| one.suites = texts(&["a\nTrusted: yes"]),
            "Trusted",
            "a suite, such as",
        ),
        (
            |one| one.suites = texts(&["/"]),
            "components",
            "none beside a folder",
        ),
        (
            |one| one.components.clear(),
            "components",
            "1 to 16 components",
        ),
        (
            |one| one.components = texts(&["main extra"]),
            "main extra",
            "a component, such as",
        ),
        (
            |one| one.architectures = texts(&["amd64\n"]),
            "amd64\\n",
            "an architecture",
        ),
        (|one| one.suites = texts(&["-o"]), "-o", "a suite"),
    ];
    for (change, value, accepted) in cases {
        let refused = apt(change).unwrap_err();
        assert!(
            refused.contains(value) && refused.contains(accepted),
            "{refused}"
        );
    }
    let long = "a".repeat(65);
    for name in ["", "A", "a.b", "a/b", "-a", "a\nb", &long] {
        let mut spec = spec();
        name.clone_into(&mut spec.name);
        let refused = checked(spec).unwrap_err();
        assert!(
            refused.contains("lower-case letters, digits and '-'"),
            "{refused}"
        );
    }
    let mixed = apt(|one| one.suites = texts(&["bookworm", "flat/"]));
    assert!(mixed.unwrap_err().contains("components"));
}

#[test]
fn an_address_is_plain_and_leads_out_of_no_folder() {
    for good in [
        "https://example.com",
        "https://example.com/",
        "http://localhost:8080/a/b_c~d+e.f",
        "https://192.0.2.1/debian/",
        "http://[2001:db8::1]:81/x",
        "https://example.com/rhel-$releasever/$basearch/",
    ] {
        assert!(is_repository_uri(good), "{good}");
    }
    let long = format!("https://example.com/{}", "a".repeat(500));
    for bad in [
        "",
        "https://",
        "https:///a",
        "file:///srv/repository",
        "cdrom:x",
        "https://user:word@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://Example.com/",
        "https://example.com/a//b",
        "https://example.com/a/../b",
        "https://example.com/./b",
        "https://example.com/%2e%2e/b",
        "https://example.com/a?b=c",
        "https://example.com/a#b",
        "https://example.com/a b",
        "https://example.com/a\nTrusted: yes",
        "https://example.com/$(id)",
        "https://example.com/$home",
        "https://[2001:DB8::1]/",
        "https://[::1",
        "https://example.com\\@evil.example.net/",
        &long,
    ] {
        assert!(!is_repository_uri(bad), "{bad:?}");
    }
}

#[test]
fn a_key_is_one_whole_block_of_public_keys() {
    assert_eq!(with_key(PUBLIC), Ok(()));
    let commented = PUBLIC.replacen("\n\n", "\nVersion: GnuPG v2\nComment: of the vendor\n\n", 1);
    assert_eq!(with_key(&commented), Ok(()));
    let no_sum: String = PUBLIC
        .split_inclusive('\n')
        .filter(|line| !line.starts_with('='))
        .collect();
    assert_eq!(with_key(&no_sum), Ok(()), "newer tools write no checksum");
    for (bad, why) in [
        (String::new(), "nothing"),
        (PUBLIC.trim_end().to_owned(), "the last line is cut"),
        (format!("{PUBLIC}{PUBLIC}"), "apt reads the first alone"),
        (format!("# ours\n{PUBLIC}"), "something before it"),
        (PUBLIC.replacen("\n\n", "\n", 1), "no empty line"),
        (PUBLIC.replace("PUBLIC", "PRIVATE"), "called private"),
        (PUBLIC.replace("AQdA", "AQdB"), "another checksum"),
        (PUBLIC.replace('\n', "\r\n"), "lines of another system"),
        (format!("{PUBLIC}\nTrusted: yes\n"), "something behind it"),
        (
            PUBLIC.replacen("\n\n", "\nA: b\u{1b}[2J\n\n", 1),
            "a header that draws",
        ),
    ] {
        let refused = with_key(&bad).unwrap_err();
        assert!(refused.contains("never a private key"), "{why}: {refused}");
    }
    let long = armoured(&[0xff; 3 * limits::REPOSITORY_KEY_BYTES / 4]);
    assert!(with_key(&long).is_err());
}

/// A packet with a header of this form.
fn packet(tag: u8, is_new: bool, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let begin = if is_new {
        0xc0 | tag
    } else {
        0x80 | (tag << 2)
    };
    [&[begin, length], body].concat()
}

#[test]
fn a_private_key_is_refused_whatever_it_calls_itself_and_never_told() {
    let secret = "lFgEawKmbxYJKwYBBAHaRw8BAQdAaZiK7eb";
    let plain = format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{secret}\n");
    let refused = with_key(&plain).unwrap_err();
    assert!(
        refused.contains("BEGIN PGP PRIVATE KEY BLOCK") && !refused.contains(&secret[..8]),
        "{refused}"
    );
    for is_new in [false, true] {
        let public = packet(6, is_new, b"public");
        assert_eq!(with_key(&armoured(&public)), Ok(()));
        for tag in [5, 7, 1, 11] {
            let private = packet(tag, is_new, b"private");
            for bytes in [private.clone(), [public.clone(), private].concat()] {
                let refused = with_key(&armoured(&bytes)).unwrap_err();
                assert!(refused.contains("never a private key"), "{tag}: {refused}");
                assert!(!refused.contains(&BASE64.encode(&bytes)[..8]), "{refused}");
            }
        }
        let cut = &public[..public.len() - 1];
        assert!(with_key(&armoured(cut)).is_err(), "longer than it is");
        let headless = packet(14, is_new, b"subkey");
        assert!(with_key(&armoured(&headless)).is_err(), "a subkey of none");
    }
    // Lengths that are told piece by piece, or not at all.
    for bytes in [&[0xc6, 0xe1, 0, 0, 0][..], &[0x9b, 0, 0]] {
        assert!(with_key(&armoured(bytes)).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_name_stands_for_one_of_them_and_there_are_few() {
    let refused = all(vec![spec(), spec()]).unwrap_err();
    assert!(
        refused.contains("package repository haproxy is claimed"),
        "{refused}"
    );
    let many = |count: usize| {
        let one = |at: usize| PackageRepositorySpec {
            name: format!("r{at}"),
            ..spec()
        };
        all((0..count).map(one).collect())
    };
    assert_eq!(many(limits::REPOSITORIES), Ok(()));
    let refused = many(limits::REPOSITORIES + 1).unwrap_err();
    assert!(
        refused.contains("number of package repositories is 33"),
        "{refused}"
    );
}

proptest! {
    /// An accepted address has one form, so that the beginning of one can be compared letter by letter.
    #[test]
    fn no_accepted_address_leads_anywhere_else(
        uri in "(https?|file)://[a-z@.]{1,8}(:[0-9]{0,5})?/[a-z./%$?#@ \n\\\\]{0,12}"
    ) {
        if is_repository_uri(&uri) {
            let rest = uri.split_once("://").unwrap().1;
            prop_assert!(!rest.contains("//") && !rest.contains(['%', '?', '#', '@', '\\', ' ', '\n']));
            prop_assert!(rest.split('/').all(|part| part != "." && part != ".."));
        }
    }

    /// Whatever bytes call themselves a public key: none is taken that holds a private one.
    #[test]
    fn reading_a_key_ends_and_takes_none_with_a_private_part(
        before in prop::collection::vec((0_u8..16, prop::collection::vec(any::<u8>(), 0..9)), 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let packets: Vec<u8> = before.iter().flat_map(|(tag, body)| packet(*tag, false, body)).collect();
        let is_private = before.iter().any(|(tag, _)| [5, 7].contains(tag));
        prop_assert!(!(is_private && with_key(&armoured(&packets)).is_ok()));
        let _ = with_key(&armoured(&bytes));
    }
}
