//! What can be told, by what it is about: one file per shelf. Each says its kind, its cause (what two
//! alerts of one kind about one subject have to share to be the same) and its words.
//!
//! They stand in the log and in snapshots, so that variants and fields are only added at the end.

mod cluster;
mod host;
mod identity;
mod list;
mod tenant;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AlertKind;

use super::fold::AlertKey;
use super::subject::AlertSubject;
use super::words::Words;

pub use cluster::OfCluster;
pub use host::{HostEvent, OfHost};
pub use identity::{IdentityEvent, ListHit, Listing, OfIdentity, Remedy};
pub use list::{ListEvent, OfList};
pub use tenant::{OfTenant, TenantEvent};

/// Something that people are told. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Of the cluster, its nodes, and the alerts themselves.
    Cluster(OfCluster),
    /// Of a machine.
    Host(HostEvent),
    /// Of a sending identity.
    Identity(Box<IdentityEvent>),
    /// Of a list that names addresses.
    List(ListEvent),
    /// Of a customer.
    Tenant(TenantEvent),
}

impl Event {
    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> AlertKind {
        match self {
            Self::Cluster(what) => what.kind(),
            Self::Host(event) => event.what.kind(),
            Self::Identity(event) => event.what.kind(),
            Self::List(event) => event.what.kind(),
            Self::Tenant(event) => event.what.kind(),
        }
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> AlertSubject {
        match self {
            Self::Cluster(what) => what.subject(),
            Self::Host(event) => AlertSubject::Host(event.host.clone()),
            Self::Identity(event) => AlertSubject::Identity(event.address),
            Self::List(event) => AlertSubject::List(event.list.clone()),
            Self::Tenant(event) => AlertSubject::Tenant(event.tenant.clone()),
        }
    }

    /// What two of them share that are the same.
    #[must_use]
    pub fn key(&self) -> AlertKey {
        let cause = match self {
            Self::Cluster(what) => what.cause(),
            Self::Host(event) => event.what.cause(),
            Self::Identity(event) => event.what.cause(),
            Self::List(event) => event.what.cause(),
            Self::Tenant(event) => event.what.cause(),
        };
        AlertKey {
            kind: self.kind(),
            subject: self.subject(),
            cause,
        }
    }

    /// For people.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Cluster(what) => what.words(),
            Self::Host(event) => event.words(),
            Self::Identity(event) => event.words(),
            Self::List(event) => event.words(),
            Self::Tenant(event) => event.words(),
        }
    }

    /// Whether what comes in the next minute belongs into the same letter.
    #[must_use]
    pub const fn gathers(&self) -> bool {
        matches!(
            self,
            Self::Tenant(TenantEvent {
                what: OfTenant::Advanced { .. },
                ..
            })
        )
    }

    /// The same once more: the newest word holds, and what gathers is gathered.
    pub(super) fn fold(&mut self, newer: Self) {
        match (&mut *self, newer) {
            (Self::Tenant(own), Self::Tenant(other)) => own.what.fold(other.what),
            (own, newer) => *own = newer,
        }
    }
}
