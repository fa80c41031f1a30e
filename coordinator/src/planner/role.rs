//! What may stand in a `role.toml`.
//!
//! A role lists folders, files, packages ([`super::packages`]), services, steps ([`super::commands::step`]), which files change
//! together, and what all of that stands on ([`super::basics`]), databases with rows
//! ([`super::database`]), certificates ([`super::certificate`]), what must be well
//! ([`super::health`]), what runs when ([`super::cron`]), and what may enter and leave ([`super::firewall`]). Some of it stands in files of
//! its own, which not every host has ([`super::part`]), and secrets ([`super::secret`]). Texts marked as
//! templates see the values of [`super::values`]; `each` repeats an entry for every identity or tenant,
//! which is then `item`. Edges name resource ids; one that ends in `*` stands for all that begin so.
//!
//! A host's role may be listed in more than one file, in layers of the bundle: see [`crate::state::View`].

use std::collections::BTreeMap;
use std::sync::Arc;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::desired::{OnNotify, OnRemove};
use email_engine_protocol::id::ArtifactName;
use serde::Deserialize;

use super::artifacts::ArchiveEntry;
use super::basics::{GroupEntry, IpAddressEntry, SymlinkEntry, SysctlEntry, UserEntry};
use super::certificate::CertificateEntry;
use super::commands::discard::DiscardEntry;
use super::commands::step::StepEntry;
use super::cron::CronJobEntry;
use super::database::{DatabaseEntry, SqlRowEntry, SqlScriptEntry};
use super::error::BundleFault;
use super::firewall::FirewallEntry;
use super::health::{HealthCheckEntry, ProbeEntry};
use super::packages::{PackageEntry, PackageRepositoryEntry};
use crate::powermta::Verbatim;
use crate::powermta::providers::Catalogue;
use crate::state::{RoleBundle, RolePart, View};

/// Largest file of a bundle, in bytes.
pub(super) const FILE_BYTES: usize = 256 * 1024;

/// A parsed `role.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleFile {
    /// Where it stands in the bundle; set when it is read.
    #[serde(skip)]
    pub(super) path: String,
    /// Constants that templates see as `values`.
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
    /// Those of them that entries beside the role's gave: they outrank those of parts.
    #[serde(skip)]
    pub(super) own_values: BTreeMap<String, String>,
    #[serde(default, rename = "directory")]
    pub(super) directories: Vec<DirectoryEntry>,
    #[serde(default, rename = "file")]
    pub(super) files: Vec<FileEntry>,
    #[serde(default, rename = "package")]
    pub(super) packages: Vec<PackageEntry>,
    #[serde(default, rename = "package_repository")]
    pub(super) package_repositories: Vec<PackageRepositoryEntry>,
    #[serde(default, rename = "service")]
    pub(super) services: Vec<ServiceEntry>,
    #[serde(default, rename = "step")]
    pub(super) steps: Vec<StepEntry>,
    #[serde(default, rename = "transaction")]
    pub(super) transactions: Vec<TransactionEntry>,
    #[serde(default, rename = "suspension")]
    pub(super) suspensions: Vec<SuspensionEntry>,
    #[serde(default, rename = "discard")]
    pub(super) discards: Vec<DiscardEntry>,
    #[serde(default, rename = "symlink")]
    pub(super) symlinks: Vec<SymlinkEntry>,
    #[serde(default, rename = "group")]
    pub(super) groups: Vec<GroupEntry>,
    #[serde(default, rename = "user")]
    pub(super) users: Vec<UserEntry>,
    #[serde(default, rename = "sysctl")]
    pub(super) sysctls: Vec<SysctlEntry>,
    #[serde(default, rename = "ip_address")]
    pub(super) ip_addresses: Vec<IpAddressEntry>,
    #[serde(default, rename = "database")]
    pub(super) databases: Vec<DatabaseEntry>,
    #[serde(default, rename = "sql_row")]
    pub(super) sql_rows: Vec<SqlRowEntry>,
    #[serde(default, rename = "sql_script")]
    pub(super) sql_scripts: Vec<SqlScriptEntry>,
    pub(super) firewall: Option<FirewallEntry>,
    #[serde(default, rename = "archive")]
    pub(super) archives: Vec<ArchiveEntry>,
    #[serde(default, rename = "part")]
    pub(super) parts: Vec<RolePart>,
    #[serde(default, rename = "certificate")]
    pub(super) certificates: Vec<CertificateEntry>,
    #[serde(default, rename = "health_check")]
    pub(super) health_checks: Vec<HealthCheckEntry>,
    #[serde(default, rename = "cron_job")]
    pub(super) cron_jobs: Vec<CronJobEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectoryEntry {
    pub(super) path: String,
    /// Octal digits.
    pub(super) mode: String,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) on_remove: OnRemove,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntry {
    /// A template, so that `each` can name it.
    pub(super) path: String,
    pub(super) each: Option<Each>,
    /// Path of a template in the bundle.
    pub(super) template: Option<String>,
    /// A text that is made by code.
    pub(super) generated: Option<Generated>,
    /// A secret of the item.
    pub(super) secret: Option<Secret>,
    /// Whose password it is, by engine and name, such as `mysql/mailwizz`.
    pub(super) database: Option<String>,
    /// Writes a secret as a line of this variable.
    pub(super) variable: Option<String>,
    /// A file of the operator's, by what it is called.
    pub(super) artifact: Option<ArtifactName>,
    /// A name without which it is not part of a host.
    pub(super) when_artifact: Option<ArtifactName>,
    /// Sign of a comment: writes a head that names the hash of the text.
    pub(super) comment: Option<String>,
    /// Octal digits.
    pub(super) mode: String,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) on_remove: OnRemove,
    #[serde(default)]
    pub(super) after: Vec<String>,
    #[serde(default)]
    pub(super) notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceEntry {
    pub(super) unit: String,
    pub(super) each: Option<Each>,
    /// Ids of resources without which it is not there, as of files that wait for a secret.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    pub(super) on_notify: OnNotify,
    pub(super) on_remove: OnRemove,
    #[serde(default)]
    pub(super) after: Vec<String>,
}

