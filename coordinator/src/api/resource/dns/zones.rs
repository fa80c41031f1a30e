//! `/dns/zones`: zones whose primary server the fleet knows, what would be changed in them, and the change.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    DnsCheckView, LeftOut, ZoneApplied, ZoneApplyRequest, ZoneMode, ZonePlanView, ZoneRequest,
    ZoneView,
};
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::secret::SecretBytes;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{AskDns, BeginPublish, Command, EndPublish, RemoveDnsZone, SetDnsZone};
use crate::dns::primary::{Reader, UpdateError, Writer};
use crate::dns::publish::{Blocked, Draft, Op, ZonePlan, plan};
use crate::dns::wanted::of_fleet;
use crate::state::{DnsZone, FleetState};

/// Lengths of TSIG keys in bytes: at least that of the hash (RFC 8945 section 8).
const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=512;
/// Attempts of one request: the last word of it has its own name, what comes before and after has others.
const BEFORE: u32 = 1;
const AFTER: u32 = 2;

/// All of them.
pub(in crate::api) async fn list(State(api): State<Arc<Api>>) -> Json<Vec<ZoneView>> {
    Json(api.view(|state| {
        let rows = state.dns_zones.declared.iter();
        rows.map(|(zone, row)| view(state, zone, row)).collect()
    }))
}

fn view(state: &FleetState, zone: &DomainName, row: &DnsZone) -> ZoneView {
    let made = state.dns_zones.inventory(zone);
    let last = row.last.as_ref();
    ZoneView {
        zone: zone.clone(),
        mode: row.mode,
        server: row.server,
        key_name: row.key_name.clone(),
        made: made.values().map(|marks| marks.len()).sum(),
        seen_to_at: last.map(|last| last.at),
        serial: last.and_then(|last| last.serial),
        stuck: last.and_then(|last| last.stuck.clone()),
    }
}

/// Says where a zone is changed, by which key, and whether it is. The key is sealed before anything of it leaves
/// this node.
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(zone): Named<DomainName>,
    JsonBody(request): JsonBody<ZoneRequest>,
) -> Result<Json<ZoneView>, ApiError> {
    let key = request.key.as_deref().map(|text| key_bytes(text.trim()));
    let key = key.transpose()?.map(|bytes| {
        let salt = api.entropy().bytes();
        api.planning.seal(&SecretBytes { salt, bytes })
    });
    let key_name = request.key_name.trim_end_matches('.').to_ascii_lowercase();
    let command = Command::SetDnsZone(Box::new(SetDnsZone {
        zone: zone.clone(),
        mode: request.mode,
        server: request.server,
        key_name,
        key,
    }));
    api.commit_here(&write, command).await?;
    let found = api.view(|state| {
        let row = state.dns_zones.declared.get(&zone);
        row.map(|row| view(state, &zone, row))
    });
    found.map(Json).ok_or_else(|| unknown(&zone))
}

fn unknown(zone: &DomainName) -> ApiError {
    ApiError::not_found("zone", zone.as_str())
}

/// What was sent may be the key with a sign too much: it is not said again.
fn key_bytes(text: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = data_encoding::BASE64.decode(text.as_bytes()).ok();
    let fits = bytes.filter(|bytes| KEY_BYTES.contains(&bytes.len()));
    fits.ok_or_else(|| {
        let accepted = "32 to 512 bytes in base64, as `tsig-keygen -a hmac-sha256` prints them";
        ApiError::invalid("key", "(not shown)", accepted)
    })
}

