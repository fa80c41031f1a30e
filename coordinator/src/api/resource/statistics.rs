//! `/ips/{address}/stats` and `/tenants/{tenant}/stats`: what was counted of mail.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{GapView, OpensRow, StatisticsBy, StatisticsRow, StatisticsView};
use email_engine_protocol::id::{HostId, ReceiverGroup, TenantId};
use email_engine_protocol::observed::{BounceCategory, Gap};
use email_engine_protocol::time::Timestamp;

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::Named;
use crate::api::routes::Asker;
use crate::fleet::warmup::{accounting_hosts, opens_by_day};
use crate::state::{DAYS_KEPT, FleetState, HOURS_KEPT_DAYS, HostAccounting, Span, Subject};

/// Rows of one answer, about; a day or hour is never cut in two.
const ROWS: usize = 10_000;
/// Gaps that are told beside a table, the newest: a client takes a hundred headers, and not every one as many.
const GAPS: usize = 32;
/// Days that are shown unless others are asked for, today included.
const DAYS: u32 = 7;

/// Which counts.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::api) struct Wanted {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    by: StatisticsBy,
    group: Option<String>,
    format: Option<String>,
}

/// Counts of one identity.
pub(in crate::api) async fn of_ip(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(address): Named<IpAddr>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = api.view(|state| {
        let identity = state.identities.get(&address)?;
        let tenant = &identity.spec.tenant;
        caller.sees(Some(tenant)).then(|| About {
            subject: Subject::Identity(tenant.clone(), address),
            hosts: accounting_hosts(state, identity),
            counted: hosts_that_counted(state, |host| {
                let owners = host.owners.get(&address);
                owners.is_some_and(|owners| owners.iter().any(|owner| owner.tenant == *tenant))
            }),
        })
    });
    let about = found.ok_or_else(|| ApiError::not_found("ip", &address.to_string()))?;
    answer(&api, about, &wanted, &headers).await
}

/// Counts of all identities of a tenant, those that are gone included.
pub(in crate::api) async fn of_tenant(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(tenant): Named<TenantId>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let about = about_tenant(&api.copy_of_state(), &caller, &tenant);
    let about = about.ok_or_else(|| ApiError::not_found("tenant", tenant.as_str()))?;
    answer(&api, about, &wanted, &headers).await
}

fn about_tenant(state: &FleetState, caller: &Caller, tenant: &TenantId) -> Option<About> {
    if !state.tenants.contains_key(tenant) || !caller.sees(Some(tenant)) {
        return None;
    }
    let living = state.identities_of(tenant).map(|identity| &identity.spec);
    let leaving = state.leaving.values().map(|one| one.spec());
    let leaving = leaving.filter(|spec| spec.tenant == *tenant);
    Some(About {
        subject: Subject::Tenant(tenant.clone()),
        hosts: living
            .chain(leaving)
            .map(|spec| spec.host.clone())
            .collect(),
        counted: hosts_that_counted(state, |host| {
            let mut owners = host.owners.values().flatten();
            owners.any(|owner| owner.tenant == *tenant)
        }),
    })
}

/// Hosts at which there were owners like that, as long as bounces and complaints may still come of it.
fn hosts_that_counted(
    state: &FleetState,
    had: impl Fn(&HostAccounting) -> bool,
) -> BTreeSet<HostId> {
    let hosts = state.accounting.hosts.iter();
    let hosts = hosts.filter(|(_, host)| had(host));
    hosts.map(|(id, _)| id.clone()).collect()
}

/// Whose counts, and whose files they are from.
struct About {
    subject: Subject,
    /// Where it sends, or drains.
    hosts: BTreeSet<HostId>,
    /// Where it did of late, those included or not.
    counted: BTreeSet<HostId>,
}

