//! `roles`: what hosts are made from, and which hosts from which of it.

mod folder;
mod lint;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde::Serialize;

use email_engine_coordinator::planner::builtin_bundle;
use email_engine_coordinator::powermta::providers::BASE_PATH;
use email_engine_protocol::api::{BundleRequest, ReleaseRequest, ReleasesView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, TenantId};

use super::Desk;
use super::fleet::on_hosts;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text};

/// Arguments of `roles`.
#[derive(Args, Debug)]
#[command(after_help = "\
A bundle is all role files and templates of one state, known by its hash. It changes nothing until hosts
are moved to it. Keep your own files in a folder, in the same layout:

  mailwizz/extra.toml                          entries beside those of the role
  mailwizz/cron.j2                             in place of a file that comes with the project
  overrides/tenants/TENANT/mailwizz/cron.j2    the same for the hosts of one tenant
  overrides/hosts/HOST/mailwizz/extra.toml     the same for one host
  relay/role.toml                              a role of your own: hosts say role = \"relay\"

Examples:
  email-engine roles show mailwizz/role.toml
  email-engine roles lint my-roles -f fleet.toml
  email-engine roles put my-roles
  email-engine roles use 9f86d081... --host mailwizz1 --plan
  email-engine roles use 9f86d081...")]
pub(crate) struct Roles {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check role files, without a cluster
    Lint(lint::Lint),
    /// List bundles with the hosts that are made from each
    List,
    /// Store a bundle; no host changes by that
    Put(Put),
    /// List the files of a bundle, or show one
    Show(Show),
    /// Move hosts to a bundle, and with it hosts to come
    Use(Use),
}

#[derive(Args, Debug)]
struct Put {
    /// Folder with role files
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// What they are laid over: the roles that come with this version (shipped), the bundle of new hosts
    /// (current), or a bundle by its hash. What `pmta base` put into the bundle of new hosts stays
    #[arg(long, default_value = "shipped", value_name = "BUNDLE")]
    from: Base,
    /// Fleet file to try them on before [default: an example with a host of each role]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Show {
    /// One file of it, such as mailwizz/role.toml
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Which: current, shipped, or a hash
    #[arg(long, default_value = "current", value_name = "BUNDLE")]
    bundle: Base,
}

#[derive(Args, Debug)]
struct Use {
    /// Its hash
    #[arg(value_name = "BUNDLE")]
    bundle: ContentHash,
    /// Only this host; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<HostId>,
    /// Only the hosts of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// Only show what would change on the hosts; exit code 2 when something would
    #[arg(long)]
    plan: bool,
}

/// Which bundle is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Current,
    Shipped,
    Hash(ContentHash),
}

impl FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "current" => Ok(Self::Current),
            "shipped" => Ok(Self::Shipped),
            _ => text.parse().map(Self::Hash).map_err(|_| {
                "accepted is current, shipped, or the 64 hex digits of a bundle's hash".to_owned()
            }),
        }
    }
}

#[derive(Serialize)]
struct Stored {
    bundle: ContentHash,
}

#[derive(Serialize)]
struct Listed {
    bundle: ContentHash,
    /// New hosts are made from it.
    default: bool,
    hosts: BTreeSet<HostId>,
}

pub(crate) async fn run(
    output: &Output,
    desk: impl FnOnce() -> Result<Desk, Failure>,
    arguments: Roles,
) -> Result<Exit, Failure> {
    match arguments.command {
        Verb::Lint(arguments) => return lint::run(output, &arguments),
        Verb::Show(Show {
            path,
            bundle: Base::Shipped,
        }) => show(output, &builtin_bundle(), path.as_deref())?,
        Verb::Show(Show { path, bundle }) => {
            let files = files(&desk()?, bundle).await?;
            show(output, &files, path.as_deref())?;
        }
        Verb::List => {
            let releases = desk()?.client.releases().await?;
            let listed = listed(&releases);
            output.show(&listed, |output| table(output, &listed))?;
        }
        Verb::Put(arguments) => return put(&desk()?, &arguments).await,
        Verb::Use(arguments) => return use_bundle(&desk()?, arguments).await,
    }
    Ok(Exit::Success)
}

/// The files of a bundle.
async fn files(desk: &Desk, base: Base) -> Result<BTreeMap<String, String>, Failure> {
    let hash = match base {
        Base::Shipped => return Ok(builtin_bundle()),
        Base::Hash(hash) => hash,
        Base::Current => {
            let releases = desk.client.releases().await?;
            let default = releases.default.ok_or_else(|| {
                Failure::new(
                    Exit::Failure,
                    "the cluster has no role bundle yet; found it first",
                )
            })?;
            default.bundle
        }
    };
    Ok(desk.client.bundle(&hash).await?.files)
}

