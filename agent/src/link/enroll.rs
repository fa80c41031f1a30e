//! The enrol ALPN: one request, one answer. Redeeming a token, and renewing a certificate with
//! which the door for agents is already shut.

use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::bytes::CaPin;
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, ExpiredRenewal, HostAdmission, HostEnrollment,
    RENEWAL_EXPORTER_LABEL, TokenSecret, renewal_message,
};
use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::join::{Admission, JoinToken};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::wire::{ALPN_ENROLL, frame};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::dial::{Call, DialError, close, connect};
use super::frames::FrameReader;
use super::route::Pace;
use super::tls::{self, ChainError};
use super::verify::{Anchor, Dates, NodeVerifier, ServerRefusal, key_pin};
use crate::halves::{ExecutorKeys, Trust};
use crate::identity::{Clock, Identity, IdentityError, IdentityStore, KeyError, LinkKey};

/// From the request to the answer, which may have to wait for the cluster's log.
const ANSWER: Duration = Duration::from_secs(20);

/// Why a host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The token is for a coordinator node.
    #[error(
        "this join token admits a coordinator node, not a host: make one with \
             `email-engine token create --role ROLE --host HOST`"
    )]
    NotForHosts,
    /// The cluster refuses.
    #[error("the cluster refuses the join token: {reason} ({code:?})")]
    Refused {
        /// Stable code.
        code: EnrollRefusal,
        /// For a person.
        reason: String,
    },
    /// Whoever answers is not the cluster of the token.
    #[error("{endpoint} is not to be trusted: {refusal}")]
    Server {
        /// Who answered.
        endpoint: String,
        /// What is wrong with it.
        refusal: ServerRefusal,
    },
    /// The token ended before anybody could be reached.
    #[error("no coordinator could be asked before the join token ended; the last one said: {last}")]
    TimedOut {
        /// Why the last attempt failed.
        last: String,
    },
    /// The answer is not what the token promises.
    #[error(
        "the answer of the cluster does not fit the token: {what} is {got}, expected {expected}"
    )]
    Mismatch {
        /// Which part.
        what: &'static str,
        /// What the token says.
        expected: String,
        /// What came.
        got: String,
    },
    /// The certificate in the answer cannot be used.
    #[error("the certificate that the cluster issued is not ours: {0}")]
    Chain(#[from] ChainError),
    /// The key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The identity cannot be stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What a new host brings along.
#[derive(Clone, Debug)]
pub struct Enrollment {
    /// The executor's public keys.
    pub keys: ExecutorKeys,
    /// Sandbox or real.
    pub mode: Mode,
    /// The machine's own name.
    pub hostname: String,
    /// Longest pause between two attempts.
    pub reconnect_max: Duration,
}

/// Redeems a token. Tries all its end points until one answers for good or the token ends. The key
/// is on disk before the first request and the same in each, so that a lost answer strands nobody.
///
/// # Errors
/// When the cluster refuses, is not the one that the token pins, or cannot be reached.
pub async fn enroll(
    token: &JoinToken,
    enrollment: &Enrollment,
    store: &IdentityStore,
) -> Result<Identity, EnrollError> {
    let Admission::Host { host, role } = &token.admission else {
        return Err(EnrollError::NotForHosts);
    };
    let key = store.staged_key(None)?;
    let request = host_request(token, enrollment, &key)?;
    let mut clock = Clock::new(store.clock_floor()?);
    let mut pace = Pace::new(enrollment.reconnect_max);
    loop {
        let admission = match round(token, &request, &clock).await {
            Round::Admitted(admission) => admission,
            Round::Ended(error) => return Err(error),
            Round::Again(last) if clock.now() >= token.expires_at => {
                return Err(EnrollError::TimedOut { last });
            }
            Round::Again(_) => {
                tokio::time::sleep(pace.pause()).await;
                continue;
            }
        };
        check(token, host, *role, &admission)?;
        let identity = admit(*admission, key, enrollment.keys, &mut clock)?;
        store.save(&identity)?;
        return Ok(identity);
    }
}

fn host_request(
    token: &JoinToken,
    enrollment: &Enrollment,
    key: &LinkKey,
) -> Result<EnrollRequest, EnrollError> {
    Ok(EnrollRequest::Host(HostEnrollment {
        token: token.id.clone(),
        secret: TokenSecret(token.secret),
        request: key.certificate_request()?,
        report_key: enrollment.keys.report_key,
        sealing_key: enrollment.keys.sealing_key,
        mode: enrollment.mode,
        hostname: enrollment.hostname.clone(),
    }))
}

/// What came of asking each end point once.
enum Round {
    Admitted(Box<HostAdmission>),
    Ended(EnrollError),
    Again(String),
}

async fn round(token: &JoinToken, request: &EnrollRequest, clock: &Clock) -> Round {
    let mut last = "the token names no coordinator".to_owned();
    let mut untrusted = None;
    for endpoint in &token.endpoints {
        let dates = Dates::At(clock.now());
        let verifier = verifier(token.cluster, Anchor::Pin(token.ca_pin), dates);
        let reply = match call(endpoint, &verifier).await {
            Ok(call) => ask(call, request).await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(EnrollReply::Host(admission)) => return Round::Admitted(admission),
            Ok(EnrollReply::Refused { code, reason }) if code != EnrollRefusal::Unavailable => {
                return Round::Ended(EnrollError::Refused { code, reason });
            }
            Ok(EnrollReply::Refused { reason, .. }) => last = reason,
            Ok(EnrollReply::Node(_)) => "it answered as to a node".clone_into(&mut last),
            Err(DialError::Server(refusal)) => {
                tracing::error!(%endpoint, %refusal, "not the cluster of the join token");
                untrusted = Some(EnrollError::Server {
                    endpoint: endpoint.clone(),
                    refusal,
                });
            }
            Err(error) => last = error.to_string(),
        }
        tracing::warn!(%endpoint, reason = %last, "not enrolled yet");
    }
    // Every end point had its chance: an impostor at one does not keep a host from the others, and
    // a mistaken token is told at once and not when it ends.
    untrusted.map_or(Round::Again(last), Round::Ended)
}

pub(super) fn verifier(
    cluster: email_engine_protocol::id::ClusterId,
    anchor: Anchor,
    dates: Dates,
) -> Arc<NodeVerifier> {
    Arc::new(NodeVerifier::new(cluster, anchor, dates, tls::provider()))
}

async fn call(endpoint: &str, verifier: &Arc<NodeVerifier>) -> Result<Call, DialError> {
    let config = tls::client_config(ALPN_ENROLL, verifier.clone(), None)?;
    connect(endpoint, config, verifier).await
}

async fn ask(call: Call, request: &EnrollRequest) -> Result<EnrollReply, DialError> {
    let reply = match timeout(ANSWER, exchange(&call, request)).await {
        Ok(reply) => reply,
        Err(_) => Err(DialError::Timeout(ANSWER)),
    };
    call.close(close::DONE, "").await;
    reply
}

async fn exchange(call: &Call, request: &EnrollRequest) -> Result<EnrollReply, DialError> {
    let opened = call.connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| DialError::of(&error))?;
    let frame = Zeroizing::new(frame::encode(request)?);
    send.write_all(&frame).await.map_err(DialError::of_write)?;
    // The other side may have answered and closed already.
    let _ = send.finish();
    FrameReader::default()
        .next(&mut recv)
        .await
        .map_err(DialError::of_read)
}

