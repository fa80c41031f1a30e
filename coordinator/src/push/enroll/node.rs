//! A new coordinator node redeems its token. Its certificate carries the number that the command
//! gives, so it is issued and recorded after. Who repeats with the same key gets the same number and
//! certificate again.

use std::net::SocketAddr;

use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::crypto::Sealed;
use email_engine_protocol::enroll::{EnrollReply, NodeAdmission, NodeEnrollment};
use email_engine_protocol::id::{NodeId, TokenId};
use email_engine_protocol::join::{Admission, Endpoint, hash_secret};
use email_engine_protocol::time::Timestamp;

use super::host::is_young;
use super::{
    Refused, admission, authority, commit, entropy, malformed, not_issued, parse, unavailable,
    unknown,
};
use crate::command::{Bearer, Command, Effect, Outcome, RedeemToken, RenewCertificate};
use crate::pki::issue::Request;
use crate::pki::{Issued, Term};
use crate::push::{Fleet, Push, now};
use crate::seal::Vault;
use crate::state::{CertificateSubject, FleetState, TokenState};

/// Context in which the key-encryption key travels to a new node.
pub(in crate::push) const KEK_INFO: &[u8] = b"email-engine/kek/v1";
/// The first cluster version: every node supports it, and says more when it is up.
const SUPPORTS_VERSION: u32 = 1;

pub(super) async fn redeem<F: Fleet>(
    push: &Push<F>,
    enrollment: NodeEnrollment,
    from: SocketAddr,
) -> Result<EnrollReply, Refused> {
    let request = parse(&enrollment.request)?;
    let token = &enrollment.token;
    let admitted = admission(push, token, &enrollment.secret, &request, from).await?;
    if admitted != Admission::Node {
        return Err(unknown());
    }
    let (record, authority) = authority(push)?;
    let endpoints = [
        enrollment.raft_endpoint.clone(),
        enrollment.agent_endpoint.clone(),
        enrollment.api_endpoint.clone(),
    ];
    let random = SystemRandom::new();
    let given = repeats(push, token, &request).await?;
    let term = given.map_or_else(
        || Term::fresh(now(), push.certificate_life, &entropy(&random)),
        |(_, term)| term,
    );
    // Before anything is committed: would such a certificate be issued at all?
    authority
        .issue_node(&request, NodeId(0), &endpoints, term)
        .map_err(not_issued)?;
    let node = match given {
        Some((node, _)) => node,
        None => commit_redemption(push, &enrollment, &request, from).await?,
    };
    let issued = authority
        .issue_node(&request, node, &endpoints, term)
        .map_err(not_issued)?;
    if given.is_none() {
        record_first(push, node, &issued).await?;
    }
    let mut entropy = entropy(&random);
    let key_encryption_key = Sealed::new(
        &enrollment.sealing_key,
        KEK_INFO,
        &node.0.to_be_bytes(),
        &wrapped(&push.vault),
        &mut entropy,
    )
    .map_err(malformed)?;
    tracing::info!(%node, serial = %issued.serial, "node let in");
    Ok(EnrollReply::Node(Box::new(NodeAdmission {
        cluster: record.id,
        node,
        chain: issued.chain,
        root: record.root,
        key_encryption_key,
        peers: push.fleet.view(|state| peers(state, node)),
    })))
}

async fn commit_redemption<F: Fleet>(
    push: &Push<F>,
    enrollment: &NodeEnrollment,
    request: &Request,
    from: SocketAddr,
) -> Result<NodeId, Refused> {
    let command = Command::RedeemToken(Box::new(RedeemToken {
        id: enrollment.token.clone(),
        secret: hash_secret(&enrollment.secret.0),
        spki: request.spki(),
        bearer: Bearer::Node {
            raft_endpoint: enrollment.raft_endpoint.clone(),
            agent_endpoint: enrollment.agent_endpoint.clone(),
            api_endpoint: enrollment.api_endpoint.clone(),
            supports_version: SUPPORTS_VERSION,
        },
        from: from.to_string(),
    }));
    let outcome = commit(push, "node new".to_owned(), "a node joins", command).await?;
    number(push, &outcome, &enrollment.token)
        .ok_or_else(|| unavailable("the new node was given no number"))
}

async fn record_first<F: Fleet>(
    push: &Push<F>,
    node: NodeId,
    issued: &Issued,
) -> Result<(), Refused> {
    let command = Command::RenewCertificate(RenewCertificate {
        subject: CertificateSubject::Node(node),
        current_spki: issued.spki,
        spki: issued.spki,
        serial: issued.serial,
        not_after: issued.not_after,
    });
    let actor = format!("node {node}");
    commit(push, actor, "its first certificate", command).await?;
    Ok(())
}

/// Number and certificate of a bearer who was let in before and repeats: nothing is committed again.
async fn repeats<F: Fleet>(
    push: &Push<F>,
    token: &TokenId,
    request: &Request,
) -> Result<Option<(NodeId, Term)>, Refused> {
    let look = |state: &FleetState| given(state, token, request, now());
    if push.fleet.view(look).is_none() {
        return Ok(None);
    }
    // This node may be behind, and the other removed meanwhile.
    push.fleet.linearize().await.map_err(unavailable)?;
    Ok(push.fleet.view(look))
}

fn given(
    state: &FleetState,
    token: &TokenId,
    request: &Request,
    now: Timestamp,
) -> Option<(NodeId, Term)> {
    let TokenState::Redeemed {
        spki,
        node: Some(node),
    } = &state.tokens.get(token)?.state
    else {
        return None;
    };
    if *spki != request.spki() || !state.members().any(|member| member.id == *node) {
        return None;
    }
    let subject = CertificateSubject::Node(*node);
    let record = state.certificates.values().find(|record| {
        record.subject == subject
            && record.spki == *spki
            && is_young(record, now)
            && !state.revoked.contains(&record.serial)
    })?;
    Some((*node, Term::recorded(record)))
}

/// The number that was given, now or when the token was redeemed first.
fn number<F: Fleet>(push: &Push<F>, outcome: &Outcome, token: &TokenId) -> Option<NodeId> {
    if let Effect::Node(node) = outcome.effect {
        return Some(node);
    }
    push.fleet
        .view(|state| match &state.tokens.get(token)?.state {
            TokenState::Redeemed { node, .. } => *node,
            TokenState::Open | TokenState::Revoked => None,
        })
}

/// Version (4 bytes, big endian) and key.
fn wrapped(vault: &Vault) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vault.version().to_be_bytes().to_vec());
    bytes.extend_from_slice(vault.key());
    bytes
}

fn peers(state: &FleetState, joining: NodeId) -> Vec<(NodeId, Endpoint)> {
    state
        .nodes
        .values()
        .filter(|node| node.role != MemberRole::Removed && node.id != joining)
        .map(|node| (node.id, node.raft_endpoint.clone()))
        .collect()
}
