//! Desired state: what one host shall be, whole, never as a delta.
//!
//! A [`HostConfig`] is a manifest: it lists resources, and names file contents by hash and secrets by
//! reference. Its own postcard bytes are a content body too, and their hash is the *digest* that a
//! [`Target`] signs. So a host that has the digest can fetch, check and keep everything by hash.

mod accounting;
mod artifact;
mod basics;
mod certificate;
mod config;
mod database;
mod discard;
mod drain;
mod firewall;
mod health;
mod names;
mod path;
mod repository;
mod resource;
mod suspension;
mod target;
mod transaction;
mod vendor;

pub use accounting::{
    AccountedIdentity, AccountingFile, AccountingPost, AccountingSpec, ListNames, Receiver,
    RecordKind,
};
pub use artifact::{ArchiveForm, ArchiveSpec, ArtifactRef, of as artifact_of};
pub use basics::{GroupSpec, IpAddressSpec, SymlinkSpec, SysctlSpec, UserSpec};
pub use certificate::{
    AcmeSpec, CHAIN_FILE, CHALLENGES, CertificateKey, CertificateSource, CertificateSpec, KEY_FILE,
    directory_host, is_web_name,
};
pub use config::{ConfigError, Disposition, HostConfig};
pub use database::{
    DatabaseAuth, DatabaseSpec, Engine, KeptTable, SqlCell, SqlGiven, SqlRowSpec, SqlScriptSpec,
    SqlValue,
};
pub use discard::{DiscardSpec, Listing};
pub use drain::{CountSpec, DrainSpec, NAME};
pub use firewall::{
    AddressSet, Direction, Fate, FirewallRule, FirewallSpec, Packet, PortRange, Protocol,
};
pub use health::{Expectation, HealthCheckSpec, Holds, HttpQuestion, Probe};
pub use path::{HostPath, PathError};
pub use repository::{AptSource, DnfSource, PackageRepositorySpec, is_repository_uri};
pub use resource::{
    CommandLine, DirectorySpec, FileContent, FileSpec, Guard, OnNotify, OnRemove, PackageSpec,
    Policy, Resource, ResourceKind, ServiceSpec, Spec, StepSpec,
};
pub use suspension::{BarSpec, HaltSpec, Question, Sought, SuspensionSpec};
pub use target::{EpochGrant, PlanKeyGrant, Target};
pub use transaction::{CommandCheck, RestartSpec, TransactionSpec};
pub use vendor::VendorPackageSpec;