fn show(
    output: &Output,
    files: &BTreeMap<String, String>,
    path: Option<&str>,
) -> Result<(), Failure> {
    let Some(path) = path else {
        let paths: Vec<_> = files.keys().collect();
        output.show(&paths, |_| {
            let lines: Vec<_> = paths.iter().map(|path| path.as_str()).collect();
            lines.join("\n")
        })?;
        return Ok(());
    };
    let Some(text) = files.get(path) else {
        let known: Vec<_> = files.keys().map(String::as_str).collect();
        let error = format!(
            "the bundle has no file {path:?}; it has {}",
            known.join(", ")
        );
        return Err(Failure::new(Exit::Failure, error));
    };
    output.show(text, |_| text.trim_end_matches('\n').to_owned())?;
    Ok(())
}

/// Checks the files as the cluster will have them, and stores them.
async fn put(desk: &Desk, arguments: &Put) -> Result<Exit, Failure> {
    let own =
        folder::read(&arguments.folder).map_err(|error| Failure::new(Exit::Failure, error))?;
    let current = files(desk, Base::Current).await?;
    let mut base = files(desk, arguments.from).await?;
    if let Some(text) = current.get(BASE_PATH) {
        base.insert(BASE_PATH.to_owned(), text.clone());
    }
    let files = folder::laid_over(base, own);
    for (sign, path) in folder::differences(&current, &files) {
        desk.output.note(&format!("{sign} {path}"));
    }
    let report = lint::report(&files, arguments.file.as_deref())?;
    if !report.findings.is_empty() {
        // Words about the answer here, not the answer.
        desk.output.note(&lint::table_of(&desk.output, &report));
    }
    if !report.is_good() {
        let error = "the role files have errors: nothing was stored";
        return Err(Failure::new(Exit::Failure, error));
    }
    let request = BundleRequest { from: None, files };
    let stored = Stored {
        bundle: desk.client.put_bundle(&request).await?.bundle,
    };
    desk.output
        .note("stored; `email-engine roles use` moves hosts to it");
    desk.output.show(&stored, |_| stored.bundle.to_string())?;
    Ok(Exit::Success)
}

async fn use_bundle(desk: &Desk, arguments: Use) -> Result<Exit, Failure> {
    let request = ReleaseRequest {
        hosts: hosts(desk, &arguments).await?,
        bundle: Some(arguments.bundle),
        ..ReleaseRequest::default()
    };
    if !arguments.plan {
        let releases = desk.client.set_release(&request).await?;
        let listed = listed(&releases);
        desk.output.show(&listed, |output| table(output, &listed))?;
        return Ok(Exit::Success);
    }
    let answer = desk.client.plan_release(&request).await?;
    on_hosts(&desk.output, &answer)
}

/// Which hosts are meant; nothing when all are, and those to come.
async fn hosts(desk: &Desk, arguments: &Use) -> Result<Option<BTreeSet<HostId>>, Failure> {
    let named: BTreeSet<HostId> = arguments.host.iter().cloned().collect();
    let Some(tenant) = &arguments.tenant else {
        return Ok((!named.is_empty()).then_some(named));
    };
    let all = desk.client.hosts().await?;
    let of_tenant = all
        .into_iter()
        .filter(|host| host.spec.tenant.as_ref() == Some(tenant));
    let of_tenant = of_tenant.filter(|host| host.lifecycle != "retired");
    let hosts: BTreeSet<HostId> = of_tenant.map(|host| host.spec.id).chain(named).collect();
    if hosts.is_empty() {
        let error = format!("tenant {tenant} has no host: nothing was changed");
        return Err(Failure::new(Exit::Failure, error));
    }
    Ok(Some(hosts))
}

fn listed(releases: &ReleasesView) -> Vec<Listed> {
    let one = |bundle: &ContentHash| Listed {
        bundle: *bundle,
        default: releases
            .default
            .as_ref()
            .is_some_and(|default| default.bundle == *bundle),
        hosts: releases
            .hosts
            .iter()
            .filter(|(_, release)| release.bundle == *bundle)
            .map(|(host, _)| host.clone())
            .collect(),
    };
    releases.bundles.iter().map(one).collect()
}

fn table(output: &Output, listed: &[Listed]) -> String {
    let mut table = output.table(&["BUNDLE", "NEW HOSTS", "HOSTS"]);
    for one in listed {
        let hosts: Vec<_> = one.hosts.iter().map(ToString::to_string).collect();
        let (default, mood) = match one.default {
            true => ("yes", Mood::Good),
            false => ("-", Mood::Plain),
        };
        table.add_row(vec![
            output.mood(&one.bundle, Mood::Plain),
            output.mood(&default, mood),
            output.mood(&hosts.join(" "), Mood::Plain),
        ]);
    }
    text(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_by_word_or_hash() {
        let hash = ContentHash::of(b"one");
        assert_eq!("current".parse(), Ok(Base::Current));
        assert_eq!("shipped".parse(), Ok(Base::Shipped));
        assert_eq!(hash.to_string().parse(), Ok(Base::Hash(hash)));
        let refused = "latest".parse::<Base>().unwrap_err();
        assert!(refused.contains("current, shipped"), "{refused}");
    }
}
