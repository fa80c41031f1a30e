//! What was done about listings, as answered.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::{IpStatus, ListingClass, Phase, Purpose};
use crate::id::{HostId, ListId, TenantId};
use crate::mail::DomainName;
use crate::time::Timestamp;

/// Why somebody asks for something. Body of `POST .../failover/freeze`, `.../failover/thaw`,
/// `.../breaker/release` and `/api/v1/failover/brakes/{list}/release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// In a sentence.
    pub reason: String,
}

/// What keeps the fleet from acting by itself, and what it did last. Answer to `GET /api/v1/failover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverView {
    /// Tenants that nobody is promoted for.
    pub frozen: Vec<FrozenView>,
    /// Breakers that are open, or were released.
    pub breakers: Vec<BreakerView>,
    /// Lists that named too many at once.
    pub brakes: Vec<BrakeView>,
    /// Identities that were taken out, the last first.
    pub events: Vec<ListingEventView>,
    /// Campaigns that stand still, because none of their servers takes mail.
    #[serde(default)]
    pub held_campaigns: Vec<HeldCampaignView>,
    /// How many more there are on hosts that name so many.
    #[serde(default)]
    pub held_campaigns_more: u32,
}

/// A campaign of a tenant's MailWizz that stands still. It goes on when one of its servers takes mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCampaignView {
    /// Whose.
    pub tenant: TenantId,
    /// The host that it is on.
    pub host: HostId,
    /// What MailWizz knows it by.
    pub uid: String,
    /// What people do.
    pub name: String,
    /// The virtual MTAs that its servers are called after.
    pub servers: Vec<String>,
    /// Since when the fleet knows of it.
    pub since: Timestamp,
}

/// Promotions of a tenant are frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenView {
    /// Whose.
    pub tenant: TenantId,
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A tenant's breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// Whose.
    pub tenant: TenantId,
    /// Since when it is open; absent when it is not.
    pub open_since: Option<Timestamp>,
    /// Why it is open.
    pub cause: Option<String>,
    /// What is not sent meanwhile.
    pub paused: Vec<Purpose>,
    /// When it was released last.
    pub released_at: Option<Timestamp>,
    /// By whom.
    pub released_by: Option<String>,
    /// Why.
    pub released_reason: Option<String>,
}

/// A list that named too many at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrakeView {
    /// Which.
    pub list: ListId,
    /// Since when.
    pub since: Timestamp,
    /// How many it newly named then.
    pub addresses: u32,
    /// Since when it is believed all the same; absent while nothing is done because of it.
    pub believed_at: Option<Timestamp>,
    /// By whom.
    pub believed_by: Option<String>,
    /// Why.
    pub believed_reason: Option<String>,
}

/// An identity that was taken out because lists have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingEventView {
    /// Its number.
    pub id: u64,
    /// Which identity.
    pub address: IpAddr,
    /// Its domain.
    pub domain: DomainName,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it sent.
    pub purpose: Purpose,
    /// The lists that it was taken out by.
    pub lists: Vec<ListedBy>,
    /// When.
    pub at: Timestamp,
    /// Fleet revision that it was done by.
    pub revision: u64,
    /// Mails a day that were lost with it.
    pub lost: u32,
    /// Whether another takes its place.
    pub search: SearchView,
}

/// What one list said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedBy {
    /// Which.
    pub list: ListId,
    /// What it answered.
    pub codes: Vec<String>,
    /// The strongest class of that.
    pub class: ListingClass,
    /// What it means.
    pub meaning: String,
}

/// Whether another takes the place of a listed identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SearchView {
    /// It did not send.
    NothingLost,
    /// Another is sought.
    Open {
        /// What stands in the way.
        obstacle: Option<String>,
        /// Until when.
        until: Timestamp,
    },
    /// Another did.
    Replaced {
        /// Which.
        by: IpAddr,
        /// Its domain.
        domain: DomainName,
        /// How much of what was lost it can send, in percent.
        restores_percent: u32,
        /// When.
        at: Timestamp,
        /// Fleet revision that it was done by.
        revision: u64,
    },
    /// Nobody did.
    Ended {
        /// When that was given up.
        at: Timestamp,
        /// Why.
        why: String,
    },
}

/// What would happen if an identity were listed. Answer to `GET /api/v1/failover/plan?listed=ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverPlan {
    /// Which.
    pub address: IpAddr,
    /// Whose.
    pub tenant: TenantId,
    /// Where it stands.
    pub status: IpStatus,
    /// Whether it would be taken out.
    pub taken_out: bool,
    /// Mails a day that would be lost.
    pub lost: u32,
    /// Why the tenant's breaker would open.
    pub opens_breaker: Option<String>,
    /// What would stand in the way of a promotion.
    pub obstacle: Option<String>,
    /// Who could take its place, the best first. Lists are asked about each before it is promoted.
    pub candidates: Vec<CandidateView>,
}

/// Somebody who could take a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// Which identity.
    pub address: IpAddr,
    /// Its domain.
    pub domain: DomainName,
    /// Where it is.
    pub host: HostId,
    /// Where it stands.
    pub status: IpStatus,
    /// Whether it is kept warm.
    pub reserve: bool,
    /// The phase that it reached.
    pub phase: Phase,
    /// What it sends.
    pub purpose: Purpose,
    /// How much of what would be lost it could send, in percent.
    pub restores_percent: u32,
    /// Whether it could be promoted, as far as that is known.
    pub fits: bool,
    /// Why not.
    pub why: Option<String>,
}
