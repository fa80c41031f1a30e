//! Channels in front of stand-ins, hostile ones too.

use std::time::Duration;

use zeroize::Zeroizing;

use email_engine_protocol::api::{ChannelSpec, SmtpSpec, SmtpTls, TelegramSpec, WebhookSpec};
use email_engine_protocol::url::ServiceUrl;

use super::testbed::{Identity, MailServer, Mood, StandIn, letter};
use super::*;

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const KEY: &str = "0123456789abcdef";

fn channels() -> Channels {
    Channels::believing(Vec::new(), Duration::from_secs(20)).unwrap()
}

fn impatient() -> Channels {
    Channels::believing(Vec::new(), Duration::from_millis(300)).unwrap()
}

fn secret(text: &str) -> Secret {
    Zeroizing::new(text.as_bytes().to_vec())
}

fn url(stand_in: &StandIn, scheme: &str) -> ServiceUrl {
    ServiceUrl::new(format!("{scheme}://{}", stand_in.address)).unwrap()
}

fn telegram(stand_in: &StandIn) -> ChannelSpec {
    ChannelSpec::Telegram(TelegramSpec {
        chat: "-1001".to_owned(),
        topic: Some(5),
        api: url(stand_in, "http"),
    })
}

fn webhook(stand_in: &StandIn, scheme: &str) -> ChannelSpec {
    ChannelSpec::Webhook(WebhookSpec {
        url: url(stand_in, scheme),
    })
}

async fn tell(channels: &Channels, spec: &ChannelSpec, key: &str) -> Result<(), Failure> {
    let letter = letter("pmta1 <is> away");
    channels.send(spec, Some(&secret(key)), &letter).await
}

#[tokio::test]
async fn a_bot_writes_to_its_chat_in_markup_that_is_whole() {
    let stand_in = StandIn::web(None).await;
    tell(&channels(), &telegram(&stand_in), TOKEN)
        .await
        .unwrap();
    let heard = &stand_in.heard()[0];
    let first = heard.head.lines().next().unwrap();
    assert_eq!(first, format!("POST /bot{TOKEN}/sendMessage HTTP/1.1"));
    let message = heard.json();
    assert_eq!(message["chat_id"], "-1001");
    assert_eq!(message["message_thread_id"], 5);
    assert_eq!(message["parse_mode"], "HTML");
    let text = message["text"].as_str().unwrap();
    assert!(
        text.contains("<b>CRITICAL</b> pmta1 &lt;is&gt; away"),
        "{text}"
    );
}

