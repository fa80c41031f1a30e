//! Sending identities and their pools, and those that are gone from the fleet and not yet from a host: a
//! virtual MTA that goes while its queue holds mail takes that mail with it.

mod foreign;
mod held;
mod life;
mod signing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{IpSpec, IpStatus, WarmupPlan};
use email_engine_protocol::id::{HostId, ListId, PoolName, SecretId, TenantId, VmtaName};
use email_engine_protocol::time::Timestamp;

use super::{FleetState, Keys};
use crate::fleet::warmup;

pub use foreign::ForeignPlan;
pub use held::{Held, HeldAddresses};
pub use life::{Declared, ExpiredQueue, Life, ListedRecipients, Quarantine, Said};
pub use signing::{OtherKey, Rotation, Signing};

/// A sending identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What was declared, with everything decided.
    pub spec: IpSpec,
    /// The DKIM private key that it signs with, in the table of secrets.
    pub dkim_key: SecretId,
    /// Public half of it: base64 of the DER SubjectPublicKeyInfo, as DNS wants it.
    pub dkim_public: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// Fleet revision since which its virtual MTA is on its host.
    pub placed_at: u64,
    /// Where it stands in the warm-up. The phase of its declaration is the plan's.
    pub warmup: WarmupPlan,
    /// Where it stands since when, what was seen of it, and what became of it.
    pub life: Life,
    /// What becomes of its keys.
    pub signing: Signing,
    /// What holds it back, whatever it reached.
    pub restraint: Restraint,
}

impl Identity {
    /// Whether new mail is accepted for it.
    #[must_use]
    pub fn takes_mail(&self) -> bool {
        let sends = matches!(self.spec.status, IpStatus::Active | IpStatus::Warming);
        sends && !self.is_paused()
    }

    /// Whether it takes no new mail although its status says that it sends.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let Restraint { breaker, held, .. } = &self.restraint;
        self.warmup.stopped.is_some() || *breaker || !held.is_empty()
    }

    /// Whether nothing holds it back.
    #[must_use]
    pub fn is_unhindered(&self) -> bool {
        !self.is_paused() && self.restraint.slowed.is_none()
    }

    /// Mails a day that it may send now.
    #[must_use]
    pub fn daily_quota(&self) -> u32 {
        let quota = warmup::quota_now(self.spec.status, &self.warmup);
        if self.is_paused() || quota == 0 {
            return 0;
        }
        // Half of what it reached, and not half of that again where its warm-up pauses.
        let half = warmup::half(self.warmup.reached);
        if self.restraint.slowed.is_none() || quota < half {
            quota
        } else {
            half
        }
    }

    /// Share of new mail, 0 to 100: follows status and phase.
    #[must_use]
    pub fn weight(&self) -> u8 {
        if self.is_paused() {
            return 0;
        }
        warmup::weight(self.spec.status, self.warmup.phase, self.spec.reserve)
    }
}

/// What holds an identity back beside its warm-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restraint {
    /// Its tenant's breaker is open and pauses what it sends. Follows from the breaker.
    pub breaker: bool,
    /// Lists that have gone mad and that receivers' replies to its own mail name all the same: it takes no new
    /// mail.
    pub held: BTreeSet<ListId>,
    /// Why it sends half of what it might, while it does.
    pub slowed: Option<Slowed>,
}

/// Why an identity sends half of what it might.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowed {
    /// Lists that have or had it.
    pub lists: BTreeSet<ListId>,
    /// Healthy sweeps that found it on no list that counts, one after the other.
    pub clean_sweeps: u8,
    /// When the last of them was.
    pub last_sweep: Option<Timestamp>,
}

/// What is left of an identity that is gone: what it sent last is still judged by its record. When that may
/// go, it first says that its key is not good any more, for as long as after a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// What it was declared to be.
    pub spec: IpSpec,
    /// Public half of its DKIM key.
    pub dkim_public: String,
}

/// When a record may go, and which.
pub type Departure = (Timestamp, SecretId);

/// An inventory group of one tenant's identities on one PowerMTA host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where its identities are.
    pub host: HostId,
}

/// Where something drains: one virtual MTA of one host.
pub type Place = (HostId, VmtaName);

/// A virtual MTA that takes no new mail and stays until its queue is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The identity as it was there. Its names stay its own.
    pub identity: Identity,
    /// Since when.
    pub since: Timestamp,
    /// Fleet revision at which it left: a target that was planned from it, or later, knows of it.
    pub revision: u64,
    /// It took its address along, to another host.
    pub took_address: bool,
}

impl Leaving {
    /// What the identity was declared to be.
    #[must_use]
    pub const fn spec(&self) -> &IpSpec {
        &self.identity.spec
    }

    /// Where it drains.
    #[must_use]
    pub fn place(&self) -> Place {
        (
            self.identity.spec.host.clone(),
            self.identity.spec.vmta.clone(),
        )
    }
}

/// An operator's word that a virtual MTA may go with what is in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The identity that it was.
    pub address: IpAddr,
    /// Fleet revision of the word: a target that was planned from it, or later, knows of it.
    pub revision: u64,
}

impl FleetState {
    /// What drains on a host, in order of virtual MTA.
    pub fn leaving_on<'a>(&'a self, host: &'a HostId) -> impl Iterator<Item = &'a Arc<Leaving>> {
        // The least of all names.
        let first = VmtaName::new("a").into_iter();
        let behind = first.flat_map(|first| self.leaving.range((host.clone(), first)..));
        let its = behind.take_while(move |((at, _), _)| at == host);
        its.map(|(_, leaving)| leaving)
    }

    /// Where an address drains.
    pub fn leaving_from(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Leaving>> {
        let places = self
            .lookup
            .leaving
            .get(&super::lookup::address_claim(address));
        let places = places.into_iter().flat_map(Keys::iter);
        places.filter_map(|place| self.leaving.get(place))
    }

    /// Virtual MTAs of a host that may go with what is in their queues.
    #[must_use]
    pub fn given_up_on(&self, host: &HostId) -> Option<&BTreeMap<VmtaName, GivenUp>> {
        self.given_up.get(host)
    }

    /// Whether nobody needs a key any more: no identity, and nothing that drains.
    #[must_use]
    pub(crate) fn is_needless(&self, key: &SecretId, address: IpAddr) -> bool {
        let living = self.identities.get(&address);
        !living.is_some_and(|own| own.has_key(key))
            && !self
                .leaving_from(address)
                .any(|leaving| leaving.identity.has_key(key))
    }
}
