//! A source of packages of the machine's own package tool. Whoever is one has root on the host, so that
//! nothing of it is taken on trust: its address is plain, its key is told with it, and what is written
//! down for the tool cannot hold more than was meant.

mod key;
#[cfg(test)]
mod tests;
mod uri;

use serde::{Deserialize, Serialize};

use super::config::at_most;
use super::names;
use super::{ConfigError, HostConfig, Resource, Spec};
use crate::limits;

pub use uri::is_repository_uri;

const NAME: &str = "a name: lower-case letters, digits and '-', beginning with a letter or digit, at most 64 characters";
const TOOL: &str = "what apt reads, what dnf reads, or both";
const URIS: &str = "1 to 16 addresses, each once";
const WORDS: &str = "at most 16 of them, each once";
const APT_URI: &str = "the address of a repository: https:// or http://, a host with a port where it has one, and a path \
     of letters, digits, '-', '.', '_', '~' and '+', without '.' or '..' between its slashes";
const DNF_URI: &str = "the address of a repository: https:// or http://, a host with a port where it has one, and a path \
     of letters, digits, '-', '.', '_', '~', '+', $arch, $basearch and $releasever, without '.' or '..' \
     between its slashes";
const DNF_OPEN: &str =
    "https:// where the lists are not signed: who stands between would choose what is in them";
const SUITE: &str = "a suite, such as bookworm, or a folder that ends in '/' of a repository without suites: letters, \
     digits, '-', '.', '_', '~', '+' and '/', without '.' or '..' between its slashes, at most 128 characters";
const SUITES: &str = "1 to 16 suites, each once";
const COMPONENT: &str = "a component, such as main: letters, digits, '-', '.', '_', '~', '+' and '/', without '.' or '..' \
     between its slashes, at most 128 characters";
const COMPONENTS: &str =
    "1 to 16 components where a suite is named, and none beside a folder that ends in '/'";
const ARCHITECTURE: &str =
    "an architecture, such as amd64: lower-case letters, digits and '-', at most 32 characters";
const KEY: &str = "one block of `gpg --armor --export`, of at most 65536 bytes: a line BEGIN PGP PUBLIC KEY BLOCK, an \
     empty line, base64 of public keys and nothing else, the line END; never a private key";

/// A source of packages, with the key that signs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRepositorySpec {
    /// What it is called on the host, and in the names of its two files there.
    pub name: String,
    /// Whether the package tool asks it; written down and left alone otherwise.
    pub enabled: bool,
    /// What a host with apt gets.
    pub apt: Option<AptSource>,
    /// What a host with dnf gets.
    pub dnf: Option<DnfSource>,
}

/// A repository of apt, as sources.list(5) describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AptSource {
    /// Its addresses.
    pub uris: Vec<String>,
    /// Suites of it, or folders that end in `/`.
    pub suites: Vec<String>,
    /// Components of its suites.
    pub components: Vec<String>,
    /// Architectures that are asked for; those of the host when there are none.
    pub architectures: Vec<String>,
    /// The one key that may sign it, in armour.
    pub key: String,
}

/// A repository of dnf, as dnf.conf(5) describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnfSource {
    /// Addresses of the same packages.
    pub uris: Vec<String>,
    /// Whether its lists are signed as well, beside each of its packages.
    pub signed_lists: bool,
    /// The key that signs it, in armour.
    pub key: String,
}

impl PackageRepositorySpec {
    /// Every address in it, whichever tool would ask.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        let apt = self.apt.iter().flat_map(|source| &source.uris);
        let dnf = self.dnf.iter().flat_map(|source| &source.uris);
        apt.chain(dnf).map(String::as_str)
    }
}

