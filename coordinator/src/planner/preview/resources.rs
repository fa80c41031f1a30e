//! What differs between two desired states, resource by resource.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::api::{ChangeAction, ResourceChange, TextDiff};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    CertificateSource, CommandLine, DatabaseAuth, FileContent, Guard, PackageRepositorySpec, Probe,
    Resource, Spec, SqlCell, SqlScriptSpec, VendorPackageSpec,
};
use email_engine_protocol::id::ResourceId;

use super::text::Paper;
use crate::planner::Planned;

/// Resources of one host that are listed.
const LISTED: usize = 500;
/// Addresses that are written out.
const ADDRESSES: usize = 256;

/// What differs, and how many more do.
pub(super) fn compare(
    old: Option<&Planned>,
    new: &Planned,
    paper: &mut Paper,
) -> (Vec<ResourceChange>, u64) {
    let before = old.map(by_id).unwrap_or_default();
    let after = by_id(new);
    let mut ids: Vec<&ResourceId> = before.keys().chain(after.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let (mut listed, mut more) = (Vec::new(), 0);
    for id in ids {
        let (was, shall) = (before.get(id).copied(), after.get(id).copied());
        if was == shall {
            continue;
        }
        if listed.len() >= LISTED {
            more += 1;
            continue;
        }
        let was_text = was.zip(old).and_then(|(was, old)| text(was, old));
        let diff = diff(
            id,
            was_text,
            shall.and_then(|shall| text(shall, new)),
            paper,
        );
        listed.extend(change(id, was, shall, diff));
    }
    (listed, more)
}

fn by_id(planned: &Planned) -> BTreeMap<&ResourceId, &Resource> {
    let resources = planned.config.resources.iter();
    resources.map(|resource| (&resource.id, resource)).collect()
}

fn change(
    id: &ResourceId,
    was: Option<&Resource>,
    shall: Option<&Resource>,
    diff: Option<TextDiff>,
) -> Option<ResourceChange> {
    let action = match (was, shall) {
        (None, _) => ChangeAction::Create,
        (_, None) => ChangeAction::Remove,
        _ => ChangeAction::Update,
    };
    let details = details(was, shall);
    // Who is told after whom is no news to anybody.
    let says_nothing = action == ChangeAction::Update && details.is_empty() && diff.is_none();
    (!says_nothing).then(|| ResourceChange {
        action,
        id: id.clone(),
        details,
        diff,
    })
}

fn details(was: Option<&Resource>, shall: Option<&Resource>) -> Vec<String> {
    let Some(shall) = shall else {
        let on_remove = was.map(|was| format!("on_remove: {}", word(&was.on_remove)));
        return on_remove.into_iter().collect();
    };
    let before = was.map(facts).unwrap_or_default();
    let line = |(field, value): (&'static str, String)| match (was, before.get(field)) {
        (None, _) => Some(format!("{field}: {value}")),
        (Some(_), Some(old)) if *old == value => None,
        (Some(_), old) => {
            let old = old.map_or("nothing", String::as_str);
            Some(format!("{field}: {old} -> {value}"))
        }
    };
    facts(shall).into_iter().filter_map(line).collect()
}

/// What people want to know of a resource, but for its text.
fn facts(resource: &Resource) -> BTreeMap<&'static str, String> {
    let mut facts = BTreeMap::from([
        ("on_remove", word(&resource.on_remove)),
        ("policy", word(&resource.policy)),
    ]);
    match &resource.spec {
        Spec::File(file) => {
            facts.insert("mode", format!("{:04o}", file.mode));
            owners(&mut facts, file.owner.as_ref(), file.group.as_ref());
            match &file.content {
                FileContent::Artifact(artifact) => {
                    facts.insert("content", format!("artifact {}", artifact.sha256));
                }
                FileContent::Body { .. } => {}
                FileContent::Secret(secret) => {
                    let shown = format!("secret {} version {}", secret.id, secret.version);
                    facts.insert("content", shown);
                }
                FileContent::Variable { name, secret } => {
                    let shown = format!("{name}= secret {} version {}", secret.id, secret.version);
                    facts.insert("content", shown);
                }
            }
        }
        Spec::Directory(folder) => {
            facts.insert("mode", format!("{:04o}", folder.mode));
            owners(&mut facts, folder.owner.as_ref(), folder.group.as_ref());
        }
        Spec::Package(package) => {
            let version = package.version.as_deref().unwrap_or("any");
            facts.insert("version", version.to_owned());
            facts.insert("hold", package.hold.to_string());
        }
        Spec::Service(service) => {
            facts.insert("enabled", service.enabled.to_string());
            facts.insert("running", service.running.to_string());
        }
        Spec::Step(step) => {
            facts.insert("command", words(&step.command));
            facts.insert("needed", needed(&step.guard));
        }
        Spec::Suspension(spec) => {
            let words = spec.halts.iter().map(|halt| words(&halt.set.command));
            facts.insert("commands", words.collect::<Vec<_>>().join("; "));
            let bars = spec.bars.iter();
            let bars = bars.map(|bar| format!("{} to ports {:?}", bar.address, bar.ports));
            facts.insert("barred", bars.collect::<Vec<_>>().join("; "));
        }
        Spec::Transaction(spec) => {
            facts.insert("members", format!("{} files and links", spec.members.len()));
            facts.insert("restart_lines", spec.restart.lines.join("; "));
            facts.insert("restart_allowed", spec.restart.allowed.to_string());
            facts.insert("attempt", spec.attempt.to_string());
        }
        Spec::VendorPackage(spec) => vendor(&mut facts, spec),
        Spec::PackageRepository(spec) => repository(&mut facts, spec),
        _ => basics(&mut facts, resource),
    }
    facts
}

