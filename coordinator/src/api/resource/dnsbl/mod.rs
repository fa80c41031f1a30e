//! `/dnsbl` and `/listings`: lists of bad senders, what they said, and asking them.

mod listings;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use email_engine_protocol::api::{
    ListCode, ListKeyRequest, ListTestRequest, ListTestView, ListView, SweepView, SweptView,
};
use email_engine_protocol::id::ListId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::secret::SecretBytes;
use email_engine_protocol::time::Timestamp;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{Command, SetSecret};
use crate::dnsbl::desk::Desk;
use crate::dnsbl::query::{QueryKey, Subject};
use crate::dnsbl::registry::{Access, Class, Kind, Registry, Span, Zone};
use crate::dnsbl::sweep::Findings;
use crate::dnsbl::verdict::Verdict;
use crate::fleet::listing::unheard;
use crate::state::{FleetState, SecretOf, Sweep};
use crate::tasks::dnsbl::next_sweep;

pub(in crate::api) use listings::{listings, replies};

/// All lists that are known, and how they answer.
pub(in crate::api) async fn lists(State(api): State<Arc<Api>>) -> Json<Vec<ListView>> {
    let registry = Registry::built_in();
    let now = api.now();
    let view = |state: &FleetState| {
        let views = registry.zones().map(|zone| view(state, &api, zone, now));
        views.collect()
    };
    Json(api.view(view))
}

fn view(state: &FleetState, api: &Api, zone: &'static Zone, now: Timestamp) -> ListView {
    let missing = match &api.lists {
        Some(desk) => desk
            .door(state, zone)
            .err()
            .map(|missing| missing.to_string()),
        None => Some("this node asks no lists".to_owned()),
    };
    let health = state.listings.lists.get(&zone.id);
    let unhealthy = health.and_then(|health| health.unhealthy.clone());
    ListView {
        id: zone.id.clone(),
        name: zone.name.clone(),
        kind: match zone.kind {
            Kind::Ip => "ip",
            Kind::Host => "host",
            Kind::Domain => "domain",
        }
        .to_owned(),
        access: match zone.access {
            Access::Public => "public",
            Access::Keyed => "keyed",
            Access::Registered => "registered",
        }
        .to_owned(),
        configured: missing.is_none(),
        missing,
        has_key: state
            .secrets
            .contains_key(&SecretOf::List(zone.id.clone()).id()),
        healthy_at: health.and_then(|health| health.healthy_at),
        unhealthy_since: unhealthy.as_ref().map(|(since, _)| *since),
        trouble: unhealthy.map(|(_, trouble)| trouble),
        unheard: unheard(state, now).any(|(list, _)| *list == zone.id),
        codes: zone
            .codes
            .iter()
            .map(|code| {
                let answers = match code.span {
                    Span::Addresses(first, last) if first == last => first.to_string(),
                    Span::Addresses(first, last) => format!("{first} to {last}"),
                    Span::Bit(bit) => format!("127.0.0.x, bit {bit}"),
                };
                let class = match code.class {
                    Class::Listed(class) => class.as_str(),
                    Class::Praise => "praise",
                };
                let meaning = code.meaning.clone();
                ListCode {
                    answers,
                    class: class.to_owned(),
                    meaning,
                }
            })
            .collect(),
        expiry: zone.expiry.clone(),
        delist: zone.delist.clone(),
        terms: zone.terms.clone(),
        as_of: Registry::built_in().as_of().to_owned(),
    }
}

/// Gives the cluster the key of a list. It is sealed before anything of it leaves this node.
pub(in crate::api) async fn set_key(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(list): Named<ListId>,
    JsonBody(request): JsonBody<ListKeyRequest>,
) -> Result<Json<ListView>, ApiError> {
    let zone = Registry::built_in().zone(&list);
    let zone = zone.ok_or_else(|| ApiError::not_found("list", list.as_str()))?;
    if zone.keyed_suffix().is_none() {
        let accepted = "a list that a key opens: this one has none";
        return Err(ApiError::invalid("list", list.as_str(), accepted));
    }
    // What was sent may be the key with a blank too much: it is not said again.
    let key = QueryKey::new(&request.value)
        .map_err(|error| ApiError::invalid("value", "(not shown)", &error.to_string()))?;
    let secret = SecretBytes {
        salt: api.entropy().bytes(),
        bytes: key.reveal().as_bytes().to_vec(),
    };
    let command = Command::SetSecret(Box::new(SetSecret {
        of: SecretOf::List(list),
        made: false,
        commitment: secret.commitment(),
        sealed: api.planning.seal(&secret),
        key: None,
    }));
    api.commit(&write, command).await?;
    let now = api.now();
    Ok(Json(api.view(|state| view(state, &api, zone, now))))
}

