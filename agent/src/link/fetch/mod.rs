//! Asks ACME servers in the executor's words.
//!
//! Only what ACME needs: https, the host that the executor names with the question, three methods, one
//! type of body, no redirects, no proxy, no cookies; sizes, times and numbers are bounded. Whose
//! certificate is believed is said by the system's list of authorities, or by a file of the operator's.

pub(crate) mod post;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::desired::directory_host;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, Url};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::tls;
use crate::halves::{
    FETCH_BYTES, FETCHED_BYTES, FETCHED_HEADER, FETCHES, Fetch, FetchMethod, Fetched, ToExecutor,
};

/// For one answer, whole.
const ANSWER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
const JOSE: &str = "application/jose+json";
const NONCE: HeaderName = HeaderName::from_static("replay-nonce");
const REASON_BYTES: usize = 512;

/// Asks, a few at a time.
#[derive(Debug)]
pub(crate) struct Fetching {
    ca_file: Option<PathBuf>,
    client: Option<Client>,
    running: JoinSet<()>,
}

impl Fetching {
    pub(crate) fn new(ca_file: Option<PathBuf>) -> Self {
        Self {
            ca_file,
            client: None,
            running: JoinSet::new(),
        }
    }

    /// Begins, or says at once why not.
    pub(crate) fn begin(&mut self, number: u64, fetch: Fetch, to: mpsc::Sender<ToExecutor>) {
        while self.running.try_join_next().is_some() {}
        let ready = match self.running.len() < FETCHES {
            true => admit(&fetch).and_then(|url| Ok((self.client()?, url))),
            false => Err(format!("{FETCHES} questions are under way already")),
        };
        if ready.is_err() && self.running.len() >= 2 * FETCHES {
            // Nobody listens to refusals any more.
            return;
        }
        self.running.spawn(async move {
            let answer = match ready {
                Ok((client, url)) => ask(&client, url, fetch).await.map(Box::new),
                Err(reason) => Err(reason),
            };
            let answer = answer.map_err(|mut reason| {
                reason.truncate(reason.floor_char_boundary(REASON_BYTES));
                reason
            });
            // Gone: then nobody waits for it either.
            let _ = to.send(ToExecutor::Fetched { number, answer }).await;
        });
    }

    /// Made when it is needed first, and again after a failure: a list may have been mended.
    fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = client(self.ca_file.as_deref())?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

/// The address, when it is one that may be asked.
fn admit(fetch: &Fetch) -> Result<Url, String> {
    let refuse = |why: &str| Err(format!("the executor's question is refused: {why}"));
    if fetch.url.len() > FETCHED_HEADER || fetch.body.len() > FETCH_BYTES {
        return refuse("it is too long");
    }
    let Ok(url) = Url::parse(&fetch.url) else {
        return refuse("its address is none");
    };
    let whole = format!("https://{}/", fetch.host);
    let is_named = directory_host(&whole) == Some(&fetch.host);
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !is_named || url.scheme() != "https" || authority != fetch.host || has_user {
        return refuse("its address is not at the directory's host");
    }
    if fetch.method != FetchMethod::Post && !fetch.body.is_empty() {
        return refuse("only a POST has a body");
    }
    Ok(url)
}

fn client(ca_file: Option<&Path>) -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let said = |error: &dyn std::fmt::Display| {
                format!("acme_ca_file {} cannot be used: {error}", path.display())
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(|e| said(&e))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|e| said(&e))?;
                roots.add(certificate).map_err(|e| said(&e))?;
            }
        }
        None => add_systems_list(&mut roots),
    }
    if roots.is_empty() {
        let nobody = "no authority is known by which an ACME server could be believed: the package \
                      ca-certificates brings some, `acme_ca_file` names others";
        return Err(nobody.to_owned());
    }
    let client = builder(roots)?.https_only(true).build();
    client.map_err(|error| unusable(&error))
}

/// Believes the authorities of the system's list.
fn add_systems_list(roots: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a part of the system's list of authorities is not read");
    }
    roots.add_parsable_certificates(found.certs);
}

