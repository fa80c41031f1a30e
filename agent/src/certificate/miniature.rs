//! An ACME server in miniature, and what may be wrong with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::pair::tests::Authority;
use crate::halves::{FETCHED_BYTES, Fetch, FetchMethod, Fetched};

pub(super) const HOST: &str = "acme.example.net";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fails {
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
    /// Has this problem with questions that begin so.
    Ill(&'static [&'static str], u16, &'static str),
    /// Says of an order when to ask again.
    Again(&'static str),
}

pub(super) struct Server {
    pub(super) authority: Authority,
    pub(super) root: PathBuf,
    pub(super) domains: Vec<String>,
    pub(super) fails: Fails,
    pub(super) seen: BTreeSet<usize>,
    pub(super) chain: Option<String>,
    /// Orders that were made.
    pub(super) orders: usize,
    pub(super) accounts: BTreeSet<String>,
}

impl Server {
    pub(super) fn answer(&mut self, fetch: &Fetch) -> Result<Fetched, String> {
        assert_eq!(fetch.host, HOST);
        let path = fetch
            .url
            .strip_prefix("https://acme.example.net")
            .unwrap()
            .to_owned();
        if let Fails::CutOff(at) = self.fails
            && path.starts_with(at)
        {
            return Err("the connection was reset".to_owned());
        }
        if let Fails::Ill(all, status, kind) = self.fails
            && all.iter().any(|at| path.starts_with(at))
        {
            return Ok(problem(status, kind, "not now"));
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
            "/order" => {
                self.orders += 1;
                said(201, &self.order(), Some(at("/order/1")))
            }
            "/order/1" => {
                let mut answer = said(200, &self.order(), None);
                if let Fails::Again(when) = self.fails {
                    answer.retry_after = Some(when.to_owned());
                }
                answer
            }
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