#[tokio::test]
async fn what_telegram_says_decides_what_becomes_of_a_letter() {
    let stand_in = StandIn::web(None).await;
    let spec = telegram(&stand_in);
    let said = |status, body| Mood::Says(status, "", body);
    stand_in.next([
        said(429, r#"{"ok":false,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#),
        said(400, r#"{"ok":false,"description":"Bad Request: can't parse entities"}"#),
        said(400, r#"{"ok":false,"description":"Bad Request: chat not found"}"#),
        said(401, r#"{"ok":false,"description":"Unauthorized"}"#),
        said(502, "<html>"),
        said(200, r#"{"ok":false}"#),
        Mood::Hangs,
    ]);
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(tell(&channels(), &spec, TOKEN).await.unwrap_err());
    }
    assert_eq!(
        answers[0],
        Failure::Asked {
            wait_millis: 7_000,
            what: "Telegram answers 429: Too Many Requests: retry after 7".to_owned()
        }
    );
    assert!(
        matches!(answers[1], Failure::Refused { .. }),
        "{:?}",
        answers[1]
    );
    for later in &answers[2..] {
        assert!(matches!(later, Failure::Later { .. }), "{later:?}");
    }
}

/// The token is a part of the address that is asked: nothing that is told may hold an address.
#[tokio::test]
async fn no_failure_tells_the_token_whoever_says_it_back() {
    let stand_in = StandIn::web(None).await;
    let spec = telegram(&stand_in);
    let echo =
        Box::leak(format!(r#"{{"ok":false,"description":"no such bot{TOKEN}"}}"#).into_boxed_str());
    stand_in.next([
        Mood::Says(404, "", echo),
        Mood::Says(302, "Location: http://127.0.0.1:9/\r\n", ""),
        Mood::Hangs,
        Mood::Floods,
    ]);
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(tell(&channels(), &spec, TOKEN).await.unwrap_err());
    }
    stand_in.next([Mood::SaysNothing]);
    told.push(tell(&impatient(), &spec, TOKEN).await.unwrap_err());
    let gone = ChannelSpec::Telegram(TelegramSpec {
        chat: "1".to_owned(),
        topic: None,
        api: ServiceUrl::new("http://127.0.0.1:1").unwrap(),
    });
    told.push(tell(&channels(), &gone, TOKEN).await.unwrap_err());
    told.push(tell(&channels(), &spec, "no token/../x").await.unwrap_err());
    let secret = TOKEN.split_once(':').unwrap().1;
    for failure in &told {
        let text = format!("{failure} {failure:?}");
        assert!(
            !text.contains(secret) && !text.contains("no token/"),
            "{text}"
        );
    }
    assert!(
        told[0].to_string().ends_with("no such bot(token)"),
        "{}",
        told[0]
    );
    assert!(told[3].to_string().contains("longer than"), "{}", told[3]);
    assert!(told[4].to_string().contains("in time"), "{}", told[4]);
    assert!(told[5].to_string().contains("refused"), "{}", told[5]);
}

#[tokio::test]
async fn a_service_knows_us_by_a_signature_over_time_and_body() {
    let stand_in = StandIn::web(None).await;
    tell(&channels(), &webhook(&stand_in, "http"), KEY)
        .await
        .unwrap();
    let heard = &stand_in.heard()[0];
    let timestamp = heard.header("Email-Engine-Timestamp").unwrap();
    assert_eq!(timestamp, "1795240900");
    let given = heard.header("Email-Engine-Signature").unwrap();
    // As a receiver computes it.
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY.as_bytes());
    let signed = [timestamp.as_bytes(), b".", &heard.body].concat();
    let tag = given.strip_prefix("v1=").unwrap();
    let tag = data_encoding::HEXLOWER.decode(tag.as_bytes()).unwrap();
    ring::hmac::verify(&key, &signed, &tag).unwrap();
    assert!(
        ring::hmac::verify(&key, &heard.body, &tag).is_err(),
        "time is signed, too"
    );
    let body = heard.json();
    assert_eq!(body["alerts"][0]["id"], "c-1-7-raised");
    assert_eq!(body["alerts"][0]["severity"], "critical");
}

#[tokio::test]
async fn what_a_service_answers_is_bounded_and_leads_nowhere() {
    let (stand_in, elsewhere) = (StandIn::web(None).await, StandIn::web(None).await);
    let spec = webhook(&stand_in, "http");
    let to = Box::leak(format!("Location: http://{}/\r\n", elsewhere.address).into_boxed_str());
    stand_in.next([
        Mood::Says(307, to, ""),
        Mood::Floods,
        Mood::Says(503, "Retry-After: 9\r\n", "busy"),
        Mood::Says(500, "", "broken"),
        Mood::Says(403, "", "who are you?"),
        Mood::Says(422, "", "no such field"),
    ]);
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(tell(&channels(), &spec, KEY).await.unwrap_err());
    }
    assert!(elsewhere.heard().is_empty(), "it followed");
    let texts: Vec<_> = answers.iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "it answers 307: nobody is followed elsewhere");
    assert!(texts[1].contains("longer than"), "{}", texts[1]);
    assert!(matches!(
        answers[2],
        Failure::Asked {
            wait_millis: 9_000,
            ..
        }
    ));
    assert_eq!(texts[3], "it answers 500: broken");
    assert!(
        matches!(answers[4], Failure::Later { .. }),
        "an operator may mend it"
    );
    assert!(matches!(answers[5], Failure::Refused { .. }));
    let talkative = "I compare with 0123456789abcdef and MDEyMzQ1Njc4OWFiY2RlZg==";
    stand_in.next([Mood::Says(401, "", talkative)]);
    let told = tell(&channels(), &spec, KEY).await.unwrap_err();
    let expected = "it answers 401: I compare with (key) and (key)";
    assert_eq!(told.to_string(), expected);
    stand_in.next([Mood::SaysNothing]);
    let slow = tell(&impatient(), &spec, KEY).await.unwrap_err();
    assert!(slow.to_string().contains("no answer in time"), "{slow}");
    let none = channels()
        .send(&spec, None, &letter("x"))
        .await
        .unwrap_err();
    assert_eq!(none, Failure::later("it has no secret; give it one"));
}

#[tokio::test]
async fn nothing_is_said_to_whom_nobody_vouches_for() {
    let identity = Identity::new();
    let stand_in = StandIn::web(Some(&identity)).await;
    let spec = webhook(&stand_in, "https");
    let error = tell(&channels(), &spec, KEY).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let roots = vec![identity.certificate.clone()];
    let believing = Channels::believing(roots, Duration::from_secs(20)).unwrap();
    tell(&believing, &spec, KEY).await.unwrap();
    assert_eq!(stand_in.heard().len(), 1);
    // Somebody else's certificate is no good either.
    let other = Identity::of("mx.example.com");
    let stand_in = StandIn::web(Some(&other)).await;
    let believing = Channels::believing(vec![other.certificate.clone()], Duration::from_secs(20));
    let spec = webhook(&stand_in, "https");
    let error = tell(&believing.unwrap(), &spec, KEY).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

fn smtp(server: &MailServer, tls: SmtpTls) -> SmtpSpec {
    SmtpSpec {
        server: "127.0.0.1".to_owned(),
        port: server.address.port(),
        tls,
        username: None,
        from: "alerts@example.com".parse().unwrap(),
        to: vec![
            "ops@example.com".parse().unwrap(),
            "boss@example.com".parse().unwrap(),
        ],
    }
}

#[tokio::test]
async fn a_mail_has_the_headers_of_a_machine_and_one_name() {
    let server = MailServer::start(None, false).await;
    let spec = ChannelSpec::Smtp(smtp(&server, SmtpTls::Plain));
    for _ in 0..2 {
        let letter = letter("pmta1: Ünwohl");
        channels().send(&spec, None, &letter).await.unwrap();
    }
    let mail = server.mail();
    for line in [
        "MAIL FROM:<alerts@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<boss@example.com>",
        "From: Email-Engine <alerts@example.com>",
        "Auto-Submitted: auto-generated",
        "Date: Sat, 21 Nov 2026 06:01:40 +0000",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(mail.lines().any(|own| own == line), "{line}\n{mail}");
    }
    let name = "Message-ID: <c-1-7-raised.ops@example.com>";
    let names = mail.lines().filter(|line| *line == name);
    assert_eq!(
        names.count(),
        2,
        "the same letter has the same name\n{mail}"
    );
    assert!(mail.contains("  id c-1-7-raised"), "{mail}");
}

#[tokio::test]
async fn a_password_is_said_under_tls_alone() {
    let identity = Identity::new();
    let believing =
        Channels::believing(vec![identity.certificate.clone()], Duration::from_secs(20));
    let believing = believing.unwrap();
    for tls in [SmtpTls::Starttls, SmtpTls::Tls] {
        let server = MailServer::start(Some(&identity), tls == SmtpTls::Tls).await;
        let mut spec = smtp(&server, tls);
        spec.username = Some("ops".to_owned());
        let spec = ChannelSpec::Smtp(spec);
        tell(&believing, &spec, "hunter2hunter2").await.unwrap();
        let auth = data_encoding::BASE64.encode(b"\0ops\0hunter2hunter2");
        assert!(server.mail().contains(&format!("AUTH PLAIN {auth}")));
        let openly = server.said_openly.lock().unwrap().join("\n");
        assert!(
            !openly.contains("AUTH") && !openly.contains("MAIL"),
            "{openly}"
        );
        // Nobody vouches for it here.
        let error = tell(&channels(), &spec, "hunter2hunter2")
            .await
            .unwrap_err();
        assert!(matches!(error, Failure::Later { .. }), "{error}");
    }
    // One that does not offer TLS is told nothing.
    let server = MailServer::start(None, false).await;
    let spec = ChannelSpec::Smtp(smtp(&server, SmtpTls::Starttls));
    let error = channels()
        .send(&spec, None, &letter("x"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("STARTTLS"), "{error}");
    assert!(!server.mail().contains("MAIL"), "{}", server.mail());
}

#[tokio::test]
async fn what_a_mail_server_refuses_is_told_without_the_password() {
    let server = MailServer::start(None, false).await;
    let mut spec = smtp(&server, SmtpTls::Plain);
    spec.username = Some("ops".to_owned());
    let spec = ChannelSpec::Smtp(spec);
    let auth = data_encoding::BASE64.encode(b"\0ops\0hunter2hunter2");
    for (word, answer, refused) in [
        (
            "AUTH",
            format!("535 5.7.8 no {auth} hunter2hunter2\r\n"),
            false,
        ),
        ("RCPT", "550 5.1.1 nobody\r\n".to_owned(), false),
        ("MAIL", "451 4.3.0 later\r\n".to_owned(), false),
        (".", "554 5.6.0 spam\r\n".to_owned(), true),
        ("greeting", "421 4.3.2 closing\r\n".to_owned(), false),
        (
            "EHLO",
            format!("250-{}\r\n", "x".repeat(400)).repeat(400),
            false,
        ),
    ] {
        *server.answers.lock().unwrap() = vec![(word, answer)];
        let error = tell(&channels(), &spec, "hunter2hunter2")
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("hunter2") && !text.contains(&auth), "{text}");
        let is_refused = matches!(error, Failure::Refused { .. });
        assert_eq!(is_refused, refused, "{word}: {error:?}");
    }
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_is_waited_for_in_vain_and_not_for_long() {
    let server = MailServer::start(None, false).await;
    *server.answers.lock().unwrap() = vec![("greeting", String::new())];
    let spec = ChannelSpec::Smtp(smtp(&server, SmtpTls::Plain));
    let error = impatient()
        .send(&spec, None, &letter("x"))
        .await
        .unwrap_err();
    assert!(matches!(error, Failure::Later { .. }), "{error:?}");
}
