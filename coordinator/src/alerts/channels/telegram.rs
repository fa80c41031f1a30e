//! A bot of Telegram: `sendMessage` of its HTTP API.

use data_encoding::BASE64URL_NOPAD;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use email_engine_protocol::api::TelegramSpec;

use super::http::{Answer, Client, ask};
use super::{Failure, Secret};
use crate::alerts::rules::{Letter, TELEGRAM_CHARS};

#[derive(Serialize)]
struct Message<'a> {
    chat_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_thread_id: Option<i64>,
    text: &'a str,
    parse_mode: &'static str,
    link_preview_options: Preview,
}

/// An address in an alert is no invitation to fetch it.
#[derive(Serialize)]
struct Preview {
    is_disabled: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Reply {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// Seconds.
    #[serde(default)]
    retry_after: Option<u64>,
}

pub(super) async fn send(
    client: &Client,
    spec: &TelegramSpec,
    token: &Secret,
    letter: &Letter,
) -> Result<(), Failure> {
    let (text, _) = letter.telegram(TELEGRAM_CHARS);
    let message = Message {
        chat_id: &spec.chat,
        message_thread_id: spec.topic,
        text: &text,
        parse_mode: "HTML",
        link_preview_options: Preview { is_disabled: true },
    };
    let url = url(spec, token)?;
    let answer = ask(client.post(url).json(&message)).await;
    let answer = answer.map_err(|what| Failure::later(hidden(&what, token)))?;
    judge(&answer).map_err(|failure| match failure {
        Failure::Asked { wait_millis, what } => Failure::Asked {
            wait_millis,
            what: hidden(&what, token),
        },
        Failure::Later { what } => Failure::later(hidden(&what, token)),
        Failure::Refused { what } => Failure::refused(hidden(&what, token)),
    })
}

/// `API/botTOKEN/sendMessage`. What cannot be a token makes no other address of it.
fn url(spec: &TelegramSpec, token: &Secret) -> Result<Url, Failure> {
    let strange = || {
        Failure::later("its secret is no token of a bot: digits, `:`, letters, digits, `-`, `_`")
    };
    let token = std::str::from_utf8(token).map_err(|_| strange())?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b":-_".contains(&b);
    if !token.contains(':') || !token.bytes().all(is_token) {
        return Err(strange());
    }
    let text = Zeroizing::new(format!("{}/bot{token}/sendMessage", spec.api));
    Url::parse(&text).map_err(|_| strange())
}

fn judge(answer: &Answer) -> Result<(), Failure> {
    let status = answer.status;
    let reply: Reply = serde_json::from_slice(&answer.body).unwrap_or_default();
    if status.is_success() && reply.ok {
        return Ok(());
    }
    let words = match reply.description.is_empty() {
        true => "nothing that Telegram says".to_owned(),
        false => reply.description.chars().take(200).collect(),
    };
    let what = format!("Telegram answers {}: {words}", status.as_u16());
    let wait = reply.parameters.retry_after.or(answer.retry_after);
    Err(match (status, wait) {
        (StatusCode::TOO_MANY_REQUESTS, wait) => Failure::Asked {
            wait_millis: wait.unwrap_or(30).saturating_mul(1_000),
            what,
        },
        // It reads the message and takes no such one. That the chat is not found is said so, too, and is
        // the channel's fault, as is whatever else is not about the text.
        (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE, _)
            if is_about_text(&reply.description) =>
        {
            Failure::Refused { what }
        }
        _ => Failure::Later { what },
    })
}

fn is_about_text(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    [
        "parse entities",
        "message is too long",
        "message text is empty",
        "entity",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// Without the token, in whatever form somebody says it back.
fn hidden(what: &str, token: &Secret) -> String {
    let Ok(text) = std::str::from_utf8(token) else {
        return "not said: it may hold the token".to_owned();
    };
    let encoded = BASE64URL_NOPAD.encode(token);
    let mut out = what.replace(text, "(token)").replace(&encoded, "(token)");
    let quoted = text.replace(':', "%3A");
    out = out.replace(&quoted, "(token)");
    match text.split_once(':') {
        Some((_, secret)) if secret.len() >= 8 => out.replace(secret, "(token)"),
        _ => out,
    }
}
