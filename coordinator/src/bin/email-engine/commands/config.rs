//! `config render`: what a host is, or would be, given. Secrets are named, never shown.

use std::fmt::Write;

use clap::{Args, Subcommand};

use email_engine_protocol::api::RenderedConfig;
use email_engine_protocol::desired::{
    FileContent, HealthCheckSpec, OnRemove, Resource, Spec, SuspensionSpec, VendorPackageSpec,
};
use email_engine_protocol::id::HostId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, row, text, word};

/// Arguments of `config`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine config render --host pmta1
  email-engine config render --host pmta1 --file /etc/pmta/config
  email-engine config render --host pmta1 --proposed --output json")]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show a host's whole desired state, secrets masked
    Render {
        /// The host
        #[arg(long)]
        host: HostId,
        /// As it would be planned now, rather than as it was pushed
        #[arg(long)]
        proposed: bool,
        /// Only the text of this file
        #[arg(long, value_name = "PATH")]
        file: Option<String>,
    },
}

pub(crate) async fn run(desk: &Desk, arguments: Config) -> Result<Exit, Failure> {
    let ConfigCommand::Render {
        host,
        proposed,
        file,
    } = arguments.command;
    let config = desk.client.config(&host, proposed).await?;
    let Some(path) = file else {
        desk.output
            .show(&config, |output| render(output, &config))?;
        return Ok(Exit::Success);
    };
    let Some(file) = config.files.iter().find(|file| file.path == path) else {
        let known: Vec<_> = config.files.iter().map(|file| file.path.as_str()).collect();
        return Err(Failure::new(
            Exit::Failure,
            format!("{host} has no file {path}; it has: {}", known.join(", ")),
        ));
    };
    desk.output
        .show(file, |_| file.text.trim_end_matches('\n').to_owned())?;
    Ok(Exit::Success)
}

fn render(output: &Output, config: &RenderedConfig) -> String {
    let mut shown = format!(
        "Host {}, generation {}, digest {}\n\n",
        config.host,
        or_dash(config.generation),
        config.digest
    );
    let mut table = output.table(&["RESOURCE", "DETAILS", "ON REMOVE", "POLICY"]);
    for resource in &config.resources {
        table.add_row(row([
            resource.id.to_string(),
            details(resource),
            on_remove(resource.on_remove).to_owned(),
            word(&resource.policy),
        ]));
    }
    shown.push_str(&text(&table));
    for note in &config.notes {
        let _ = write!(shown, "\n{}", output.line(&format!("! {note}"), Mood::Bad));
    }
    for file in &config.files {
        let _ = write!(
            shown,
            "\n\n--- {}\n{}",
            file.path,
            file.text.trim_end_matches('\n')
        );
    }
    shown
}

const fn on_remove(on_remove: OnRemove) -> &'static str {
    match on_remove {
        OnRemove::Delete => "delete",
        OnRemove::Disable => "disable",
        OnRemove::Leave => "leave",
    }
}

fn vendor(spec: &VendorPackageSpec) -> String {
    let version = spec.package.version.as_deref();
    let mut words = match &spec.artifact {
        Some(artifact) => {
            let version = version.unwrap_or("the version");
            format!("{version} of artifact {}", artifact.sha256)
        }
        None => version.unwrap_or("any version").to_owned(),
    };
    for (holds, word) in [
        (spec.package.hold, ", held"),
        (spec.downgrade, ", also when that is older"),
        (spec.verify, ", verified"),
    ] {
        words.push_str(if holds { word } else { "" });
    }
    words
}

fn content(content: &FileContent) -> String {
    match content {
        FileContent::Artifact(artifact) => format!("artifact {}", artifact.sha256),
        FileContent::Body { length, .. } => format!("{length} bytes"),
        FileContent::Secret(secret) => format!("secret {} version {}", secret.id, secret.version),
        FileContent::Variable { name, secret } => {
            format!("{name}= secret {} version {}", secret.id, secret.version)
        }
    }
}

fn checked(spec: &HealthCheckSpec) -> String {
    let (probes, seconds, attempts) = (spec.probes.len(), spec.interval_seconds, spec.attempts);
    let unit = spec.restart.as_ref();
    let restarts = unit.map_or_else(String::new, |unit| format!(", restarts {unit}"));
    format!("{probes} probes every {seconds} s, {attempts} attempts{restarts}")
}

fn halted(spec: &SuspensionSpec) -> String {
    let (commands, bars) = (spec.halts.len(), spec.bars.len());
    format!("stands still by {commands} commands and {bars} barred addresses")
}

fn details(resource: &Resource) -> String {
    match &resource.spec {
        Spec::File(file) => {
            let content = content(&file.content);
            format!(
                "{:04o} {}, {content}",
                file.mode,
                owner(&file.owner, &file.group)
            )
        }
        Spec::Certificate(spec) => format!("for {}", spec.domains.join(" ")),
        Spec::Archive(archive) => format!(
            "{:04o} {}, unpacked from artifact {}",
            archive.mode,
            owner(&archive.owner, &archive.group),
            archive.artifact.sha256
        ),
        Spec::Directory(folder) => {
            format!(
                "{:04o} {}",
                folder.mode,
                owner(&folder.owner, &folder.group)
            )
        }
        Spec::Package(package) => {
            let version = package.version.as_deref().unwrap_or("any version");
            let hold = if package.hold { ", held" } else { "" };
            format!("{version}{hold}")
        }
        Spec::VendorPackage(spec) => vendor(spec),
        Spec::PackageRepository(spec) => {
            let passed_over = if spec.enabled { "" } else { ", passed over" };
            let uris: Vec<&str> = spec.uris().collect();
            format!("packages from {}{passed_over}", uris.join(" "))
        }
        Spec::Service(service) => format!(
            "{}, {}",
            if service.running {
                "running"
            } else {
                "stopped"
            },
            if service.enabled {
                "enabled"
            } else {
                "disabled"
            }
        ),
        Spec::Step(step) => {
            let mut words = vec![step.command.program.to_string()];
            words.extend(step.command.arguments.iter().cloned());
            words.join(" ")
        }
        Spec::Firewall(spec) => spec.lines().join("\n"),
        Spec::Symlink(link) => format!("leads to {}", link.target),
        Spec::Group(_) => "a system group".to_owned(),
        Spec::User(user) => {
            let groups: Vec<&str> = user.all_groups().collect();
            format!("a system user in {}", groups.join(", "))
        }
        Spec::Sysctl(setting) => setting.value.clone(),
        Spec::IpAddress(spec) => {
            let interface = spec.interface.as_deref();
            let interface = interface.unwrap_or("that of the default route");
            format!("{} addresses on {interface}", spec.addresses.len())
        }
        Spec::Database(spec) => format!("{} of user {}", spec.charset, spec.user),
        Spec::SqlRow(row) => format!("{} columns are kept", row.values.len()),
        Spec::SqlScript(script) => format!("{} statements", script.statements.len()),
        Spec::HealthCheck(spec) => checked(spec),
        Spec::Discard(_) => "what waits is written down, then thrown away".to_owned(),
        Spec::Suspension(spec) => halted(spec),
        Spec::Transaction(spec) => {
            let members = spec.members.len();
            let probes = spec.read_back.len() + spec.health.len();
            format!("{members} files and links change together, {probes} probes")
        }
    }
}

fn owner(owner: &Option<String>, group: &Option<String>) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "(agent)".to_owned());
    format!("{}:{}", name(owner), name(group))
}
