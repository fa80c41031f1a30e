//! The other end of a session, under a node's own certificate.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use email_engine_protocol::observed::HostReport;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, BodyRequest, CoordinatorMessage};
use email_engine_protocol::wire::{ALPN_AGENT, Hello, Welcome, frame};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;

use super::next;
use crate::{DEADLINE, NodeProcess, wait_until};

/// What stands where a node stood, as whoever broke into its machine could make it stand there.
#[derive(Debug)]
pub struct FalseNode {
    endpoint: Endpoint,
    address: SocketAddr,
}

/// The false end of an agent's session.
#[derive(Debug)]
pub struct FalseSession {
    /// What the agent began with.
    pub hello: Hello,
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

impl FalseNode {
    /// Takes the place of a node that was ended: its address for agents and its certificate.
    #[must_use]
    pub fn in_place_of(node: &NodeProcess) -> Self {
        let identity = node.data_dir().join("identity");
        let chain = CertificateDer::pem_file_iter(identity.join("node.chain.pem")).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(identity.join("node.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![ALPN_AGENT.to_vec()];
        let crypto = Arc::new(QuicServerConfig::try_from(tls).unwrap());
        let address = node.endpoints().agent.parse().unwrap();
        let endpoint = Endpoint::server(ServerConfig::with_crypto(crypto), address).unwrap();
        Self { endpoint, address }
    }

    /// The next agent that comes, welcomed.
    pub async fn session(&self, welcome: Welcome) -> FalseSession {
        let meeting = async {
            let incoming = self.endpoint.accept().await.unwrap();
            let connection = incoming.await.unwrap();
            let (send, mut receive) = connection.accept_bi().await.unwrap();
            let Ok(AgentMessage::Hello(hello)) = next(&mut receive).await else {
                panic!("it did not begin with its Hello");
            };
            let mut session = FalseSession {
                hello: *hello,
                connection,
                send,
                receive,
            };
            session
                .say(&CoordinatorMessage::Welcome(Box::new(welcome)))
                .await;
            session
        };
        let met = tokio::time::timeout(DEADLINE, meeting).await;
        met.expect("no agent came to the false node")
    }

    /// Goes away; its address is free afterwards.
    pub async fn stop(self) {
        self.endpoint.close(0_u32.into(), b"");
        let address = self.address;
        drop(self);
        let free = async || UdpSocket::bind(address).is_ok();
        wait_until("the false node's address is free", free).await;
    }
}

impl FalseSession {
    /// Says something.
    pub async fn say(&mut self, message: &CoordinatorMessage) {
        say(&mut self.send, message).await;
    }

    /// Answers the next question for a body with these bytes, whichever it is for.
    pub async fn give_for_any_body(&self, bytes: &[u8]) {
        let asked = tokio::time::timeout(DEADLINE, self.connection.accept_bi()).await;
        let (mut send, mut receive) = asked.expect("no body was asked for").unwrap();
        let _: BodyRequest = next(&mut receive).await.unwrap();
        let length = bytes.len() as u64;
        say(&mut send, &BodyReply::Found { length }).await;
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
    }

    /// The first report that says that something was refused with these words.
    pub async fn refusal(&mut self, words: &str) -> HostReport {
        let mut last = None;
        let listen = async {
            loop {
                let heard: AgentMessage = next(&mut self.receive).await.unwrap();
                let AgentMessage::Report(signed) = heard else {
                    continue;
                };
                let report = signed.unverified().unwrap();
                let attempted = report.generations.attempted.as_ref();
                if attempted.is_some_and(|attempt| attempt.reason.contains(words)) {
                    return report;
                }
                last = Some(report.generations);
            }
        };
        match tokio::time::timeout(DEADLINE, listen).await {
            Ok(report) => report,
            Err(_) => panic!("no refusal says {words:?}; last reported: {last:?}"),
        }
    }
}

async fn say<T: Serialize>(send: &mut SendStream, message: &T) {
    let frame = frame::encode(message).unwrap();
    send.write_all(&frame).await.unwrap();
}
