//! Resources: one file per kind of [`Spec`], each of which observes, applies and removes.
//!
//! [`observe`] changes nothing. [`ensure`] looks again, changes what differs, and looks once more: a
//! change that cannot be seen afterwards is a failure. Contents come from [`Contents`], so that this
//! room knows neither the ledger nor the keys.

mod access;
mod artifact;
mod basics;
mod certificate;
mod database;
mod directory;
mod discard;
mod file;
mod firewall;
mod package;
mod repository;
mod service;
mod step;

pub(crate) use certificate::sweep as sweep_certificate;
#[cfg(test)]
pub(crate) use database::tests as database_samples;
pub(crate) use discard::{forget_all as forget_discarded, settle as settle_discard};
pub(crate) use file::bytes as file_bytes;
#[cfg(test)]
pub(crate) use repository::tests as repository_samples;
pub(crate) use step::{CheckError, check, time_limit};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{HostPath, OnRemove, Resource, Spec};
use email_engine_protocol::observed::Told;
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use zeroize::Zeroizing;

use crate::host::{
    AccountError, FileError, Machine, NetworkError, SqlError, SystemError, WallError,
};
use crate::inventory::{Item, Thing};

/// How a resource was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Not as desired: what differs, never with content.
    Differs(String),
    /// As desired, but for something that is not ours to repair: what.
    Noted(String),
    /// As desired.
    Right,
    /// As desired in a simulation.
    Simulated,
    /// As desired, and this is what it was asked to tell.
    Tells(Told),
    /// Cannot be told: why.
    Unknown(String),
    /// As desired as far as it can be told: what cannot.
    Unverified(String),
    /// Nothing can be done before something else is there that is not ours to bring: what.
    Waits(String),
}

impl Finding {
    /// Whether nothing is to be done.
    #[must_use]
    pub const fn is_satisfied(&self) -> bool {
        matches!(
            self,
            Self::Noted(_)
                | Self::Right
                | Self::Simulated
                | Self::Tells(_)
                | Self::Unverified(_)
                | Self::Waits(_)
        )
    }
}

impl Finding {
    /// Whether it is neither right nor wrong yet.
    #[must_use]
    pub const fn waits(&self) -> bool {
        matches!(self, Self::Waits(_))
    }
}

/// Why content is not at hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A body is missing or damaged.
    #[error("body {hash} is not at hand: {reason}")]
    Body {
        /// Which body.
        hash: ContentHash,
        /// Why.
        reason: String,
    },
    /// What was put by does not open.
    #[error("a copy that was kept cannot be used: {reason}")]
    Copy {
        /// Why.
        reason: String,
    },
    /// A secret is missing, damaged or does not open.
    #[error("secret {id} is not at hand: {reason}")]
    Secret {
        /// Which secret.
        id: email_engine_protocol::id::SecretId,
        /// Why.
        reason: String,
    },
}

/// Where the bytes of files come from.
pub trait Contents {
    /// A body by its hash.
    ///
    /// # Errors
    /// When it is not at hand.
    fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError>;

    /// A secret, opened.
    ///
    /// # Errors
    /// When it is not at hand or does not open.
    fn secret(&self, secret: &SecretRef) -> Result<SecretBytes, ContentError>;

    /// Whether bytes are those of a secret; does not open it each time.
    ///
    /// # Errors
    /// When the secret is not at hand or does not open.
    fn is_secret(&self, secret: &SecretRef, bytes: &[u8]) -> Result<bool, ContentError>;

    /// Seals bytes for this host alone: what is put by may be a secret.
    ///
    /// # Errors
    /// When they cannot be sealed.
    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError>;

    /// Opens what was sealed here.
    ///
    /// # Errors
    /// When it was not, or was changed.
    fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError>;
}

/// Why a resource could not be made right.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An owner or group has no number.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Content is missing.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Addresses could not be looked at or changed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// It is not ours to change.
    #[error("{0}")]
    Refused(String),
    /// It was changed, and is not right nevertheless.
    #[error("still not right after it was applied: {0}")]
    Still(String),
    /// A database server did not do it.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A command ended with a code that means failure.
    #[error("{program} ended with code {code}: {output}")]
    Step {
        /// The program.
        program: String,
        /// Its exit code.
        code: u8,
        /// The end of its output.
        output: String,
    },
    /// Package tool, service manager or command failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The firewall could not be looked at or changed.
    #[error(transparent)]
    Wall(#[from] WallError),
}

