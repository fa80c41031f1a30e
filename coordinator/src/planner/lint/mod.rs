//! What is wrong with role files, before a cluster has them.
//!
//! Every file is read, and every host of a fleet file is planned with them, as the cluster would: so a
//! template is filled in, an edge looked up, a cycle found. Hosts are added for roles that the fleet has
//! none of, and files of operators are taken to be there. Pure, and without a cluster: `stand_in` makes a
//! state of the fleet file.

mod stand_in;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::FleetDocument;
use email_engine_protocol::id::{HostId, Role, TenantId};

use super::error::{BundleFault, PlanError};
use super::{cron, plan, role};
use crate::command::{PutBundle, Rejection};
use crate::powermta::providers::Catalogue;
use crate::state::{FleetState, OVERRIDES};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A host would not be planned, or the bundle would be refused.
    Error,
    /// It may not be what its author has in mind.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path within the bundle; empty where no single file is to blame.
    pub file: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// How much it matters.
    pub weight: Weight,
    /// What is wrong.
    pub reason: String,
}

/// What became of role files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In order of file and line, each once.
    pub findings: BTreeSet<Finding>,
    /// Hosts that were planned, with the number of resources that each would have.
    pub planned: BTreeMap<HostId, usize>,
}

impl Report {
    /// Whether the files would do.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|finding| finding.weight != Weight::Error)
    }

    fn error(&mut self, fault: BundleFault) {
        self.findings.insert(Finding {
            file: fault.file,
            line: fault.line,
            weight: Weight::Error,
            reason: fault.reason,
        });
    }

    fn warn(&mut self, file: &str, reason: String) {
        self.findings.insert(Finding {
            file: file.to_owned(),
            line: None,
            weight: Weight::Warning,
            reason,
        });
    }
}

/// Judges the files of a bundle with the fleet of a document.
///
/// # Errors
/// When the document itself is refused.
pub fn lint(
    files: &BTreeMap<String, String>,
    document: &FleetDocument,
) -> Result<Report, Rejection> {
    let mut report = Report::default();
    read(files, &mut report);
    unused(files, &mut report);
    if !report.is_good() {
        // A plan would only say the same again, of every host.
        return Ok(report);
    }
    let bare = stand_in::bare(files, document)?;
    without_artifacts(&bare, &mut report);
    let state = stand_in::supplied_with(&bare);
    for (id, host) in &state.hosts {
        match plan(&state, id) {
            Ok(planned) => {
                let ids = planned.config.resources.iter().map(|resource| &resource.id);
                if let Some(reason) = cron::unread(ids) {
                    report.warn(&format!("{}/role.toml", host.spec.role), reason);
                }
                report
                    .planned
                    .insert(id.clone(), planned.config.resources.len());
            }
            Err(PlanError::Bundle(fault)) => report.error(fault),
            Err(error) => report.error(BundleFault {
                file: format!("{}/role.toml", host.spec.role),
                line: None,
                reason: format!("host {id}: {error}"),
            }),
        }
    }
    unplanned(files, &state, &mut report);
    Ok(report)
}

/// Plans every host where no artifact is there yet: what only comes with one may not be needed by the
/// rest. Artifacts that a host cannot be without are its operator's to bring.
fn without_artifacts(bare: &FleetState, report: &mut Report) {
    for id in bare.hosts.keys() {
        if let Err(PlanError::Bundle(fault)) = plan(bare, id) {
            let reason = format!("where an artifact is not there: {}", fault.reason);
            report.error(BundleFault { reason, ..fault });
        }
    }
}

