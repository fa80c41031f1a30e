//! The enrol ALPN: one stream, one request, one answer. Whoever is here has no certificate that
//! counts, so everything is bounded, and a stranger's guess never makes a log entry.

mod host;
mod node;
mod renewal;
mod second_use;
mod strangers;

use std::net::SocketAddr;
use std::time::Duration;

use quinn::Connection;
use tokio::time::timeout;

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, RENEWAL_EXPORTER_LABEL, TokenSecret,
};
use email_engine_protocol::id::TokenId;
use email_engine_protocol::join::{Admission, hash_secret};
use email_engine_protocol::time::Timestamp;

use super::frames::{self, FrameReader};
use super::{Fleet, Push, metric_names, now, proposal, transport};
use crate::command::{Command, Outcome, Rejection, RejectionCode};
use crate::pki::issue::Request;
use crate::pki::{Authority, IssueError};
use crate::raft::ProposeError;
use crate::state::{ClusterRecord, FleetState, Token, TokenState};

pub(super) use host::current_term;
pub(super) use node::KEK_INFO;
use second_use::Shown;

pub(super) use renewal::{TOO_OFTEN, renews_too_often};
pub(super) use strangers::Strangers;

/// Largest request.
pub(super) const REQUEST_BYTES: usize = 64 * 1024;
/// A request comes within so long.
const ASKED: Duration = Duration::from_secs(10);
/// An answer is taken within so long.
const TAKEN: Duration = Duration::from_secs(3);

/// A refusal: its code, and the reason for a person.
type Refused = (EnrollRefusal, String);

/// Answers one request and closes.
pub(super) async fn run<F: Fleet>(push: &Push<F>, connection: Connection) {
    let remote = connection.remote_address();
    let asked = async {
        let (send, mut recv) = connection.accept_bi().await.ok()?;
        let request = FrameReader::new(REQUEST_BYTES)
            .next::<EnrollRequest>(&mut recv)
            .await;
        Some((send, recv, request))
    };
    // The receiving half is kept: dropping it would stop a client that is still writing, and it
    // would miss its answer.
    let Ok(Some((mut send, _recv, request))) = timeout(ASKED, asked).await else {
        connection.close(transport::SILENT, b"nothing was asked");
        return;
    };
    let answer = match request {
        Ok(request) => answer(push, &connection, request).await,
        Err(error) => Err((EnrollRefusal::Malformed, error.to_string())),
    };
    let label = if answer.is_ok() {
        "admitted"
    } else {
        "refused"
    };
    metrics::counter!(metric_names::ENROLLMENTS, "outcome" => label).increment(1);
    let reply = answer.unwrap_or_else(|(code, reason)| {
        tracing::warn!(%remote, ?code, reason, "enrolment refused");
        EnrollReply::Refused { code, reason }
    });
    if frames::say(&mut send, &reply).await.is_ok() && send.finish().is_ok() {
        let _ = timeout(TAKEN, send.stopped()).await;
    }
    connection.close(transport::DONE, b"");
}

async fn answer<F: Fleet>(
    push: &Push<F>,
    connection: &Connection,
    request: EnrollRequest,
) -> Result<EnrollReply, Refused> {
    match request {
        EnrollRequest::Host(enrollment) => {
            let shown = Shown::by_host(&enrollment, connection.remote_address());
            let answer = host::redeem(push, enrollment, shown.from).await;
            second_use::noted(push, shown, answer).await
        }
        EnrollRequest::Node(enrollment) => {
            let shown = Shown::by_node(&enrollment, connection.remote_address());
            let answer = node::redeem(push, enrollment, shown.from).await;
            second_use::noted(push, shown, answer).await
        }
        EnrollRequest::Renew(renewal) => {
            let mut exporter = [0; 32];
            connection
                .export_keying_material(&mut exporter, RENEWAL_EXPORTER_LABEL, b"")
                .map_err(|_| malformed("no TLS exporter"))?;
            renewal::renew(push, &renewal, &exporter).await
        }
    }
}

// By value, because they are handed to `map_err`.
#[expect(clippy::needless_pass_by_value)]
fn malformed(reason: impl ToString) -> Refused {
    (EnrollRefusal::Malformed, reason.to_string())
}

