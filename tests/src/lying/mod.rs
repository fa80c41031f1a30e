//! Network halves that lie: [`Session`] holds a host's certificate, but not its executor's keys;
//! [`FalseNode`] holds a node's certificate, but not the cluster's.

mod node;

use std::path::Path;
use std::sync::Arc;

use email_engine_agent::identity::{Identity, IdentityStore};
use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::crypto::{Signed, SigningKey};
use email_engine_protocol::desired::{Disposition, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::{
    Convergence, GenerationStates, HostReport, Mode, Observed, StatusCounts,
};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{ALPN_AGENT, Hello, Refusal, SUPPORTED, Welcome, frame};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde::de::DeserializeOwned;

pub use self::node::{FalseNode, FalseSession};
use crate::DEADLINE;

/// How a connection ended.
#[derive(Debug)]
pub struct Ending {
    /// What was said before, if anything was.
    pub refusal: Option<Refusal>,
    /// Code of the close; none when the connection never stood or ended in another way.
    pub code: Option<u64>,
    /// The end in words.
    pub reason: String,
}

impl From<ConnectionError> for Ending {
    fn from(error: ConnectionError) -> Self {
        let code = match &error {
            ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
            _ => None,
        };
        Self {
            refusal: None,
            code,
            reason: error.to_string(),
        }
    }
}

/// A session under a stolen identity.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    identity: Identity,
    welcome: Box<Welcome>,
}

impl Session {
    /// Opens one with the host identity in `data_dir`.
    ///
    /// # Errors
    /// How it ended, when the coordinator does not welcome it.
    pub async fn open(data_dir: &Path, endpoint: &str) -> Result<Self, Ending> {
        let store = IdentityStore::open(data_dir).unwrap();
        let identity = store.load().unwrap().unwrap();
        let own = Some((identity.chain.clone(), identity.key.for_tls()));
        let connection = dial(endpoint, ALPN_AGENT, own).await?;
        let (cluster, host) = (identity.trust.cluster, identity.trust.host.clone());
        let mut streams = greet(&connection, hello(cluster, host)).await?;
        match next(&mut streams.1).await {
            Ok(CoordinatorMessage::Welcome(welcome)) => Ok(Self {
                connection,
                send: streams.0,
                receive: streams.1,
                identity,
                welcome,
            }),
            Ok(CoordinatorMessage::Refused(refusal)) => {
                let mut ending = closed(&connection).await;
                ending.refusal = Some(refusal);
                Err(ending)
            }
            Ok(other) => panic!("neither welcomed nor refused: {other:?}"),
            Err(_) => Err(closed(&connection).await),
        }
    }

    /// Reports a convergence that never was, under a key that is not the executor's.
    pub async fn report_what_never_was(&mut self) {
        let trust = &self.identity.trust;
        let report = report(trust.cluster, trust.host.clone(), self.welcome.nonce);
        let forged = SigningKey::from_seed([66; 32]).sign(&report);
        let frame = frame::encode(&AgentMessage::Report(forged)).unwrap();
        self.send.write_all(&frame).await.unwrap();
    }

    /// How it was welcomed.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// What the coordinator wants of the host.
    pub async fn offer(&mut self) -> Signed<Target> {
        let listen = async {
            loop {
                match next(&mut self.receive).await {
                    Ok(CoordinatorMessage::Offer(offer)) => return offer,
                    Ok(_) => {}
                    Err(reason) => panic!("it offered nothing: {reason}"),
                }
            }
        };
        let offered = tokio::time::timeout(DEADLINE, listen).await;
        offered.expect("the coordinator never offered anything")
    }

    /// Listens until the coordinator ends it.
    pub async fn end(mut self) -> Ending {
        let listen = async {
            let mut refusal = None;
            while let Ok(message) = next(&mut self.receive).await {
                if let CoordinatorMessage::Refused(said) = message {
                    refusal = Some(said);
                }
            }
            refusal
        };
        let heard = tokio::time::timeout(DEADLINE, listen).await;
        let refusal = heard.expect("the coordinator never ended the session");
        Ending {
            refusal,
            ..closed(&self.connection).await
        }
    }
}

