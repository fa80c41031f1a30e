//! A machine that calls: the agent's side of the wire, without the agent.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::version;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::crypto::{SealingKey, Signed, SigningKey};
use email_engine_protocol::desired::{Disposition, Target};
use email_engine_protocol::enroll::{EnrollReply, EnrollRequest};
use email_engine_protocol::id::ClusterId;
use email_engine_protocol::observed::{
    Convergence, GenerationStates, HostReport, Mode, Observed, StatusCounts,
};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{
    ALPN_AGENT, ALPN_ENROLL, Hello, Refusal, SUPPORTED, Welcome, frame,
};

use super::{MODE, TestNode, executor_keys, host_id, wait_for};
use crate::pki::testbed::{TestPki, now};
use crate::pki::{Credential, verify};
use crate::push::frames::{FrameReadError, FrameReader};
use crate::state::{CertificateRecord, CertificateSubject, FleetState, HostKeys, HostLifecycle};

/// A machine with its keys.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) cluster: ClusterId,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) report_key: SigningKey,
    pub(crate) sealing_key: SealingKey,
}

impl Machine {
    pub(crate) fn with_chain(
        pki: &TestPki,
        name: &str,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    ) -> Self {
        let (report_key, sealing_key) = executor_keys(name);
        Self {
            name: name.to_owned(),
            cluster: pki.record.id,
            chain,
            key,
            report_key,
            sealing_key,
        }
    }

    pub(crate) fn credential(&self) -> Credential {
        Credential::read(self.cluster, &self.chain[0]).unwrap()
    }

    /// Makes the state know this machine as its host.
    pub(crate) fn enrol_in(&self, state: &mut FleetState) {
        let credential = self.credential();
        let row = state.hosts.get_mut(&host_id(&self.name)).unwrap();
        row.lifecycle = HostLifecycle::Enrolled;
        row.keys = Some(HostKeys {
            serial: credential.serial,
            spki: credential.spki,
            report_key: self.report_key.verifying_key(),
            sealing_key: self.sealing_key.public_key(),
            mode: MODE,
            enrolled_at: now(),
        });
        let record = CertificateRecord {
            serial: credential.serial,
            subject: CertificateSubject::Host(host_id(&self.name)),
            spki: credential.spki,
            issued_at: now(),
            not_after: credential.not_after,
        };
        let record = Arc::new(record);
        state.certificates.insert(credential.serial, record);
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            versions: SUPPORTED,
            software: "test".to_owned(),
            mode: MODE,
            cluster: self.cluster,
            host: host_id(&self.name),
            generations: GenerationStates::default(),
            floor: None,
            plan_key_version: 1,
        }
    }

    /// A connection with this machine's certificate.
    pub(crate) async fn dial(&self, node: &TestNode) -> Connection {
        let shown = Some((self.chain.clone(), self.key.clone_key()));
        dial(node.push.local_addr(), &node.pki, ALPN_AGENT, shown)
            .await
            .unwrap()
    }

    /// A connection and the answer to this Hello.
    pub(crate) async fn greet(
        &self,
        node: &TestNode,
        hello: Hello,
    ) -> (Session, CoordinatorMessage) {
        self.call(node, &AgentMessage::Hello(Box::new(hello))).await
    }

    /// A connection and the answer to this first message.
    pub(crate) async fn call(
        &self,
        node: &TestNode,
        first: &AgentMessage,
    ) -> (Session, CoordinatorMessage) {
        let connection = self.dial(node).await;
        let (send, recv) = connection.open_bi().await.unwrap();
        let mut session = Session {
            connection,
            send,
            recv,
            reader: FrameReader::new(usize::MAX),
        };
        session.say(first).await;
        let answer = session.heard().await;
        (session, answer)
    }

    /// A welcomed session.
    pub(crate) async fn session(&self, node: &TestNode) -> (Session, Welcome) {
        match self.greet(node, self.hello()).await {
            (session, CoordinatorMessage::Welcome(welcome)) => (session, *welcome),
            (_, other) => panic!("not welcomed: {other:?}"),
        }
    }

    /// The refusal of this Hello.
    pub(crate) async fn refused(&self, node: &TestNode, hello: Hello) -> Refusal {
        match self.greet(node, hello).await.1 {
            CoordinatorMessage::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn report(&self, nonce: Nonce, sequence: u64) -> HostReport {
        HostReport {
            cluster: self.cluster,
            host: host_id(&self.name),
            nonce,
            sequence,
            at: now(),
            generations: GenerationStates::default(),
            convergence: Convergence::Converging,
            disposition: Disposition::Active,
            counts: StatusCounts::default(),
            statuses: Vec::new(),
            repairs: 0,
            apply_millis: None,
            inventory: 0,
            facts: Observed::Unknown {
                reason: "a test".to_owned(),
                since: Timestamp(0),
            },
            drains: Vec::new(),
        }
    }

    /// ECDSA by the machine's TLS key.
    pub(crate) fn prove(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let key = self.key.secret_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random);
        let signature = pair.unwrap().sign(&random, message).unwrap();
        signature.as_ref().to_vec()
    }
}

