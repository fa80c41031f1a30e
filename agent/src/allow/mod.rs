//! The allow-list: which paths, commands, packages and where they come from, services, accounts, kernel
//! settings, addresses, ports that are asked, databases, tables, firewall and ACME servers a state may name on
//! this host, whoever signed it.
//!
//! It is the host's own word, shipped by the package or whoever set the host up, and guards against
//! mistakes of the planner. `default.toml`, built in, documents every key and fits the roles that
//! come with the project; a file takes its place. The executor judges every state by it before
//! accepting it ([`judge`], pure), and again before enforcing one that was accepted under another
//! list. What is the agent's own (`own`) is refused whatever is listed.

mod certificate;
mod command;
pub mod judge;
mod own;
mod repository;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use email_engine_protocol::desired::HostPath;
use ipnet::IpNet;
use serde::Deserialize;

use crate::config::Config;
pub use command::CommandRule;
pub use judge::{AllowList, Disallowed, Names, PathRule};
pub use own::own_places;

/// The built-in list, as a file.
pub const BUILT_IN: &str = include_str!("default.toml");
const LIMIT: u64 = 1024 * 1024;

/// Why there is no list to judge by.
#[derive(Debug, thiserror::Error)]
pub enum AllowListError {
    /// It is not such a list.
    #[error("allow-list {}: {problem}", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// Somebody else could write to it.
    #[error(
        "allow-list {} belongs to user {uid} and has mode {mode:04o}: it must belong to root or \
         to the agent's own user, and be writable to nobody else", path.display()
    )]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its mode.
        mode: u32,
    },
    /// It cannot be read.
    #[error("allow-list {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    paths: Option<Vec<String>>,
    commands: Option<Vec<Vec<String>>>,
    packages: Option<BTreeSet<String>>,
    package_files: Option<BTreeSet<String>>,
    package_repositories: Option<Vec<String>>,
    services: Option<BTreeSet<String>>,
    users: Option<BTreeSet<String>>,
    groups: Option<BTreeSet<String>>,
    sysctls: Option<BTreeSet<String>>,
    interfaces: Option<BTreeSet<String>>,
    addresses: Option<Vec<String>>,
    ports: Option<BTreeSet<u16>>,
    databases: Option<BTreeSet<String>>,
    database_users: Option<BTreeSet<String>>,
    tables: Option<BTreeSet<String>>,
    firewall: Option<bool>,
    acme_directories: Option<BTreeSet<String>>,
    set_id: Option<Vec<String>>,
}

/// The text of the list in force.
///
/// # Errors
/// When a file is there, or was named, and cannot be used.
pub fn text(config: &Config) -> Result<Option<String>, AllowListError> {
    let path = config.allow_list_file();
    let read = |source| AllowListError::Read {
        path: path.clone(),
        source,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.allow_list.is_none() => {
            return Ok(None);
        }
        Err(error) => return Err(read(error)),
    };
    let meta = file.metadata().map_err(read)?;
    let own = rustix::process::geteuid().as_raw();
    if ![0, own].contains(&meta.uid()) || meta.mode() & 0o022 != 0 {
        return Err(AllowListError::NotOurs {
            path: path.clone(),
            uid: meta.uid(),
            mode: meta.mode() & 0o7777,
        });
    }
    let mut text = String::new();
    let length = file
        .take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(read)?;
    if length as u64 > LIMIT {
        let problem = format!("is longer than the {LIMIT} bytes that are accepted");
        return Err(AllowListError::Form { path, problem });
    }
    Ok(Some(text))
}

/// The list in force: the built-in one, with the keys of the file over it when there is one.
///
/// # Errors
/// When the file is there, or was named, and cannot be used.
pub fn load(config: &Config) -> Result<AllowList, AllowListError> {
    let mut list = parse(Path::new("built-in"), BUILT_IN, None)?;
    list.origin = "the built-in allow-list".to_owned();
    if let Some(text) = text(config)? {
        list = parse(&config.allow_list_file(), &text, Some(list))?;
    }
    list.own = own::own_paths(config);
    Ok(list)
}

fn parse(path: &Path, text: &str, over: Option<AllowList>) -> Result<AllowList, AllowListError> {
    let refuse = |problem: String| AllowListError::Form {
        path: path.to_owned(),
        problem,
    };
    let written: Written =
        toml::from_str(text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
    let mut list = over.unwrap_or_default();
    list.origin = path.display().to_string();
    if let Some(texts) = written.paths {
        list.paths = path_rules("paths", &texts).map_err(refuse)?;
    }
    if let Some(texts) = written.set_id {
        list.set_id = path_rules("set_id", &texts).map_err(refuse)?;
    }
    if let Some(rules) = written.commands {
        let rules = rules.into_iter().map(CommandRule::read);
        list.commands = rules.collect::<Result<_, _>>().map_err(refuse)?;
    }
    for (texts, known) in [
        (written.packages, &mut list.packages),
        (written.package_files, &mut list.package_files),
        (written.services, &mut list.services),
        (written.users, &mut list.users),
        (written.groups, &mut list.groups),
        (written.sysctls, &mut list.sysctls),
        (written.interfaces, &mut list.interfaces),
        (written.databases, &mut list.databases),
        (written.database_users, &mut list.database_users),
        (written.tables, &mut list.tables),
        (written.acme_directories, &mut list.acme_directories),
    ] {
        if let Some(texts) = texts {
            *known = names(texts);
        }
    }
    if let Some(texts) = &written.package_repositories {
        list.package_repositories = repository::prefixes(texts).map_err(refuse)?;
    }
    if let Some(ports) = written.ports {
        list.ports = names(ports.iter().map(u16::to_string).collect());
    }
    if let Some(allowed) = written.firewall {
        list.firewall = allowed;
    }
    if let Some(texts) = written.addresses {
        let networks = texts.iter().map(|text| network(text));
        list.addresses = networks.collect::<Result<_, _>>().map_err(refuse)?;
    }
    Ok(list)
}

fn names(mut listed: BTreeSet<String>) -> Names {
    let all = listed.remove("*");
    Names { all, listed }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .map_err(|_| format!("addresses: {text:?} is no network such as \"192.0.2.0/24\""))
}

fn path_rules(key: &str, texts: &[String]) -> Result<Vec<PathRule>, String> {
    let rules = texts.iter().map(|text| path_rule(text));
    rules
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{key}: {error}"))
}

fn path_rule(text: &str) -> Result<PathRule, String> {
    if text == "/" {
        return Ok(PathRule::Below(None));
    }
    let path = |text: &str| HostPath::new(text).map_err(|error| error.to_string());
    Ok(match text.strip_suffix('/') {
        Some(folder) => PathRule::Below(Some(path(folder)?)),
        None => PathRule::Exactly(path(text)?),
    })
}

#[cfg(test)]
mod tests;