async fn answer(
    api: &Arc<Api>,
    about: About,
    wanted: &Wanted,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let is_csv = is_csv(wanted, headers)?;
    let group = match &wanted.group {
        Some(name) => Some(
            ReceiverGroup::new(name)
                .map_err(|error| ApiError::invalid("group", &error.got, error.rule))?,
        ),
        None => None,
    };
    let spans = spans(wanted, api.now())?;
    let now = api.now();
    let mut view = api.view(|state| StatisticsView {
        opens: opens(state, &about.subject, &spans, now),
        ..of_hosts(state, &about, &spans)
    });
    let (reading, subject) = (Arc::clone(api), about.subject);
    let found = tokio::task::spawn_blocking(move || reading.series(&subject, &spans)).await;
    let found = found.map_err(|error| {
        let detail = error.to_string();
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })??;
    for (span, groups) in found {
        if view.rows.len() >= ROWS {
            view.next = Some(span.begins());
            view.opens.retain(|one| one.at < span.begins());
            break;
        }
        let own = groups
            .into_iter()
            .filter(|(own, _)| group.as_ref().is_none_or(|group| group == own));
        view.rows
            .extend(own.map(|(group, counts)| StatisticsRow::new(span.begins(), group, &counts)));
    }
    if is_csv {
        let text = statistics_csv(&view);
        let mut answer =
            ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response();
        say_beside(&view, answer.headers_mut());
        return Ok(answer);
    }
    Ok(Json(view).into_response())
}

/// What a table has no rows for: where it goes on, what may be missing in it, and up to when it is whole.
fn say_beside(view: &StatisticsView, headers: &mut HeaderMap) {
    let times = [
        ("x-next-from", view.next),
        ("x-read-until", view.read_until),
    ];
    let times = times.map(|(name, at)| (name, at.map(|at| at.to_string())));
    let mut newest: Vec<_> = view.gaps.iter().collect();
    newest.sort_by_key(|gap| Reverse(gap.to));
    let gaps = newest.into_iter().take(GAPS).map(|gap| {
        let told = format!("{} {} {}", gap.host, gap.from, gap.to);
        ("x-gap", Some(told))
    });
    let all = view.gaps.len().to_string();
    let all = [("x-gaps", (!view.gaps.is_empty()).then_some(all))];
    for (name, told) in times.into_iter().chain(all).chain(gaps) {
        if let Some(Ok(told)) = told.map(|told| told.parse()) {
            headers.append(name, told);
        }
    }
}

/// What is known of the reading, in the time that is asked for.
fn of_hosts(state: &FleetState, about: &About, spans: &[Span]) -> StatisticsView {
    let known = |host: &HostId| state.accounting.hosts.get(host);
    let (hosts, counted) = (&about.hosts, &about.counted);
    let begin = spans.first().map(|span| span.begins());
    let end = spans.last().map(|span| span.ends());
    let is_in = |gap: &&Gap| Some(gap.to) > begin && end.is_some_and(|end| gap.from < end);
    let gaps = hosts.union(counted).flat_map(|host| {
        let gaps = known(host).into_iter().flat_map(|known| &known.gaps);
        gaps.filter(is_in).map(|gap| GapView {
            host: host.clone(),
            from: gap.from,
            to: gap.to,
        })
    });
    let read: Option<Vec<_>> = hosts.iter().map(|host| known(host)?.read_until).collect();
    StatisticsView {
        gaps: gaps.collect(),
        read_until: read.and_then(|read| read.into_iter().min()),
        ..StatisticsView::default()
    }
}

/// A row for each day that is asked for and has begun, known or not.
fn opens(state: &FleetState, subject: &Subject, spans: &[Span], now: Timestamp) -> Vec<OpensRow> {
    let days = spans.iter().filter_map(|span| match span {
        Span::Day(day) if span.begins() <= now => Some((*day, span.begins())),
        _ => None,
    });
    let days: Vec<_> = days.collect();
    let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else {
        return Vec::new();
    };
    let known = opens_by_day(state, subject, (*first, *last));
    let row = |(day, at)| {
        let figures = known.get(&day);
        OpensRow {
            at,
            opens: figures.map(|figures| figures.opened),
            clicks: figures.map(|figures| figures.clicked),
            of: figures.map(|figures| figures.delivered),
        }
    };
    days.into_iter().map(row).collect()
}

