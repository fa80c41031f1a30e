//! `POST /fleet`: makes the fleet as a document says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use email_engine_protocol::api::{
    AccessRole, ApplyAnswer, Change, FleetDocument, KEYS_UNDER_WAY, REMOVALS_MOVED, removals,
};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::limits;

use crate::api::Api;
use crate::api::Draft;
use crate::api::app::Committed;
use crate::api::problem::ApiError;
use crate::api::request::{ATTEMPTS, JsonBody, WriteRequest, is_passing};
use crate::command::{Batch, Command, Rejection};
use crate::planner::document::{Scope, place};
use crate::planner::preview::Preview;
use crate::state::{FleetState, Host};

/// How long a dry run waits for others to end.
const PREVIEW_WAIT: Duration = Duration::from_secs(2);

/// How a document is applied.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::api) struct Manner {
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
    /// Also removes what the document omits.
    #[serde(default)]
    prune: bool,
    /// Refused unless exactly this is removed ([`removals`]): what its author was shown and agreed to.
    #[serde(default)]
    removing: Option<ContentHash>,
}

/// Makes the fleet as a document says, or says what that would change.
pub(in crate::api) async fn apply(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Query(manner): Query<Manner>,
    JsonBody(document): JsonBody<FleetDocument>,
) -> Result<Json<ApplyAnswer>, ApiError> {
    if manner.dry_run {
        return dry_run(&api, &write, &document, manner.prune)
            .await
            .map(Json);
    }
    let (draft, committed) = carry_out(&api, &write, &document, manner).await?;
    let answer = match committed {
        Some(committed) => answer(draft, true, committed.outcome().revision),
        None => {
            let revision = api.view(|state| state.revision);
            answer(draft, false, revision)
        }
    };
    Ok(Json(answer))
}

/// What would change, in the declarations and on the hosts that the caller sees.
async fn dry_run(
    api: &Api,
    write: &WriteRequest,
    document: &FleetDocument,
    prune: bool,
) -> Result<ApplyAnswer, ApiError> {
    let place = preview_place(api).await?;
    let state = api.copy_of_state();
    let draft = draft(api, &state, write, document, prune)?;
    let revision = state.revision;
    if draft.commands.is_empty() {
        let (planning, caller) = (Arc::clone(&api.planning), write.caller.clone());
        let flags = threaded(move || {
            let _place = place;
            planning.flags(&state, &|host: &Host| {
                caller.sees(host.spec.tenant.as_ref())
            })
        });
        let mut answer = answer(draft, false, revision);
        answer.warnings.extend(flags.await?);
        return Ok(answer);
    }
    let (draft, previewed) = think_through(api, write, state, draft, place).await?;
    let preview = previewed.map_err(|error| placed(error.into(), document, &draft.commands))?;
    Ok(shown(draft, preview, revision))
}

/// What one command would change on the hosts that the caller sees; `changes` says it for people.
pub(super) async fn dry_run_of(
    api: &Api,
    write: &WriteRequest,
    command: Command,
    changes: Vec<Change>,
) -> Result<ApplyAnswer, ApiError> {
    let place = preview_place(api).await?;
    let state = api.copy_of_state();
    let revision = state.revision;
    let draft = Draft {
        commands: vec![command],
        changes,
        ..Draft::default()
    };
    let (draft, previewed) = think_through(api, write, state, draft, place).await?;
    Ok(shown(draft, previewed?, revision))
}

/// The answer of a dry run.
fn shown(mut draft: Draft, preview: Preview, revision: u64) -> ApplyAnswer {
    draft.warnings.extend(preview.cautions);
    ApplyAnswer {
        hosts: preview.hosts,
        more_hosts: preview.more,
        ..answer(draft, false, revision)
    }
}