/// Forgets a zone. Its records stay as they are.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(zone): Named<DomainName>,
) -> Result<StatusCode, ApiError> {
    let command = Command::RemoveDnsZone(RemoveDnsZone { zone });
    api.commit(&write, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether records of others become the fleet's.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Adopts {
    #[serde(default)]
    adopt: bool,
}

/// What would be changed in a zone. Nothing is: this has no key.
pub(in crate::api) async fn show_plan(
    State(api): State<Arc<Api>>,
    Named(zone): Named<DomainName>,
    Query(asked): Query<Adopts>,
) -> Result<Json<ZonePlanView>, ApiError> {
    let (draft, plan) = planned(&api, &zone, asked.adopt).await?;
    Ok(Json(plan_view(&draft, &plan)))
}

async fn planned(api: &Api, zone: &DomainName, adopt: bool) -> Result<(Draft, ZonePlan), ApiError> {
    let (state, now) = (api.copy_of_state(), api.now());
    let domains = of_fleet(&state, &|_| true, now);
    let draft = Draft::of(&state, &domains, zone, now).ok_or_else(|| unknown(zone))?;
    let seen = Reader::default().read(&draft).await.map_err(|error| {
        let why = format!("{error}; nothing is planned from half of a zone");
        ApiError::new(StatusCode::CONFLICT, "zone-unreadable", why)
    })?;
    let plan = plan(&draft, &seen, adopt);
    Ok((draft, plan))
}

fn plan_view(draft: &Draft, plan: &ZonePlan) -> ZonePlanView {
    let lines = |meant: fn(&Op) -> bool| {
        let ops = plan.ops.iter().filter(|op| meant(op));
        ops.map(Op::line).collect()
    };
    let left_out = |all: &[Blocked]| {
        let all = all.iter().map(|one| LeftOut {
            record: one.record.clone(),
            why: one.why.clone(),
        });
        all.collect()
    };
    ZonePlanView {
        zone: plan.zone.clone(),
        mode: draft.mode,
        hash: plan.digest().to_string(),
        serial: plan.serial,
        add: lines(|op| matches!(op, Op::Add(..))),
        remove: lines(|op| matches!(op, Op::Remove(..))),
        right: plan.right,
        not_ours: plan.not_ours,
        blocked: left_out(&plan.blocked),
        waits: left_out(&plan.waits),
        guard: plan.guard.as_ref().map(ToString::to_string),
        later: plan.later,
    }
}

/// Carries out a plan that was looked at, if it is still the same. The zone is read again, and the server holds
/// the change against what was read.
pub(in crate::api) async fn apply(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(zone): Named<DomainName>,
    JsonBody(request): JsonBody<ZoneApplyRequest>,
) -> Result<Json<ZoneApplied>, ApiError> {
    if let Some(first) = &write.replayed {
        // It was done by the first request; what is shown is how it is now.
        let _ = first.clone()?;
        let (draft, plan) = planned(&api, &zone, request.adopt).await?;
        return Ok(Json(applied(&api, &draft, &plan, &BTreeSet::new())));
    }
    let (draft, plan) = planned(&api, &zone, request.adopt).await?;
    may_be_applied(&draft, &plan, &request)?;
    if !plan.ops.is_empty() {
        let writer = api.planning.zone_writer().ok_or_else(|| {
            let why = "this node cannot change zones";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why)
        })?;
        change(&api, &write, &writer, &draft, &plan).await?;
    }
    // Whoever forced it knows what the guard says.
    let mut forced = plan.clone();
    forced.guard = None;
    let end = EndPublish {
        zone: zone.clone(),
        wanted: draft.digest(),
        serial: Some(plan.serial),
        there: plan.there.clone(),
        gone: plan.gone.clone(),
        stuck: forced.stuck(),
    };
    api.commit_here(&write, Command::EndPublish(Box::new(end)))
        .await?;
    let addresses: BTreeSet<IpAddr> = draft.addresses_of(plan.names());
    if !addresses.is_empty() && !plan.ops.is_empty() {
        // Whether every server shows it is the next question; whoever leads asks it. One that is gone meanwhile
        // makes none of what was done undone.
        let ask = Command::AskDns(AskDns {
            addresses: addresses.clone(),
        });
        if let Err(error) = api.commit_attempt(&write, AFTER, ask).await {
            tracing::info!(%zone, code = error.code(), "nobody is asked whether it is shown");
        }
    }
    Ok(Json(applied(&api, &draft, &plan, &addresses)))
}

async fn change(
    api: &Api,
    write: &WriteRequest,
    writer: &Writer,
    draft: &Draft,
    plan: &ZonePlan,
) -> Result<(), ApiError> {
    let zone = &draft.zone;
    if !plan.begin.is_empty() {
        let begin = Command::BeginPublish(BeginPublish {
            zone: zone.clone(),
            marks: plan.begin.clone(),
        });
        let _ = api.commit_attempt(write, BEFORE, begin).await?;
    }
    let row = api.view(|state| state.dns_zones.declared.get(zone).cloned());
    let row = row.filter(|row| row.server == draft.server);
    let row = row.ok_or_else(|| unknown(zone))?;
    let changed = writer.update(&row, plan, api.now().0 / 1_000).await;
    changed.map_err(|error| unchanged(&error))
}

/// Conflicts all of them: another node of ours would hear the same of that server.
fn unchanged(error: &UpdateError) -> ApiError {
    let code = match error {
        UpdateError::Changed => "zone-changed",
        UpdateError::Key { .. } | UpdateError::Record { .. } | UpdateError::Sealed { .. } => {
            "zone-unusable"
        }
        UpdateError::Refused { .. } => "zone-refused",
        UpdateError::Unclear { .. } => "zone-unclear",
    };
    ApiError::new(StatusCode::CONFLICT, code, format!("{error}; plan anew"))
}

fn may_be_applied(
    draft: &Draft,
    plan: &ZonePlan,
    request: &ZoneApplyRequest,
) -> Result<(), ApiError> {
    let refuse = |code: &str, why: String| Err(ApiError::new(StatusCode::CONFLICT, code, why));
    if draft.mode == ZoneMode::Advise {
        let why = format!(
            "zone {} is only advised about; it is changed in mode manage: `email-engine dns zones set`",
            plan.zone
        );
        return refuse("zone-advised", why);
    }
    let hash = plan.digest().to_string();
    if request.hash != hash {
        let why = format!(
            "the zone, or what is wanted of it, changed since that plan; it is {hash} now: look at it first"
        );
        return refuse("zone-changed", why);
    }
    match plan.guard.as_ref().filter(|_| !request.force) {
        Some(guard) => refuse(
            "zone-guarded",
            format!("{guard}; `--force` does it all the same"),
        ),
        None => Ok(()),
    }
}

fn applied(api: &Api, draft: &Draft, plan: &ZonePlan, addresses: &BTreeSet<IpAddr>) -> ZoneApplied {
    let check = api.view(|state| {
        let asked = addresses.first();
        let asked = asked.and_then(|first| state.dns_looks.asked.get(first).copied());
        let own = addresses.iter().filter_map(|one| state.identities.get(one));
        DnsCheckView {
            domains: own.map(|identity| identity.spec.domain.clone()).collect(),
            asked_at: asked.unwrap_or(state.now),
        }
    });
    ZoneApplied {
        plan: plan_view(draft, plan),
        check,
    }
}
