//! What is written for the package tool. Pure: every value was checked to be one word before it comes here,
//! so that no field or line can be among them.

use std::fmt::Write as _;

use email_engine_protocol::desired::{AptSource, DnfSource, HostPath, PackageRepositorySpec};
use serde::{Deserialize, Serialize};

use crate::host::PackageForm;

const HEAD: &str = "# Written by Email-Engine; what is changed here is changed back.\n";

/// Both files of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) key: HostPath,
    pub(super) key_text: String,
    pub(super) source: HostPath,
    pub(super) source_text: String,
}

/// What the tool calls it.
pub(super) fn id(name: &str) -> String {
    format!("email-engine-{name}")
}

/// Where the source stands, and its key.
pub(super) fn places(form: PackageForm, name: &str) -> (HostPath, HostPath) {
    let id = id(name);
    let (source, key) = match form {
        PackageForm::Deb => (
            format!("/etc/apt/sources.list.d/{id}.sources"),
            format!("/etc/apt/keyrings/{id}.asc"),
        ),
        PackageForm::Rpm => (
            format!("/etc/yum.repos.d/{id}.repo"),
            format!("/etc/pki/rpm-gpg/RPM-GPG-KEY-{id}"),
        ),
    };
    let place = |text| HostPath::new(text).expect("fixed parts and a checked name make a path");
    (place(source), place(key))
}

/// Both files for one tool; nothing when it is not described for that.
pub(super) fn written(spec: &PackageRepositorySpec, form: PackageForm) -> Option<Written> {
    let (source, key) = places(form, &spec.name);
    let (key_text, source_text) = match form {
        PackageForm::Deb => {
            let apt = spec.apt.as_ref()?;
            (apt.key.clone(), apt_text(spec, apt, &key))
        }
        PackageForm::Rpm => {
            let dnf = spec.dnf.as_ref()?;
            (dnf.key.clone(), dnf_text(spec, dnf, &key))
        }
    };
    Some(Written {
        key,
        key_text,
        source,
        source_text,
    })
}

/// sources.list(5), in its deb822 form.
fn apt_text(spec: &PackageRepositorySpec, source: &AptSource, key: &HostPath) -> String {
    let enabled = if spec.enabled { "yes" } else { "no" };
    let mut text = format!("{HEAD}Enabled: {enabled}\nTypes: deb\n");
    for (field, words) in [
        ("URIs", &source.uris),
        ("Suites", &source.suites),
        ("Components", &source.components),
        ("Architectures", &source.architectures),
    ] {
        if !words.is_empty() {
            let _ = writeln!(text, "{field}: {}", words.join(" "));
        }
    }
    let _ = writeln!(text, "Signed-By: {key}");
    text
}

/// dnf.conf(5). Who asks for something else is not to be stopped by this one, so that it may be passed over
/// by others; whoever reads it says so then.
fn dnf_text(spec: &PackageRepositorySpec, source: &DnfSource, key: &HostPath) -> String {
    let (id, name) = (id(&spec.name), &spec.name);
    let uris = source.uris.join(" ");
    let (enabled, lists) = (u8::from(spec.enabled), u8::from(source.signed_lists));
    format!(
        "{HEAD}[{id}]\nname={name}\nbaseurl={uris}\nenabled={enabled}\ngpgcheck=1\n\
         repo_gpgcheck={lists}\ngpgkey=file://{key}\nskip_if_unavailable=1\n"
    )
}

/// The same text, passed over by the tool.
pub(super) fn disabled(form: PackageForm, text: &str) -> String {
    match form {
        PackageForm::Deb => text.replacen("\nEnabled: yes\n", "\nEnabled: no\n", 1),
        PackageForm::Rpm => text.replacen("\nenabled=1\n", "\nenabled=0\n", 1),
    }
}
