//! `/tenants/{tenant}/select`: which identity sends next. Any node answers from what it has applied.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    CoverView, PartView, Purpose, Rotation as Mode, SelectRequest, SelectionView,
};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use super::unread;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::Take;
use crate::fleet::selection::{
    Candidate, Cover, NobodyLeft, Rotation, Used, candidates, cover, of_purpose, purpose_word,
    returns_at,
};
use crate::fleet::warmup::{Evidence, day_of};
use crate::state::FleetState;

/// Largest campaign.
const VOLUME: u64 = 1_000_000_000;

/// How long what is counted is taken for what is known: agents report less often than that, and whoever
/// sends asks far more often.
const KNOWN_MILLIS: u64 = 2 * Timestamp::SECOND;

/// How long it will do while it is read again: nobody who asks all the time waits for a disk.
const AGED_MILLIS: u64 = 5 * Timestamp::SECOND;

/// What this node remembers of whose turn it is.
#[derive(Default)]
pub(in crate::api) struct Rotations(Mutex<BTreeMap<(TenantId, Purpose), Kept>>);

/// What is remembered of one tenant and purpose.
#[derive(Default)]
struct Kept {
    rotation: Rotation,
    /// What is counted of each identity today, and when that was read.
    used: BTreeMap<IpAddr, Used>,
    /// Those of whom it could not be read: what they may still send is not known.
    unread: BTreeSet<IpAddr>,
    read_at: Timestamp,
    /// Somebody reads it again.
    is_reading: bool,
}

/// What is to be done before one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Nothing.
    Known,
    /// Beside it, to read.
    Aged,
    /// To read.
    Unknown,
}

/// As `GET` asks.
pub(in crate::api) async fn from_query(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(tenant): Named<TenantId>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, ApiError> {
    is_there(&api, &caller, &tenant)?;
    let Some(purpose) = parameters.purpose else {
        let accepted = "what is to be sent, such as marketing";
        return Err(ApiError::invalid("purpose", "", accepted));
    };
    let request = SelectRequest {
        purpose,
        mode: parameters.mode,
        volume: parameters.volume,
    };
    select(api, &caller, &tenant, request).await
}

/// A request as parameters: what is absent is told as every other fault is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Parameters {
    purpose: Option<Purpose>,
    mode: Option<Mode>,
    volume: Option<u64>,
}

fn is_there(api: &Api, caller: &Caller, tenant: &TenantId) -> Result<(), ApiError> {
    let is_known = api.view(|state| state.tenants.contains_key(tenant));
    if is_known && caller.sees(Some(tenant)) {
        return Ok(());
    }
    Err(ApiError::not_found("tenant", tenant.as_str()))
}

/// As `POST` asks. Nothing is changed but whose turn it is on this node.
pub(in crate::api) async fn from_body(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
    JsonBody(request): JsonBody<SelectRequest>,
) -> Result<Response, ApiError> {
    select(api, &write.caller, &tenant, request).await
}

async fn select(
    api: Arc<Api>,
    caller: &Caller,
    tenant: &TenantId,
    request: SelectRequest,
) -> Result<Response, ApiError> {
    if let Some(volume) = request
        .volume
        .filter(|volume| !(1..=VOLUME).contains(volume))
    {
        let accepted = format!("1 to {VOLUME}");
        return Err(ApiError::invalid("volume", &volume.to_string(), &accepted));
    }
    is_there(&api, caller, tenant)?;
    let now = api.now();
    let purpose = request.purpose;
    let reading = api.view(|state| {
        let asked = |kept: &mut Kept| kept.reading(now);
        api.rotations.with(state, tenant, purpose, asked)
    });
    match reading {
        Reading::Known => {}
        Reading::Aged => {
            let (api, tenant) = (Arc::clone(&api), tenant.clone());
            tokio::spawn(async move {
                if let Err(error) = read(&api, &tenant, purpose, now).await {
                    tracing::warn!(?error, "what was sent is not read again");
                }
                api.view(|state| {
                    let over = |kept: &mut Kept| kept.is_reading = false;
                    api.rotations.with(state, &tenant, purpose, over);
                });
            });
        }
        Reading::Unknown => read(&api, tenant, purpose, now).await?,
    }
    api.view(|state| {
        api.rotations.with(state, tenant, purpose, |kept| {
            let all = kept.candidates(state, tenant, purpose, now)?;
            let Some(volume) = request.volume else {
                let usual = state.tenants.get(tenant).map(|tenant| tenant.rotation);
                let mode = request.mode.or(usual).unwrap_or_default();
                let chosen = kept.rotation.choose(&all, mode, now);
                return one(state, tenant, purpose, chosen, all.len(), now);
            };
            kept.rotation.pass(now);
            let covered = cover(&kept.rotation, &all, volume);
            Ok(Json(view_of(state, covered, volume, now)).into_response())
        })
    })
}

