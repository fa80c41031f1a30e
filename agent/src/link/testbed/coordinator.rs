//! A coordinator that does nothing by itself: a test takes its connections and plays its part.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::enroll::{EnrollReply, EnrollRequest, RENEWAL_EXPORTER_LABEL};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{ALPN_AGENT, ALPN_ENROLL, Hello, Welcome, frame};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::frames::FrameReader;
use super::super::tls::provider;
use super::{NodeNames, TestCluster};

/// Nothing in these tests takes longer, unless it never ends.
const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits something that has to happen; the reason is shown when it does not.
pub(super) async fn wait_for<T>(what: impl Future<Output = T>, why: &str) -> T {
    match timeout(DEADLINE, what).await {
        Ok(done) => done,
        Err(_) => panic!("waited too long: {why}"),
    }
}

/// A listening coordinator.
pub(super) struct TestCoordinator {
    pub(super) address: SocketAddr,
    endpoint: quinn::Endpoint,
    accepted: mpsc::UnboundedReceiver<Connection>,
}

impl TestCoordinator {
    pub(super) fn start(cluster: &TestCluster, names: &NodeNames) -> Self {
        Self::start_at(cluster, names, ([127, 0, 0, 1], 0).into())
    }

    pub(super) fn start_at(cluster: &TestCluster, names: &NodeNames, address: SocketAddr) -> Self {
        let (chain, key) = cluster.node(3, names);
        let mut roots = RootCertStore::empty();
        roots.add(cluster.root.clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![ALPN_AGENT.to_vec(), ALPN_ENROLL.to_vec()];
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        // Small, so that what was written has nearly arrived.
        Arc::get_mut(&mut config.transport)
            .unwrap()
            .send_window(64 * 1024);
        let endpoint = quinn::Endpoint::server(config, address).unwrap();
        let (connected, accepted) = mpsc::unbounded_channel();
        let accepting = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                if let Ok(connection) = incoming.await {
                    let _ = connected.send(connection);
                }
            }
        });
        Self {
            address: endpoint.local_addr().unwrap(),
            endpoint,
            accepted,
        }
    }

    pub(super) fn name(&self) -> Endpoint {
        self.address.to_string()
    }

    /// The next connection and its ALPN.
    pub(super) async fn accept(&mut self) -> (Connection, Vec<u8>) {
        let connection = wait_for(self.accepted.recv(), "a connection comes").await;
        let connection = connection.unwrap();
        let data = connection.handshake_data().unwrap();
        let alpn = data.downcast::<HandshakeData>().unwrap().protocol.unwrap();
        (connection, alpn)
    }

    /// Whether a handshake ever succeeded that was not taken by the test.
    pub(super) fn was_connected_to(&mut self) -> bool {
        self.accepted.try_recv().is_ok()
    }

    pub(super) async fn enrolling(&mut self) -> EnrollCall {
        let (connection, alpn) = self.accept().await;
        assert_eq!(alpn, ALPN_ENROLL);
        let (send, mut recv) = wait_for(connection.accept_bi(), "a stream opens")
            .await
            .unwrap();
        let mut reader = FrameReader::default();
        let request = wait_for(reader.next(&mut recv), "a request comes")
            .await
            .unwrap();
        EnrollCall {
            connection,
            send,
            request,
        }
    }

    /// The next session, welcomed.
    pub(super) async fn session(
        &mut self,
        cluster: &TestCluster,
        list: &[Endpoint],
    ) -> TestSession {
        let mut session = self.hello().await;
        let welcome = Welcome {
            version: 1,
            node: NodeId(3),
            nonce: Nonce([7; 16]),
            coordinators: list.to_vec(),
            plan_key: cluster.grant(),
            epoch_grant: None,
            now: TestCluster::now(),
        };
        session
            .say(&CoordinatorMessage::Welcome(Box::new(welcome)))
            .await;
        session
    }

    /// The next session, up to its Hello.
    pub(super) async fn hello(&mut self) -> TestSession {
        let (connection, alpn) = self.accept().await;
        assert_eq!(alpn, ALPN_AGENT);
        let (send, mut recv) = wait_for(connection.accept_bi(), "a stream opens")
            .await
            .unwrap();
        let mut reader = FrameReader::default();
        let first = wait_for(reader.next(&mut recv), "a Hello comes")
            .await
            .unwrap();
        let AgentMessage::Hello(hello) = first else {
            panic!("not a Hello: {first:?}");
        };
        TestSession {
            connection,
            send,
            recv,
            reader,
            hello: *hello,
        }
    }

    /// Stops; its port is free when this returns.
    pub(super) async fn stop(self) -> SocketAddr {
        let address = self.address;
        self.endpoint.close(0_u32.into(), b"stopped");
        drop(self);
        let free = async {
            while UdpSocket::bind(address).is_err() {
                tokio::task::yield_now().await;
            }
        };
        wait_for(free, "the port is free again").await;
        address
    }
}

/// One request on the enrol ALPN.
pub(super) struct EnrollCall {
    pub(super) connection: Connection,
    send: SendStream,
    pub(super) request: EnrollRequest,
}

impl EnrollCall {
    pub(super) fn exporter(&self) -> [u8; 32] {
        let mut out = [0; 32];
        self.connection
            .export_keying_material(&mut out, RENEWAL_EXPORTER_LABEL, b"")
            .unwrap();
        out
    }

    pub(super) async fn answer(mut self, reply: &EnrollReply) {
        let frame = frame::encode(reply).unwrap();
        self.send.write_all(&frame).await.unwrap();
        self.send.finish().unwrap();
        wait_for(self.connection.closed(), "the client closes").await;
    }

    /// Takes the request and dies.
    pub(super) fn lose_the_answer(self) {
        self.connection.close(9_u32.into(), b"");
    }
}

/// One agent's session.
pub(super) struct TestSession {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    recv: RecvStream,
    reader: FrameReader,
    pub(super) hello: Hello,
}

impl TestSession {
    pub(super) async fn say(&mut self, message: &CoordinatorMessage) {
        let frame = frame::encode(message).unwrap();
        self.send.write_all(&frame).await.unwrap();
    }

    pub(super) async fn heard(&mut self) -> AgentMessage {
        let next = self.reader.next(&mut self.recv);
        wait_for(next, "the agent says something").await.unwrap()
    }

    /// Sees the agent finish its stream, and closes.
    pub(super) async fn over(mut self) {
        let end = wait_for(self.recv.read_chunk(1, true), "the stream ends").await;
        assert!(end.unwrap().is_none());
        self.connection.close(0_u32.into(), b"");
    }
}
