//! Posts bounces and complaints to tenants' applications, in the executor's words.
//!
//! Only what that needs: an address of a service as the signed state has them (https, or this very machine),
//! one method, one type of body, no redirects, no proxy; sizes, times and numbers are bounded, and of the
//! answer nothing but its status is looked at.

use email_engine_protocol::url::ServiceUrl;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use rustls::RootCertStore;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{REASON_BYTES, add_systems_list, builder, unusable, with_causes};
use crate::halves::{FETCHES, POST_BYTES, Post, ToExecutor};

/// Posts, a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Posts {
    client: Option<Client>,
    running: JoinSet<()>,
}

impl Posts {
    /// Begins, or says at once why not.
    pub(crate) fn begin(&mut self, number: u64, post: Post, to: mpsc::Sender<ToExecutor>) {
        while self.running.try_join_next().is_some() {}
        let ready = match self.running.len() < FETCHES {
            true => admit(&post).and_then(|()| self.client()),
            false => Err(format!("{FETCHES} posts are under way already")),
        };
        if ready.is_err() && self.running.len() >= 2 * FETCHES {
            // The executor takes it for lost after a while.
            return;
        }
        self.running.spawn(async move {
            let answer = match ready {
                Ok(client) => send(&client, post).await,
                Err(reason) => Err(reason),
            };
            let answer = answer.map_err(|mut reason| {
                reason.truncate(reason.floor_char_boundary(REASON_BYTES));
                reason
            });
            let _ = to.send(ToExecutor::Posted { number, answer }).await;
        });
    }

    /// Made when it is needed first, and again after a failure.
    fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = client()?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

fn admit(post: &Post) -> Result<(), String> {
    let is_short = post.body.len() <= POST_BYTES;
    match ServiceUrl::new(&post.url) {
        Ok(_) if is_short => Ok(()),
        _ => {
            Err("the executor's post is refused: it is too long, or its address is none".to_owned())
        }
    }
}

fn client() -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    add_systems_list(&mut roots);
    believing(roots)
}

fn believing(roots: RootCertStore) -> Result<Client, String> {
    builder(roots)?.build().map_err(|error| unusable(&error))
}

async fn send(client: &Client, post: Post) -> Result<u16, String> {
    let request = client
        .post(post.url)
        .header(CONTENT_TYPE, "application/json")
        .body(post.body);
    let answer = request.send().await.map_err(|error| with_causes(&error))?;
    Ok(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::thread::JoinHandle;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::{ServerConfig, ServerConnection, Stream};
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    /// A server whose certificate says that it has this name, the certificate, and what one caller sent it under
    /// TLS.
    fn server(name: &str) -> (u16, CertificateDer<'static>, JoinHandle<Vec<u8>>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            let mut heard = vec![0; 4096];
            let length = Stream::new(&mut tls, &mut stream).read(&mut heard);
            heard.truncate(length.unwrap_or(0));
            heard
        });
        (port, certificate, heard)
    }

    async fn post_to(client: &Client, port: u16) -> Result<u16, String> {
        let post = Post {
            url: format!("https://localhost:{port}/dswh/pmta"),
            body: b"[]".to_vec(),
        };
        send(client, post).await
    }

    #[tokio::test]
    async fn nothing_is_posted_to_whoever_is_not_who_the_address_says() {
        // Signed by nobody that the machine believes.
        let (port, _, heard) = server("localhost");
        let reason = post_to(&client().unwrap(), port).await.unwrap_err();
        assert!(reason.contains("UnknownIssuer"), "{reason}");
        assert_eq!(heard.join().unwrap(), b"");
        // Believed, and somebody else's.
        let (port, certificate, heard) = server("app.example.com");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let reason = post_to(&believing(roots).unwrap(), port).await.unwrap_err();
        assert!(reason.contains("not valid for name"), "{reason}");
        assert_eq!(heard.join().unwrap(), b"");
        // The same where all is right: it hangs up, but it was told.
        let (port, certificate, heard) = server("localhost");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let answer = post_to(&believing(roots).unwrap(), port).await;
        assert!(answer.is_err(), "{answer:?}");
        assert!(heard.join().unwrap().starts_with(b"POST /dswh/pmta"));
    }

    #[tokio::test]
    async fn only_services_are_posted_to_and_no_more_than_a_post_may_have() {
        for (url, length) in [
            ("http://192.0.2.1/dswh/pmta", 1),
            ("https://user@app.example.com/dswh/pmta", 1),
            ("file:///etc/passwd", 1),
            ("https://app.example.com/dswh/pmta", POST_BYTES + 1),
        ] {
            let (to, mut answers) = mpsc::channel(1);
            let post = Post {
                url: url.to_owned(),
                body: vec![b' '; length],
            };
            let mut posts = Posts::default();
            posts.begin(7, post, to);
            let answered = answers.recv().await;
            let Some(ToExecutor::Posted {
                number: 7,
                answer: Err(reason),
            }) = answered
            else {
                panic!("{url}: {answered:?}");
            };
            assert!(reason.contains("refused"), "{url}: {reason}");
        }
    }
}
