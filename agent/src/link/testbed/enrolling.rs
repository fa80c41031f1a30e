//! Enrolment, and renewal past the end, against a coordinator on loopback.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use email_engine_protocol::bytes::{SealingPublicKey, VerifyingKey};
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, HostEnrollment, renewal_message,
};
use email_engine_protocol::id::{HostId, Role, TokenId};
use email_engine_protocol::join::{Admission, Endpoint, JoinToken};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::super::enroll::{EnrollError, Enrollment, enroll, renew_expired};
use super::super::verify::ServerRefusal;
use super::coordinator::{TestCoordinator, wait_for};
use super::{NodeNames, TestCluster};
use crate::halves::ExecutorKeys;
use crate::identity::{Identity, IdentityStore, LinkKey, Validity};

const SECRET: [u8; 32] = [0xa7; 32];

fn token(cluster: &TestCluster, endpoints: &[Endpoint]) -> JoinToken {
    JoinToken {
        id: TokenId::new("t-1").unwrap(),
        cluster: cluster.id,
        ca_pin: cluster.pin(),
        trust: cluster.trust_pin(),
        endpoints: endpoints.to_vec(),
        admission: Admission::Host {
            host: HostId::new("pmta1").unwrap(),
            role: Role::Powermta,
        },
        expires_at: TestCluster::now().plus(Timestamp::HOUR),
        secret: SECRET,
    }
}

fn enrollment() -> Enrollment {
    Enrollment {
        keys: ExecutorKeys {
            report_key: VerifyingKey([1; 32]),
            sealing_key: SealingPublicKey([2; 32]),
        },
        mode: Mode::Sandbox,
        hostname: "host.example.com".to_owned(),
        reconnect_max: Duration::from_millis(20),
    }
}

fn store() -> (tempfile::TempDir, IdentityStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = IdentityStore::open(dir.path()).unwrap();
    (dir, store)
}

fn host_request(request: &EnrollRequest) -> &HostEnrollment {
    let EnrollRequest::Host(request) = request else {
        panic!("not a host's request: {request:?}");
    };
    request
}

async fn redeem(token: &JoinToken, store: &IdentityStore) -> Result<Identity, EnrollError> {
    wait_for(enroll(token, &enrollment(), store), "enrolment ends").await
}

#[tokio::test]
async fn a_token_becomes_an_identity_that_a_restart_finds() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let token = token(&cluster, &[coordinator.name()]);
    let (_dir, store) = store();
    let play = async {
        let call = coordinator.enrolling().await;
        let request = host_request(&call.request).clone();
        let list = vec!["192.0.2.1:7443".to_owned()];
        let admission = cluster.admission(&request.request, "pmta1", list);
        call.answer(&EnrollReply::Host(Box::new(admission))).await;
        request
    };
    let (identity, request) = tokio::join!(redeem(&token, &store), play);
    let identity = identity.unwrap();
    assert_eq!(request.secret.0, SECRET);
    assert_eq!(
        (request.mode, &request.hostname[..]),
        (Mode::Sandbox, "host.example.com")
    );
    assert_eq!(request.report_key, VerifyingKey([1; 32]));
    let found = store.load().unwrap().unwrap();
    assert_eq!(found.key.public(), identity.key.public());
    assert_eq!(found.trust.epoch, 1);
    assert_eq!(found.endpoints, ["192.0.2.1:7443"]);
    assert!(!store.has_staged_key());
}

#[tokio::test]
async fn a_wrong_pin_is_refused_before_anything_is_sent() {
    let (ours, theirs) = (TestCluster::new(1), TestCluster::new(1));
    let mut impostor = TestCoordinator::start(&theirs, &NodeNames::default());
    let token = token(&ours, &[impostor.name()]);
    let (_dir, store) = store();
    let error = redeem(&token, &store).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&ours.pin().to_string()) && text.contains(&theirs.pin().to_string()),
        "{text}"
    );
    let refusal = ServerRefusal::Pin {
        expected: ours.pin(),
        found: theirs.pin(),
    };
    assert!(matches!(error, EnrollError::Server { refusal: found, .. } if found == refusal));
    // The handshake failed on our side, so there was no connection to send anything on.
    assert!(!impostor.was_connected_to());
}

#[tokio::test]
async fn an_impostor_at_one_address_does_not_keep_a_host_from_the_others() {
    let (ours, theirs) = (TestCluster::new(1), TestCluster::new(1));
    let impostor = TestCoordinator::start(&theirs, &NodeNames::default());
    let mut coordinator = TestCoordinator::start(&ours, &NodeNames::default());
    let token = token(&ours, &[impostor.name(), coordinator.name()]);
    let (_dir, store) = store();
    let play = async {
        let call = coordinator.enrolling().await;
        let request = host_request(&call.request).request.clone();
        let admission = ours.admission(&request, "pmta1", vec![]);
        call.answer(&EnrollReply::Host(Box::new(admission))).await;
    };
    let (identity, ()) = tokio::join!(redeem(&token, &store), play);
    identity.unwrap();
}

