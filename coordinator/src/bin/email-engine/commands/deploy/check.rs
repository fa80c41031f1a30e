//! The first step: everything is looked at, and nothing changed. All that must be put right is told at once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use email_engine_coordinator::planner::{Asked, Need, asked, builtin_bundle};
use email_engine_protocol::api::{
    ApplyAnswer, ArtifactView, HostSpec, HostView, ReleasesView, TenantSpec,
};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ArtifactName, HostId};

use super::args::Deploy;
use super::enter::{Programs, Via};
use super::needs::license::{self, Caution};
use super::needs::{Needs, Verdict, listed};
use super::plan::{Entrance, Plan, Upload};
use super::voice::now;
use crate::commands::Desk;
use crate::commands::artifact::{Source, Wanted};
use crate::commands::fleet;
use crate::exit::{Exit, Failure};
use crate::fleet_file::FleetFile;

/// A host's label with a command of its own.
const VIA_LABEL: &str = "deploy-via";
/// Said there: a person lets it in.
const BY_HAND: &str = "none";

/// What a run knows before it changes anything.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) plan: Plan,
    /// Hosts of the fleet file.
    pub(super) hosts: Vec<HostSpec>,
    /// Files that were given, by what roles call them.
    pub(super) sources: BTreeMap<ArtifactName, Source>,
    /// What is brought to machines; absent when none is reached by a command.
    pub(super) programs: Option<Programs>,
    /// Names that hosts go without, by an operator's word.
    pub(super) missing: BTreeMap<ArtifactName, Vec<HostId>>,
}

/// What is in the cluster.
struct There {
    hosts: Vec<HostView>,
    artifacts: Vec<ArtifactView>,
    releases: ReleasesView,
    tenants: Vec<TenantSpec>,
}

pub(super) async fn check(
    desk: &Desk,
    arguments: &Deploy,
    file: &FleetFile,
) -> Result<Checked, Failure> {
    let mut findings = Vec::new();
    let hosts = file.document.hosts.clone();
    let there = There {
        hosts: desk.client.hosts().await?,
        artifacts: desk.client.artifacts().await?,
        releases: desk.client.releases().await?,
        tenants: desk.client.tenants().await?,
    };
    let fleet = match fleet::send(desk, file, true, false).await {
        Ok(answer) => answer,
        Err(failure) if failure.exit() == Exit::Failure => {
            findings.push(failure.to_string());
            ApplyAnswer::default()
        }
        Err(failure) => return Err(failure),
    };
    let sources = sources(desk, arguments, &mut findings);
    findings.extend(held_open(&sources, &there.artifacts));
    let asked = asked_for(desk, file, &there, &mut findings).await?;
    let given: BTreeMap<ArtifactName, ContentHash> = sources
        .iter()
        .map(|(name, source)| (name.clone(), source.request.sha256))
        .collect();
    // A file that cannot be read is a finding already, and not one that is missing.
    let unread = arguments.artifacts.iter().map(|one| &one.name);
    let unread = unread.filter(|name| !given.contains_key(*name));
    let without: BTreeSet<ArtifactName> = arguments.without.iter().chain(unread).cloned().collect();
    let verdict = Needs {
        hosts: &hosts,
        asked: &asked,
        artifacts: &there.artifacts,
        given: &given,
        without: &without,
    }
    .judge();
    unplanned(&fleet, &asked, &mut findings);
    let let_in = let_in(&hosts, &there.hosts, arguments.via.as_ref(), &mut findings);
    findings.extend(same_way(&let_in));
    let mut programs = None;
    if let_in.iter().any(|entrance| entrance.via.is_some()) {
        match folder(arguments.programs.clone()).and_then(|folder| Programs::read(&folder)) {
            Ok(found) => programs = Some(found),
            Err(finding) => findings.push(finding),
        }
    }
    let Verdict {
        findings: more,
        used,
        missing,
    } = verdict;
    findings.extend(more);
    refuse(desk, &findings)?;
    let uploads = uploads(&sources, &there.artifacts, &used);
    Ok(Checked {
        plan: Plan {
            cautions: cautions(&sources, &used),
            uploads,
            let_in,
            fleet,
        },
        hosts,
        sources,
        programs,
        missing,
    })
}

