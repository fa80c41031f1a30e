//! Small HTTPS servers that stand for the nodes of a cluster.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls_pki_types::PrivateKeyDer;

use email_engine_protocol::api::Problem;
use email_engine_protocol::id::ClusterId;

use super::{Client, Patience};
use crate::commands::Desk;
use crate::context::{Context, ContextEndpoint};
use crate::output::PLAIN;

/// Longer than a test takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A cluster's CA.
pub(crate) struct Authority {
    cluster: ClusterId,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a node was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) api_key: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) reason: Option<String>,
}

/// A node that answers every request in one way.
#[derive(Debug)]
pub(crate) struct StandIn {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Authority {
    pub(crate) fn new(cluster: u8) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each CA has the same name: only its key tells it from another.
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self {
            cluster: ClusterId([cluster; 16]),
            issuer,
        }
    }

    fn tls(&self) -> RustlsConfig {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = format!("email-engine://{}/node/1", self.cluster);
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::URI(uri.try_into().unwrap()),
        ];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        RustlsConfig::from_config(Arc::new(config))
    }

    /// Starts a node on a free port.
    pub(crate) fn node(
        &self,
        answer: impl Fn(&str) -> Response + Clone + Send + Sync + 'static,
    ) -> StandIn {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let router = Router::new().fallback(move |request: Request| {
            let header = |name: &str| {
                let value = request.headers().get(name)?;
                Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            let target = request.uri().path_and_query().unwrap().to_string();
            log.lock().unwrap().push(Asked {
                target: target.clone(),
                api_key: header("x-api-key"),
                idempotency_key: header("idempotency-key"),
                reason: header("email-engine-reason"),
            });
            let response = answer(&target);
            async move { response }
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let server = axum_server::from_tcp_rustls(listener, self.tls()).unwrap();
        tokio::spawn(server.serve(router.into_make_service()));
        StandIn {
            url: format!("https://{address}"),
            asked,
        }
    }

    /// A client of these end points.
    pub(crate) fn client(&self, urls: &[&str], unavailable: Duration) -> Client {
        let context = Context {
            cluster: self.cluster,
            api_key: "eek1.admin.secret".to_owned(),
            ca_file: None,
            ca_pem: Some(self.issuer.pem()),
            endpoints: urls
                .iter()
                .map(|url| ContextEndpoint {
                    url: (*url).to_owned(),
                    address: None,
                })
                .collect(),
        };
        let patience = Patience {
            request: Duration::from_secs(10),
            unavailable,
            keys: LONG,
        };
        Client::new(&context, patience).unwrap()
    }

    /// A desk with a client of one node.
    pub(crate) fn desk(&self, node: &StandIn) -> Desk {
        Desk {
            client: self.client(&[&node.url], Duration::ZERO),
            output: PLAIN,
        }
    }
}

/// An end point where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    format!("https://{address}")
}

/// An error as the API answers it.
pub(crate) fn problem(status: u16, code: &str) -> Response {
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: code.to_owned(),
        status,
        code: code.to_owned(),
        detail: format!("it is {code}"),
        field: None,
        value: None,
        accepted: None,
        request_id: None,
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, serde_json::to_string(&problem).unwrap()).into_response()
}