fn vendor(facts: &mut BTreeMap<&'static str, String>, spec: &VendorPackageSpec) {
    let version = spec.package.version.as_deref();
    match &spec.artifact {
        Some(artifact) => {
            facts.insert("artifact", artifact.sha256.to_string());
            facts.insert(
                "version",
                version.unwrap_or("that of its artifact").to_owned(),
            );
            facts.insert("downgrade", spec.downgrade.to_string());
        }
        None => {
            facts.insert("version", version.unwrap_or("any").to_owned());
        }
    }
    facts.insert("hold", spec.package.hold.to_string());
    facts.insert("verify", spec.verify.to_string());
}

/// Where packages come from. A key is told by its hash: another one is another line.
fn repository(facts: &mut BTreeMap<&'static str, String>, spec: &PackageRepositorySpec) {
    facts.insert("enabled", spec.enabled.to_string());
    if let Some(apt) = &spec.apt {
        let (suites, components) = (apt.suites.join(" "), apt.components.join(" "));
        let said = format!("{} {suites} {components}", apt.uris.join(" "));
        facts.insert("apt", said);
        facts.insert("apt_architectures", apt.architectures.join(" "));
        facts.insert("apt_key", ContentHash::of(apt.key.as_bytes()).to_string());
    }
    if let Some(dnf) = &spec.dnf {
        facts.insert("dnf", dnf.uris.join(" "));
        facts.insert("dnf_signed_lists", dnf.signed_lists.to_string());
        facts.insert("dnf_key", ContentHash::of(dnf.key.as_bytes()).to_string());
    }
}

/// What a script is given, each that is long by its hash: another one is another line.
fn given(script: &SqlScriptSpec) -> String {
    const SHOWN: usize = 2_000;
    let given = script.given.iter().map(|given| {
        let value = &given.value;
        match value.len() > SHOWN {
            true => format!("{}={}", given.name, ContentHash::of(value.as_bytes())),
            false => format!("{}={value}", given.name),
        }
    });
    given.collect::<Vec<_>>().join("; ")
}

/// The same of what services stand on and keep.
fn basics(facts: &mut BTreeMap<&'static str, String>, resource: &Resource) {
    match &resource.spec {
        Spec::Archive(archive) => {
            facts.insert("archive", archive.artifact.sha256.to_string());
            facts.insert("strip", archive.strip.to_string());
            facts.insert("mode", format!("{:04o}", archive.mode));
            owners(facts, archive.owner.as_ref(), archive.group.as_ref());
        }
        Spec::Certificate(spec) => {
            facts.insert("domains", spec.domains.join(" "));
            owners(facts, None, spec.group.as_ref());
            certificate(facts, &spec.source);
        }
        Spec::HealthCheck(spec) => {
            let asked = spec.probes.iter().map(asked);
            facts.insert("asked", asked.collect::<Vec<_>>().join("; "));
            facts.insert("interval_seconds", spec.interval_seconds.to_string());
            facts.insert("attempts", spec.attempts.to_string());
            let restart = spec.restart.as_deref();
            facts.insert("restart", restart.unwrap_or("nothing").to_owned());
        }
        Spec::Firewall(spec) => {
            facts.insert("rules", spec.lines().join("; "));
            facts.insert("rollback_seconds", spec.rollback_seconds.to_string());
            facts.insert("attempt", spec.attempt.to_string());
        }
        Spec::Symlink(link) => {
            facts.insert("target", link.target.to_string());
        }
        Spec::Database(spec) => {
            let (charset, collation) = (&spec.charset, &spec.collation);
            facts.insert("charset", format!("{charset} {collation}"));
            facts.insert("user", spec.user.clone());
            facts.insert("login", login(&spec.auth));
        }
        Spec::SqlRow(row) => {
            for (field, cells) in [("keys", &row.keys), ("values", &row.values)] {
                facts.insert(field, columns(cells));
            }
        }
        Spec::SqlScript(script) => {
            facts.insert("given", given(script));
            let told = script.told.iter();
            let all = script.statements.iter().chain([&script.wanted]).chain(told);
            let all: Vec<&str> = all.map(String::as_str).collect();
            let statements = ContentHash::of(all.join("\0").as_bytes());
            facts.insert("statements", statements.to_string());
        }
        Spec::User(user) => {
            facts.insert("groups", user.all_groups().collect::<Vec<_>>().join(" "));
            if let Some(home) = &user.home {
                facts.insert("home", home.to_string());
            }
        }
        Spec::Sysctl(setting) => {
            facts.insert("value", setting.value.clone());
        }
        Spec::IpAddress(spec) => {
            let interface = spec.interface.as_deref();
            let interface = interface.unwrap_or("that of the default route");
            facts.insert("interface", interface.to_owned());
            facts.insert("addresses", addresses(&spec.addresses));
        }
        Spec::Directory(_)
        | Spec::Discard(_)
        | Spec::File(_)
        | Spec::Group(_)
        | Spec::Package(_)
        | Spec::PackageRepository(_)
        | Spec::Service(_)
        | Spec::Step(_)
        | Spec::Suspension(_)
        | Spec::Transaction(_)
        | Spec::VendorPackage(_) => {}
    }
}

