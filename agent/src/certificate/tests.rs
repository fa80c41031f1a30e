//! Certificates from an ACME server in miniature, which stands where the network half is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use email_engine_protocol::desired::{
    AcmeSpec, CertificateKey, CertificateSource, CertificateSpec, HostPath, OnRemove, Policy,
    Resource, Spec,
};
use email_engine_protocol::id::ResourceId;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::acme::{self, Desk, Fault, Wanted, is_token};
use super::pair::tests::{Authority, names};
use super::pipe::{Answers, Pipe, Way};
use super::record::{self, Issued};
use crate::halves::{FETCHED_BYTES, Fetch, FetchMethod, Fetched, FromExecutor};
use crate::host::{Cabinet, Rooted, clock};

const HOST: &str = "acme.example.net";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    Nowhere,
    /// The first so many signed questions are answered with badNonce.
    BadNonce(u32),
    RateLimited,
    /// It cannot see the first name.
    Refuses,
    BadToken,
    /// Issues for another key, or other names, or a chain without end.
    OtherKey,
    OtherNames,
    Oversized,
    /// Names somebody else's address for its orders.
    Elsewhere,
    /// Is gone from this question on.
    CutOff(&'static str),
}

struct Server {
    authority: Authority,
    root: PathBuf,
    domains: Vec<String>,
    fails: Fails,
    seen: BTreeSet<usize>,
    chain: Option<String>,
    asked: Vec<String>,
    accounts: BTreeSet<String>,
}

impl Server {
    fn answer(&mut self, fetch: &Fetch) -> Result<Fetched, String> {
        assert_eq!(fetch.host, HOST);
        let path = fetch
            .url
            .strip_prefix("https://acme.example.net")
            .unwrap()
            .to_owned();
        self.asked.push(path.clone());
        if let Fails::CutOff(at) = self.fails
            && path.starts_with(at)
        {
            return Err("the connection was reset".to_owned());
        }
        let payload = match fetch.method {
            FetchMethod::Post => {
                let jws: Value = serde_json::from_slice(&fetch.body).unwrap();
                let part = |name: &str| {
                    BASE64URL_NOPAD
                        .decode(jws[name].as_str().unwrap().as_bytes())
                        .unwrap()
                };
                let head: Value = serde_json::from_slice(&part("protected")).unwrap();
                if path == "/account" {
                    self.accounts.insert(head["jwk"].to_string());
                }
                if let Fails::BadNonce(left) = &mut self.fails
                    && *left > 0
                {
                    *left -= 1;
                    return Ok(problem(400, "badNonce", "used before"));
                }
                part("payload")
            }
            _ => Vec::new(),
        };
        self.route(&path, &payload)
    }