/// Checks one of them.
pub(super) fn check(resource: &Resource, spec: &PackageRepositorySpec) -> Result<(), ConfigError> {
    let name = &spec.name;
    names::check(resource, "name", name, is_name(name), NAME)?;
    let is_any = spec.apt.is_some() || spec.dnf.is_some();
    names::check(resource, "package tool", "none", is_any, TOOL)?;
    if let Some(source) = &spec.apt {
        check_apt(resource, source)?;
    }
    if let Some(source) = &spec.dnf {
        let uris = &source.uris;
        each(resource, "uris", uris, is_repository_uri, DNF_URI)?;
        let good = is_list(uris) && !uris.is_empty();
        names::check(resource, "uris", &told(uris), good, URIS)?;
        let is_open = |uri: &&String| uri.starts_with("http:") && !source.signed_lists;
        let open = uris.iter().find(is_open);
        let text = open.map_or("", String::as_str);
        names::check(resource, "uris", text, open.is_none(), DNF_OPEN)?;
        check_key(resource, &source.key)?;
    }
    Ok(())
}

/// Checks what only all of them together show.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    let is_one = |one: &&Resource| matches!(one.spec, Spec::PackageRepository(_));
    let count = config.resources.iter().filter(is_one).count();
    at_most(
        "number of package repositories",
        count,
        limits::REPOSITORIES,
    )
}

fn check_apt(resource: &Resource, source: &AptSource) -> Result<(), ConfigError> {
    let AptSource {
        uris,
        suites,
        components,
        architectures,
        key,
    } = source;
    let is_uri = |uri: &str| is_repository_uri(uri) && !uri.contains('$');
    each(resource, "uris", uris, is_uri, APT_URI)?;
    let good = is_list(uris) && !uris.is_empty();
    names::check(resource, "uris", &told(uris), good, URIS)?;

    each(resource, "suites", suites, is_suite, SUITE)?;
    let good = is_list(suites) && !suites.is_empty();
    names::check(resource, "suites", &told(suites), good, SUITES)?;

    each(resource, "components", components, is_path, COMPONENT)?;
    let has_folder = suites.iter().any(|suite| suite.ends_with('/'));
    let good = is_list(components) && components.is_empty() == has_folder;
    let is_mixed = has_folder && suites.iter().any(|suite| !suite.ends_with('/'));
    let (text, good) = (told(components), good && !is_mixed);
    names::check(resource, "components", &text, good, COMPONENTS)?;

    let field = "architectures";
    each(
        resource,
        field,
        architectures,
        is_architecture,
        ARCHITECTURE,
    )?;
    let good = is_list(architectures);
    names::check(resource, field, &told(architectures), good, WORDS)?;
    check_key(resource, key)
}

/// A refused text may be a private key: no more than its kind is told.
fn check_key(resource: &Resource, text: &str) -> Result<(), ConfigError> {
    let good = text.len() <= limits::REPOSITORY_KEY_BYTES && key::is_public(text);
    let first = text.lines().next().unwrap_or_default();
    let is_head = first.starts_with("-----BEGIN ") && first.ends_with("-----");
    let shown = match is_head {
        true => format!("{} bytes after {first}", text.len()),
        false => format!("{} bytes of something else", text.len()),
    };
    names::check(resource, "key", &shown, good, KEY)
}

fn each(
    resource: &Resource,
    field: &'static str,
    texts: &[String],
    good: impl Fn(&str) -> bool,
    accepted: &'static str,
) -> Result<(), ConfigError> {
    texts
        .iter()
        .try_for_each(|text| names::check(resource, field, text, good(text), accepted))
}

/// Not too many, and each once. The order is the operator's: tools ask the first one first.
fn is_list(texts: &[String]) -> bool {
    let is_new = |(at, text): (usize, &String)| !texts[..at].contains(text);
    texts.len() <= limits::REPOSITORY_WORDS && texts.iter().enumerate().all(is_new)
}

fn told(texts: &[String]) -> String {
    texts.join(" ")
}

fn is_name(name: &str) -> bool {
    let begins = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(begins)
        && name.bytes().all(|b| begins(b) || b == b'-')
}

fn is_suite(suite: &str) -> bool {
    suite == "/" || is_path(suite.strip_suffix('/').unwrap_or(suite))
}

/// Parts of a path of the repository: none leads out of it, and none is an option.
fn is_path(text: &str) -> bool {
    text.len() <= 128 && !text.starts_with('-') && text.split('/').all(uri::is_part)
}

fn is_architecture(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-')
}