#[tokio::test]
async fn a_server_that_is_no_node_of_this_cluster_is_refused() {
    let cluster = TestCluster::new(1);
    let other = TestCluster::new(2);
    let uris = [
        format!("email-engine://{}/node/3", other.id),
        format!("email-engine://{}/host/pmta1", cluster.id),
    ];
    for uri in uris {
        let names = NodeNames {
            uri: Some(uri),
            ..NodeNames::default()
        };
        let mut coordinator = TestCoordinator::start(&cluster, &names);
        let token = token(&cluster, &[coordinator.name()]);
        let (_dir, store) = store();
        let error = redeem(&token, &store).await.unwrap_err();
        assert!(matches!(error, EnrollError::Server { .. }), "{error}");
        assert!(!coordinator.was_connected_to());
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let token = token(&cluster, &[coordinator.name()]);
    let (_dir, store) = store();
    let play = async {
        let first = coordinator.enrolling().await;
        let key = rcgen_key(&host_request(&first.request).request);
        first.lose_the_answer();
        let second = coordinator.enrolling().await;
        let request = host_request(&second.request).request.clone();
        assert_eq!(rcgen_key(&request), key);
        let admission = cluster.admission(&request, "pmta1", vec![]);
        second.answer(&EnrollReply::Host(Box::new(admission))).await;
        key
    };
    let (identity, key) = tokio::join!(redeem(&token, &store), play);
    assert_eq!(identity.unwrap().key.public(), key);
}

/// The public key of a request, as a SubjectPublicKeyInfo.
fn rcgen_key(request: &[u8]) -> Vec<u8> {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;
    let (_, request) = X509CertificationRequest::from_der(request).unwrap();
    request.certification_request_info.subject_pki.raw.to_vec()
}

#[tokio::test]
async fn a_refusal_ends_the_attempt_and_a_missing_leader_does_not() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let token = token(&cluster, &[coordinator.name()]);
    let (_dir, store) = store();
    let play = async {
        let call = coordinator.enrolling().await;
        call.answer(&refused(EnrollRefusal::Unavailable)).await;
        let call = coordinator.enrolling().await;
        call.answer(&refused(EnrollRefusal::TokenUsed)).await;
    };
    let (result, ()) = tokio::join!(redeem(&token, &store), play);
    let error = result.unwrap_err();
    let used = EnrollRefusal::TokenUsed;
    assert!(
        matches!(error, EnrollError::Refused { code, .. } if code == used),
        "{error}"
    );
    assert!(store.load().unwrap().is_none());
}

#[tokio::test]
async fn an_answer_for_another_host_is_not_taken() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let token = token(&cluster, &[coordinator.name()]);
    let (_dir, store) = store();
    let play = async {
        let call = coordinator.enrolling().await;
        let request = host_request(&call.request).request.clone();
        let admission = cluster.admission(&request, "pmta2", vec![]);
        call.answer(&EnrollReply::Host(Box::new(admission))).await;
    };
    let (result, ()) = tokio::join!(redeem(&token, &store), play);
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            EnrollError::Mismatch {
                what: "the host",
                ..
            }
        ),
        "{error}"
    );
    assert!(store.load().unwrap().is_none());
}

#[tokio::test]
async fn a_renewal_past_the_end_proves_the_old_key_on_this_connection() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let over = Validity {
        not_before: Timestamp(0),
        not_after: Timestamp(TestCluster::now().0 - Timestamp::DAY),
    };
    let identity = cluster.identity_of("pmta1", over, vec![]);
    let next = LinkKey::generate().unwrap();
    let name = coordinator.name();
    let play = async {
        let call = coordinator.enrolling().await;
        let EnrollRequest::Renew(renewal) = &call.request else {
            panic!("not a renewal: {:?}", call.request);
        };
        assert_eq!(renewal.certificate, identity.chain[0].to_vec());
        assert_eq!(rcgen_key(&renewal.request), next.public());
        let point = &identity.key.public()[identity.key.public().len() - 65..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(
                &renewal_message(&call.exporter(), &renewal.request),
                &renewal.proof,
            )
            .unwrap();
        let admission = cluster.admission(&renewal.request, "pmta1", vec![]);
        call.answer(&EnrollReply::Host(Box::new(admission))).await;
    };
    let asked = wait_for(renew_expired(&name, &identity, &next), "renewal ends");
    let (reply, ()) = tokio::join!(asked, play);
    assert!(matches!(reply.unwrap(), EnrollReply::Host(_)));
}

fn refused(code: EnrollRefusal) -> EnrollReply {
    EnrollReply::Refused {
        code,
        reason: "because".to_owned(),
    }
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_tokens_secret_is_in_no_log_line_and_no_error() {
    let cluster = TestCluster::new(1);
    let mut coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
    let token = token(&cluster, &[coordinator.name()]);
    let (_dir, store) = store();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!(?token, "redeeming");
    let play = async {
        let call = coordinator.enrolling().await;
        tracing::info!(request = ?call.request, "asked");
        call.answer(&refused(EnrollRefusal::Unavailable)).await;
        let call = coordinator.enrolling().await;
        call.answer(&refused(EnrollRefusal::TokenUnknown)).await;
    };
    let (result, ()) = tokio::join!(redeem(&token, &store), play);
    tracing::info!(error = ?result.unwrap_err(), "refused");
    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(
        text.contains("redeeming") && text.contains("not enrolled yet"),
        "{text}"
    );
    let bytes = format!("{:?}", &SECRET[..4]);
    for secret in [
        HEXLOWER.encode(&SECRET[..4]),
        BASE64URL_NOPAD.encode(&SECRET[..6]),
        bytes.trim_matches(['[', ']']).to_owned(),
    ] {
        assert!(!text.contains(&secret), "{secret} is in the log");
    }
}