    fn route(&mut self, path: &str, payload: &[u8]) -> Result<Fetched, String> {
        let at = |path: &str| format!("https://{HOST}{path}");
        let which = path
            .rsplit('/')
            .next()
            .and_then(|last| last.parse::<usize>().ok());
        Ok(match path {
            "/dir" => said(
                200,
                &json!({"newNonce": at("/nonce"), "newAccount": at("/account"),
                    "newOrder": match self.fails {
                        Fails::Elsewhere => "https://169.254.169.254/latest".to_owned(),
                        _ => at("/order"),
                    }, "revokeCert": at("/revoke"), "keyChange": at("/key")}),
                None,
            ),
            "/nonce" => said(200, &json!({}), None),
            "/account" => said(201, &json!({"status": "valid"}), Some(at("/account/1"))),
            "/account/1" => said(200, &json!({"status": "valid"}), None),
            "/order" if self.fails == Fails::RateLimited => {
                let mut refused = problem(429, "rateLimited", "too many");
                refused.retry_after = Some("7200".to_owned());
                refused
            }
            "/order" => said(201, &self.order(), Some(at("/order/1"))),
            "/order/1" => said(200, &self.order(), None),
            "/finalize" => {
                let payload: Value = serde_json::from_slice(payload).unwrap();
                let request = payload["csr"].as_str().unwrap().as_bytes();
                let request = BASE64URL_NOPAD.decode(request).unwrap();
                let domains: Vec<&str> = self.domains.iter().map(String::as_str).collect();
                self.chain = Some(match self.fails {
                    Fails::OtherKey => self.authority.issue(&domains, 90).chain.clone(),
                    Fails::OtherNames => self.authority.sign(&request, &domains[1..], 90),
                    _ => self.authority.sign(&request, &domains, 90),
                });
                said(200, &self.order(), None)
            }
            "/certificate" => {
                let mut answer = said(200, &json!({}), None);
                answer.body = self.chain.clone().unwrap().into_bytes();
                if self.fails == Fails::Oversized {
                    answer.body.resize(FETCHED_BYTES + 1, b'\n');
                }
                answer
            }
            _ if path.starts_with("/name/") => said(200, &self.name(which.unwrap()), None),
            _ if path.starts_with("/challenge/") => {
                let which = which.unwrap();
                let token = format!("{TOKEN}{which}");
                let file = self
                    .root
                    .join("var/www/acme/.well-known/acme-challenge")
                    .join(&token);
                let words = std::fs::read_to_string(file).unwrap();
                assert!(words.starts_with(&format!("{token}.")), "{words}");
                self.seen.insert(which);
                said(200, &self.challenge(which), None)
            }
            _ => problem(404, "malformed", "no such thing"),
        })
    }

    fn order(&self) -> Value {
        let names = 0..self.domains.len();
        let names: Vec<String> = names
            .map(|at| format!("https://{HOST}/name/{at}"))
            .collect();
        let status = match (&self.chain, self.seen.len() == self.domains.len()) {
            (Some(_), _) => "valid",
            (None, true) if self.fails == Fails::Refuses => "invalid",
            (None, true) => "ready",
            (None, false) => "pending",
        };
        json!({"status": status, "authorizations": names, "finalize": format!("https://{HOST}/finalize"),
            "certificate": format!("https://{HOST}/certificate")})
    }

    fn name(&self, which: usize) -> Value {
        let status = match (self.seen.contains(&which), self.fails) {
            (true, Fails::Refuses) => "invalid",
            (true, _) => "valid",
            (false, _) => "pending",
        };
        json!({"status": status, "identifier": {"type": "dns", "value": self.domains[which]},
            "challenges": [self.challenge(which)]})
    }

    fn challenge(&self, which: usize) -> Value {
        let token = match self.fails {
            Fails::BadToken => "../../../../etc/cron.d/x".to_owned(),
            _ => format!("{TOKEN}{which}"),
        };
        let url = format!("https://{HOST}/challenge/{which}");
        let mut challenge =
            json!({"type": "http-01", "url": url, "token": token, "status": "pending"});
        // As long as the name was not looked at, nothing is wrong with it.
        let looked_at = self.seen.len() == self.domains.len();
        if self.fails == Fails::Refuses && looked_at {
            challenge["error"] = json!({"type": "urn:ietf:params:acme:error:connection",
                "detail": "nobody\nlistens at port 80", "status": 400});
        }
        challenge
    }
}

