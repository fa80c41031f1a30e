//! The resources that an agent knows, one `*Spec` each.

use serde::{Deserialize, Serialize};

use super::{
    ArchiveSpec, ArtifactRef, CertificateSpec, DatabaseSpec, DiscardSpec, FirewallSpec, GroupSpec,
    HealthCheckSpec, HostPath, IpAddressSpec, PackageRepositorySpec, SqlRowSpec, SqlScriptSpec,
    SuspensionSpec, SymlinkSpec, SysctlSpec, TransactionSpec, UserSpec, VendorPackageSpec,
};
use crate::bytes::ContentHash;
use crate::id::ResourceId;
use crate::secret::SecretRef;

/// One thing that shall be so on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Unique within the host, such as `file:/etc/pmta/config`.
    pub id: ResourceId,
    /// What it shall be.
    pub spec: Spec,
    /// What happens to it when a later state no longer names it.
    pub on_remove: OnRemove,
    /// What happens when it drifts.
    pub policy: Policy,
    /// Applied only after these, beside the natural order (a file after its folder).
    pub after: Vec<ResourceId>,
    /// Services and steps to be told when this one changed.
    pub notify: Vec<ResourceId>,
}

/// What a resource shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(
    clippy::large_enum_variant,
    reason = "a host has one transaction or none, and few thousand resources"
)]
pub enum Spec {
    /// A regular file with content, mode and owner.
    File(FileSpec),
    /// A folder.
    Directory(DirectorySpec),
    /// A distribution package.
    Package(PackageSpec),
    /// A systemd unit.
    Service(ServiceSpec),
    /// A guarded command: the last resort.
    Step(StepSpec),
    /// Files that change together or not at all.
    Transaction(TransactionSpec),
    /// Something that stands still without a change of files.
    Suspension(SuspensionSpec),
    /// A symbolic link.
    Symlink(SymlinkSpec),
    /// A group that services run as.
    Group(GroupSpec),
    /// A user that services run as.
    User(UserSpec),
    /// A setting of the kernel.
    Sysctl(SysctlSpec),
    /// Sending addresses on an interface.
    #[serde(rename = "ip_address")]
    IpAddress(IpAddressSpec),
    /// A database with a user of its own.
    Database(DatabaseSpec),
    /// One row of a table.
    #[serde(rename = "sql_row")]
    SqlRow(SqlRowSpec),
    /// What may enter and leave.
    Firewall(FirewallSpec),
    /// A folder that an archive was unpacked to.
    Archive(ArchiveSpec),
    /// A package from an operator's file, or one that is looked through.
    #[serde(rename = "vendor_package")]
    VendorPackage(VendorPackageSpec),
    /// A certificate with its key.
    Certificate(CertificateSpec),
    /// Something that must be well.
    #[serde(rename = "health_check")]
    HealthCheck(HealthCheckSpec),
    /// A source of packages.
    #[serde(rename = "package_repository")]
    PackageRepository(PackageRepositorySpec),
    /// Statements that are run together while they are needed.
    #[serde(rename = "sql_script")]
    SqlScript(SqlScriptSpec),
    /// What waits and shall never leave.
    Discard(DiscardSpec),
}

