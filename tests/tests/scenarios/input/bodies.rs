//! A request that is too large or no JSON is refused before it costs anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use email_engine_tests::{DEADLINE, Fleet};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;

/// What the API takes at most, and one byte more.
const TOO_LARGE: usize = 16 * 1024 * 1024 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_refused_readably_over_either_protocol() {
    let fleet = Fleet::single().await;
    let api = fleet.api();
    let body = json!({ "tenants": [], "padding": "x".repeat(17 * 1024 * 1024) });
    let refused = api.try_post("/fleet", &body, "too-large").await;
    let answer = refused.expect("HTTP/2 gives the answer while a client still sends");
    let expected = (413, "body-too-large");
    assert_eq!((answer.status, answer.code()), expected, "{answer:?}");

    // Over HTTP/1.1 it is said on the length alone, before a byte of the body.
    let text = tokio::task::block_in_place(|| announced(&fleet, TOO_LARGE));
    let (head, problem) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    let problem: serde_json::Value = serde_json::from_str(problem.trim()).unwrap();
    assert_eq!(problem["code"], "body-too-large", "{problem}");
    assert_eq!(api.get("/tenants").await.ok(), json!([]));
}

/// The answer to a request over HTTP/1.1 that says how long its body is and then sends none of it.
fn announced(fleet: &Fleet, length: usize) -> String {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(fleet.ca_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = &fleet.nodes[&1].endpoints().api;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut stream = rustls::StreamOwned::new(client, socket);
    write!(
        stream,
        "POST /api/v1/fleet HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        fleet.admin_key()
    )
    .unwrap();
    let mut answer = Vec::new();
    // A server that closes without a farewell of TLS has answered all the same.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_is_named_with_line_column_and_field_and_nothing_changes() {
    let fleet = Fleet::single().await;
    let api = fleet.api();
    let wrong = json!({ "tenants": [{ "id": "client-1", "name": 7 }] });
    let refused = api.post("/fleet", &wrong).await;
    assert_eq!(
        (refused.status, refused.code()),
        (422, "bad-field"),
        "{refused:?}"
    );
    let said = refused.body["detail"].as_str().unwrap();
    assert!(said.contains("line 1") && said.contains("column"), "{said}");
    assert_eq!(refused.body["field"], "tenants[0].name", "{refused:?}");
    assert_eq!(api.get("/tenants").await.ok(), json!([]));
}
