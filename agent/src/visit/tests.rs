//! Servers that answer right, wrong, or not at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn question(address: SocketAddr) -> HttpQuestion {
    HttpQuestion {
        address,
        tls: false,
        host: Some("www.example.com".to_owned()),
        path: "/a?b=c".to_owned(),
        least_status: 200,
        most_status: 399,
        contains: None,
    }
}

/// What it was asked, up to the empty line.
fn heard(stream: &mut impl Read) -> Vec<String> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect()
}

/// A server that gives these answers, one to each who comes, and says what it was asked.
fn server(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let one = |answer: Vec<u8>| {
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            let lines = heard(&mut stream);
            // Whoever asked may have heard enough.
            let _ = stream.write_all(&answer);
            lines
        };
        answers.into_iter().map(one).collect()
    };
    (address, std::thread::spawn(serve))
}

fn answer(status: &str, page: &str) -> Vec<u8> {
    let length = page.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}")
        .into()
}

#[test]
fn a_page_is_asked_for_by_the_name_and_nobody_is_followed_elsewhere() {
    let elsewhere =
        b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
    let answers = vec![
        answer("200 OK", "all is fine"),
        answer("200 OK", "all is lost"),
        answer("500 Oh", ""),
        elsewhere.to_vec(),
    ];
    let (address, server) = server(answers);
    let mut asked = question(address);
    asked.contains = Some("fine".to_owned());
    let page = |status, contains| Ok(Page { status, contains });
    assert_eq!(visit(&asked, LONG), page(200, true));
    assert_eq!(visit(&asked, LONG), page(200, false));
    asked.contains = None;
    assert_eq!(visit(&asked, LONG), page(500, true));
    assert_eq!(visit(&asked, LONG), page(302, true));
    for lines in server.join().unwrap() {
        assert_eq!(lines[0], "GET /a?b=c HTTP/1.1");
        let host = format!("host: www.example.com:{}", address.port());
        assert!(
            lines.iter().any(|line| line.to_lowercase() == host),
            "{lines:?}"
        );
    }
}

#[test]
fn an_endless_page_is_read_up_to_its_bound_and_silence_up_to_its_time() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.extend(vec![b'x'; 2 * limits::PAGE_BYTES]);
    endless.extend(b"the end");
    let (address, server) = server(vec![endless, b"SSH-2.0-OpenSSH\r\n".to_vec()]);
    let mut asked = question(address);
    asked.contains = Some("the end".to_owned());
    let page = Page {
        status: 200,
        contains: false,
    };
    assert_eq!(visit(&asked, LONG), Ok(page));
    let other = visit(&asked, LONG).unwrap_err();
    assert!(matches!(other, VisitError::Unreadable(_)), "{other:?}");
    server.join().unwrap();
    let nobody = visit(&asked, LONG).unwrap_err();
    assert!(
        matches!(&nobody, VisitError::Silent(reason) if reason.to_lowercase().contains("refused")),
        "{nobody:?}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = question(listener.local_addr().unwrap());
    let begin = std::time::Instant::now();
    let late = visit(&silent, Duration::from_millis(200)).unwrap_err();
    assert!(
        matches!(&late, VisitError::Silent(reason) if reason.contains("nothing came within")),
        "{late:?}"
    );
    assert!(begin.elapsed() < LONG);
}

#[test]
fn no_other_machine_is_ever_asked() {
    let elsewhere = question("192.0.2.1:80".parse().unwrap());
    let refused = visit(&elsewhere, LONG).unwrap_err();
    assert!(matches!(refused, VisitError::Stranger(_)), "{refused:?}");
}

/// A server over TLS with a certificate that nobody issued; it signs with another key where `lies`.
fn tls_server(lies: bool) -> (SocketAddr, JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(vec!["other.example.net".to_owned()]).unwrap();
    let key = if lies {
        rcgen::KeyPair::generate().unwrap().serialize_der()
    } else {
        made.signing_key.serialize_der()
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(key.into());
    let signing = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![made.cert.der().clone()], signing);
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(config).unwrap();
        let mut tls = rustls::StreamOwned::new(connection, stream);
        let _ = heard(&mut tls);
        let _ = tls.write_all(&answer("200 OK", "fine"));
        let _ = tls.flush();
    });
    (address, server)
}

#[test]
fn over_tls_any_certificate_will_do_as_long_as_its_key_is_there() {
    for (lies, expected) in [(false, Some(200)), (true, None)] {
        let (address, server) = tls_server(lies);
        let mut asked = question(address);
        asked.tls = true;
        let got = visit(&asked, LONG);
        assert_eq!(
            got.as_ref().ok().map(|page| page.status),
            expected,
            "{got:?}"
        );
        let is_unreadable = matches!(got, Err(VisitError::Unreadable(_)));
        assert_eq!(is_unreadable, lies, "{got:?}");
        server.join().unwrap();
    }
}