#[expect(clippy::needless_pass_by_value)]
fn unavailable(reason: impl ToString) -> Refused {
    (EnrollRefusal::Unavailable, reason.to_string())
}

/// The request for a certificate, checked.
fn parse(request: &[u8]) -> Result<Request, Refused> {
    Request::parse(request).map_err(malformed)
}

fn not_issued(error: IssueError) -> Refused {
    match error {
        IssueError::Endpoint(_) => malformed(error),
        other => unavailable(other),
    }
}

/// The cluster and what it issues with.
fn authority<F: Fleet>(push: &Push<F>) -> Result<(ClusterRecord, Authority), Refused> {
    let record = push
        .fleet
        .view(|state| state.cluster.clone())
        .ok_or_else(|| unavailable("the cluster does not exist yet"))?;
    let authority = Authority::load(&record, &push.vault).map_err(|error| {
        tracing::error!(%error, "this node cannot issue certificates");
        unavailable("this node cannot issue certificates: see its log")
    })?;
    Ok((record, authority))
}

/// What a token admits, if this bearer may redeem it. A token that this node does not know yet is
/// looked up once more after a linearizable read.
async fn admission<F: Fleet>(
    push: &Push<F>,
    id: &TokenId,
    secret: &TokenSecret,
    request: &Request,
    from: SocketAddr,
) -> Result<Admission, Refused> {
    let look = |state: &FleetState| judge_token(state.tokens.get(id), secret, request, now());
    if let Ok(admission) = push.fleet.view(look) {
        return Ok(admission);
    }
    push.strangers.look_up(&push.fleet, from.ip()).await?;
    let admission = push.fleet.view(look)?;
    push.strangers.known(from.ip());
    Ok(admission)
}

fn judge_token(
    token: Option<&Token>,
    secret: &TokenSecret,
    request: &Request,
    now: Timestamp,
) -> Result<Admission, Refused> {
    let hash = hash_secret(&secret.0);
    let token = token
        .filter(|token| {
            subtle::ConstantTimeEq::ct_eq(&token.secret.as_bytes()[..], &hash.as_bytes()[..]).into()
        })
        .ok_or_else(unknown)?;
    let used = |reason: &str| Err((EnrollRefusal::TokenUsed, reason.to_owned()));
    match &token.state {
        TokenState::Redeemed { spki, .. } if *spki != request.spki() => {
            return used("the token was used by another machine");
        }
        TokenState::Revoked => return used("the token was taken back"),
        TokenState::Open | TokenState::Redeemed { .. } => {}
    }
    if now > token.expires_at {
        let reason = format!("the token ended at {}", token.expires_at);
        return Err((EnrollRefusal::TokenExpired, reason));
    }
    Ok(token.admission.clone())
}

/// Unknown, wrong secret and wrong purpose are not told apart.
fn unknown() -> Refused {
    let reason = "no such token for this purpose".to_owned();
    (EnrollRefusal::TokenUnknown, reason)
}

/// Commits, and turns whatever else comes back into a refusal.
async fn commit<F: Fleet>(
    push: &Push<F>,
    actor: String,
    reason: &str,
    command: Command,
) -> Result<Outcome, Refused> {
    let proposal = proposal(&push.fleet, actor, reason, command);
    match push.fleet.propose(proposal).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(rejection)) => Err((refusal_of(&rejection), rejection.to_string())),
        Err(error @ ProposeError::TooLarge { .. }) => Err(malformed(error)),
        Err(error) => Err(unavailable(error)),
    }
}

const fn refusal_of(rejection: &Rejection) -> EnrollRefusal {
    match rejection.code {
        RejectionCode::TokenUnknown => EnrollRefusal::TokenUnknown,
        RejectionCode::TokenExpired => EnrollRefusal::TokenExpired,
        // A living identity without `--replace` has used its way in.
        RejectionCode::TokenUsed | RejectionCode::AlreadyExists | RejectionCode::InUse => {
            EnrollRefusal::TokenUsed
        }
        RejectionCode::NotFound | RejectionCode::WrongState => EnrollRefusal::Revoked,
        RejectionCode::Clock | RejectionCode::ClusterState => EnrollRefusal::Unavailable,
        _ => EnrollRefusal::Malformed,
    }
}

fn entropy(random: &ring::rand::SystemRandom) -> Entropy<'_> {
    Entropy(random)
}