fn check(
    token: &JoinToken,
    host: &HostId,
    role: Role,
    admission: &HostAdmission,
) -> Result<(), EnrollError> {
    let pin = key_pin(&admission.root).unwrap_or(CaPin([0; 32]));
    let pairs = [
        (
            "the cluster",
            token.cluster.to_string(),
            admission.cluster.to_string(),
        ),
        ("the host", host.to_string(), admission.host.to_string()),
        ("the role", role.to_string(), admission.role.to_string()),
        ("the CA pin", token.ca_pin.to_string(), pin.to_string()),
        (
            "the recovery key",
            token.trust.recovery.to_string(),
            admission.recovery.pin().to_string(),
        ),
    ];
    for (what, expected, got) in pairs {
        if expected != got {
            return Err(EnrollError::Mismatch {
                what,
                expected,
                got,
            });
        }
    }
    Ok(())
}

fn admit(
    admission: HostAdmission,
    key: LinkKey,
    executor: ExecutorKeys,
    clock: &mut Clock,
) -> Result<Identity, EnrollError> {
    let root = admission.root.into();
    let (cluster, host) = (admission.cluster, admission.host);
    let (chain, validity) = tls::check_issued(&admission.chain, &root, &key, cluster, &host)?;
    clock.issued_now(validity);
    Ok(Identity {
        trust: Trust {
            cluster,
            host,
            role: admission.role,
            recovery: admission.recovery,
            plan_key: admission.plan_key,
            epoch: admission.epoch,
        },
        executor,
        key,
        chain,
        root,
        obtained_at: clock.now(),
        endpoints: admission.coordinators,
        validity,
    })
}

/// Asks one coordinator for a certificate for `key`, proving possession of the current key on this
/// very connection.
pub(super) async fn renew_expired(
    endpoint: &str,
    identity: &Identity,
    key: &LinkKey,
) -> Result<EnrollReply, DialError> {
    let anchor = Anchor::Root(identity.root.clone());
    let verifier = verifier(identity.cluster(), anchor, Dates::Any);
    let call = call(endpoint, &verifier).await?;
    match renewal_request(&call, identity, key) {
        Ok(request) => ask(call, &request).await,
        Err(error) => {
            call.close(close::DONE, "").await;
            Err(error)
        }
    }
}

fn renewal_request(
    call: &Call,
    identity: &Identity,
    key: &LinkKey,
) -> Result<EnrollRequest, DialError> {
    let own = |error: KeyError| tls::OwnCertificateError(error.to_string());
    let mut exporter = [0; 32];
    call.connection
        .export_keying_material(&mut exporter, RENEWAL_EXPORTER_LABEL, b"")
        .map_err(|_| DialError::Connection("no TLS exporter".to_owned()))?;
    let request = key.certificate_request().map_err(own)?;
    let proof = identity
        .key
        .sign(&renewal_message(&exporter, &request))
        .map_err(own)?;
    let certificate = identity.chain.first().map(|leaf| leaf.to_vec());
    Ok(EnrollRequest::Renew(ExpiredRenewal {
        certificate: certificate.unwrap_or_default(),
        request,
        proof,
    }))
}