/// Calls a node.
pub(crate) async fn dial(
    address: SocketAddr,
    pki: &TestPki,
    alpn: &[u8],
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Connection, ConnectionError> {
    let builder = rustls::ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_webpki_verifier(verify::server_verifier(pki.issuer.root()).unwrap());
    let mut tls = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    connect(address, tls).await
}

/// Calls a node with this TLS configuration.
pub(crate) async fn connect(
    address: SocketAddr,
    tls: rustls::ClientConfig,
) -> Result<Connection, ConnectionError> {
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    // Whichever node it is, its certificate has this name.
    let connecting = endpoint.connect_with(config, address, "127.0.0.1").unwrap();
    wait_for(connecting, "a connection is made").await
}

/// One question on the enrol ALPN.
pub(crate) async fn ask(node: &TestNode, request: &EnrollRequest) -> EnrollReply {
    let connection = enrolling(node).await;
    ask_on(&connection, request).await
}

pub(crate) async fn enrolling(node: &TestNode) -> Connection {
    dial(node.push.local_addr(), &node.pki, ALPN_ENROLL, None)
        .await
        .unwrap()
}

pub(crate) async fn ask_on<T: Serialize>(connection: &Connection, request: &T) -> EnrollReply {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let frame = frame::encode(request).unwrap();
    send.write_all(&frame).await.unwrap();
    let mut reader = FrameReader::new(usize::MAX);
    wait_for(reader.next(&mut recv), "an answer comes")
        .await
        .unwrap()
}

/// The agent's end of a session.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
    reader: FrameReader,
}

impl Session {
    pub(crate) async fn say<T: Serialize>(&mut self, message: &T) {
        let frame = frame::encode(message).unwrap();
        self.send.write_all(&frame).await.unwrap();
    }

    /// What the node says next, but for where counting begins.
    pub(crate) async fn heard(&mut self) -> CoordinatorMessage {
        loop {
            let said = self.heard_all().await;
            if !matches!(said, CoordinatorMessage::StatisticsCursors(_)) {
                return said;
            }
        }
    }

    /// What the node says next.
    pub(crate) async fn heard_all(&mut self) -> CoordinatorMessage {
        wait_for(self.reader.next(&mut self.recv), "the node says something")
            .await
            .unwrap()
    }

    /// The next offer.
    pub(crate) async fn offer(&mut self) -> Signed<Target> {
        loop {
            match self.heard().await {
                CoordinatorMessage::Offer(offer) => return offer,
                CoordinatorMessage::Refused(refusal) => panic!("refused: {refusal:?}"),
                _ => {}
            }
        }
    }

    /// How the session ends, and what is told before that.
    pub(crate) async fn end(&mut self) -> Option<Refusal> {
        let mut told = None;
        loop {
            let next: Result<CoordinatorMessage, FrameReadError> =
                wait_for(self.reader.next(&mut self.recv), "the session ends").await;
            match next {
                Ok(CoordinatorMessage::Refused(refusal)) => told = Some(refusal),
                Ok(_) => {}
                Err(_) => return told,
            }
        }
    }

    pub(crate) async fn report(&mut self, signed: Signed<HostReport>) {
        self.say(&AgentMessage::Report(signed)).await;
    }
}

/// Sends a message and asks for a body on a stream of its own.
pub(crate) async fn fetch<T: Serialize, R: DeserializeOwned>(
    connection: &Connection,
    request: &T,
) -> (R, Vec<u8>) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&frame::encode(request).unwrap())
        .await
        .unwrap();
    send.finish().unwrap();
    let mut reader = FrameReader::new(usize::MAX);
    let reply = wait_for(reader.next(&mut recv), "a reply comes")
        .await
        .unwrap();
    let rest = wait_for(recv.read_to_end(1 << 24), "the body comes").await;
    (reply, rest.unwrap())
}

/// The mode that the test cluster refuses.
pub(crate) const OTHER_MODE: Mode = Mode::Sandbox;
