//! Whatever the check of a state lets through, a file has the lines that were meant and no other.

use proptest::collection::btree_set;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const HEAD: &str = "# Written by Email-Engine; what is changed here is changed back.";

/// Words of one kind, each once.
fn words(one: &'static str, count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    btree_set(one, count).prop_map(|words| words.into_iter().collect())
}

/// Whatever may be asked of both tools.
fn good() -> impl Strategy<Value = PackageRepositorySpec> {
    let uri = "https?://[a-z]{1,8}(-[0-9])?\\.example\\.com(:[1-9][0-9]{0,3})?(/[a-z~+][a-z.0-9]{0,5}){0,2}/?";
    let apt = (
        words(uri, 1..4),
        words("[a-z]{1,6}([-.~+_/][a-z0-9]{1,4}){0,2}", 1..4),
        words("[a-z]{1,6}([-.~+_/][a-z0-9]{1,4}){0,2}", 1..4),
        words("[a-z0-9]{1,4}(-[a-z0-9]{1,4})?", 0..3),
        any::<bool>(),
    );
    let path =
        "https://[a-z]{1,8}\\.example\\.com/(el)?\\$(releasever|arch|basearch)(/[a-z]{1,4})?/?";
    let dnf = (words(path, 1..4), any::<bool>());
    let name = "[a-z0-9][a-z0-9-]{0,20}";
    (name, any::<bool>(), apt, dnf).prop_map(|(name, enabled, apt, (uris, signed_lists))| {
        let (apt_uris, mut suites, mut components, architectures, is_flat) = apt;
        if is_flat {
            suites.iter_mut().for_each(|suite| suite.push('/'));
            components.clear();
        }
        PackageRepositorySpec {
            name,
            enabled,
            apt: Some(AptSource {
                uris: apt_uris,
                suites,
                components,
                architectures,
                key: KEY.to_owned(),
            }),
            dnf: Some(DnfSource {
                uris,
                signed_lists,
                key: OTHER_KEY.to_owned(),
            }),
        }
    })
}

fn apt_lines(spec: &PackageRepositorySpec) -> Vec<String> {
    let apt = spec.apt.as_ref().unwrap();
    let enabled = if spec.enabled { "yes" } else { "no" };
    let mut lines = vec![
        HEAD.to_owned(),
        format!("Enabled: {enabled}"),
        "Types: deb".to_owned(),
        format!("URIs: {}", apt.uris.join(" ")),
        format!("Suites: {}", apt.suites.join(" ")),
    ];
    if !apt.components.is_empty() {
        lines.push(format!("Components: {}", apt.components.join(" ")));
    }
    if !apt.architectures.is_empty() {
        lines.push(format!("Architectures: {}", apt.architectures.join(" ")));
    }
    let name = &spec.name;
    lines.push(format!(
        "Signed-By: /etc/apt/keyrings/email-engine-{name}.asc"
    ));
    lines
}

fn dnf_lines(spec: &PackageRepositorySpec) -> Vec<String> {
    let (name, dnf) = (&spec.name, spec.dnf.as_ref().unwrap());
    vec![
        HEAD.to_owned(),
        format!("[email-engine-{name}]"),
        format!("name={name}"),
        format!("baseurl={}", dnf.uris.join(" ")),
        format!("enabled={}", u8::from(spec.enabled)),
        "gpgcheck=1".to_owned(),
        format!("repo_gpgcheck={}", u8::from(dnf.signed_lists)),
        format!("gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-email-engine-{name}"),
        "skip_if_unavailable=1".to_owned(),
    ]
}

/// Every text of it that comes into a file of a source, with what the check calls it.
fn fields(spec: &mut PackageRepositorySpec) -> Vec<(&'static str, &mut String)> {
    let (apt, dnf) = (spec.apt.as_mut().unwrap(), spec.dnf.as_mut().unwrap());
    let lists = [
        ("uris", &mut apt.uris),
        ("suites", &mut apt.suites),
        ("components", &mut apt.components),
        ("architectures", &mut apt.architectures),
        ("uris", &mut dnf.uris),
    ];
    let mut all = vec![("name", &mut spec.name)];
    for (field, texts) in lists {
        all.extend(texts.iter_mut().map(|text| (field, text)));
    }
    all
}

proptest! {
    #[test]
    fn what_is_meant_is_written_line_by_line(spec in good()) {
        prop_assert_eq!(config(vec![of(spec.clone())]).check(), Ok(()));
        for (form, meant) in [
            (PackageForm::Deb, apt_lines(&spec)),
            (PackageForm::Rpm, dnf_lines(&spec)),
        ] {
            let made = written(&spec, form).unwrap();
            // Every sign at which a reader could see another line.
            let lines: Vec<&str> = made.source_text.split(['\n', '\r']).collect();
            let (last, lines) = lines.split_last().unwrap();
            prop_assert_eq!(lines, meant);
            prop_assert_eq!(*last, "", "it ends with a whole line");
        }
    }

    #[test]
    fn no_value_can_bring_a_line_a_word_or_a_section_of_its_own(
        spec in good(),
        before in "[a-z/:=#]{0,4}",
        spoils in "\n|\r|\r\n| |\t|\\[",
        after in "[a-z/:=#]{0,8}",
        place in any::<Index>(),
    ) {
        let count = fields(&mut spec.clone()).len();
        for at in 0..count {
            let mut spoilt = spec.clone();
            let mut all = fields(&mut spoilt);
            let (field, text) = &mut all[at];
            let (field, place) = (*field, place.index(text.len() + 1));
            text.insert_str(place, &format!("{before}{spoils}{after}"));
            let refused = config(vec![of(spoilt)]).check();
            let told = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
            prop_assert!(told.contains(field), "{} in {field}: {refused:?}", spoils.escape_debug());
        }
    }
}
