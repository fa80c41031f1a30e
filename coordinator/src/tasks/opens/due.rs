//! What is to be asked in one look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use email_engine_protocol::api::TenantSecret;
use email_engine_protocol::id::{RequestId, TenantId};
use email_engine_protocol::time::Timestamp;

use super::Memory;
use crate::fleet::warmup::day_of;
use crate::mailwizz::SealedDoor;
use crate::state::{Campaign, FleetState, SecretOf};

/// Most questions to one application in one look.
pub(super) const QUESTIONS: usize = 60;
/// Days for which a campaign is read from its first mail on: what is opened later changes no verdict.
const FOLLOWED_DAYS: u32 = 14;
/// Days for which one is that has not sent anything: it may be for later.
const AWAITED_DAYS: u32 = 90;
/// Days for which one is young: most of what is opened is opened then.
const YOUNG_DAYS: u32 = 3;
/// Between two questions about one that is young, and about others.
const YOUNG_AGAIN: Duration = Duration::from_secs(60 * 60);
const OLD_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// All that is asked, and what is still of interest later.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) tenants: Vec<Questions>,
    pub(super) followed: BTreeSet<RequestId>,
}

/// What one tenant's application is asked.
#[derive(Debug)]
pub(super) struct Questions {
    pub(super) tenant: TenantId,
    pub(super) door: SealedDoor,
    /// By what campaigns go here and there.
    pub(super) uids: Vec<(RequestId, String)>,
}

/// When a campaign was asked about last, and by what it goes here and there.
type Due<'a> = (Option<Instant>, &'a RequestId, &'a str);

/// Campaigns whose turn it is, of applications that can be reached as far as is known.
pub(super) fn questions(state: &FleetState, memory: &Memory, now: Timestamp, at: Instant) -> Asked {
    let today = day_of(now);
    let mut asked = Asked::default();
    let mut due: BTreeMap<&TenantId, Vec<Due<'_>>> = BTreeMap::new();
    for request in state.campaigns_order.iter().rev() {
        let Some(campaign) = state.campaigns.get(request) else {
            continue;
        };
        let (Some(uid), Some(again)) = (campaign.uid(), again_after(campaign, today)) else {
            continue;
        };
        asked.followed.insert(request.clone());
        let last = memory.asked.get(request).copied();
        let is_due = last.is_none_or(|last| at.duration_since(last) >= again);
        if is_due && !memory.is_away(&campaign.tenant, at) {
            let own = due.entry(&campaign.tenant).or_default();
            own.push((last, request, uid));
        }
    }
    for (tenant, mut uids) in due {
        let Some(door) = door(state, tenant) else {
            continue;
        };
        // Those that were never asked about are first.
        uids.sort_by_key(|(last, _, _)| *last);
        let uids = uids.into_iter().take(QUESTIONS);
        asked.tenants.push(Questions {
            tenant: tenant.clone(),
            door,
            uids: uids
                .map(|(_, own, uid)| (own.clone(), uid.to_owned()))
                .collect(),
        });
    }
    asked
}

/// How often a campaign is asked about, while it is at all.
fn again_after(campaign: &Campaign, today: u32) -> Option<Duration> {
    let first = campaign.readings.0.keys().next().copied();
    let (since, followed) = match first {
        Some(first) => (first, FOLLOWED_DAYS),
        None => (day_of(campaign.begun_at), AWAITED_DAYS),
    };
    let age = today.saturating_sub(since);
    match age {
        age if age < YOUNG_DAYS => Some(YOUNG_AGAIN),
        age if age < followed => Some(OLD_AGAIN),
        _ => None,
    }
}

/// The way to a tenant's application, where both halves of it are known.
fn door(state: &FleetState, tenant: &TenantId) -> Option<SealedDoor> {
    let url = state.tenants.get(tenant)?.mailwizz_url.clone()?;
    let key = SecretOf::Tenant(tenant.clone(), TenantSecret::MailwizzApiKey).id();
    let key = state.secrets.get(&key)?.sealed.clone();
    Some(SealedDoor { url, key })
}