/// The kind of a [`Spec`], for ids, tables and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// See [`FileSpec`].
    File,
    /// See [`DirectorySpec`].
    Directory,
    /// See [`PackageSpec`].
    Package,
    /// See [`ServiceSpec`].
    Service,
    /// See [`StepSpec`].
    Step,
    /// See [`TransactionSpec`].
    Transaction,
    /// See [`SuspensionSpec`].
    Suspension,
    /// See [`SymlinkSpec`].
    Symlink,
    /// See [`GroupSpec`].
    Group,
    /// See [`UserSpec`].
    User,
    /// See [`SysctlSpec`].
    Sysctl,
    /// See [`IpAddressSpec`].
    #[serde(rename = "ip_address")]
    IpAddress,
    /// See [`DatabaseSpec`].
    Database,
    /// See [`SqlRowSpec`].
    #[serde(rename = "sql_row")]
    SqlRow,
    /// See [`FirewallSpec`].
    Firewall,
    /// See [`ArchiveSpec`].
    Archive,
    /// See [`VendorPackageSpec`].
    #[serde(rename = "vendor_package")]
    VendorPackage,
    /// See [`CertificateSpec`].
    Certificate,
    /// See [`HealthCheckSpec`].
    #[serde(rename = "health_check")]
    HealthCheck,
    /// See [`PackageRepositorySpec`].
    #[serde(rename = "package_repository")]
    PackageRepository,
    /// No resource: a webhook of [`AccountingPost`](super::AccountingPost) that takes no posts is reported so.
    Webhook,
    /// See [`SqlScriptSpec`].
    #[serde(rename = "sql_script")]
    SqlScript,
    /// See [`DiscardSpec`].
    Discard,
}

impl Spec {
    /// Which kind this is.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::File(_) => ResourceKind::File,
            Self::Directory(_) => ResourceKind::Directory,
            Self::Package(_) => ResourceKind::Package,
            Self::Service(_) => ResourceKind::Service,
            Self::Step(_) => ResourceKind::Step,
            Self::Transaction(_) => ResourceKind::Transaction,
            Self::Suspension(_) => ResourceKind::Suspension,
            Self::Symlink(_) => ResourceKind::Symlink,
            Self::Group(_) => ResourceKind::Group,
            Self::User(_) => ResourceKind::User,
            Self::Sysctl(_) => ResourceKind::Sysctl,
            Self::IpAddress(_) => ResourceKind::IpAddress,
            Self::Database(_) => ResourceKind::Database,
            Self::SqlRow(_) => ResourceKind::SqlRow,
            Self::Firewall(_) => ResourceKind::Firewall,
            Self::Archive(_) => ResourceKind::Archive,
            Self::VendorPackage(_) => ResourceKind::VendorPackage,
            Self::Certificate(_) => ResourceKind::Certificate,
            Self::HealthCheck(_) => ResourceKind::HealthCheck,
            Self::PackageRepository(_) => ResourceKind::PackageRepository,
            Self::SqlScript(_) => ResourceKind::SqlScript,
            Self::Discard(_) => ResourceKind::Discard,
        }
    }

    /// The path that this resource owns, for files, folders, links, archives and certificates.
    #[must_use]
    pub const fn path(&self) -> Option<&HostPath> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Directory(directory) => Some(&directory.path),
            Self::Symlink(link) => Some(&link.path),
            Self::Archive(archive) => Some(&archive.path),
            Self::Certificate(certificate) => Some(&certificate.path),
            Self::Database(_)
            | Self::Discard(_)
            | Self::Firewall(_)
            | Self::Group(_)
            | Self::HealthCheck(_)
            | Self::IpAddress(_)
            | Self::Package(_)
            | Self::PackageRepository(_)
            | Self::Service(_)
            | Self::SqlRow(_)
            | Self::SqlScript(_)
            | Self::Step(_)
            | Self::Suspension(_)
            | Self::Sysctl(_)
            | Self::Transaction(_)
            | Self::User(_)
            | Self::VendorPackage(_) => None,
        }
    }
}

/// A regular file, replaced atomically.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Where.
    pub path: HostPath,
    /// What is in it.
    pub content: FileContent,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Owning user's name; the agent's own user when absent.
    pub owner: Option<String>,
    /// Owning group's name; the agent's own group when absent.
    pub group: Option<String>,
    /// Run on the staged copy before it is swapped in; `{}` in an argument stands for its path.
    pub validate: Option<CommandLine>,
}