/// Files that change together: swapped in this order, tested, activated, read back, found healthy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransactionEntry {
    pub(super) name: String,
    /// Ids of files and symbolic links; the one that names the others last.
    pub(super) members: Vec<String>,
    /// The service that reads them. A template.
    pub(super) unit: Option<String>,
    pub(super) test: CheckEntry,
    pub(super) activate: CheckEntry,
    #[serde(default)]
    pub(super) read_back: Vec<ProbeEntry>,
    #[serde(default)]
    pub(super) health: Vec<ProbeEntry>,
    /// How the product is asked what a virtual MTA holds that is to go.
    pub(super) drain: Option<DrainEntry>,
    /// The text whose lines may need a restart.
    pub(super) restart_lines: Option<Generated>,
    #[serde(default)]
    pub(super) after: Vec<String>,
    #[serde(default)]
    pub(super) notify: Vec<String>,
}

/// A command whose exit code and words judge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckEntry {
    /// A template, because some programs are called after their version.
    pub(super) program: String,
    /// Templates.
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    pub(super) timeout_seconds: u32,
    /// Texts in its output that mean failure, whatever the code.
    #[serde(default)]
    pub(super) refused_by: Vec<String>,
    /// Texts without which it failed, whatever the code.
    #[serde(default)]
    pub(super) must_say: Vec<String>,
}

/// How much is left in the queues of a virtual MTA. `{name}` stands for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainEntry {
    /// A command that answers in JSON.
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) timeout_seconds: u32,
    /// JSON pointer to the queues.
    pub(super) list: String,
    /// Pointer within a queue to its name.
    pub(super) name: String,
    /// How that ends.
    pub(super) belongs: String,
    /// Pointer within a queue to the number of its messages.
    pub(super) count: String,
    /// No queues are meant where `list` is absent and what is above it is not.
    #[serde(default)]
    pub(super) absent_is_none: bool,
}

/// What stands still at once: one for every identity in one of these states.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspensionEntry {
    /// A template, so that it can name its identity.
    pub(super) name: String,
    /// States of an identity that shall send nothing.
    pub(super) status: Vec<IpStatus>,
    #[serde(rename = "halt")]
    pub(super) halts: Vec<HaltEntry>,
    #[serde(default, rename = "bar")]
    pub(super) bars: Vec<BarEntry>,
}

/// What the kernel refuses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BarEntry {
    /// A template of an address.
    pub(super) address: String,
    /// A template of ports, with blanks between them.
    pub(super) ports: String,
}

/// One command that halts something, and its reverse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HaltEntry {
    pub(super) set: CheckEntry,
    pub(super) unset: CheckEntry,
    pub(super) is_set: QuestionEntry,
    /// Whether somebody else had set it.
    pub(super) theirs: Option<QuestionEntry>,
}

/// A command that answers in JSON, and what is sought in a list of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionEntry {
    pub(super) program: String,
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    pub(super) timeout_seconds: u32,
    /// A JSON pointer.
    pub(super) list: String,
    pub(super) sought: SoughtEntry,
}

/// What the list must be.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SoughtEntry {
    Nothing,
    Something,
    /// A template.
    Text(String),
}

/// What an entry is repeated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Each {
    /// Who vouches for certificates for submission: one on a host that submits, or none yet.
    Authority,
    /// The cluster's certificate for submission: one on a powermta host, or none.
    Certificate,
    Identity,
    /// A DKIM key of an identity on a powermta host: the one that it signs with, and while that is changed
    /// the other one.
    Key,
    Tenant,
}

/// A text that is made by code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Generated {
    PowermtaConfig,
}

/// A secret of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Secret {
    /// A tenant's, by which its programs know each other.
    ApiKey,
    /// That of the user of a database of this host.
    DatabasePassword,
    DkimKey,
    /// That of Grafana's first user on this host.
    GrafanaAdmin,
    /// A tenant's for MailWizz, which an operator gives.
    MailwizzApiKey,
    /// By which this host's Prometheus reads the metrics of nodes.
    MetricsKey,
    /// Certificate and key in one text.
    SubmissionCertificate,
}