/// What holds for whomever is asked: he alone, nobody in between or behind him, and not for long.
fn builder(roots: RootCertStore) -> Result<ClientBuilder, String> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&tls::provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .user_agent(concat!("email-engine-agent/", env!("CARGO_PKG_VERSION")));
    Ok(client)
}

fn unusable(error: &dyn std::fmt::Display) -> String {
    format!("TLS cannot be set up: {error}")
}

async fn ask(client: &Client, url: Url, fetch: Fetch) -> Result<Fetched, String> {
    let request = match fetch.method {
        FetchMethod::Get => client.request(Method::GET, url),
        FetchMethod::Head => client.request(Method::HEAD, url),
        FetchMethod::Post => client
            .request(Method::POST, url)
            .header(CONTENT_TYPE, JOSE)
            .body(fetch.body),
    };
    let mut response = request.send().await.map_err(|error| with_causes(&error))?;
    let mut fetched = Fetched {
        status: response.status().as_u16(),
        nonce: header(response.headers(), &NONCE)?,
        location: header(response.headers(), &LOCATION)?,
        retry_after: header(response.headers(), &RETRY_AFTER)?,
        body: Vec::new(),
    };
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| with_causes(&error))?
    {
        if fetched.body.len() + chunk.len() > FETCHED_BYTES {
            return Err(format!(
                "its answer has more than {FETCHED_BYTES} bytes, which is not read"
            ));
        }
        fetched.body.extend_from_slice(&chunk);
    }
    Ok(fetched)
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, String> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if text.len() <= FETCHED_HEADER => Ok(Some(text.to_owned())),
        _ => Err(format!(
            "its header {name} is no text of at most {FETCHED_HEADER} bytes"
        )),
    }
}

/// The chain of causes names what a person can mend: a name that does not resolve, a certificate.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(url: &str) -> Fetch {
        Fetch {
            method: FetchMethod::Get,
            url: url.to_owned(),
            host: "acme.example.net".to_owned(),
            body: Vec::new(),
        }
    }

    #[test]
    fn nothing_but_the_directorys_host_is_asked_and_only_over_tls() {
        assert!(admit(&fetch("https://acme.example.net/order/1?x=y")).is_ok());
        for elsewhere in [
            "http://acme.example.net/",
            "https://acme.example.net:8443/",
            "https://acme.example.net.example.com/",
            "https://acme.example.net@example.com/",
            "https://user@acme.example.net/",
            "https://192.0.2.1/",
            "file:///etc/passwd",
            "acme.example.net",
            "",
        ] {
            assert!(admit(&fetch(elsewhere)).is_err(), "{elsewhere}");
        }
        let mut other = fetch("https://192.0.2.1/");
        other.host = "192.0.2.1".to_owned();
        assert!(admit(&other).is_err(), "an address is no directory's host");
        let mut long = fetch("https://acme.example.net/");
        long.url.push_str(&"a".repeat(FETCHED_HEADER));
        assert!(admit(&long).is_err());
        let mut said = fetch("https://acme.example.net/");
        said.body = b"x".to_vec();
        assert!(admit(&said).is_err(), "a GET says nothing");
    }

    #[tokio::test]
    async fn a_question_that_cannot_be_asked_is_answered_and_more_than_a_few_are_not_begun() {
        let (to, mut answers) = mpsc::channel(64);
        let missing = Some(PathBuf::from("/nonexistent/ca.pem"));
        let mut fetching = Fetching::new(missing);
        fetching.begin(7, fetch("https://acme.example.net/"), to.clone());
        let Some(ToExecutor::Fetched {
            number: 7,
            answer: Err(reason),
        }) = answers.recv().await
        else {
            panic!("an answer");
        };
        assert!(
            reason.contains("acme_ca_file /nonexistent/ca.pem"),
            "{reason}"
        );
        for number in 0..50 {
            fetching.begin(number, fetch("ftp://acme.example.net/"), to.clone());
        }
        assert!(fetching.running.len() <= 2 * FETCHES);
    }
}
