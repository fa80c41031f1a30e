//! `GET /ips/{address}/explain`: how an identity came to stand where it does.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use email_engine_protocol::api::{
    Check, ExplainedFact, Explanation, Statement, Transition, Verdict, WarmupReason,
};
use email_engine_protocol::time::Timestamp;

use super::life;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::Named;
use crate::api::resource::failover;
use crate::api::routes::Asker;
use crate::fleet::lifecycle::{
    Standing, allowed_from, earliest_release, idle_millis, mail_expires_at, resumes_at,
};
use crate::fleet::listing::{checks, preflight};
use crate::fleet::rotation::{Pace, due_at, pace_of, stuck, waits_for};
use crate::planner::word;
use crate::state::{AuditEntry, FleetState, Identity, Quarantine};

/// The facts, rules and decisions about an identity, in their order; of one that drains as well.
pub(in crate::api) async fn explain(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(address): Named<IpAddr>,
) -> Result<Json<Explanation>, ApiError> {
    let (state, now) = (api.copy_of_state(), api.now());
    let mut explained = explained(&state, &caller, address, now)?;
    explained.chain.sort_by_key(|one| (one.at, one.revision));
    Ok(Json(explained))
}

fn explained(
    state: &FleetState,
    caller: &Caller,
    address: IpAddr,
    now: Timestamp,
) -> Result<Explanation, ApiError> {
    let sees = |identity: &&Identity| caller.sees(Some(&identity.spec.tenant));
    let living = state.identities.get(&address).map(|identity| &**identity);
    let drains = state.leaving_from(address).map(|leaving| &leaving.identity);
    let identity = living.into_iter().chain(drains).find(sees);
    let identity = identity.ok_or_else(|| ApiError::not_found("ip", &address.to_string()))?;
    let told = &identity.life.history;
    let revisions: BTreeSet<u64> = told.iter().map(|turn| turn.revision).collect();
    let audited = state.audit.iter().filter(|entry| {
        // What an earlier holder of the address did is not its own.
        let own = entry.at >= identity.added_at && is_about(entry, address);
        own && !revisions.contains(&entry.revision)
    });
    let mut chain: Vec<ExplainedFact> = told.iter().map(decision).collect();
    chain.extend(audited.map(|entry| change(entry)));
    let checks = checks(state, identity, &identity.life.checks);
    chain.extend(checks.iter().map(seen));
    chain.extend(rotated(identity));
    let (done, held) = failover::explained(state, address);
    chain.extend(done);
    let obstacle = state.warmup_obstacle(identity);
    chain.extend(obstacle.map(|(since, why)| obstructed(since, &why)));
    chain.extend(identity.life.last_sent.map(|at| ExplainedFact {
        at,
        revision: None,
        actor: "accounting".to_owned(),
        kind: "fact".to_owned(),
        what: "mail left it last".to_owned(),
        reason: String::new(),
    }));
    Ok(Explanation {
        ip: life::view(state, identity, now),
        revision: state.revision,
        chain,
        rules: rules(state, identity, now)
            .into_iter()
            .chain(held)
            .collect(),
        allowed: match living {
            Some(_) => allowed_from(identity.spec.status),
            None => Vec::new(),
        },
        shortened: identity.life.forgotten > 0,
    })
}

fn is_about(entry: &AuditEntry, address: IpAddr) -> bool {
    let rest = entry.object.strip_prefix("ip ");
    let rest = rest.and_then(|rest| rest.strip_prefix(&address.to_string()));
    // 192.0.2.1 begins as 192.0.2.10 does.
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' ') || rest.starts_with(": "))
}

fn decision(turn: &Transition) -> ExplainedFact {
    let from = turn.from.map_or("nothing", |from| from.as_str());
    let mut what = format!("{}: {from} -> {}", word(&turn.cause), turn.to.as_str());
    what.push_str(&format!(", phase {}", word(&turn.phase)));
    if turn.reserve {
        what.push_str(", in reserve");
    }
    if !turn.forced.is_empty() {
        let forced: Vec<&str> = turn.forced.iter().map(|check| check.as_str()).collect();
        what.push_str(&format!("; by force, without {}", forced.join(", ")));
    }
    ExplainedFact {
        at: turn.at,
        revision: Some(turn.revision),
        actor: turn.actor.clone(),
        kind: "decision".to_owned(),
        what,
        reason: turn.reason.clone(),
    }
}

fn change(entry: &AuditEntry) -> ExplainedFact {
    ExplainedFact {
        at: entry.at,
        revision: Some(entry.revision),
        actor: entry.actor.clone(),
        kind: "change".to_owned(),
        what: format!("{} {}", entry.command, entry.object),
        reason: entry.reason.clone(),
    }
}

fn obstructed(since: Timestamp, why: &WarmupReason) -> ExplainedFact {
    let actor = match why {
        WarmupReason::ForeignPlan { host, .. } | WarmupReason::NoQuotas { host } => {
            format!("host {host}")
        }
        _ => "warm-up".to_owned(),
    };
    ExplainedFact {
        at: since,
        revision: None,
        actor,
        kind: "fact".to_owned(),
        what: why.to_string(),
        reason: String::new(),
    }
}