fn refuse(desk: &Desk, findings: &[String]) -> Result<(), Failure> {
    if findings.is_empty() {
        return Ok(());
    }
    for finding in findings {
        crate::output::to_stderr(&format!("REFUSED  {finding}"));
    }
    desk.output
        .note("See `email-engine deploy --help` for what may be given.");
    let text = format!(
        "nothing was changed: {} of the above must be put right first",
        findings.len()
    );
    Err(Failure::new(Exit::Failure, text))
}

/// The files that were given, each read from end to end.
fn sources(
    desk: &Desk,
    arguments: &Deploy,
    findings: &mut Vec<String>,
) -> BTreeMap<ArtifactName, Source> {
    let mut sources = BTreeMap::new();
    for given in &arguments.artifacts {
        let wanted = Wanted {
            path: &given.file,
            name: None,
            secret: arguments.is_confidential(&given.name),
            import_data: false,
        };
        match Source::read(&wanted, desk.output.quiet) {
            Ok(source) => {
                if sources.insert(given.name.clone(), source).is_some() {
                    findings.push(format!(
                        "--artifact {}: it is given twice; accepted is one file for each name",
                        given.name
                    ));
                }
            }
            Err(failure) => findings.push(format!("--artifact {}: {failure}", given.name)),
        }
    }
    findings.extend(
        arguments
            .confidential
            .iter()
            .filter(|name| !arguments.artifacts.iter().any(|one| one.name == **name))
            .map(|name| {
                format!(
                    "--confidential {name}: accepted is a name that --artifact gives a file for"
                )
            }),
    );
    sources
}

/// What each host asks for, by the bundle that it is, or is going to be, made from.
async fn asked_for(
    desk: &Desk,
    file: &FleetFile,
    there: &There,
    findings: &mut Vec<String>,
) -> Result<BTreeMap<HostId, Vec<Asked>>, Failure> {
    let default = there
        .releases
        .default
        .as_ref()
        .map(|release| release.bundle);
    let tenants = there.tenants.iter().chain(&file.document.tenants);
    let tenants: BTreeSet<_> = tenants.map(|tenant| &tenant.id).collect();
    let mut bundles = BTreeMap::new();
    let mut needs = BTreeMap::new();
    for host in &file.document.hosts {
        let pinned = there.releases.hosts.get(&host.id);
        let bundle = pinned.map(|release| release.bundle).or(default);
        let files = match bundles.entry(bundle) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(match &bundle {
                Some(bundle) => desk.client.bundle(bundle).await?.files,
                None => builtin_bundle(),
            }),
        };
        match asked(files, host, tenants.len()) {
            Ok(asked) => {
                needs.insert(host.id.clone(), asked);
            }
            Err(fault) => findings.push(format!("host {}: its role: {fault}", host.id)),
        }
    }
    Ok(needs)
}

/// Hosts that cannot be planned although they have all that they ask for.
fn unplanned(
    fleet: &ApplyAnswer,
    asked: &BTreeMap<HostId, Vec<Asked>>,
    findings: &mut Vec<String>,
) {
    for change in &fleet.hosts {
        let asked = asked.get(&change.host).map_or(&[][..], Vec::as_slice);
        // What is not there yet may be why; whether it comes is judged for itself.
        let may_lack = asked.iter().any(|one| one.need != Need::Optional);
        if let Some(error) = change.error.as_ref().filter(|_| !may_lack) {
            findings.push(format!("host {} cannot be planned: {error}", change.host));
        }
    }
}

