//! Sends one call to the first end point that can serve it.
//!
//! A node that cannot be reached or has no leader is passed over; an answer of any other kind is the
//! answer. A write carries an idempotency key, so that one whose answer was lost may be sent again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use reqwest::header::HeaderName;
use reqwest::{Method, Response, StatusCode, Url};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;

use email_engine_protocol::api::{KEYS_UNDER_WAY, Problem};
use email_engine_protocol::limits::REQUEST_BYTES;

use super::error::{Tried, why};
use super::{Client, ClientError, Patience};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REASON: HeaderName = HeaderName::from_static("email-engine-reason");
/// More than any answer that is held in memory.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One call of the API, as it is sent to whichever node.
pub(super) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    media_type: &'static str,
    /// The same for every attempt.
    idempotency_key: Option<String>,
    pub(super) patience: Option<Patience>,
}

impl Call {
    /// A call without side effects. Segments are escaped, so that no name leads elsewhere.
    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// A call that changes something.
    pub(super) fn write(method: Method, path: &[&str]) -> Self {
        let mut call = Self::new(method, path);
        let mut bytes = [0; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the operating system has randomness");
        call.idempotency_key = Some(format!("cli-{}", HEXLOWER.encode(&bytes)));
        call
    }

    fn new(method: Method, path: &[&str]) -> Self {
        Self {
            method,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: Vec::new(),
            body: None,
            media_type: "application/json",
            idempotency_key: None,
            patience: None,
        }
    }

    /// Adds `?name=value`.
    pub(super) fn query(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Sends a value as JSON.
    pub(super) fn json(mut self, value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).expect("bodies of the API are plain data");
        self.body = Some(bytes);
        self
    }

    /// Sends bytes as they are.
    pub(super) fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.body = Some(bytes);
        self.media_type = "application/octet-stream";
        self
    }

    fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "v1"])
                .extend(&self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

impl Client {
    /// Sends a call and reads its answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let response = self.send(&call).await?;
        let url = response.url().to_string();
        let bytes = read(response).await?;
        // An answer without a body decodes as nothing.
        let bytes = if bytes.is_empty() {
            b"null"
        } else {
            &bytes[..]
        };
        serde_json::from_slice(bytes).map_err(|error| ClientError::Answer {
            url,
            why: error.to_string(),
        })
    }

    /// Sends a call to the first end point that can serve it.
    pub(super) async fn send(&self, call: &Call) -> Result<Response, ClientError> {
        // A node that stops reading ends the connection before its reason is heard.
        if let Some(got) = call.body.as_ref().map(Vec::len)
            && got > REQUEST_BYTES
        {
            return Err(ClientError::TooLarge { got });
        }
        let patience = call.patience.unwrap_or(self.patience);
        let began = Instant::now();
        let mut deadline = Some(began + patience.unavailable);
        let mut pause = PAUSE;
        loop {
            let (unavailable, tried) = match self.round(call, patience).await? {
                Round::Served(response) => return Ok(response),
                Round::Nobody { unavailable, tried } => (unavailable, tried),
            };
            // Nodes that are there but have no leader will have one soon; absent ones may never.
            let Some(problem) = unavailable else {
                return Err(ClientError::Unreachable { tried });
            };
            let is_over = if problem.code == KEYS_UNDER_WAY {
                // It serves, and gets on: what is asked of it next takes as long again.
                (deadline, pause) = (None, PAUSE);
                began.elapsed() >= patience.keys
            } else {
                let now = Instant::now();
                now + pause >= *deadline.get_or_insert(now + patience.unavailable)
            };
            if is_over {
                return Err(ClientError::Unavailable { problem, tried });
            }
            if problem.code == KEYS_UNDER_WAY
                && let Some(voice) = &self.voice
            {
                voice.note(&problem.detail);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks every end point once, beginning with the one that answered last.
    async fn round(&self, call: &Call, patience: Patience) -> Result<Round, ClientError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut unavailable = None;
        let mut tried = Vec::new();
        for offset in 0..self.endpoints.len() {
            let index = (first + offset) % self.endpoints.len();
            let base = &self.endpoints[index];
            let url = call.url(base);
            let response = match self.once(call, url, patience).await {
                Ok(response) => response,
                Err(error) => {
                    tried.push(Tried {
                        url: shown(base),
                        why: why(&error),
                    });
                    continue;
                }
            };
            if response.status().is_success() {
                self.preferred.store(index, Ordering::Relaxed);
                return Ok(Round::Served(response));
            }
            let passed_over = cannot_serve(response.status());
            let problem = Box::new(problem(response).await?);
            if matches!(&*problem.code, "unauthenticated" | "too-many-failures")
                && let Some(file) = self.key_file.clone()
            {
                // Each further node would count it as a guess.
                return Err(ClientError::Key { file, problem });
            }
            if !passed_over {
                self.preferred.store(index, Ordering::Relaxed);
                return Err(ClientError::Refused { problem });
            }
            tried.push(Tried {
                url: shown(base),
                why: format!("{} ({})", problem.title, problem.code),
            });
            let is_at_work = problem.code == KEYS_UNDER_WAY;
            unavailable = Some(problem);
            if is_at_work {
                // Another node would make the same keys.
                self.preferred.store(index, Ordering::Relaxed);
                break;
            }
        }
        Ok(Round::Nobody { unavailable, tried })
    }

    async fn once(
        &self,
        call: &Call,
        url: Url,
        patience: Patience,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .timeout(patience.request);
        if let Some(key) = &call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if call.idempotency_key.is_some()
            && let Some(reason) = &self.reason
        {
            request = request.header(REASON, reason);
        }
        if let Some(body) = &call.body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, call.media_type)
                .body(body.clone());
        }
        request.send().await
    }
}

/// What one round over all end points came to.
enum Round {
    Nobody {
        unavailable: Option<Box<Problem>>,
        tried: Vec<Tried>,
    },
    Served(Response),
}

/// Whether another node, or the same one later, may be able to.
const fn cannot_serve(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// An end point as shown: without the slash that parsing adds.
fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

async fn read(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let url = response.url().to_string();
    let failed = |why| ClientError::Answer {
        url: url.clone(),
        why,
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| failed(why(&error)))?
    {
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            return Err(failed(format!("it is larger than {ANSWER_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The reason of a refusal; one that is not in the agreed form is still shown.
async fn problem(response: Response) -> Result<Problem, ClientError> {
    let status = response.status();
    let bytes = read(response).await?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("refused").to_owned(),
        status: status.as_u16(),
        code: "unexplained".to_owned(),
        detail: String::from_utf8_lossy(&bytes).chars().take(500).collect(),
        field: None,
        value: None,
        accepted: None,
        request_id: None,
    }))
}