/// What is asked, in a few words.
fn asked(probe: &Probe) -> String {
    match probe {
        Probe::Answer { command, .. } => words(command),
        Probe::Command { check } => words(&check.command),
        Probe::Connect { address, .. } | Probe::Greeting { address, .. } => address.to_string(),
        Probe::Http { question, .. } => format!("{} GET {}", question.address, question.path),
        Probe::Quiet { log, .. } => log.to_string(),
        Probe::Running { unit, .. } => unit.clone(),
    }
}

/// Where a certificate comes from.
fn certificate(facts: &mut BTreeMap<&'static str, String>, source: &CertificateSource) {
    match source {
        CertificateSource::Acme(acme) => {
            facts.insert("directory", acme.directory.clone());
            facts.insert("contact", acme.contact.clone().unwrap_or_default());
            facts.insert("webroot", acme.webroot.to_string());
            facts.insert("key", acme.key.as_str().to_owned());
            facts.insert("terms_agreed", acme.agreed.to_string());
        }
        CertificateSource::Supplied(artifact) => {
            facts.insert("content", format!("artifact {}", artifact.sha256));
        }
    }
}

/// How the user of a database shows who it is.
fn login(auth: &DatabaseAuth) -> String {
    match auth {
        DatabaseAuth::Password(secret) => {
            format!("secret {} version {}", secret.id, secret.version)
        }
        DatabaseAuth::Peer => "by its process".to_owned(),
    }
}

fn columns(cells: &[SqlCell]) -> String {
    let words = cells
        .iter()
        .map(|cell| format!("{}={}", cell.column, cell.value));
    words.collect::<Vec<_>>().join(" ")
}

/// All of them, or what tells them from others.
fn addresses(listed: &[IpAddr]) -> String {
    let texts: Vec<String> = listed.iter().map(ToString::to_string).collect();
    let text = texts.join(" ");
    if listed.len() <= ADDRESSES {
        return text;
    }
    let hash = ContentHash::of(text.as_bytes());
    format!("{} addresses, sha256 {hash}", listed.len())
}

fn needed(guard: &Guard) -> String {
    match guard {
        Guard::Creates(path) => format!("while {path} does not exist"),
        Guard::Removes(path) => format!("while {path} exists"),
        Guard::OnlyIf(command) => format!("while {} ends with 0", words(command)),
        Guard::Unless(command) => format!("until {} ends with 0", words(command)),
        Guard::Notified => "when it is told to".to_owned(),
    }
}

fn words(command: &CommandLine) -> String {
    let mut words = vec![command.program.to_string()];
    words.extend(command.arguments.iter().cloned());
    words.join(" ")
}

fn owners(
    facts: &mut BTreeMap<&'static str, String>,
    owner: Option<&String>,
    group: Option<&String>,
) {
    for (field, name) in [("owner", owner), ("group", group)] {
        if let Some(name) = name {
            facts.insert(field, name.clone());
        }
    }
}

fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}

/// The bytes of a file with public content.
pub(super) fn text<'a>(resource: &Resource, planned: &'a Planned) -> Option<&'a [u8]> {
    match &resource.spec {
        Spec::File(file) => match &file.content {
            FileContent::Body { hash, .. } => planned.bodies.get(hash).map(Vec::as_slice),
            FileContent::Artifact(_) | FileContent::Secret(_) | FileContent::Variable { .. } => {
                None
            }
        },
        _ => None,
    }
}

fn diff(
    id: &ResourceId,
    was: Option<&[u8]>,
    shall: Option<&[u8]>,
    paper: &mut Paper,
) -> Option<TextDiff> {
    if was == shall {
        return None;
    }
    let path = id.as_str().strip_prefix("file:").unwrap_or(id.as_str());
    Some(paper.write(path, was, shall))
}
