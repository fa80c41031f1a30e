//! Sources of packages in a role file.
//!
//! ```toml
//! [[package_repository]]
//! name = "haproxy"                    # in the names of its two files on the host
//! enabled = true                      # written down and passed over when false; true when absent
//! on_remove = "delete"                # takes both files away; "disable" has the tool pass it over
//! after = ["package:ca-certificates"]
//!
//! [package_repository.apt]            # what a host with apt gets
//! uris = ["https://packages.example.com/debian/"]     # or http://: the signature is what counts. Templates
//! suites = ["bookworm"]               # templates; one that ends in "/" is a folder without components
//! components = ["main"]
//! architectures = ["amd64"]           # those of the host when absent
//! key = "relay/haproxy.asc"           # a file of the bundle, or the key itself between three quotes
//!
//! [package_repository.dnf]            # what a host with dnf gets
//! uris = ["https://packages.example.com/el$releasever/"]
//! signed_lists = true                 # its lists are signed as well as its packages; false when absent, and
//!                                     # then by https:// alone
//! key = "relay/haproxy.asc"
//! ```
//!
//! One of the two tables is enough; a host with the other tool says that it is not described for it. A key
//! is the armoured public one (`gpg --armor --export`). It is the only one that counts for apt, and for lists
//! that dnf reads; packages that dnf installs may be signed by any key that rpm has. Hosts allow no source
//! that their own list does not name (`package_repositories`). A package that is meant from a source says
//! `after = ["package_repository:NAME"]` and waits until it was read. Without it the source comes first only where
//! it waits for nothing itself: one with an `after` may be read when the package is installed already, from
//! elsewhere.
//! Each also takes `notify`.

use std::collections::BTreeMap;

use email_engine_protocol::desired::{AptSource, DnfSource, OnRemove, PackageRepositorySpec, Spec};
use minijinja::Value;
use serde::Deserialize;

use super::super::basics::Made;
use super::super::build::Build;
use super::super::error::BundleFault;
use super::super::role::{self, RoleFile};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct PackageRepositoryEntry {
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
    apt: Option<AptEntry>,
    dnf: Option<DnfEntry>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AptEntry {
    /// Templates.
    uris: Vec<String>,
    /// Templates.
    suites: Vec<String>,
    #[serde(default)]
    components: Vec<String>,
    #[serde(default)]
    architectures: Vec<String>,
    key: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnfEntry {
    /// Templates.
    uris: Vec<String>,
    #[serde(default)]
    signed_lists: bool,
    key: String,
}

const fn yes() -> bool {
    true
}

/// How a key begins that stands in the role file itself.
const ARMOUR: &str = "-----BEGIN ";

impl PackageRepositoryEntry {
    /// Files of the bundle that it names.
    pub(in super::super) fn files(&self) -> impl Iterator<Item = &str> {
        let apt = self.apt.iter().map(|source| source.key.as_str());
        let dnf = self.dnf.iter().map(|source| source.key.as_str());
        apt.chain(dnf).filter(|key| !is_armoured(key))
    }
}

fn is_armoured(key: &str) -> bool {
    key.trim_start().starts_with(ARMOUR)
}

/// Templates among the texts of these entries, each once.
pub(in super::super) fn texts(entries: &[PackageRepositoryEntry]) -> impl Iterator<Item = &str> {
    let mut texts: Vec<&str> = Vec::new();
    for entry in entries {
        if let Some(source) = &entry.apt {
            texts.extend(source.uris.iter().chain(&source.suites).map(String::as_str));
        }
        if let Some(source) = &entry.dnf {
            texts.extend(source.uris.iter().map(String::as_str));
        }
    }
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter()
}

/// The sources of packages of a role file.
pub(super) fn made<'a>(
    build: &Build<'_>,
    files: &BTreeMap<String, String>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let context = build.context(None);
    let one = |entry: &'a PackageRepositoryEntry| {
        Ok(Made {
            id: format!("package_repository:{}", entry.name),
            spec: Spec::PackageRepository(spec(build, files, entry, &context)?),
            on_remove: entry.on_remove,
            after: &entry.after,
            notify: &entry.notify,
        })
    };
    role.package_repositories.iter().map(one).collect()
}

fn spec(
    build: &Build<'_>,
    files: &BTreeMap<String, String>,
    entry: &PackageRepositoryEntry,
    context: &Value,
) -> Result<PackageRepositorySpec, BundleFault> {
    let filled = |texts: &[String]| {
        let text = |text: &String| build.templates.text(text, &build.role.path, context);
        texts.iter().map(text).collect::<Result<Vec<_>, _>>()
    };
    let apt = entry.apt.as_ref().map(|source| {
        Ok(AptSource {
            uris: filled(&source.uris)?,
            suites: filled(&source.suites)?,
            components: source.components.clone(),
            architectures: source.architectures.clone(),
            key: key(build, files, &source.key)?,
        })
    });
    let dnf = entry.dnf.as_ref().map(|source| {
        Ok(DnfSource {
            uris: filled(&source.uris)?,
            signed_lists: source.signed_lists,
            key: key(build, files, &source.key)?,
        })
    });
    Ok(PackageRepositorySpec {
        name: entry.name.clone(),
        enabled: entry.enabled,
        apt: apt.transpose()?,
        dnf: dnf.transpose()?,
    })
}

/// A key as every tool reads it: lines of other systems and blanks around it are put right. What it holds is
/// judged with the state.
fn key(
    build: &Build<'_>,
    files: &BTreeMap<String, String>,
    named: &str,
) -> Result<String, BundleFault> {
    let text = match is_armoured(named) {
        true => named,
        false => role::file(files, named, &build.role.path)?,
    };
    let lines = text.trim().lines().map(str::trim_end);
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}
