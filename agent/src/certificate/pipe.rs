//! The executor's way to an ACME server: each question is handed to the network half, which alone has a
//! network, and its answer awaited.
//!
//! What is asked is bounded here as well as there: the directory's own host, over TLS, so many questions
//! of so many bytes for one certificate.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::halves::{
    FETCH_BYTES, FETCHED_BYTES, FETCHED_HEADER, FETCHES, Fetch, FetchMethod, Fetched, FromExecutor,
};

/// For an answer: a little longer than the network half takes to give up.
const ANSWER: Duration = Duration::from_secs(45);
/// Longest `Retry-After` that is passed on: whoever adds it to a clock shall not overflow.
const LONGEST_WISH: u64 = 7 * 24 * 3600;

type Answer = Result<Box<Fetched>, String>;

/// Where answers of the network half go.
#[derive(Debug)]
pub(crate) struct Answers {
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    /// Of the next question. Begins anywhere, so that an answer to an earlier life's is none of ours.
    next: AtomicU64,
}

impl Default for Answers {
    fn default() -> Self {
        let mut bytes = [0; 8];
        // Without randomness it begins at the same number each time, which only late answers could notice.
        let _ = SystemRandom::new().fill(&mut bytes);
        Self {
            waiting: Mutex::default(),
            next: AtomicU64::new(u64::from_le_bytes(bytes)),
        }
    }
}

impl Answers {
    /// Takes an answer; one that nobody waits for is dropped.
    pub(crate) fn put(&self, number: u64, answer: Answer) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let asker = waiting.remove(&number);
        drop(waiting);
        if let Some(asker) = asker {
            let _ = asker.send(answer);
        }
    }

    fn expect(self: &Arc<Self>) -> (Expected, oneshot::Receiver<Answer>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(number, sender);
        drop(waiting);
        let answers = Arc::clone(self);
        (Expected { answers, number }, receiver)
    }
}

/// Nobody waits any more when this is dropped.
struct Expected {
    answers: Arc<Answers>,
    number: u64,
}

impl Drop for Expected {
    fn drop(&mut self) {
        let waiting = self.answers.waiting.lock();
        waiting
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}

/// The way out, shared by all certificates.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    events: mpsc::Sender<FromExecutor>,
    answers: Arc<Answers>,
    room: Arc<Semaphore>,
}

impl Way {
    pub(crate) fn new(events: mpsc::Sender<FromExecutor>, answers: Arc<Answers>) -> Self {
        Self {
            events,
            answers,
            room: Arc::new(Semaphore::new(FETCHES)),
        }
    }
}

/// What one certificate may ask, and what was learnt beside the answers.
#[derive(Debug)]
struct Asking {
    way: Way,
    host: String,
    /// Questions that are left.
    left: AtomicU32,
    /// The newest `Retry-After` of an answer that was a refusal, in seconds.
    wish: Mutex<Option<u64>>,
}

/// Asks the server of one directory.
#[derive(Clone, Debug)]
pub(crate) struct Pipe(Arc<Asking>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unanswered(String);

fn unanswered(reason: impl fmt::Display) -> instant_acme::Error {
    instant_acme::Error::Other(Box::new(Unanswered(reason.to_string())))
}

impl Pipe {
    pub(crate) fn new(way: Way, host: &str, questions: u32) -> Self {
        Self(Arc::new(Asking {
            way,
            host: host.to_owned(),
            left: AtomicU32::new(questions),
            wish: Mutex::default(),
        }))
    }

    /// How long the server wants to be left alone.
    pub(crate) fn wish(&self) -> Option<u64> {
        *self.0.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    async fn ask(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Result<BytesResponse, instant_acme::Error> {
        let (parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let url = parts.uri.to_string();
        let is_theirs = parts.uri.scheme_str() == Some("https")
            && authority == Some(&self.host)
            && url.len() <= FETCHED_HEADER;
        if !is_theirs {
            let url: String = url.chars().take(200).collect();
            let host = &self.host;
            return Err(unanswered(format!(
                "the server names {url:?}, and only https://{host}/ is asked"
            )));
        }
        let method = match parts.method {
            Method::GET => FetchMethod::Get,
            Method::HEAD => FetchMethod::Head,
            Method::POST => FetchMethod::Post,
            other => return Err(unanswered(format!("{other} is not asked"))),
        };
        let Ok(body) = body.collect().await;
        let body = body.to_bytes().to_vec();
        if body.len() > FETCH_BYTES {
            return Err(unanswered(format!("a question has {} bytes", body.len())));
        }
        let spent = |left: u32| left.checked_sub(1);
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent)
            .is_err()
        {
            return Err(unanswered(
                "the server asks for more questions than one certificate takes",
            ));
        }
        let fetch = Fetch {
            method,
            url,
            host: self.host.clone(),
            body,
        };
        let fetched = self.fetch(fetch).await?;
        self.answered(*fetched)
    }

    async fn fetch(&self, fetch: Fetch) -> Result<Box<Fetched>, instant_acme::Error> {
        let _room = self.way.room.acquire().await.map_err(unanswered)?;
        let (expected, answer) = self.way.answers.expect();
        let wanted = FromExecutor::FetchWanted {
            number: expected.number,
            fetch: Box::new(fetch),
        };
        let asked = async {
            let gone = || unanswered("the network half is gone");
            self.way.events.send(wanted).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?.map_err(unanswered)
        };
        let late = || unanswered("the network half does not answer");
        let answer = timeout(ANSWER, asked).await;
        drop(expected);
        answer.unwrap_or_else(|_| Err(late()))
    }

    /// None of it is believed: it is measured once more, and its words are judged by whoever asked.
    fn answered(&self, fetched: Fetched) -> Result<BytesResponse, instant_acme::Error> {
        let Fetched {
            status,
            nonce,
            location,
            retry_after,
            body,
        } = fetched;
        if body.len() > FETCHED_BYTES {
            return Err(unanswered(format!("the answer has {} bytes", body.len())));
        }
        // Seconds or nothing: a date is the server's clock against ours.
        let seconds = retry_after.and_then(|text| text.trim().parse::<u64>().ok());
        let seconds = seconds.map(|seconds| seconds.min(LONGEST_WISH));
        if status >= 400 {
            *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = seconds;
        }
        let mut response = Response::new(Full::new(bytes::Bytes::from(body)));
        *response.status_mut() = http::StatusCode::from_u16(status).map_err(unanswered)?;
        for (name, text) in [
            (header::HeaderName::from_static("replay-nonce"), nonce),
            (header::LOCATION, location),
            (header::RETRY_AFTER, seconds.map(|one| one.to_string())),
        ] {
            if let Some(text) = text {
                let value = HeaderValue::from_str(&text).map_err(unanswered)?;
                response.headers_mut().insert(name, value);
            }
        }
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for Pipe {
    fn request(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let asking = Arc::clone(&self.0);
        Box::pin(async move { asking.ask(request).await })
    }
}