/// Looks at a resource without changing anything.
#[must_use]
pub fn observe(machine: &mut Machine, contents: &dyn Contents, resource: &Resource) -> Finding {
    let id = &resource.id;
    match &resource.spec {
        Spec::Database(_) | Spec::SqlRow(_) | Spec::SqlScript(_) => {
            database::observe(machine, contents, resource)
        }
        Spec::Archive(spec) => artifact::observe(machine, spec),
        Spec::Certificate(spec) => certificate::observe(machine, contents, spec),
        Spec::Directory(spec) => directory::observe(machine, spec),
        Spec::File(spec) => file::observe(machine, contents, spec),
        Spec::Firewall(spec) => firewall::observe(machine, spec),
        Spec::Package(spec) => package::observe(machine, id, spec),
        Spec::PackageRepository(spec) => repository::observe(machine, spec),
        Spec::VendorPackage(spec) => package::observe_vendor(machine, id, spec),
        Spec::Service(spec) => service::observe(machine, id, spec),
        Spec::Step(spec) => step::observe(machine, id, spec),
        Spec::Discard(_) | Spec::HealthCheck(_) | Spec::Suspension(_) => {
            Finding::Unknown("not looked at yet".to_owned())
        }
        Spec::Transaction(_) => Finding::Unknown("its members tell".to_owned()),
        Spec::Group(_)
        | Spec::IpAddress(_)
        | Spec::Symlink(_)
        | Spec::Sysctl(_)
        | Spec::User(_) => basics::observe(machine, resource),
    }
}

/// Makes a resource right if it is not, and says what it found and left.
///
/// # Errors
/// When it cannot be made right.
pub fn ensure(
    machine: &mut Machine,
    contents: &dyn Contents,
    resource: &Resource,
) -> Result<Ensured, ApplyError> {
    let before = observe(machine, contents, resource);
    if before.is_satisfied() {
        return Ok(Ensured {
            changed: false,
            finding: before,
        });
    }
    let id = &resource.id;
    // Everything else is made right where it cannot be told; what a command does is nobody's to guess.
    if let (Spec::Step(_), Finding::Unknown(reason)) = (&resource.spec, &before) {
        let reason = format!("whether it is needed cannot be told: {reason}");
        return Err(ApplyError::Refused(reason));
    }
    match &resource.spec {
        Spec::Database(_) | Spec::SqlRow(_) | Spec::SqlScript(_) => {
            database::apply(machine, contents, resource)?;
        }
        Spec::Archive(spec) => artifact::apply(machine, contents, spec)?,
        Spec::Certificate(spec) => certificate::apply(machine, contents, id, spec)?,
        Spec::Directory(spec) => directory::apply(machine, spec)?,
        Spec::File(spec) => file::apply(machine, contents, id, spec)?,
        Spec::Firewall(spec) => firewall::apply(machine, id, spec)?,
        Spec::Package(spec) => machine.system.install(id, spec)?,
        Spec::PackageRepository(spec) => repository::apply(machine, id, spec)?,
        Spec::VendorPackage(spec) => package::apply_vendor(machine, contents, id, spec)?,
        Spec::Service(spec) => machine.system.set_service(id, spec)?,
        Spec::Step(spec) => step::run(machine, id, spec)?,
        // The reconciler lets transactions take their turn, suspensions come before everything, health checks
        // after it, and what is thrown away last.
        Spec::Discard(_) | Spec::HealthCheck(_) | Spec::Suspension(_) | Spec::Transaction(_) => {}
        Spec::Group(_)
        | Spec::IpAddress(_)
        | Spec::Symlink(_)
        | Spec::Sysctl(_)
        | Spec::User(_) => basics::apply(machine, resource)?,
    }
    if !matches!(&resource.spec, Spec::Directory(_) | Spec::File(_)) {
        // What ran may have made the users that the next file belongs to.
        machine.forget_accounts();
    }
    match observe(machine, contents, resource) {
        Finding::Differs(diff) | Finding::Unknown(diff) => Err(ApplyError::Still(diff)),
        finding => Ok(Ensured {
            changed: true,
            finding,
        }),
    }
}

