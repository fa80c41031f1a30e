//! Hello and Welcome: version, identity, mode, and whether the host is ahead of the state.

use ring::rand::SystemRandom;

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::crypto::{Entropy, Signed};
use email_engine_protocol::desired::Target;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::wire::v1::AgentMessage;
use email_engine_protocol::wire::{Hello, Refusal, RefusalCode, SUPPORTED, Welcome, negotiate};

use super::{refusal, reports};
use crate::pki::{AuthorityError, plan_signer};
use crate::push::dispatch::coordinators;
use crate::push::{Fleet, Push, now};
use crate::state::{ClusterRecord, TargetRecord};

/// What machines are told that throw each other out.
const CONTESTED: &str = "connections of this host keep taking over from each other: is the machine a \
                         copy of another one?";

/// The cluster, the Welcome, and the host's target when there is one.
pub(super) struct Greeted {
    pub(super) cluster: ClusterId,
    pub(super) grants: Grants,
    pub(super) welcome: Welcome,
    pub(super) target: Option<TargetRecord>,
}

/// What the Welcome grants: each is signed by the recovery key itself, so the newest alone suffices for
/// an agent that slept through any number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grants {
    plan_key: Option<u32>,
    epoch: u64,
}

impl Grants {
    pub(super) fn of(record: &ClusterRecord) -> Self {
        Self {
            plan_key: record.plan_keys.keys().next_back().copied(),
            epoch: record.epoch,
        }
    }
}

/// Judges an agent's first message.
pub(super) fn greet<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    first: &AgentMessage,
) -> Result<Greeted, Refusal> {
    let AgentMessage::Hello(hello) = first else {
        return Err(refusal(
            RefusalCode::Protocol,
            "a session begins with Hello",
        ));
    };
    let version = negotiate(SUPPORTED, hello.versions)
        .map_err(|error| refusal(RefusalCode::Version, &error.to_string()))?;
    if let Some(rest) = push.registry.rest(host) {
        return Err(Refusal {
            retry_after_millis: Some(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX)),
            ..refusal(RefusalCode::Busy, CONTESTED)
        });
    }
    if push.fleet.leadership().borrow().leader.is_none() {
        let reason = "this node has no leader";
        return Err(refusal(RefusalCode::NoLeader, reason));
    }
    let ahead = hello.floor.map(|floor| floor.generation);
    let ahead = ahead.max(hello.generations.accepted);
    let (record, target, list, frozen) = push.fleet.view(|state| {
        (
            state.cluster.clone(),
            state.targets.get(host).cloned(),
            coordinators(state),
            reports::future_of(state, host, ahead),
        )
    });
    let busy = |reason: &str| refusal(RefusalCode::Busy, reason);
    let record = record.ok_or_else(|| busy("the cluster does not exist yet"))?;
    judge(hello, host, record.id, record.mode)?;
    let plan_key = record.plan_keys.last_key_value();
    let plan_key = plan_key.ok_or_else(|| busy("the cluster has no plan key"))?;
    push.registry.set_frozen(host, frozen);
    let welcome = Welcome {
        version,
        node: push.fleet.node(),
        nonce: Nonce(Entropy(&SystemRandom::new()).bytes()),
        coordinators: list,
        plan_key: plan_key.1.grant.clone(),
        epoch_grant: record.epoch_grant.clone(),
        now: now(),
    };
    Ok(Greeted {
        cluster: record.id,
        grants: Grants::of(&record),
        welcome,
        target,
    })
}

fn judge(hello: &Hello, host: &HostId, cluster: ClusterId, mode: Mode) -> Result<(), Refusal> {
    if hello.cluster != cluster {
        let reason = format!("Hello is for cluster {}, this is {cluster}", hello.cluster);
        return Err(refusal(RefusalCode::Identity, &reason));
    }
    if hello.host != *host {
        let reason = format!("Hello is by host {}, the certificate by {host}", hello.host);
        return Err(refusal(RefusalCode::Identity, &reason));
    }
    match (mode, hello.mode) {
        (Mode::Real, Mode::Sandbox) => Err(refusal(
            RefusalCode::WrongMode,
            "a production cluster takes no sandboxes",
        )),
        (Mode::Sandbox, Mode::Real) => Err(refusal(
            RefusalCode::WrongMode,
            "a trial cluster takes no real machines",
        )),
        _ => Ok(()),
    }
}

/// Signs a host's target with the newest plan key.
pub(super) fn sign<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    target: &TargetRecord,
) -> Result<Signed<Target>, AuthorityError> {
    let record = push.fleet.view(|state| state.cluster.clone());
    let record = record.ok_or(AuthorityError::NoPlanKey)?;
    let (plan_key_version, signer) = plan_signer(&record, &push.vault)?;
    Ok(signer.sign(&Target {
        cluster: record.id,
        host: host.clone(),
        generation: target.generation,
        digest: target.digest,
        plan_key_version,
        issued_at: now(),
    }))
}