/// Identities that may send for a purpose, with what a campaign takes of each, and how much of it is left
/// over for today. `only` are the ones that are asked for; all of them when there is none.
pub(in crate::api) async fn covering(
    api: &Api,
    tenant: &TenantId,
    purpose: Purpose,
    volume: u64,
    only: &[IpAddr],
) -> Result<(Vec<Take>, u64), ApiError> {
    let now = api.now();
    read(api, tenant, purpose, now).await?;
    api.view(|state| {
        api.rotations.with(state, tenant, purpose, |kept| {
            let mut all = kept.candidates(state, tenant, purpose, now)?;
            all.retain(|one| only.is_empty() || only.contains(&one.address));
            kept.rotation.pass(now);
            let Cover { parts, missing, .. } = cover(&kept.rotation, &all, volume);
            let parts: BTreeMap<IpAddr, u64> = parts.into_iter().collect();
            let take = |one: &Candidate| Take {
                address: one.address,
                mails: parts.get(&one.address).copied().unwrap_or_default(),
                used: u64::from(one.quota).saturating_sub(kept.rotation.left(one)),
            };
            Ok((all.iter().map(take).collect(), missing))
        })
    })
}

impl Kept {
    fn is_known(&self, now: Timestamp) -> bool {
        self.is_younger(KNOWN_MILLIS, now)
    }

    /// Of this very day: what was sent on another takes nothing from its quotas.
    fn is_younger(&self, millis: u64, now: Timestamp) -> bool {
        let next = self.read_at.plus(millis);
        (self.read_at..next).contains(&now) && day_of(self.read_at) == day_of(now)
    }

    /// Whoever is told that it aged reads it; the others go on with what there is.
    fn reading(&mut self, now: Timestamp) -> Reading {
        if self.is_known(now) {
            return Reading::Known;
        }
        if !self.is_younger(AGED_MILLIS, now) {
            return Reading::Unknown;
        }
        match std::mem::replace(&mut self.is_reading, true) {
            true => Reading::Known,
            false => Reading::Aged,
        }
    }

