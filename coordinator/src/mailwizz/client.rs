//! Asks the application.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use email_engine_protocol::url::ServiceUrl;

use super::draft::Draft;
use super::reply::{self, DeliveryServer, Listed, ReplyError};
use crate::state::Figures;

/// Counter by `endpoint` and `status_code`, which is `none` when no answer came: calls of the application.
pub const MAILWIZZ_CALLS: &str = "email_engine_mailwizz_api_calls_total";
const CAMPAIGNS: &str = "campaigns";
const SERVERS: &str = "delivery-servers";

/// Longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// One question, from the first byte out to the last byte in.
const READ_WITHIN: Duration = Duration::from_secs(4);
/// Making a campaign: it copies a template and its images.
const WRITE_WITHIN: Duration = Duration::from_secs(15);
/// Questions after the first, where asking again is safe.
const AGAIN: usize = 2;
const PAUSE: Duration = Duration::from_millis(200);
/// Pages that are looked through, and rows of one.
const PAGES: u64 = 20;
const PER_PAGE: u64 = 500;

/// Where a tenant's application answers, and the key of a customer there.
pub struct Door {
    /// Below it lies `/api`.
    pub url: ServiceUrl,
    /// Value of `X-API-KEY`.
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({})", self.url)
    }
}

/// Why a call came to nothing, or may have.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The answer is no.
    #[error("MailWizz refused it ({status}): {words}")]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its own words.
        words: String,
    },
    /// Something answers, and not as its API does. Nothing was asked that changes anything.
    #[error("what answers at {url} does not answer as MailWizz's API does ({status}): {what}")]
    Strange {
        /// Where.
        url: String,
        /// Its HTTP status.
        status: u16,
        /// What is odd.
        what: String,
    },
    /// It was asked to make something, and whether it did is not known.
    #[error("MailWizz was asked and may have done it: {what}")]
    Unclear {
        /// What was seen.
        what: String,
    },
    /// Nobody heard the question.
    #[error("MailWizz is not reached at {url}: {what}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        what: String,
    },
}

impl CallError {
    /// Whether the same may be asked again, when it changes nothing.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Strange { status, .. } => *status >= 500,
            Self::Refused { .. } | Self::Unclear { .. } => false,
        }
    }
}

/// What came back.
struct Heard {
    status: StatusCode,
    body: Vec<u8>,
}

/// Why nothing came back.
struct Silence {
    /// The question cannot have arrived.
    unheard: bool,
    what: String,
}

/// Asks applications. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    pub(super) write_within: Duration,
}

/// Why nobody can be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Of the machine.
    #[error("the client of MailWizz cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Of the library.
    #[error("the client of MailWizz cannot be made: {0}")]
    Http(#[from] reqwest::Error),
}

impl Client {
    /// A client that believes the certificate authorities of the machine (the package `ca-certificates`, or
    /// what `SSL_CERT_FILE` names). Without any, nobody is believed.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate authority of the machine cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("email-engine/", env!("CARGO_PKG_VERSION")))
            // The key goes to the application and to nobody in between or behind it.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .build()?;
        Ok(Self {
            http,
            write_within: WRITE_WITHIN,
        })
    }

    /// All delivery servers of the customer.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, or answers strangely.
    pub async fn servers(&self, door: &Door) -> Result<Vec<DeliveryServer>, CallError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let listed = self.page(door, SERVERS, page, reply::servers).await?;
            all.extend(listed.records);
            if page >= listed.pages {
                break;
            }
        }
        Ok(all)
    }

    /// Uids of the newest campaigns that have a name.
    ///
    /// # Errors
    /// As [`servers`](Self::servers).
    pub async fn named(&self, door: &Door, name: &str) -> Result<Vec<String>, CallError> {
        let listed = self.page(door, CAMPAIGNS, 1, reply::campaigns).await?;
        let records = listed.records.into_iter();
        let named = records.filter(|(own, _)| own == name);
        Ok(named.map(|(_, uid)| uid).collect())
    }

    /// What is counted of one campaign's mail, opens and clicks included.
    ///
    /// # Errors
    /// As [`servers`](Self::servers).
    pub async fn figures(&self, door: &Door, uid: &str) -> Result<Figures, CallError> {
        let url = url(door, &[CAMPAIGNS, uid, "stats"])?;
        self.read(door, "campaign-stats", &url, reply::figures)
            .await
    }

    /// Makes a campaign and gives its uid.
    ///
    /// # Errors
    /// Says whether there is one now, as far as that is known.
    pub async fn create(&self, door: &Door, draft: &Draft) -> Result<String, CallError> {
        let url = url(door, &[CAMPAIGNS])?;
        let form = form(&draft.fields);
        let ask = || async {
            let request = self
                .request(Method::POST, url.clone(), door, self.write_within)?
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone());
            let heard = send(CAMPAIGNS, request)
                .await
                .map_err(|silence| match silence {
                    Silence {
                        unheard: true,
                        what,
                    } => unreachable(door, what),
                    Silence { what, .. } => CallError::Unclear { what },
                })?;
            let status = heard.status.as_u16();
            match reply::created(&heard.body) {
                Ok(uid) => Ok(uid),
                // Whatever broke in it may have broken after the campaign was there.
                Err(error) if heard.status.is_server_error() => Err(CallError::Unclear {
                    what: format!("status {status}: {error}"),
                }),
                Err(ReplyError::Garbled(what)) if heard.status.is_success() => {
                    Err(CallError::Unclear { what })
                }
                Err(error) => Err(no(door, status, error)),
            }
        };
        let unheard = |error: &CallError| matches!(error, CallError::Unreachable { .. });
        asked_again(ask, unheard).await
    }

    async fn page<T>(
        &self,
        door: &Door,
        what: &'static str,
        page: u64,
        read: impl Fn(&[u8]) -> Result<Listed<T>, ReplyError>,
    ) -> Result<Listed<T>, CallError> {
        let mut url = url(door, &[what])?;
        url.query_pairs_mut()
            .append_pair("page", &page.to_string())
            .append_pair("per_page", &PER_PAGE.to_string());
        self.read(door, what, &url, read).await
    }

    async fn read<T>(
        &self,
        door: &Door,
        what: &'static str,
        url: &Url,
        read: impl Fn(&[u8]) -> Result<T, ReplyError>,
    ) -> Result<T, CallError> {
        let ask = || async {
            let request = self.request(Method::GET, url.clone(), door, READ_WITHIN)?;
            let heard = send(what, request)
                .await
                .map_err(|silence| unreachable(door, silence.what))?;
            read(&heard.body).map_err(|error| no(door, heard.status.as_u16(), error))
        };
        asked_again(ask, CallError::may_pass).await
    }

    fn request(
        &self,
        method: Method,
        url: Url,
        door: &Door,
        within: Duration,
    ) -> Result<reqwest::RequestBuilder, CallError> {
        let mut key = HeaderValue::from_bytes(&door.key)
            .map_err(|_| unreachable(door, "its key is none that a header can carry".to_owned()))?;
        key.set_sensitive(true);
        let request = self.http.request(method, url).timeout(within);
        Ok(request.header("x-api-key", key))
    }
}