impl Secret {
    /// Whether files wait for it: it is made after the host is declared, or given some time.
    pub(super) const fn is_awaited(self) -> bool {
        match self {
            Self::ApiKey
            | Self::DatabasePassword
            | Self::GrafanaAdmin
            | Self::MailwizzApiKey
            | Self::MetricsKey => true,
            Self::DkimKey | Self::SubmissionCertificate => false,
        }
    }
}

/// Where a bundle may hold lines of the operator's own for `/etc/pmta/config`, which go to every
/// PowerMTA host at that release as they are.
pub(super) const EXTRA: &str = "powermta/extra.conf";

/// The operator's own lines, if the bundle holds some.
pub(super) fn extra(files: &BTreeMap<String, String>) -> Result<Option<Verbatim>, BundleFault> {
    let Some(text) = files.get(EXTRA) else {
        return Ok(None);
    };
    Verbatim::new(text).map_err(|error| BundleFault {
        file: EXTRA.to_owned(),
        line: error.line(),
        reason: error.to_string(),
    })
}

/// What the bundle knows of receivers.
pub(super) fn catalogue(bundle: &RoleBundle) -> Result<Arc<Catalogue>, BundleFault> {
    bundle.catalogue().map_err(|error| BundleFault {
        file: error.file,
        line: error.line,
        reason: error.fault.to_string(),
    })
}

impl RoleFile {
    /// Files of the bundle that its entries name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let templates = self
            .files
            .iter()
            .filter_map(|file| file.template.as_deref());
        let tables = self
            .cron_jobs
            .iter()
            .filter_map(|job| job.template.as_deref());
        let keys = self.package_repositories.iter();
        let keys = keys.flat_map(PackageRepositoryEntry::files);
        templates.chain(tables).chain(keys)
    }

    /// Reads what a host's role lists: its own file, and the entries beside those.
    pub(super) fn read(view: &View<'_>) -> Result<Self, BundleFault> {
        let mut sources = view.sources.iter();
        let first = sources.next().expect("a role has a file, there or not");
        let mut role = Self::parse(&view.files, first)?;
        for path in sources {
            let extra = Self::parse(&view.files, path)?;
            role.own_values.extend(extra.values.clone());
            role.append(extra);
        }
        Ok(role)
    }

    /// Reads one file.
    pub(super) fn parse(files: &BTreeMap<String, String>, path: &str) -> Result<Self, BundleFault> {
        let text = file(files, path, path)?;
        let mut parsed: Self = toml::from_str(text).map_err(|error| BundleFault {
            file: path.to_owned(),
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| before.matches('\n').count() + 1),
            reason: error.message().to_owned(),
        })?;
        path.clone_into(&mut parsed.path);
        Ok(parsed)
    }

    /// Adds the entries of another file. Values and the firewall of the later one stand in the place of
    /// those before.
    pub(super) fn append(&mut self, other: Self) {
        let Self {
            path,
            values,
            own_values: _,
            directories,
            files,
            packages,
            package_repositories,
            services,
            steps,
            transactions,
            suspensions,
            discards,
            symlinks,
            groups,
            users,
            sysctls,
            ip_addresses,
            databases,
            sql_rows,
            sql_scripts,
            firewall,
            archives,
            parts,
            certificates,
            health_checks,
            cron_jobs,
        } = other;
        // A fault that is found later is in one of them.
        self.path = format!("{} with {path}", self.path);
        self.values.extend(values);
        self.directories.extend(directories);
        self.files.extend(files);
        self.packages.extend(packages);
        self.package_repositories.extend(package_repositories);
        self.services.extend(services);
        self.steps.extend(steps);
        self.transactions.extend(transactions);
        self.suspensions.extend(suspensions);
        self.discards.extend(discards);
        self.symlinks.extend(symlinks);
        self.groups.extend(groups);
        self.users.extend(users);
        self.sysctls.extend(sysctls);
        self.ip_addresses.extend(ip_addresses);
        self.databases.extend(databases);
        self.sql_rows.extend(sql_rows);
        self.sql_scripts.extend(sql_scripts);
        self.firewall = firewall.or_else(|| self.firewall.take());
        self.archives.extend(archives);
        self.parts.extend(parts);
        self.certificates.extend(certificates);
        self.health_checks.extend(health_checks);
        self.cron_jobs.extend(cron_jobs);
    }
}

/// A file of a bundle; `by` is who asks for it.
pub(super) fn file<'a>(
    files: &'a BTreeMap<String, String>,
    path: &str,
    by: &str,
) -> Result<&'a str, BundleFault> {
    let fault = |reason| BundleFault {
        file: by.to_owned(),
        line: None,
        reason,
    };
    let text = files
        .get(path)
        .ok_or_else(|| fault(format!("the bundle has no file {path:?}")))?;
    if text.len() > FILE_BYTES {
        return Err(fault(format!(
            "{path} has {} bytes, at most {FILE_BYTES} are accepted",
            text.len()
        )));
    }
    Ok(text)
}