/// Hosts that no machine became yet, with how each is reached.
fn let_in(
    hosts: &[HostSpec],
    known: &[HostView],
    usual: Option<&Via>,
    findings: &mut Vec<String>,
) -> Vec<Entrance> {
    let mut entrances = Vec::new();
    for host in hosts {
        let view = known.iter().find(|view| view.spec.id == host.id);
        let own = host.labels.get(VIA_LABEL);
        let own = own.filter(|text| *text != BY_HAND).map(|text| text.parse());
        let by_hand = host
            .labels
            .get(VIA_LABEL)
            .is_some_and(|text| text == BY_HAND);
        let via: Option<Via> = match own {
            Some(Ok(via)) => Some(via),
            Some(Err(why)) => {
                findings.push(format!("host {}: its label {VIA_LABEL}: {why}", host.id));
                None
            }
            None if by_hand => None,
            None => usual.cloned(),
        };
        if view.is_some_and(|view| view.lifecycle != "declared") {
            continue;
        }
        entrances.push(Entrance {
            host: host.id.clone(),
            role: host.role,
            address: host
                .addresses
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
            via: via.map(|via| via.words(host)),
        });
    }
    entrances
}

/// Machines that would be one: what is meant for the second would be brought to the first.
fn same_way(entrances: &[Entrance]) -> Vec<String> {
    let mut ways: BTreeMap<&[String], Vec<HostId>> = BTreeMap::new();
    for entrance in entrances {
        if let Some(via) = &entrance.via {
            ways.entry(via).or_default().push(entrance.host.clone());
        }
    }
    let shared = ways.into_iter().filter(|(_, hosts)| hosts.len() > 1);
    let finding = |(via, hosts): (&[String], Vec<HostId>)| {
        format!(
            "hosts {} are reached by the same words, {}, and cannot be one machine: accepted is a command \
             with {{host}} or {{address}} in it, and a label {VIA_LABEL} for a host that has another way",
            listed(&hosts),
            via.join(" ")
        )
    };
    shared.map(finding).collect()
}

/// Files that shall be confidential and lie in the cluster as if they were not: it would go on with them so.
fn held_open(sources: &BTreeMap<ArtifactName, Source>, artifacts: &[ArtifactView]) -> Vec<String> {
    let wanted = sources.iter().filter(|(_, source)| source.request.secret);
    let wanted = wanted.map(|(name, source)| (name, source.request.sha256));
    open_of(wanted, artifacts)
}

fn open_of<'a>(
    wanted: impl Iterator<Item = (&'a ArtifactName, ContentHash)>,
    artifacts: &[ArtifactView],
) -> Vec<String> {
    let is_open = |sha256| {
        let mut artifacts = artifacts.iter();
        artifacts.any(|one| one.sha256 == sha256 && !one.secret)
    };
    let open = wanted.filter(|(_, sha256)| is_open(*sha256));
    let finding = |(name, sha256)| {
        format!(
            "--artifact {name}: it shall be confidential, and the cluster has it ({sha256}) as a file that \
             everybody on a host may read: take its names away (`email-engine artifact unuse`), then \
             `email-engine artifact remove {sha256}`"
        )
    };
    open.map(finding).collect()
}

/// What the licence that was given says of itself.
fn cautions(
    sources: &BTreeMap<ArtifactName, Source>,
    used: &BTreeMap<ArtifactName, Vec<HostId>>,
) -> Vec<Caution> {
    let today = now().to_string();
    let today = today.split_once('T').map_or("", |(today, _)| today);
    let given = sources
        .iter()
        .find(|(name, _)| name.as_str() == license::NAME);
    let judged = given.and_then(|(name, source)| {
        let text = source.text(license::LONGEST)?;
        let hosts = used.get(name).map_or(&[][..], Vec::as_slice);
        Some(license::cautions(name, &text, hosts, today))
    });
    judged.unwrap_or_default()
}

