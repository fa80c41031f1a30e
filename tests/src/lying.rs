//! A network half that lies: it holds a host's certificate, but not its executor's keys.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use email_engine_agent::identity::IdentityStore;
use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::desired::Disposition;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::{
    Convergence, GenerationStates, HostReport, Mode, Observed, StatusCounts,
};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{ALPN_AGENT, Hello, SUPPORTED, frame};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

/// Opens a session with the stolen identity in `data_dir`, reports a convergence that never was
/// under a key of its own, and gives what the coordinator said last.
pub async fn send_forged_report(data_dir: &Path, endpoint: &str) -> String {
    let identity = IdentityStore::open(data_dir)
        .unwrap()
        .load()
        .unwrap()
        .unwrap();
    let own = Some((identity.chain.clone(), identity.key.for_tls()));
    let connection = dial(endpoint, own).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let (cluster, host) = (identity.trust.cluster, identity.trust.host.clone());
    let hello = Hello {
        versions: SUPPORTED,
        software: "liar".to_owned(),
        mode: Mode::Sandbox,
        cluster,
        host: host.clone(),
        generations: GenerationStates::default(),
        floor: None,
        plan_key_version: 1,
    };
    send.write_all(&frame::encode(&AgentMessage::Hello(Box::new(hello))).unwrap())
        .await
        .unwrap();
    let nonce = match next(&mut receive).await {
        Ok(CoordinatorMessage::Welcome(welcome)) => welcome.nonce,
        other => panic!("no welcome: {other:?}"),
    };
    let forged = SigningKey::from_seed([66; 32]).sign(&report(cluster, host, nonce));
    send.write_all(&frame::encode(&AgentMessage::Report(forged)).unwrap())
        .await
        .unwrap();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), next(&mut receive)).await {
            Ok(Ok(CoordinatorMessage::Refused(refusal))) => return format!("{refusal:?}"),
            Ok(Ok(_)) => {}
            Ok(Err(closed)) => return format!("closed: {closed}"),
            Err(_) => return "still open".to_owned(),
        }
    }
}

/// Dials the agents' end point without a certificate and gives why the connection ended.
pub async fn dial_without_certificate(endpoint: &str) -> String {
    match dial(endpoint, None).await {
        Err(refused) => refused,
        Ok(connection) => {
            match tokio::time::timeout(Duration::from_secs(20), connection.closed()).await {
                Ok(reason) => reason.to_string(),
                Err(_) => "still open".to_owned(),
            }
        }
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
    }
}

async fn next(receive: &mut RecvStream) -> Result<CoordinatorMessage, String> {
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

async fn dial(endpoint: &str, own: Option<Own>) -> Result<Connection, String> {
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
    tls.alpn_protocols = vec![ALPN_AGENT.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    client.set_default_client_config(config);
    let connecting = client.connect(endpoint.parse().unwrap(), "node").unwrap();
    connecting.await.map_err(|error| error.to_string())
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