/// The last sweep.
pub(in crate::api) async fn sweep(
    State(api): State<Arc<Api>>,
) -> Result<Json<SweepView>, ApiError> {
    let sweep = api.view(|state| state.listings.sweep.as_ref().map(sweep_view));
    sweep.map(Json).ok_or_else(|| {
        let none = "no sweep was begun yet; `POST /api/v1/dnsbl/sweep` begins one";
        ApiError::new(StatusCode::NOT_FOUND, "not-found", none)
    })
}

fn sweep_view(sweep: &Sweep) -> SweepView {
    let lists = sweep.lists.iter().map(|(list, swept)| {
        let run = swept.run.as_ref();
        SweptView {
            list: list.clone(),
            node: run.map(|run| run.observer.node),
            at: run.map(|run| run.at),
            trouble: run.and_then(|run| run.trouble.clone()),
            subjects: run.map_or(0, |run| run.subjects),
            listed: run.map_or(0, |run| run.listed),
            unknown: run.map_or(0, |run| run.unknown),
        }
    });
    SweepView {
        number: sweep.number,
        began_at: sweep.began_at,
        closed_at: sweep.closed_at,
        lists: lists.collect(),
    }
}

/// Begins a sweep now. One that is under way ends with what is known.
pub(in crate::api) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
) -> Result<Json<SweepView>, ApiError> {
    let desk = desk(&api)?;
    let command = api.view(|state| next_sweep(state, desk));
    let command = command.ok_or_else(|| {
        ApiError::new(
            StatusCode::CONFLICT,
            "not-configured",
            "no list is configured that could be asked",
        )
    })?;
    api.commit(&write, command).await?;
    sweep(State(api)).await
}

fn desk(api: &Api) -> Result<&Desk, ApiError> {
    let none = || {
        ApiError::new(
            StatusCode::CONFLICT,
            "not-configured",
            "this node asks no lists",
        )
    };
    api.lists.as_ref().ok_or_else(none)
}

/// Asks every list about one subject, through this node's resolver, and writes nothing down.
pub(in crate::api) async fn test(
    State(api): State<Arc<Api>>,
    JsonBody(request): JsonBody<ListTestRequest>,
) -> Result<Json<Vec<ListTestView>>, ApiError> {
    let desk = desk(&api)?;
    let subject = match request.subject.parse() {
        Ok(address) => Subject::Address(address),
        Err(_) => {
            let name = DomainName::new(request.subject.as_str());
            let accepted = "an address such as 192.0.2.7, or a name such as mail1.example.com";
            let name =
                name.map_err(|_| ApiError::invalid("subject", &request.subject, accepted))?;
            Subject::Name(name.as_str().to_owned())
        }
    };
    let (doors, closed) = api.view(|state| {
        let zones = Registry::built_in().zones();
        let (mut doors, mut closed) = (Vec::new(), Vec::new());
        for zone in
            zones.filter(|zone| (zone.kind == Kind::Ip) == matches!(subject, Subject::Address(_)))
        {
            match desk.door(state, zone) {
                Ok(door) => doors.push(door),
                Err(missing) => closed.push(not_asked(zone, missing.to_string())),
            }
        }
        (doors, closed)
    });
    let asked = desk.ask(doors, &[subject], None).await;
    let findings = asked.map_err(|error| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "resolver",
            error.to_string(),
        )
    })?;
    let views = findings.into_iter().map(test_view).chain(closed);
    Ok(Json(views.collect()))
}

fn not_asked(zone: &Zone, detail: String) -> ListTestView {
    ListTestView {
        list: zone.id.clone(),
        verdict: "not configured".to_owned(),
        class: None,
        detail,
        reason: None,
    }
}

fn test_view(findings: Findings) -> ListTestView {
    let (verdict, class, detail, reason) = match findings.found.into_iter().next() {
        None => (
            "unknown",
            None,
            "the list knows nothing of such subjects".to_owned(),
            None,
        ),
        Some(found) => match found.verdict {
            Verdict::Clean => ("clean", None, String::new(), None),
            Verdict::Listed(listed) => ("listed", Some(listed.class), listed.meaning, found.reason),
            Verdict::Unknown(why) => ("unknown", None, why.to_string(), None),
        },
    };
    ListTestView {
        list: findings.list,
        verdict: verdict.to_owned(),
        class,
        detail,
        reason,
    }
}
