//! `pmta base`: the fleet's own rules for receivers, as part of the role bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use email_engine_coordinator::powermta::providers::BASE_PATH;
use email_engine_protocol::api::{BundleRequest, ReleaseRequest};

use crate::commands::Desk;
use crate::commands::fleet::on_hosts;
use crate::commands::hosts::permitted;
use crate::exit::{Exit, Failure};

/// Largest base, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Arguments of `pmta base`.
#[derive(Args, Debug)]
#[command(after_help = "\
The base is one file of the role bundle, powermta/base.toml; `pmta import` makes one. The bundle of new
hosts is taken with this file in it, and all hosts move to that. An empty file takes the base away.

`plan` exits with 0 when nothing would change and with 2 when something would. A base that is not right
is refused with its line and what would be accepted.")]
pub(super) struct BaseCommand {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put the base in place on all hosts
    Apply {
        /// The base, as `pmta import` writes it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Do not ask before a base without rules replaces what was taken over earlier
        #[arg(long, short)]
        yes: bool,
    },
    /// Show what the base would change on each host, line by line
    Plan {
        /// The base, as `pmta import` writes it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) async fn run(
    desk: impl FnOnce() -> Result<Desk, Failure>,
    arguments: &BaseCommand,
) -> Result<Exit, Failure> {
    let (Verb::Apply { file, .. } | Verb::Plan { file }) = &arguments.command;
    let text = read(file)?;
    if let Verb::Apply { yes, .. } = &arguments.command
        && has_no_rules(&text)
    {
        let question =
            "This base has no rules: those taken over earlier go from every host. Go on?";
        permitted(question, *yes)?;
    }
    let desk = desk()?;
    let request = with_base(&desk, text).await?;
    if matches!(arguments.command, Verb::Apply { .. }) {
        let releases = desk.client.set_release(&request).await?;
        desk.output.show(&releases, |_| {
            let hosts = releases.hosts.len();
            format!("The base is in place for {hosts} hosts; `status` shows when they run it.")
        })?;
        return Ok(Exit::Success);
    }
    let answer = desk.client.plan_release(&request).await?;
    on_hosts(&desk.output, &answer)
}

/// Stores the bundle of new hosts with this base in it; nobody is moved by that.
async fn with_base(desk: &Desk, text: String) -> Result<ReleaseRequest, Failure> {
    let releases = desk.client.releases().await?;
    let Some(release) = releases.default else {
        let error = "the cluster has no role bundle yet; found it first";
        return Err(Failure::new(Exit::Failure, error));
    };
    let request = BundleRequest {
        from: Some(release.bundle),
        files: BTreeMap::from([(BASE_PATH.to_owned(), text)]),
    };
    let created = desk.client.put_bundle(&request).await?;
    Ok(ReleaseRequest {
        bundle: Some(created.bundle),
        ..ReleaseRequest::default()
    })
}

/// Whether a base names no receiver and no category of bounces. What is no base at all is refused by
/// the cluster, which says why.
fn has_no_rules(text: &str) -> bool {
    let rules = ["provider", "category"];
    toml::from_str::<toml::Table>(text)
        .is_ok_and(|base| !rules.iter().any(|key| base.contains_key(*key)))
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: String| {
        Failure::new(
            Exit::Failure,
            format!("cannot read {}: {error}", file.display()),
        )
    };
    let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?;
    if size.len() > LARGEST {
        return Err(failed(format!("it is larger than {LARGEST} bytes")));
    }
    std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::client::testbed::Authority;

    fn answers(target: &str) -> String {
        let hash = |digit: &str| digit.repeat(64);
        if target.ends_with("/bundles") {
            return format!("{{\"bundle\":\"{}\"}}", hash("b"));
        }
        if target.ends_with("dry_run=true") {
            return "{\"applied\":false,\"revision\":7,\"changes\":[],\"warnings\":[],\"hosts\":[\
                    {\"host\":\"pmta1\",\"resources\":[]}]}"
                .to_owned();
        }
        format!(
            "{{\"default\":{{\"bundle\":\"{}\",\"planner_version\":1,\"settings\":1}},\
             \"hosts\":{{}},\"bundles\":[],\"newest_settings\":1}}",
            hash("a")
        )
    }

    #[tokio::test]
    async fn a_base_is_put_into_the_bundle_of_new_hosts_and_only_apply_moves_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("base.toml");
        std::fs::write(&file, "checked = \"2026-11-21\"\n").unwrap();
        let authority = Authority::new(1);
        let plan = Verb::Plan { file: file.clone() };
        let apply = Verb::Apply { file, yes: true };
        for (command, exit, last) in [
            (plan, Exit::Found, "/api/v1/releases?dry_run=true"),
            (apply, Exit::Success, "/api/v1/releases"),
        ] {
            let node = authority.node(|target| answers(target).into_response());
            let desk = authority.desk(&node);
            let ended = run(|| Ok(desk), &BaseCommand { command }).await.unwrap();
            assert_eq!(ended, exit);
            let asked: Vec<_> = node.asked().into_iter().map(|asked| asked.target).collect();
            assert_eq!(asked, ["/api/v1/releases", "/api/v1/bundles", last]);
        }
    }
}