    /// Those that may be chosen, of whom it is known what they sent.
    fn candidates(
        &self,
        state: &FleetState,
        tenant: &TenantId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, ApiError> {
        let used = |address| self.used_of(state, address, now);
        let mut all = candidates(state, tenant, purpose, used).map_err(|why| nobody(&why))?;
        all.retain(|one| !self.unread.contains(&one.address));
        if all.is_empty() {
            return Err(unread(&"what its identities sent today cannot be read"));
        }
        Ok(all)
    }

    /// What an identity used of its day, as this node knows.
    fn used_of(&self, state: &FleetState, address: IpAddr, now: Timestamp) -> Used {
        Used {
            taken: state.reserved.of(day_of(now), address),
            ..match day_of(self.read_at) == day_of(now) {
                true => self.used.get(&address).copied().unwrap_or_default(),
                false => Used::default(),
            }
        }
    }
}

/// Reads what is counted today, when that was long ago. It may lie on a disk, so that neither the state nor
/// anybody else's request waits for it.
async fn read(
    api: &Api,
    tenant: &TenantId,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(), ApiError> {
    let addresses: Vec<IpAddr> = api.view(|state| {
        let asked = |kept: &mut Kept| kept.is_known(now);
        let is_known = api.rotations.with(state, tenant, purpose, asked);
        let all = of_purpose(state, tenant, purpose).filter(|_| !is_known);
        all.map(|identity| identity.spec.address).collect()
    });
    if addresses.is_empty() {
        return Ok(());
    }
    let evidence = Arc::clone(&api.evidence);
    let counted = tokio::task::spawn_blocking(move || counted(&*evidence, addresses, now));
    let (used, missing) = counted.await.map_err(|error| unread(&error))?;
    api.view(|state| {
        api.rotations.with(state, tenant, purpose, |kept| {
            // What somebody else read later stays.
            if kept.read_at <= now || kept.read_at > api.now() {
                kept.used.clone_from(&used);
                kept.unread.clone_from(&missing);
                kept.read_at = now;
            }
        });
    });
    Ok(())
}

/// What each was counted to have sent today, and those of whom that cannot be read.
fn counted(
    evidence: &dyn Evidence,
    addresses: Vec<IpAddr>,
    now: Timestamp,
) -> (BTreeMap<IpAddr, Used>, BTreeSet<IpAddr>) {
    let (mut used, mut missing) = (BTreeMap::new(), BTreeSet::new());
    let today = day_of(now);
    for address in addresses {
        match evidence.day_counts(address, today, today) {
            Ok(counts) => {
                let sent = counts.iter().map(|day| day.total().sent);
                let own = Used {
                    today: sent.fold(0, u64::saturating_add),
                    hour: in_an_hour(evidence, address, now),
                    taken: 0,
                };
                used.insert(address, own);
            }
            Err(error) => {
                tracing::warn!(%error, "not chosen");
                missing.insert(address);
            }
        }
    }
    (used, missing)
}

/// What was sent in the last hour, as far as it is counted: all of this one, and of the one before the part
/// that is less than an hour ago.
fn in_an_hour(evidence: &dyn Evidence, address: IpAddr, now: Timestamp) -> u64 {
    let this = u32::try_from(now.0 / Timestamp::HOUR).unwrap_or(u32::MAX);
    let ago = Timestamp::HOUR - now.0 % Timestamp::HOUR;
    let hours = evidence.sent_by_hour(address, this.saturating_sub(1), this);
    let part = |(hour, sent): (u32, u64)| match hour == this {
        true => sent,
        false => sent.saturating_mul(ago) / Timestamp::HOUR,
    };
    hours.into_iter().map(part).fold(0, u64::saturating_add)
}

fn one(
    state: &FleetState,
    tenant: &TenantId,
    purpose: Purpose,
    chosen: Option<IpAddr>,
    count: usize,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let chosen = chosen.and_then(|address| state.identities.get(&address));
    let chosen = chosen.map(|identity| Json(SelectionView::of(&identity.spec)).into_response());
    chosen.ok_or_else(|| {
        nobody(&NobodyLeft::Quota {
            tenant: tenant.clone(),
            purpose: purpose_word(purpose),
            count,
            returns: returns_at(now),
        })
    })
}

fn view_of(state: &FleetState, covered: Cover, volume: u64, now: Timestamp) -> CoverView {
    let part = |(address, mails): (IpAddr, u64)| {
        let identity = state.identities.get(&address)?;
        Some(PartView {
            identity: SelectionView::of(&identity.spec),
            mails,
        })
    };
    CoverView {
        volume,
        parts: covered.parts.into_iter().filter_map(part).collect(),
        missing: covered.missing,
        returns: (covered.missing > 0).then(|| returns_at(now)),
        more_days: covered.more_days,
    }
}

fn nobody(why: &NobodyLeft) -> ApiError {
    let code = match why {
        NobodyLeft::Purpose { .. } => "no-identity",
        NobodyLeft::Quota { .. } => "quota-used",
    };
    ApiError::new(StatusCode::CONFLICT, code, why.to_string())
}

impl Rotations {
    fn with<R>(
        &self,
        state: &FleetState,
        tenant: &TenantId,
        purpose: Purpose,
        act: impl FnOnce(&mut Kept) -> R,
    ) -> R {
        let mut rotations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), purpose);
        if !rotations.contains_key(&key) {
            // Tenants that are gone leave with whoever comes.
            rotations.retain(|(tenant, _), _| state.tenants.contains_key(tenant));
        }
        act(rotations.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::fixture::{Fleet, address};

    const NOON: Timestamp = Timestamp(1_795_262_400_000);

    fn read_at(read_at: Timestamp) -> Kept {
        Kept {
            read_at,
            ..Kept::default()
        }
    }

    #[test]
    fn what_is_known_ages_and_one_reads_it_again_while_nobody_waits() {
        let mut kept = read_at(NOON);
        assert_eq!(kept.reading(NOON), Reading::Known);
        assert_eq!(kept.reading(NOON.plus(KNOWN_MILLIS - 1)), Reading::Known);
        let aged = NOON.plus(KNOWN_MILLIS);
        assert_eq!(kept.reading(aged), Reading::Aged);
        assert_eq!(kept.reading(aged), Reading::Known, "it is being read");
        kept.is_reading = false;
        assert_eq!(kept.reading(aged), Reading::Aged);
        assert_eq!(kept.reading(NOON.plus(AGED_MILLIS)), Reading::Unknown);
    }

    #[test]
    fn nothing_is_known_at_first_after_midnight_or_when_the_clock_was_set_back() {
        assert_eq!(Kept::default().reading(NOON), Reading::Unknown);
        let midnight = NOON.plus(Timestamp::DAY / 2);
        let mut kept = read_at(Timestamp(midnight.0 - 1));
        assert_eq!(kept.reading(Timestamp(midnight.0 - 1)), Reading::Known);
        assert_eq!(kept.reading(midnight), Reading::Unknown);
        assert_eq!(kept.reading(midnight.plus(KNOWN_MILLIS)), Reading::Unknown);
        let mut kept = read_at(midnight);
        assert_eq!(kept.reading(midnight.plus(KNOWN_MILLIS)), Reading::Aged);
        assert_eq!(kept.reading(NOON), Reading::Unknown);
    }
    #[test]
    fn what_was_sent_yesterday_takes_nothing_from_today() {
        let fleet = Fleet::with_identities(1);
        let midnight = NOON.plus(Timestamp::DAY / 2);
        let mut kept = read_at(Timestamp(midnight.0 - 1));
        let used = Used {
            today: 450,
            ..Used::default()
        };
        kept.used.insert(address(0), used);
        let used = |now| kept.used_of(&fleet.state, address(0), now);
        assert_eq!(used(Timestamp(midnight.0 - 1)).today, 450);
        assert_eq!(used(midnight).today, 0);
    }
}