fn is_csv(wanted: &Wanted, headers: &HeaderMap) -> Result<bool, ApiError> {
    match wanted.format.as_deref() {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(other) => Err(ApiError::invalid("format", other, "csv or json")),
        None => {
            let accepts = headers.get(header::ACCEPT);
            let accepts = accepts.and_then(|value| value.to_str().ok());
            Ok(accepts.is_some_and(|value| value.trim().starts_with("text/csv")))
        }
    }
}

/// The days or hours that are asked for and kept, oldest first.
fn spans(wanted: &Wanted, now: Timestamp) -> Result<Vec<Span>, ApiError> {
    let today = Span::day_of(now);
    let kept = match wanted.by {
        StatisticsBy::Day => DAYS_KEPT,
        StatisticsBy::Hour => HOURS_KEPT_DAYS,
    };
    let oldest = Span::Day(today.saturating_sub(kept - 1)).begins();
    let usual = Span::Day(today.saturating_sub(DAYS - 1)).begins();
    let from = time("from", wanted.from.as_deref())?.unwrap_or(usual);
    // What a host's clock that is a little ahead dated belongs to it.
    let latest = now.plus(Timestamp::DAY);
    let to = time("to", wanted.to.as_deref())?.unwrap_or(latest);
    if to < from {
        let accepted = "not before `from`";
        return Err(ApiError::invalid("to", &to.to_string(), accepted));
    }
    let (from, to) = (from.max(oldest), to.min(latest));
    Ok(match wanted.by {
        StatisticsBy::Day => (Span::day_of(from)..=Span::day_of(to))
            .map(Span::Day)
            .collect(),
        StatisticsBy::Hour => (Span::hour_of(from)..=Span::hour_of(to))
            .map(Span::Hour)
            .collect(),
    })
}

/// A time, or the beginning of a day.
fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let whole = || format!("{text}T00:00:00.000Z").parse::<Timestamp>().ok();
    let read = text.parse::<Timestamp>().ok().or_else(whole);
    let accepted = "a UTC day such as 2026-11-21, or a time such as 2026-11-21T06:00:00Z";
    read.map(Some)
        .ok_or_else(|| ApiError::invalid(field, text, accepted))
}

/// What opens and clicks are told as where nobody knows them.
pub const UNKNOWN: &str = "unknown";
/// In the place of a group, for what is told of all of them together.
const ALL: &str = "all";

/// The rows as RFC 4180 has them, every category a column of its own. Opens and clicks are told by day and not
/// by receivers: they stand in a row of each day for `all`, in which the other columns are empty.
///
/// # Panics
/// Never: rows are written to memory.
#[must_use]
pub fn statistics_csv(view: &StatisticsView) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fixed = [
        "at",
        "group",
        "sent",
        "delivered",
        "bounced",
        "deferred",
        "complaints",
        "returned",
    ];
    let categories = BounceCategory::ALL.map(BounceCategory::as_str);
    let header = fixed.iter().chain(&categories);
    let header = header.chain(&["opens", "clicks", "opens_of"]);
    let in_memory = "memory takes every record of one length";
    writer.write_record(header).expect(in_memory);
    for row in &view.rows {
        let counts = [
            row.sent,
            row.delivered,
            row.bounced,
            row.deferred,
            row.complaints,
            row.returned,
        ];
        let count = |category| row.categories.get(&category).copied().unwrap_or(0);
        let counts = counts.into_iter().chain(BounceCategory::ALL.map(count));
        let head = [row.at.to_string(), row.group.to_string()];
        let all = head
            .into_iter()
            .chain(counts.map(|count| count.to_string()));
        let all = all.chain([const { String::new() }; 3]);
        writer.write_record(all).expect(in_memory);
    }
    for row in &view.opens {
        let told = |count: Option<u64>| {
            count.map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string())
        };
        let head = [row.at.to_string(), ALL.to_owned()];
        let empty = std::iter::repeat_n(String::new(), fixed.len() - 2 + categories.len());
        let opens = [row.opens, row.clicks, row.of].map(told);
        let all = head.into_iter().chain(empty).chain(opens);
        writer.write_record(all).expect(in_memory);
    }
    let written = writer.into_inner().expect(in_memory);
    String::from_utf8_lossy(&written).into_owned()
}