/// Bytes of a file: public content by hash, a secret by reference, or an operator's file by its pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileContent {
    /// A content body of `length` bytes.
    Body {
        /// Its SHA-256.
        hash: ContentHash,
        /// Its size in bytes.
        length: u64,
    },
    /// The bytes of a secret. They are in no manifest, body, report or diff.
    Secret(SecretRef),
    /// An operator's file.
    Artifact(ArtifactRef),
    /// One line `NAME=` and a secret after it, as systemd reads environments.
    Variable {
        /// The name before it.
        name: String,
        /// What stands behind it.
        secret: SecretRef,
    },
}

impl FileContent {
    /// The secret in it.
    #[must_use]
    pub const fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Secret(secret) | Self::Variable { secret, .. } => Some(secret),
            Self::Artifact(_) | Self::Body { .. } => None,
        }
    }

    /// What stands before and behind the secret.
    #[must_use]
    pub fn around(&self) -> (String, &'static str) {
        match self {
            Self::Variable { name, .. } => (format!("{name}="), "\n"),
            Self::Artifact(_) | Self::Body { .. } | Self::Secret(_) => (String::new(), ""),
        }
    }
}

/// A folder. Its entries are not touched unless they are resources of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectorySpec {
    /// Where.
    pub path: HostPath,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Owning user's name; the agent's own user when absent.
    pub owner: Option<String>,
    /// Owning group's name; the agent's own group when absent.
    pub group: Option<String>,
}

/// A package of the distribution's own package tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSpec {
    /// Its name in the distribution.
    pub name: String,
    /// The exact version, or any installed one.
    pub version: Option<String>,
    /// Whether the package tool is kept from upgrading it.
    pub hold: bool,
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Unit name with its suffix, such as `pmta.service`.
    pub unit: String,
    /// Started at boot.
    pub enabled: bool,
    /// Running now.
    pub running: bool,
    /// What a notification from a changed resource does.
    pub on_notify: OnNotify,
}

/// What a service does when a resource that it depends on changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNotify {
    /// `systemctl reload`.
    Reload,
    /// `systemctl restart`.
    Restart,
}

/// A command with a guard that says when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpec {
    /// What is run, without a shell.
    pub command: CommandLine,
    /// When it is needed.
    pub guard: Guard,
    /// Ended and failed after this many seconds, at most
    /// [`STEP_SECONDS`](crate::limits::STEP_SECONDS); after
    /// [`STEP_DEFAULT_SECONDS`](crate::limits::STEP_DEFAULT_SECONDS) when 0.
    pub timeout_seconds: u32,
    /// Exit codes that mean success.
    pub success_codes: Vec<u8>,
}

/// A program and its arguments, run without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Absolute path of the program.
    pub program: HostPath,
    /// Its arguments; never secrets, which would show in the process list.
    pub arguments: Vec<String>,
}

/// When a step is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// Needed while this path does not exist.
    Creates(HostPath),
    /// Needed only when a resource that names it in `notify` changed.
    Notified,
    /// Needed while something stands at this path.
    Removes(HostPath),
    /// Needed while this command ends with code 0. It only asks: it is run again and again, and may change
    /// nothing.
    OnlyIf(CommandLine),
    /// Needed while this command ends with another code than 0; it only asks, too.
    Unless(CommandLine),
}

impl Guard {
    /// The command that it asks.
    #[must_use]
    pub const fn command(&self) -> Option<&CommandLine> {
        match self {
            Self::OnlyIf(command) | Self::Unless(command) => Some(command),
            Self::Creates(_) | Self::Notified | Self::Removes(_) => None,
        }
    }
}

impl StepSpec {
    /// All that may be run for it.
    pub fn commands(&self) -> impl Iterator<Item = &CommandLine> {
        std::iter::once(&self.command).chain(self.guard.command())
    }
}

/// What happens to a resource that the next state no longer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRemove {
    /// It is deleted; secrets are overwritten first.
    Delete,
    /// It is switched off and left in place.
    Disable,
    /// It stays as it is and is no longer ours.
    Leave,
}

/// What the agent does about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Repair it.
    #[default]
    Enforce,
    /// Report it only.
    Report,
    /// Leave it as it is, even when the desired state changes.
    Hold,
}