/// Dials with the host identity in `data_dir` where hosts have no business, opens a stream and says
/// something, and gives how that ended. Not a byte may come back.
pub async fn dial_as_host(data_dir: &Path, endpoint: &str, alpn: &[u8]) -> Ending {
    let store = IdentityStore::open(data_dir).unwrap();
    let identity = store.load().unwrap().unwrap();
    refused(
        endpoint,
        alpn,
        Some((identity.chain, identity.key.for_tls())),
    )
    .await
}

/// Dials without a certificate, opens a stream and says something, and gives how that ended. Not a
/// byte may come back.
pub async fn dial_without_certificate(endpoint: &str, alpn: &[u8]) -> Ending {
    refused(endpoint, alpn, None).await
}

/// Dials with the certificates and the key in a PEM text, opens a stream and says something, and gives
/// how that ended. Not a byte may come back.
pub async fn dial_with_pem(pem: &[u8], endpoint: &str, alpn: &[u8]) -> Ending {
    let chain = CertificateDer::pem_slice_iter(pem);
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    refused(endpoint, alpn, Some((chain, key))).await
}

async fn refused(endpoint: &str, alpn: &[u8], own: Option<Own>) -> Ending {
    let connection = match dial(endpoint, alpn, own).await {
        Ok(connection) => connection,
        Err(refused) => return refused,
    };
    let hello = hello(ClusterId([1; 16]), HostId::new("nobody").unwrap());
    if let Ok((_send, mut receive)) = greet(&connection, hello).await {
        let answer = receive.read_to_end(1).await;
        assert!(answer.is_err(), "a stream was answered: {answer:?}");
    }
    closed(&connection).await
}

async fn closed(connection: &Connection) -> Ending {
    let closed = tokio::time::timeout(DEADLINE, connection.closed()).await;
    closed.expect("the coordinator never closed").into()
}

async fn greet(connection: &Connection, hello: Hello) -> Result<(SendStream, RecvStream), Ending> {
    let (mut send, receive) = connection.open_bi().await?;
    let frame = frame::encode(&AgentMessage::Hello(Box::new(hello))).unwrap();
    match send.write_all(&frame).await {
        Ok(()) => Ok((send, receive)),
        Err(_) => Err(closed(connection).await),
    }
}

fn hello(cluster: ClusterId, host: HostId) -> Hello {
    Hello {
        versions: SUPPORTED,
        software: "liar".to_owned(),
        mode: Mode::Sandbox,
        cluster,
        host,
        generations: GenerationStates::default(),
        floor: None,
        plan_key_version: 1,
    }
}

fn report(cluster: ClusterId, host: HostId, nonce: Nonce) -> HostReport {
    let generation = Some(Generation {
        epoch: 1,
        number: 900,
    });
    HostReport {
        cluster,
        host,
        nonce,
        sequence: 1,
        at: Timestamp(1),
        generations: GenerationStates {
            accepted: generation,
            running: generation,
            last_good: generation,
            attempted: None,
        },
        convergence: Convergence::Degraded,
        disposition: Disposition::Active,
        counts: StatusCounts::default(),
        statuses: Vec::new(),
        repairs: 0,
        apply_millis: None,
        inventory: 0,
        facts: Observed::Unknown {
            reason: "forged".to_owned(),
            since: Timestamp(1),
        },
        drains: Vec::new(),
    }
}

async fn next<T: DeserializeOwned>(receive: &mut RecvStream) -> Result<T, String> {
    let mut prefix = [0; 4];
    receive
        .read_exact(&mut prefix)
        .await
        .map_err(|error| error.to_string())?;
    let mut payload = vec![0; frame::length(prefix).map_err(|error| error.to_string())?];
    receive
        .read_exact(&mut payload)
        .await
        .map_err(|error| error.to_string())?;
    frame::decode(&payload).map_err(|error| error.to_string())
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

async fn dial(endpoint: &str, alpn: &[u8], own: Option<Own>) -> Result<Connection, Ending> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible(provider)));
    let mut tls = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    client.set_default_client_config(config);
    let connecting = client.connect(endpoint.parse().unwrap(), "node").unwrap();
    Ok(connecting.await?)
}

/// Believes every server: a liar does not mind whom it lies to.
#[derive(Debug)]
struct Gullible(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
