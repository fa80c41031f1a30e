//! Why a host cannot be planned.

use std::net::IpAddr;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::ConfigError;
use email_engine_protocol::id::{ArtifactName, HostId, SecretId, TenantId, VmtaName};

use crate::powermta::lint::Code;
use crate::powermta::schema::Version;
use crate::state::View;

/// Why a host cannot be planned. Its running state stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The state is that of no cluster yet.
    #[error("the cluster does not exist yet")]
    NoCluster,
    /// No such host.
    #[error("host {0} is not declared")]
    UnknownHost(HostId),
    /// The release pins another planner than this one.
    #[error(
        "host {host} is pinned to planner version {pinned}, this node has version {}",
        super::PLANNER_VERSION
    )]
    PlannerVersion {
        /// The host.
        host: HostId,
        /// What its release says.
        pinned: u32,
    },
    /// The release pins a role bundle that is not there.
    #[error("host {host} is pinned to role bundle {bundle}, which is not stored")]
    MissingBundle {
        /// The host.
        host: HostId,
        /// Hash of the bundle.
        bundle: ContentHash,
    },
    /// The release pins a revision of the settings that is not there.
    #[error("host {host} is pinned to settings revision {revision}, which is not stored")]
    MissingSettings {
        /// The host.
        host: HostId,
        /// The revision.
        revision: u64,
    },
    /// A file of the role bundle is broken.
    #[error(transparent)]
    Bundle(#[from] BundleFault),
    /// A host of this role has exactly one tenant, and this one has none.
    #[error("host {0} has no tenant; a MailWizz host has exactly one")]
    NoTenant(HostId),
    /// A tenant is named and not there.
    #[error("tenant {0} is not declared")]
    UnknownTenant(TenantId),
    /// Submission is bound to an IPv4 address, because how an IPv6 listener is written is not known.
    #[error("host {0} has no IPv4 address; its first one is where the fleet submits mail")]
    NoAdminAddress(HostId),
    /// An identity's address is where the fleet submits.
    #[error("{address} is the admin address of host {host} and cannot be a sending address")]
    AdminAddressSends {
        /// The host.
        host: HostId,
        /// The address.
        address: IpAddr,
    },
    /// Two tenants' hosts have one address, so mail from it cannot be told apart.
    #[error(
        "{address} belongs to hosts of tenants {first} and {second}: mail from it is of neither"
    )]
    SharedSubmitter {
        /// The address.
        address: IpAddr,
        /// One tenant.
        first: TenantId,
        /// Another.
        second: TenantId,
    },
    /// A virtual MTA has a name that the configuration needs itself.
    #[error(
        "virtual MTA {vmta} of {address}: names beginning with 'reject-' or 'fleet-' are taken"
    )]
    ReservedVmta {
        /// The identity.
        address: IpAddr,
        /// Its virtual MTA.
        vmta: VmtaName,
    },
    /// Two identities have one virtual MTA.
    #[error("virtual MTA {vmta} belongs to {first} and {second}")]
    VmtaTwice {
        /// The virtual MTA.
        vmta: VmtaName,
        /// One identity.
        first: IpAddr,
        /// Another.
        second: IpAddr,
    },
    /// A line is not for the version of PowerMTA that the host has.
    #[error(
        "host {host} has PowerMTA {version}, which does not know {line:?}{}: {reason} ({code}); write it \
         as that version knows it, or correct the host's label powermta-version",
        file.as_ref().map(|file| format!(" of {file}")).unwrap_or_default()
    )]
    OtherVersion {
        /// The host.
        host: HostId,
        /// What it has.
        version: Version,
        /// The line as it would stand in the configuration.
        line: String,
        /// The file of the bundle that it comes from, if that is known.
        file: Option<String>,
        /// What is wrong with it.
        reason: String,
        /// Code of the linter.
        code: Code,
    },
    /// The DKIM key of an identity is not in the table of secrets.
    #[error("identity {address} has no DKIM key {secret}")]
    MissingKey {
        /// The identity.
        address: IpAddr,
        /// The secret that it names.
        secret: SecretId,
    },
    /// Nobody said which artifact is meant.
    #[error(
        "host {host} needs artifact {name}, and nothing says which that is: `email-engine artifact put \
         FILE --use {name}` uploads one for all hosts, the host's label artifact-{name} names one by its \
         SHA-256"
    )]
    UnnamedArtifact {
        /// The host.
        host: HostId,
        /// What its role file calls it.
        name: ArtifactName,
    },
    /// The artifact that is meant is not there, or not whole.
    #[error(
        "host {host} needs {sha256} as artifact {name}, and the cluster does not have it whole: \
         `email-engine artifact put FILE` uploads it, or what is missing of it"
    )]
    MissingArtifact {
        /// The host.
        host: HostId,
        /// What its role file calls it.
        name: ArtifactName,
        /// What that stands for.
        sha256: ContentHash,
    },
    /// A value cannot be written into a configuration.
    #[error("{field} {value:?} is not valid: {accepted}")]
    Value {
        /// Which value.
        field: &'static str,
        /// What it is.
        value: String,
        /// What would be accepted.
        accepted: &'static str,
    },
    /// The result is not a desired state.
    #[error("the planned state is not valid: {0}")]
    Config(ConfigError),
}

impl PlanError {
    /// With the file of the bundle in which the fault really stands, where a layer has it.
    pub(super) fn placed(self, view: &View<'_>) -> Self {
        match self {
            Self::Bundle(fault) => Self::Bundle(BundleFault {
                file: view.origin(&fault.file),
                ..fault
            }),
            other => other,
        }
    }
}

/// A file of a role bundle that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role bundle: {file}{}: {reason}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
pub struct BundleFault {
    /// Path within the bundle.
    pub file: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}