/// Where our own programs lie.
fn folder(told: Option<PathBuf>) -> Result<PathBuf, String> {
    if let Some(folder) = told {
        return Ok(folder);
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = own.parent().map(PathBuf::from);
    folder.ok_or_else(|| "this program lies nowhere: accepted is --programs DIR".to_owned())
}

fn uploads(
    sources: &BTreeMap<ArtifactName, Source>,
    artifacts: &[ArtifactView],
    used: &BTreeMap<ArtifactName, Vec<HostId>>,
) -> Vec<Upload> {
    let upload = |(name, source): (&ArtifactName, &Source)| {
        let request = &source.request;
        let there = artifacts
            .iter()
            .find(|one| one.sha256 == request.sha256 && one.finished_at.is_some());
        Upload {
            name: name.clone(),
            file: source.path().display().to_string(),
            bytes: request.length,
            confidential: request.secret,
            is_there: there.is_some(),
            is_named: there.is_some_and(|one| one.named.contains(name)),
            hosts: used.get(name).cloned().unwrap_or_default(),
        }
    };
    sources.iter().map(upload).collect()
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::commands::hosts::tests::host;

    fn spec(id: &str, via: Option<&str>) -> HostSpec {
        let labels = via.map(|via| (VIA_LABEL.to_owned(), via.to_owned()));
        HostSpec {
            id: HostId::new(id).unwrap(),
            role: "powermta".parse().unwrap(),
            tenant: None,
            addresses: vec!["192.0.2.20".parse().unwrap()],
            labels: labels.into_iter().collect(),
        }
    }

    #[test]
    fn who_has_enrolled_is_not_let_in_again_and_a_label_says_how_the_others_are_reached() {
        let hosts = [
            spec("pmta1", None),
            spec("pmta2", Some("run {host}")),
            spec("pmta3", Some("none")),
            spec("pmta4", None),
            spec("pmta5", Some("run {hots}")),
        ];
        let mut declared = host("pmta2");
        declared.lifecycle = "declared".to_owned();
        let known = [host("pmta4"), declared];
        let usual: Via = "ssh root@{address}".parse().unwrap();
        let mut findings = Vec::new();
        let entrances = let_in(&hosts, &known, Some(&usual), &mut findings);
        let reached: Vec<_> = entrances
            .iter()
            .map(|one| (one.host.as_str(), one.via.clone().map(|via| via.join(" "))))
            .collect();
        assert_eq!(
            reached,
            [
                ("pmta1", Some("ssh root@192.0.2.20".to_owned())),
                ("pmta2", Some("run pmta2".to_owned())),
                ("pmta3", None),
                ("pmta5", None),
            ]
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("host pmta5: its label deploy-via: {hots}"));
    }

    #[test]
    fn two_machines_that_are_reached_by_the_same_words_are_a_finding() {
        let hosts = [
            spec("pmta1", Some("ssh root@192.0.2.7")),
            spec("pmta2", Some("ssh 'root@192.0.2.7'")),
            spec("pmta3", Some("ssh root@192.0.2.8")),
            spec("pmta4", Some("none")),
            spec("pmta5", Some("none")),
        ];
        let mut findings = Vec::new();
        let entrances = let_in(&hosts, &[], None, &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        let findings = same_way(&entrances);
        assert_eq!(findings.len(), 1, "{findings:?}");
        let expected =
            "hosts pmta1, pmta2 are reached by the same words, ssh root@192.0.2.7, and cannot";
        assert!(findings[0].starts_with(expected), "{findings:?}");
        assert!(same_way(&entrances[1..]).is_empty());
    }

    #[test]
    fn a_file_that_shall_be_confidential_and_is_not_in_the_cluster_is_a_finding() {
        let name = ArtifactName::new("powermta-license").unwrap();
        let mut there = ArtifactView {
            sha256: ContentHash([7; 32]),
            name: "license".to_owned(),
            length: 10,
            secret: false,
            pieces: 1,
            missing: Vec::new(),
            begun_at: Timestamp(0),
            finished_at: None,
            named: Vec::new(),
            hosts: Vec::new(),
        };
        let found = |there: &ArtifactView, sha256| {
            let wanted = [(&name, ContentHash(sha256))];
            open_of(wanted.into_iter(), std::slice::from_ref(there))
        };
        let findings = found(&there, [7; 32]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("--artifact powermta-license: it shall be confidential"));
        assert!(found(&there, [8; 32]).is_empty());
        there.secret = true;
        assert!(found(&there, [7; 32]).is_empty());
    }
}