/// Warns of layers that no host of the fleet has: nothing was planned with them.
fn unplanned(files: &BTreeMap<String, String>, state: &FleetState, report: &mut Report) {
    for path in files.keys() {
        let Some(below) = path.strip_prefix(OVERRIDES) else {
            continue;
        };
        let mut parts = below.split('/');
        let (kind, owner) = (parts.next().unwrap_or_default(), parts.next());
        let owner = owner.unwrap_or_default();
        let is_there = match kind {
            "hosts" => HostId::new(owner).is_ok_and(|id| state.hosts.contains_key(&id)),
            _ => TenantId::new(owner).is_ok_and(|id| state.tenants.contains_key(&id)),
        };
        if !is_there {
            let kind = kind.trim_end_matches('s');
            let reason =
                format!("no {kind} {owner} is in the fleet file: nothing was planned with it");
            report.warn(path, reason);
        }
    }
}

/// Whether a file lists entries of a role.
fn lists(path: &str) -> bool {
    path.ends_with("/role.toml") || path.ends_with("/extra.toml")
}

/// Reads each file for itself, so that all faults are told at once.
fn read(files: &BTreeMap<String, String>, report: &mut Report) {
    let bundle = PutBundle {
        files: files.clone(),
    };
    if let Err(rejection) = bundle.is_well_formed() {
        report.error(BundleFault {
            file: rejection.value.clone(),
            line: None,
            reason: format!("accepted is {}", rejection.accepted),
        });
    }
    if let Err(error) = Catalogue::examined(files) {
        report.error(BundleFault {
            file: error.file,
            line: error.line,
            reason: error.fault.to_string(),
        });
    }
    for path in files.keys() {
        if lists(path) {
            let folder = path.rsplit('/').nth(1).unwrap_or_default();
            if let Err(error) = folder.parse::<Role>() {
                let reason = format!("the folder is to be called as its role: {error}");
                report.error(BundleFault {
                    file: path.clone(),
                    line: None,
                    reason,
                });
            }
            if let Err(fault) = role::RoleFile::parse(files, path) {
                report.error(fault);
            }
            if !files.contains_key(&format!("{folder}/role.toml")) {
                report.warn(
                    path,
                    format!("there is no {folder}/role.toml: no host reads it"),
                );
            }
        }
    }
}