fn said(status: u16, body: &Value, location: Option<String>) -> Fetched {
    Fetched {
        status,
        nonce: Some("bm9uY2U".to_owned()),
        location,
        retry_after: None,
        body: body.to_string().into_bytes(),
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> Fetched {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body = json!({"type": kind, "detail": detail, "status": status});
    said(status, &body, None)
}

/// A host and the server that it asks.
struct Bed {
    dir: tempfile::TempDir,
    desk: Desk,
    server: Arc<Mutex<Server>>,
    wanted: Wanted,
    way: Way,
}

pub(crate) fn resource(domains: &[&str]) -> Resource {
    Resource {
        id: ResourceId::new("certificate:web").unwrap(),
        spec: Spec::Certificate(CertificateSpec {
            path: HostPath::new("/etc/web/tls").unwrap(),
            domains: names(domains),
            group: None,
            source: CertificateSource::Acme(AcmeSpec {
                directory: format!("https://{HOST}/dir"),
                contact: Some("ops@example.com".to_owned()),
                webroot: HostPath::new("/var/www/acme").unwrap(),
                key: CertificateKey::EcdsaP256,
                agreed: true,
            }),
        }),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn desk(dir: &Path) -> Desk {
    Desk {
        cabinet: Cabinet::open(&dir.join("agent")).unwrap(),
        files: Rooted::open(dir).unwrap(),
    }
}

impl Bed {
    fn new(fails: Fails) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let domains = ["a.example.com", "b.example.com"];
        let server = Arc::new(Mutex::new(Server {
            authority: Authority::new(),
            root: dir.path().to_owned(),
            domains: names(&domains),
            fails,
            seen: BTreeSet::new(),
            chain: None,
            asked: Vec::new(),
            accounts: BTreeSet::new(),
        }));
        let (events, mut questions) = mpsc::channel(16);
        let answers = Arc::<Answers>::default();
        let way = Way::new(events, Arc::clone(&answers));
        let shared = Arc::clone(&server);
        tokio::spawn(async move {
            while let Some(FromExecutor::FetchWanted { number, fetch }) = questions.recv().await {
                let answer = shared.lock().unwrap().answer(&fetch).map(Box::new);
                // Another's answer is nobody's.
                answers.put(number.wrapping_add(1000), Err("not yours".to_owned()));
                answers.put(number, answer);
            }
        });
        let wanted = Wanted::of(&resource(&domains)).unwrap();
        Self {
            desk: desk(dir.path()),
            dir,
            server,
            wanted,
            way,
        }
    }

    async fn issue(&self) -> Result<Issued, Fault> {
        self.issue_with(200).await.0
    }

    async fn issue_with(&self, questions: u32) -> (Result<Issued, Fault>, Option<u64>) {
        let pipe = Pipe::new(self.way.clone(), HOST, questions);
        let issued = acme::issue(&self.desk, &pipe, &self.wanted, clock);
        let issued = tokio::time::timeout(Duration::from_secs(60), issued).await;
        (issued.expect("within a minute"), pipe.wish())
    }

    fn set(&self, fails: Fails) {
        self.server.lock().unwrap().fails = fails;
    }

    fn laid(&self) -> usize {
        let folder = self
            .dir
            .path()
            .join("var/www/acme/.well-known/acme-challenge");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

#[tokio::test]
async fn a_certificate_is_issued_for_our_key_and_nothing_is_left_of_the_proof() {
    let bed = Bed::new(Fails::Nowhere);
    let issued = bed.issue().await.unwrap();
    let seen = issued.pair.judge_issued(&bed.wanted.domains, None).unwrap();
    assert_eq!(seen.validity.not_after, issued.not_after);
    assert_eq!(bed.laid(), 0);
    let directory = format!("https://{HOST}/dir");
    let account = record::account(&bed.desk.cabinet, &directory)
        .unwrap()
        .unwrap();
    assert_eq!(account.id, format!("https://{HOST}/account/1"));
    assert_eq!(account.contact, "ops@example.com");
    let shown = format!("{account:?} {issued:?}");
    assert!(
        !shown.contains("PRIVATE") && !shown.contains("key: ["),
        "{shown}"
    );
}

#[tokio::test]
async fn an_old_nonce_is_no_failure_and_one_that_is_always_old_is() {
    let bed = Bed::new(Fails::BadNonce(2));
    bed.issue().await.unwrap();
    let bed = Bed::new(Fails::BadNonce(u32::MAX));
    let fault = bed.issue().await.unwrap_err();
    assert!(fault.reason.contains("badNonce"), "{}", fault.reason);
}

#[tokio::test]
async fn what_comes_back_for_another_key_other_names_or_without_end_is_not_used() {
    for (fails, word) in [
        (Fails::OtherKey, "for another key"),
        (Fails::OtherNames, "a.example.com, b.example.com is wanted"),
        (Fails::Oversized, "the answer has"),
    ] {
        let bed = Bed::new(fails);
        let fault = bed.issue().await.unwrap_err();
        assert!(fault.reason.contains(word), "{fails:?}: {}", fault.reason);
        assert_eq!(bed.laid(), 0);
    }
}

#[tokio::test]
async fn a_refusal_says_which_name_and_why_and_a_limit_how_long_to_wait() {
    let bed = Bed::new(Fails::Refuses);
    let fault = bed.issue().await.unwrap_err();
    assert!(fault.refused && fault.ends_order);
    // It may say so in answer to the last name that is shown.
    assert!(fault.reason.contains(".example.com: "), "{}", fault.reason);
    assert!(
        fault.reason.contains("nobody listens at port 80"),
        "{}",
        fault.reason
    );
    assert_eq!(bed.laid(), 0);
    let bed = Bed::new(Fails::RateLimited);
    let (issued, wish) = bed.issue_with(200).await;
    assert!(issued.unwrap_err().refused);
    assert_eq!(wish, Some(7200));
}

#[tokio::test]
async fn a_token_that_is_a_path_writes_nothing_and_another_host_is_not_asked() {
    let bed = Bed::new(Fails::BadToken);
    let fault = bed.issue().await.unwrap_err();
    assert!(fault.reason.contains("no base64url"), "{}", fault.reason);
    assert!(!bed.dir.path().join("etc/cron.d").exists() && bed.laid() == 0);
    let bed = Bed::new(Fails::Elsewhere);
    let fault = bed.issue().await.unwrap_err();
    assert!(fault.reason.contains("169.254.169.254"), "{}", fault.reason);
    let bed = Bed::new(Fails::Nowhere);
    let fault = bed.issue_with(5).await.0.unwrap_err();
    assert!(fault.reason.contains("more questions"), "{}", fault.reason);
}

#[tokio::test]
async fn one_that_is_cut_off_anywhere_goes_on_with_the_same_account_order_and_key() {
    let ways = [
        "/dir",
        "/nonce",
        "/account",
        "/order",
        "/name",
        "/challenge",
        "/finalize",
        "/certificate",
    ];
    for at in ways {
        let bed = Bed::new(Fails::CutOff(at));
        let fault = bed.issue().await.unwrap_err();
        assert!(
            !fault.refused && fault.reason.contains("reset"),
            "{at}: {}",
            fault.reason
        );
        let before = bed.wanted.place.attempts(&bed.desk.cabinet);
        bed.set(Fails::Nowhere);
        // As after a restart: nothing but what is on the disk.
        let again = Bed {
            desk: desk(bed.dir.path()),
            ..bed
        };
        let issued = again.issue().await.unwrap();
        if let Some(ordered) = &before.order {
            assert_eq!(issued.pair.key, ordered.key, "{at}");
        }
        assert_eq!(again.laid(), 0, "{at}");
        let server = again.server.lock().unwrap();
        assert!(server.accounts.len() <= 1, "{at}: one account");
        let orders = server.asked.iter().filter(|path| *path == "/order").count();
        assert!(
            orders <= if at == "/order" { 2 } else { 1 },
            "{at}: {orders} orders"
        );
    }
}

proptest! {
    /// Whatever a server calls its challenge, it names a file in its folder and nothing else.
    #[test]
    fn a_token_is_one_plain_name(text in "\\PC{0,140}|[A-Za-z0-9_-]{1,128}|[./\\\\a-z%\0]{0,20}") {
        if is_token(&text) {
            prop_assert!(text.len() <= 128 && !text.is_empty());
            prop_assert!(!text.contains(['/', '.', '\\', '%', '\0']));
            let path = HostPath::new(format!("/w/{text}")).unwrap();
            let folder = path.parent().unwrap();
            prop_assert_eq!(folder.as_str(), "/w");
        }
    }
}
