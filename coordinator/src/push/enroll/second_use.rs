//! A used token that another machine shows: one of the two may have stolen it. Both are named in the
//! audit, once for each new key and a few times for a token, however often somebody tries.

use std::net::SocketAddr;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, HostEnrollment, NodeEnrollment, TokenSecret,
};
use email_engine_protocol::id::TokenId;
use email_engine_protocol::join::hash_secret;

use super::{Refused, commit, parse};
use crate::command::{Command, RefuseToken};
use crate::push::{Fleet, Push};
use crate::state::{FleetState, TokenUse};

/// What a machine shows to be let in.
pub(super) struct Shown {
    token: TokenId,
    secret: TokenSecret,
    request: Vec<u8>,
    machine: String,
    pub(super) from: SocketAddr,
}

impl Shown {
    pub(super) fn by_host(enrollment: &HostEnrollment, from: SocketAddr) -> Self {
        Self {
            token: enrollment.token.clone(),
            secret: enrollment.secret.clone(),
            request: enrollment.request.clone(),
            machine: enrollment.hostname.clone(),
            from,
        }
    }

    pub(super) fn by_node(enrollment: &NodeEnrollment, from: SocketAddr) -> Self {
        Self {
            token: enrollment.token.clone(),
            secret: enrollment.secret.clone(),
            request: enrollment.request.clone(),
            machine: enrollment.raft_endpoint.clone(),
            from,
        }
    }
}

/// Notes a second use when that is what was refused, and hands the answer on.
pub(super) async fn noted<F: Fleet>(
    push: &Push<F>,
    shown: Shown,
    answer: Result<EnrollReply, Refused>,
) -> Result<EnrollReply, Refused> {
    if let Err((EnrollRefusal::TokenUsed, _)) = &answer {
        note(push, &shown).await;
    }
    answer
}

async fn note<F: Fleet>(push: &Push<F>, shown: &Shown) {
    let Ok(request) = parse(&shown.request) else {
        return;
    };
    let spki = request.spki();
    // One at a time: of many at once, the later ones find what the first has brought into the state.
    let _noting = push.noting.lock().await;
    let Some(holder) = push.fleet.view(|state| news(state, shown, &spki)) else {
        return;
    };
    let from = shown.from.to_string();
    let refused = TokenUse::new(spki, &shown.machine, &from);
    tracing::error!(
        token = %shown.token,
        holder = %holder.spki, holder_machine = holder.machine, holder_from = holder.from,
        second = %spki, second_machine = refused.machine, second_from = from,
        "a second machine shows a used join token: was it stolen?"
    );
    let command = Command::RefuseToken(Box::new(RefuseToken {
        id: shown.token.clone(),
        holder,
        refused,
    }));
    let actor = format!("node {}", push.fleet.node());
    if let Err((_, reason)) = commit(push, actor, "a second machine showed it", command).await {
        tracing::warn!(reason, "the second use of a token is not in the audit");
    }
}

/// Who used the token, when this bearer knows its secret and is not on record yet.
fn news(state: &FleetState, shown: &Shown, spki: &ContentHash) -> Option<TokenUse> {
    let token = state.tokens.get(&shown.token)?;
    let knows = token.secret == hash_secret(&shown.secret.0);
    let used_by = token.used_by.clone();
    used_by.filter(|_| knows && token.is_news(spki))
}