/// Files that nothing reads: a name is misspelt, or a file of before is left.
fn unused(files: &BTreeMap<String, String>, report: &mut Report) {
    let mut read: BTreeSet<String> = ["firewall.toml", role::EXTRA, "powermta/base.toml"]
        .map(str::to_owned)
        .into();
    for path in files.keys().filter(|path| lists(path)) {
        if let Ok(role) = role::RoleFile::parse(files, path) {
            read.extend(role.names().map(str::to_owned));
            for part in role.parts {
                if let Ok(role) = role::RoleFile::parse(files, &part.file) {
                    read.extend(role.names().map(str::to_owned));
                }
                read.insert(part.file);
            }
        }
    }
    for path in files.keys() {
        let rest = match path.strip_prefix(OVERRIDES) {
            Some(below) => below.splitn(3, '/').nth(2).unwrap_or_default(),
            None => path,
        };
        if !lists(rest) && !rest.starts_with("powermta/providers/") && !read.contains(rest) {
            report.warn(path, "no role file names it".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::builtin_bundle;

    const FLEET: &str = include_str!("../../../../deploy/examples/sos-holidays.toml");

    fn linted(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Report {
        let mut files = builtin_bundle();
        change(&mut files);
        lint(&files, &toml::from_str(FLEET).unwrap()).unwrap()
    }

    fn put(files: &mut BTreeMap<String, String>, path: &str, text: &str) {
        files.insert(path.to_owned(), text.to_owned());
    }

    #[track_caller]
    fn finds(report: &Report, file: &str, line: Option<usize>, reason: &str) {
        let is_it = |finding: &&Finding| {
            finding.file == file && finding.line == line && finding.reason.contains(reason)
        };
        let found = report.findings.iter().find(is_it);
        assert!(found.is_some(), "{:#?}", report.findings);
    }

    #[test]
    fn the_roles_that_come_with_the_project_are_good_and_each_is_planned() {
        let report = linted(|_| {});
        assert_eq!(report.findings, [].into(), "{report:#?}");
        assert!(report.planned.len() >= 3, "{:?}", report.planned);
        assert!(report.planned.values().all(|resources| *resources > 5));
    }

    #[test]
    fn a_role_of_an_operators_own_is_planned_on_a_host_that_is_added_for_it() {
        let report = linted(|files| {
            put(
                files,
                "relay/role.toml",
                "[[directory]]\npath = \"/etc/relay\"\nmode = \"0755\"\non_remove = \"leave\"\n\
                 [[file]]\npath = \"/etc/relay/{{ item.id }}\"\neach = \"tenant\"\n\
                 template = \"relay/one.j2\"\nmode = \"0644\"\non_remove = \"delete\"\n",
            );
            put(files, "relay/one.j2", "{{ item.name }}\n");
        });
        assert_eq!(report.findings, [].into(), "{report:#?}");
        assert_eq!(report.planned[&HostId::new("relay").unwrap()], 2);
    }

    /// The lines of an indented block after a line that names what it is.
    fn shown(after: &str) -> String {
        let text = include_str!("../../../../deploy/roles/README.md");
        let lines = text
            .lines()
            .skip_while(|line| !line.starts_with(after))
            .skip(2);
        let block = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
        block
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect()
    }

    #[test]
    fn the_role_that_the_documentation_shows_is_one() {
        let report = linted(|files| {
            put(
                files,
                "relay/role.toml",
                &shown("`my-roles/relay/role.toml`"),
            );
            put(
                files,
                "relay/haproxy.cfg.j2",
                &shown("`my-roles/relay/haproxy.cfg.j2`"),
            );
        });
        assert_eq!(report.findings, [].into(), "{report:#?}");
        assert_eq!(report.planned[&HostId::new("relay").unwrap()], 3);
    }

    #[test]
    fn the_repository_and_the_job_that_the_documentation_shows_are_ones() {
        let key =
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmAEE\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let files = |key: &str| {
            linted(|files| {
                let role = shown("`my-roles/relay/role.toml`");
                put(files, "relay/role.toml", &role);
                let config = shown("`my-roles/relay/haproxy.cfg.j2`");
                put(files, "relay/haproxy.cfg.j2", &config);
                let extra = shown("`my-roles/relay/extra.toml`");
                put(files, "relay/extra.toml", &extra);
                put(files, "relay/haproxy.asc", key);
            })
        };
        let report = files(key);
        assert_eq!(report.findings, [].into(), "{report:#?}");
        assert_eq!(report.planned[&HostId::new("relay").unwrap()], 7);
        let report = files(&key.replace("PUBLIC", "PRIVATE"));
        assert!(!report.is_good());
        finds(&report, "relay/role.toml", None, "never a private key");
    }

    #[test]
    fn a_job_that_nothing_would_run_is_a_warning() {
        let linted = |more: &str| {
            let job = "[[cron_job]]\nname = \"report\"\nschedule = \"@daily\"\nuser = \"root\"\n\
                       command = \"/bin/true\"\non_remove = \"delete\"\n";
            linted(|files| put(files, "relay/role.toml", &format!("{job}{more}")))
        };
        let report = linted("");
        assert!(report.is_good());
        let reason = "cron_job report: the role lists neither package cron nor cronie";
        finds(&report, "relay/role.toml", None, reason);
        for reader in ["cron", "cronie"] {
            let package = format!("[[package]]\nname = \"{reader}\"\non_remove = \"leave\"\n");
            assert_eq!(linted(&package).findings, [].into());
        }
    }

    #[test]
    fn a_table_of_jobs_that_cron_would_pass_over_is_found() {
        let report = linted(|files| {
            put(
                files,
                "mailwizz/cron.j2",
                "# ours\n0 24 * * * root /bin/true\n",
            );
        });
        finds(
            &report,
            "mailwizz/cron.j2",
            None,
            "line 2 of the table that it makes: hour is \"24\"",
        );
    }

    #[test]
    fn all_faults_of_all_files_are_told_at_once_with_their_lines() {
        let report = linted(|files| {
            put(
                files,
                "mailwizz/extra.toml",
                "[values]\n\n[[file]]\npaht = \"/x\"\n",
            );
            put(files, "Bad/role.toml", "");
            put(files, "overrides/hosts/pmta1/powermta/base.toml", "");
            put(files, "powermta/providers/gmail.toml", "[[");
        });
        assert!(!report.is_good());
        finds(&report, "mailwizz/extra.toml", Some(4), "paht");
        finds(
            &report,
            "Bad/role.toml",
            None,
            "the folder is to be called as its role",
        );
        finds(&report, "powermta/providers/gmail.toml", Some(1), "");
        finds(
            &report,
            "overrides/hosts/pmta1/powermta/base.toml",
            None,
            "one for a whole bundle",
        );
        assert!(report.planned.is_empty(), "nothing is planned with these");
    }

    #[test]
    fn a_template_is_filled_in_and_an_edge_looked_up() {
        let report = linted(|files| {
            put(
                files,
                "mailwizz/cron.j2",
                "{{ values.root }}\n{{ no.such }}\n",
            );
        });
        finds(&report, "mailwizz/cron.j2", Some(2), "undefined");
        let report = linted(|files| {
            put(
                files,
                "api/extra.toml",
                "[[service]]\nunit = \"relay.service\"\non_notify = \"restart\"\n\
                 on_remove = \"leave\"\nafter = [\"package:relay\"]\n",
            );
        });
        finds(
            &report,
            "api/role.toml with api/extra.toml",
            None,
            "package:relay",
        );
    }

    #[test]
    fn a_fault_in_a_layer_is_found_where_it_stands() {
        let report = linted(|files| {
            put(
                files,
                "overrides/tenants/sos-holidays/mailwizz/cron.j2",
                "{{ no.such }}",
            );
        });
        let file = "overrides/tenants/sos-holidays/mailwizz/cron.j2";
        finds(&report, file, Some(1), "undefined");
    }

    #[test]
    fn what_nothing_reads_is_a_warning() {
        let report = linted(|files| {
            put(files, "mailwizz/corn.j2", "");
            put(files, "overrides/hosts/nobody/mailwizz/cron.j2", "");
            put(files, "overrides/tenants/nobody/mailwizz/cron.j2", "");
            put(files, "mailwiz/extra.toml", "");
        });
        assert!(report.is_good());
        finds(&report, "mailwiz/extra.toml", None, "no host reads it");
        let file = "overrides/tenants/nobody/mailwizz/cron.j2";
        finds(&report, file, None, "no tenant nobody");
        finds(&report, "mailwizz/corn.j2", None, "no role file names it");
        let file = "overrides/hosts/nobody/mailwizz/cron.j2";
        finds(&report, file, None, "no host nobody");
    }

    #[test]
    fn what_needs_a_part_is_found_out_where_a_host_does_not_have_it() {
        let report = linted(|files| {
            put(
                files,
                "mailwizz/extra.toml",
                "[[directory]]\npath = \"/etc/email-engine/own\"\nmode = \"0755\"\n\
                 on_remove = \"leave\"\n[[service]]\nunit = \"cron2.service\"\non_notify = \"reload\"\n\
                 on_remove = \"leave\"\nafter = [\"package:nginx\"]\n",
            );
        });
        let file = "mailwizz/role.toml with mailwizz/extra.toml";
        finds(&report, file, None, "where an artifact is not there");
    }

    #[test]
    fn files_of_operators_are_taken_to_be_there() {
        let report = linted(|files| {
            put(
                files,
                "api/extra.toml",
                "[[file]]\npath = \"/etc/email-engine/bundle\"\nartifact = \"bundle\"\nmode = \"0644\"\n\
                 on_remove = \"delete\"\n",
            );
        });
        assert_eq!(report.findings, [].into(), "{report:#?}");
    }
}
