//! A web service of one's own, which knows us by a signature.
//!
//! Each post has two headers: `Email-Engine-Timestamp`, Unix time in seconds, and
//! `Email-Engine-Signature`, `v1=` and 64 hex digits: HMAC-SHA256, under the channel's secret, of the
//! timestamp, a dot and the body as it is. A receiver refuses a timestamp more than five minutes away from
//! its own clock, so that what somebody recorded is worth nothing later, compares signatures in constant
//! time, and drops alerts whose `id` it has: each is sent at least once.

use std::fmt::Write as _;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use ring::hmac;
use zeroize::Zeroizing;

use email_engine_protocol::api::WebhookSpec;

use super::http::{Answer, Client, ask};
use super::{Failure, Secret};
use crate::alerts::rules::Letter;

/// Header of the signature.
pub const SIGNATURE: &str = "email-engine-signature";
/// Header of the time.
pub const TIMESTAMP: &str = "email-engine-timestamp";
/// How far a receiver lets the time be from its own.
pub const REPLAY_WINDOW_SECONDS: u64 = 300;

/// What the signature of a post is.
#[must_use]
pub fn signature(key: &[u8], timestamp: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = "v1=".to_owned();
    for byte in context.sign().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) async fn send(
    client: &Client,
    spec: &WebhookSpec,
    key: &Secret,
    letter: &Letter,
) -> Result<(), Failure> {
    let url = Url::parse(spec.url.as_str()).map_err(|error| Failure::later(error.to_string()))?;
    let body = letter.json();
    let timestamp = letter.sent_at.0 / 1_000;
    let signature = HeaderValue::from_str(&signature(key, timestamp, &body))
        .map_err(|error| Failure::later(error.to_string()))?;
    let request = client
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(TIMESTAMP, timestamp)
        .header(SIGNATURE, signature)
        .body(body);
    judge(&ask(request).await.map_err(Failure::later)?, key)
}

fn judge(answer: &Answer, key: &Secret) -> Result<(), Failure> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    // A receiver that tells what it compares with would tell the key.
    let mut words = String::from_utf8_lossy(&answer.body).into_owned();
    let hidden = [
        Zeroizing::new(String::from_utf8_lossy(key).into_owned()),
        Zeroizing::new(HEXLOWER.encode(key)),
        Zeroizing::new(HEXUPPER.encode(key)),
        Zeroizing::new(BASE64.encode(key)),
        Zeroizing::new(BASE64_NOPAD.encode(key)),
        Zeroizing::new(BASE64URL_NOPAD.encode(key)),
    ];
    for form in hidden.iter().filter(|form| !form.is_empty()) {
        words = words.replace(form.as_str(), "(key)");
    }
    let words: String = words.chars().take(200).collect();
    let what = format!("it answers {}: {words}", status.as_u16());
    Err(match (status, answer.retry_after) {
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(seconds)) => {
            Failure::Asked {
                wait_millis: seconds.saturating_mul(1_000),
                what,
            }
        }
        (
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY,
            _,
        ) => Failure::Refused { what },
        (status, _) if status.is_redirection() => Failure::later(format!(
            "it answers {}: nobody is followed elsewhere",
            status.as_u16()
        )),
        _ => Failure::Later { what },
    })
}