/// Carries a draft out on a copy and compares the hosts.
async fn think_through(
    api: &Api,
    write: &WriteRequest,
    state: FleetState,
    draft: Draft,
    place: OwnedSemaphorePermit,
) -> Result<(Draft, Result<Preview, Rejection>), ApiError> {
    let (planning, caller) = (Arc::clone(&api.planning), write.caller.clone());
    threaded(move || {
        // The work goes on when the request has ended, and so does its share of the machine.
        let _place = place;
        let may_see = |host: &Host| caller.sees(host.spec.tenant.as_ref());
        let previewed = planning.preview(&state, &draft, &may_see);
        (draft, previewed)
    })
    .await
}

/// What a draft does that its author may not have in mind, for whoever makes the change without having
/// looked at it. What only adds does nothing of the kind.
pub(super) async fn cautions(
    api: &Api,
    write: &WriteRequest,
    draft: &Draft,
) -> Result<Vec<String>, ApiError> {
    if only_adds(&draft.commands) {
        return Ok(Vec::new());
    }
    let (planning, caller) = (Arc::clone(&api.planning), write.caller.clone());
    let (state, draft) = (api.copy_of_state(), draft.clone());
    threaded(move || {
        let may_see = |host: &Host| caller.sees(host.spec.tenant.as_ref());
        planning.cautions(&state, &draft, &may_see)
    })
    .await
}

/// Thinks about a copy of the state in one of the few places that there are for it.
pub(super) async fn beside<R: Send + 'static>(
    api: &Api,
    think: impl FnOnce(&FleetState) -> R + Send + 'static,
) -> Result<R, ApiError> {
    let place = preview_place(api).await?;
    let state = api.copy_of_state();
    threaded(move || {
        let _place = place;
        think(&state)
    })
    .await
}

/// Has DKIM keys made until so many are ready. Hundreds take longer than an answer may: then nothing is
/// changed yet, and who asks again finds those that were made.
pub(super) async fn have_keys(api: &Api, needed: usize, began: Instant) -> Result<(), ApiError> {
    // Before the request as a whole is out of time, which tells less.
    let time = (api.request_time * 2 / 3).saturating_sub(began.elapsed());
    if let Ok(made) = tokio::time::timeout(time, api.planning.ensure_stock(needed)).await {
        return Ok(made?);
    }
    let ready = api.view(|state| state.prepared_keys.len());
    if ready >= needed {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        KEYS_UNDER_WAY,
        format!(
            "{ready} of {needed} DKIM keys that this takes are made; nothing is changed yet: ask again, \
             what is made is kept"
        ),
    ))
}

/// Thinks beside the threads that serve.
async fn threaded<R: Send + 'static>(
    think: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ApiError> {
    tokio::task::spawn_blocking(think).await.map_err(|error| {
        tracing::error!(%error, "a change could not be thought through");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the change could not be thought through; the log has the cause",
        )
    })
}

/// Leave to think one document through.
async fn preview_place(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = Arc::clone(&api.previews).acquire_owned();
    match tokio::time::timeout(PREVIEW_WAIT, place).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "previews-busy",
            "as many dry runs as this node does at once are under way; come back in a moment",
        )),
    }
}

fn answer(draft: Draft, applied: bool, revision: u64) -> ApplyAnswer {
    ApplyAnswer {
        applied,
        revision,
        changes: draft.changes,
        warnings: draft.warnings,
        ..ApplyAnswer::default()
    }
}

fn draft(
    api: &Api,
    state: &FleetState,
    write: &WriteRequest,
    document: &FleetDocument,
    prune: bool,
) -> Result<Draft, ApiError> {
    let scope = match &write.caller.tenant {
        Some(tenant) => Scope::Tenant(tenant),
        None if write.caller.role < AccessRole::Admin => Scope::Operator,
        None => Scope::Admin,
    };
    let drafted = api.planning.changes(state, document, prune, scope);
    let drafted = drafted.map_err(|rejection| as_written(rejection.into(), document))?;
    let (new, most) = (drafted.new_identities, limits::PREPARED_KEYS);
    if new <= most {
        return Ok(drafted);
    }
    // Each takes a DKIM key, and no more are ever held: they would be waited for in vain.
    let accepted = format!("at most {most} new ones in one request: apply the file in parts");
    Err(ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "limit",
        format!("it adds {new} identities: {accepted}"),
    )
    .about("ips", &new.to_string(), &accepted))
}