fn seen((check, said): (&Check, &Statement)) -> ExplainedFact {
    let what = match &said.verdict {
        Verdict::Valid => format!("{check}: valid"),
        Verdict::Invalid { what } => format!("{check}: invalid, {what}"),
        Verdict::Unknown { why } => format!("{check}: not known, {why}"),
    };
    ExplainedFact {
        at: said.at,
        revision: None,
        actor: said.by.clone(),
        kind: "fact".to_owned(),
        what,
        reason: String::new(),
    }
}

/// What holds now and follows from the chain.
fn rules(state: &FleetState, identity: &Identity, now: Timestamp) -> Vec<String> {
    let (spec, life) = (&identity.spec, &identity.life);
    let standing = Standing::of(identity);
    let (status, phase) = (spec.status.as_str(), word(&spec.phase));
    let reserve = if spec.reserve { " in reserve" } else { "" };
    let from = format!("{status}{reserve} and phase {phase}");
    let mut rules = vec![match identity.is_paused() {
        true => format!("weight 0 and 0 mails a day, whatever {from} would give: it is held back"),
        false => format!(
            "weight {} and {} mails a day follow from {from}",
            identity.weight(),
            identity.daily_quota()
        ),
    }];
    if !state.identities.contains_key(&spec.address) {
        rules.push("it is removed and drains: it goes when its queue is empty".to_owned());
        rules.extend(waiting_mail(identity));
        return rules;
    }
    let missing = preflight(state, identity, &life.checks, now).missing();
    rules.push(match missing.is_empty() {
        true => "preflight is ok: all seven checks were seen valid within 24 hours".to_owned(),
        false => {
            let missing: Vec<&str> = missing.keys().map(|check| check.as_str()).collect();
            format!("preflight is not ok: {} missing", missing.join(", "))
        }
    });
    if !standing.sends() {
        rules.push(format!(
            "it reached {phase}; idle for {} days, it would be taken up at {}: one phase less for each 30",
            idle_millis(&standing, now) / Timestamp::DAY,
            word(&resumes_at(&standing, now))
        ));
    }
    let rule = match state.warmup_obstacle(identity) {
        Some((_, WarmupReason::NoQuotas { .. })) => Some(
            "its warm-up goes no further while MailWizz keeps no quotas: what it sends is capped by PowerMTA alone; \
             take MW_PERF_LVL_DISABLE_DS_LOG_USAGE and MW_PERF_LVL_DISABLE_DS_QUOTA_CHECK out of \
             apps/common/config/performance-levels-custom.php",
        ),
        Some(_) => Some(
            "its warm-up goes no further while MailWizz runs a plan of its own on its server: two plans are \
             none; take that one out in MailWizz",
        ),
        None => None,
    };
    rules.extend(rule.map(str::to_owned));
    rules.extend(life.quarantine.iter().flat_map(kept_out));
    let drains = state.leaving_from(spec.address).map(|one| &one.identity);
    rules.extend(drains.chain([identity]).filter_map(waiting_mail));
    let signing = &identity.signing;
    rules.push(format!(
        "it signs with selector {} since {}; its key is changed by itself by {}, sooner when it sends more \
         than {} mails a day",
        spec.selector,
        signing.since,
        due_at(identity, pace_of(state, identity, false)),
        Pace::BUSY_DAILY
    ));
    if let Some(rotation) = &signing.rotation {
        rules.push(format!(
            "its key is being changed ({}), {} since {}: {}",
            word(&rotation.cause),
            rotation.stage,
            rotation.since,
            stuck(identity, now).map_or_else(
                || waits_for(identity, now),
                |stuck| format!("stuck, {stuck}")
            )
        ));
    }
    rules
}

/// What keeps an identity in quarantine.
fn kept_out(out: &Quarantine) -> Vec<String> {
    let mut told = Vec::new();
    if !out.lists.is_empty() {
        let lists = out.lists.iter().map(|list| list.escape_debug().to_string());
        let lists: Vec<_> = lists.collect();
        told.push(format!(
            "it is in quarantine because of {}",
            lists.join(", ")
        ));
    }
    told.push(format!(
        "it leaves quarantine from {} on, and after {} of 2 clean sweeps more",
        earliest_release(out),
        2_u8.saturating_sub(out.clean_sweeps)
    ));
    told
}

/// What becomes, or became, of mail that waits at one in quarantine.
fn waiting_mail(identity: &Identity) -> Option<String> {
    if let Some(at) = mail_expires_at(identity) {
        return Some(format!(
            "mail that waits in its queue on host {} goes through no other identity; it is deleted from {at} on, \
             and its recipients are listed",
            identity.spec.host
        ));
    }
    let expired = identity.life.quarantine.as_ref()?.expired.as_ref()?;
    Some(match &expired.listed {
        Some(listed) => format!(
            "mail that waited in its queue is given up since {}: {} recipients are listed in {} on host {}",
            expired.at, listed.recipients, listed.file, listed.host
        ),
        None => format!(
            "mail that waited in its queue is given up since {}; host {} has not said that there was any",
            expired.at, identity.spec.host
        ),
    })
}

/// What was seen of the record of a key that comes.
fn rotated(identity: &Identity) -> Option<ExplainedFact> {
    let rotation = identity.signing.rotation.as_ref();
    let rotation = rotation.filter(|rotation| !rotation.is_over())?;
    rotation
        .seen
        .as_ref()
        .map(|said| seen((&Check::NextDkim, said)))
}