/// Asks until there is an answer that asking again would not change.
async fn asked_again<T, A: Future<Output = Result<T, CallError>>>(
    ask: impl Fn() -> A,
    may_pass: impl Fn(&CallError) -> bool,
) -> Result<T, CallError> {
    let pauses = backon::ExponentialBuilder::default()
        .with_min_delay(PAUSE)
        .with_max_times(AGAIN)
        .with_jitter();
    for pause in pauses.build() {
        match ask().await {
            Err(error) if may_pass(&error) => tokio::time::sleep(pause).await,
            answered => return answered,
        }
    }
    ask().await
}

/// `index.php` is there whatever the web server rewrites.
fn url(door: &Door, rest: &[&str]) -> Result<Url, CallError> {
    let text = format!("{}/api/index.php/{}", door.url, rest.join("/"));
    Url::parse(&text).map_err(|error| unreachable(door, error.to_string()))
}

/// A form as browsers send it: the application reads no JSON. An address's query is written the same way.
fn form(fields: &[(String, String)]) -> String {
    let mut carrier = Url::parse("form:").expect("a fixed address");
    carrier.query_pairs_mut().extend_pairs(fields);
    carrier.query().unwrap_or_default().to_owned()
}

fn unreachable(door: &Door, what: String) -> CallError {
    let url = door.url.to_string();
    CallError::Unreachable { url, what }
}

/// What an answer that is no good says of the question.
fn no(door: &Door, status: u16, error: ReplyError) -> CallError {
    match error {
        ReplyError::Refused(words) => CallError::Refused { status, words },
        ReplyError::Garbled(what) => CallError::Strange {
            url: door.url.to_string(),
            status,
            what,
        },
    }
}

async fn send(endpoint: &'static str, request: reqwest::RequestBuilder) -> Result<Heard, Silence> {
    let answered = heard(request).await;
    let status = answered.as_ref().ok().map(|heard| heard.status);
    let status = status.map_or_else(|| "none".to_owned(), |status| status.as_str().to_owned());
    metrics::counter!(MAILWIZZ_CALLS, "endpoint" => endpoint, "status_code" => status).increment(1);
    answered
}

async fn heard(request: reqwest::RequestBuilder) -> Result<Heard, Silence> {
    let mut response = request.send().await.map_err(|error| Silence {
        unheard: error.is_connect() || error.is_builder(),
        what: told(&error),
    })?;
    let status = response.status();
    let mut body = Vec::new();
    let broken = |what| Silence {
        unheard: false,
        what,
    };
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| broken(told(&error)))?
    {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(broken(format!(
                "its answer is longer than {ANSWER_BYTES} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Heard { status, body })
}

/// The whole chain: what reqwest itself says leaves the reason out. No address: the door's is told.
fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        String::new()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() {
        "the connection failed".to_owned()
    } else {
        text
    }
}