/// What [`ensure`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// Whether something was changed.
    pub changed: bool,
    /// How it is now; always satisfied.
    pub finding: Finding,
}

/// Tells a service or a step that something it depends on changed. Others have no ears.
///
/// # Errors
/// When it fails.
pub fn notify(machine: &mut Machine, resource: &Resource) -> Result<(), ApplyError> {
    match &resource.spec {
        Spec::Service(spec) => service::notify(machine, &resource.id, spec)?,
        Spec::Step(spec) => step::run(machine, &resource.id, spec)?,
        Spec::Database(_)
        | Spec::Archive(_)
        | Spec::Certificate(_)
        | Spec::Directory(_)
        | Spec::Discard(_)
        | Spec::File(_)
        | Spec::Firewall(_)
        | Spec::Group(_)
        | Spec::HealthCheck(_)
        | Spec::IpAddress(_)
        | Spec::Package(_)
        | Spec::PackageRepository(_)
        | Spec::SqlRow(_)
        | Spec::SqlScript(_)
        | Spec::Suspension(_)
        | Spec::Symlink(_)
        | Spec::Sysctl(_)
        | Spec::Transaction(_)
        | Spec::User(_)
        | Spec::VendorPackage(_) => return Ok(()),
    }
    machine.forget_accounts();
    Ok(())
}

/// Removes what no desired state names any more. A secret is wiped whatever `on_remove` says when
/// `retiring`.
///
/// # Errors
/// When it stays although it should go.
pub fn remove(
    machine: &mut Machine,
    thing: &Thing,
    item: &Item,
    retiring: bool,
) -> Result<(), ApplyError> {
    let delete = item.on_remove == OnRemove::Delete;
    match thing {
        Thing::File(path) if delete || (item.secret && retiring) => {
            file::remove(machine, path, item.secret)
        }
        Thing::Archive(path) if delete => artifact::remove(machine, path),
        Thing::Certificate(path) => {
            let gone = delete || retiring;
            certificate::remove(machine, &item.id, path, gone)
        }
        Thing::Directory(path) if delete => Ok(machine.files.remove_folder(path)?),
        Thing::Package(name) if delete => package::remove(machine, &item.id, name),
        Thing::PackageRepository(name) => repository::remove(machine, item, name),
        Thing::Service(unit) if item.on_remove != OnRemove::Leave => {
            service::switch_off(machine, &item.id, unit)
        }
        Thing::Database { .. } | Thing::SqlRow { .. } | Thing::SqlScript(_) => {
            database::remove(machine, thing, item)
        }
        Thing::Firewall if item.on_remove != OnRemove::Leave => firewall::remove(machine, &item.id),
        Thing::Group(_)
        | Thing::IpAddress(_)
        | Thing::Symlink(_)
        | Thing::Sysctl(_)
        | Thing::User(_) => basics::remove(machine, thing, item),
        _ => Ok(()),
    }
}

/// The files in which drift of a resource shows, beside its own path.
pub(crate) fn watched(spec: &Spec) -> Vec<HostPath> {
    match spec {
        Spec::Archive(archive) => artifact::marker(&archive.path).into_iter().collect(),
        Spec::Firewall(_) => vec![firewall::watched()],
        Spec::Certificate(spec) => certificate::watched(spec),
        Spec::PackageRepository(spec) => repository::watched(spec),
        other => basics::watched(other),
    }
}

/// Takes back what a former life was trying when it ended; what cannot be is tried again.
pub(crate) fn recover(machine: &mut Machine) {
    discard::sweep(machine);
    if let Err(error) = firewall::recover(machine) {
        tracing::error!(%error, "rules that were being tried are not taken back");
    }
}

/// What a spec is applied as: says later whether a difference is drift or a new wish.
#[must_use]
pub fn spec_hash(spec: &Spec) -> ContentHash {
    let bytes = postcard::to_stdvec(spec).expect("a spec holds nothing that postcard cannot write");
    ContentHash::of(&bytes)
}