/// A draft on the fleet as it is now, with the revision that it is made on.
fn fresh_draft(
    api: &Api,
    write: &WriteRequest,
    document: &FleetDocument,
    manner: Manner,
) -> Result<(Draft, u64), ApiError> {
    let state = api.copy_of_state();
    let draft = draft(api, &state, write, document, manner.prune)?;
    let moved = |agreed: &ContentHash| *agreed != removals(document, &draft.changes);
    if let Some(agreed) = manner.removing.filter(moved) {
        let accepted = "the hash of what is removed now, as a dry run tells it";
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            REMOVALS_MOVED,
            "the fleet has changed, and with it what would be removed: look at it again",
        )
        .about("removing", &agreed.to_string(), accepted));
    }
    Ok((draft, state.revision))
}

/// Commits what a document changes, all or nothing. No outcome when there was nothing to do: then
/// nothing entered the log either. When the fleet moved meanwhile, it is thought over anew: of two
/// equal documents at the same moment one does it and the other finds nothing to do.
pub(super) async fn carry_out(
    api: &Api,
    write: &WriteRequest,
    document: &FleetDocument,
    manner: Manner,
) -> Result<(Draft, Option<Committed>), ApiError> {
    if let Some(first) = &write.replayed {
        return Ok((Draft::default(), Some(Committed::here(first.clone()?))));
    }
    let (began, mut attempt) = (Instant::now(), 0);
    loop {
        let (mut draft, mut revision) = fresh_draft(api, write, document, manner)?;
        if api.view(|state| state.prepared_keys.len()) < draft.new_identities {
            // Preparing keys takes a while and moves the revision: what was drafted is thought over on
            // what is then, which may be that somebody else was faster.
            have_keys(api, draft.new_identities, began).await?;
            (draft, revision) = fresh_draft(api, write, document, manner)?;
        }
        if draft.commands.is_empty() {
            return Ok((draft, None));
        }
        draft.warnings.extend(cautions(api, write, &draft).await?);
        let command = Command::Batch(Batch {
            base_revision: (!only_adds(&draft.commands)).then_some(revision),
            commands: draft.commands.clone(),
        });
        match api.commit_attempt(write, attempt, command).await {
            Ok(committed) => return Ok((draft, Some(committed))),
            Err(error) if attempt + 1 < ATTEMPTS && moved_away(api, write, &error, revision) => {
                attempt += 1;
            }
            Err(error) => return Err(placed(error, document, &draft.commands)),
        }
    }
}

/// Says the place in the document instead of the place in the batch.
fn placed(error: ApiError, document: &FleetDocument, commands: &[Command]) -> ApiError {
    let error = error
        .with_field(|field| place(document, commands, field).unwrap_or_else(|| field.to_owned()));
    as_written(error, document)
}

/// Says the place in what was written, where ranges moved what stands behind them.
fn as_written(error: ApiError, document: &FleetDocument) -> ApiError {
    error.with_field(|field| match document.as_written(field) {
        Some((written, _)) => written,
        None => field.to_owned(),
    })
}

/// Whether a draft only adds: then it holds on any base, because each addition is checked as it is
/// applied, and additions that race need not wait for each other.
fn only_adds(commands: &[Command]) -> bool {
    commands.iter().all(|command| {
        matches!(
            command,
            Command::CreateTenant(_) | Command::AddHost(_) | Command::AddIdentity(_)
        )
    })
}

/// Whether another attempt may fare better: its base moved, or what it was to add is there since.
fn moved_away(api: &Api, write: &WriteRequest, error: &ApiError, revision: u64) -> bool {
    let Some(code) = error.rejection() else {
        return false;
    };
    // On the same state the same draft would be refused for the same reason.
    let moved = || api.view(|state| state.revision) != revision;
    is_passing(code) || (write.may_pass(code) && moved())
}
