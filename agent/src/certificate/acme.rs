//! One certificate from an ACME server, by HTTP-01.
//!
//! Everything that a crash must not lose is written before it is used: the account's key, the certificate's
//! key, the order's address, the names of files that are put down for the server to read. Whoever begins
//! again goes on with them. What the server says goes through a half that is not believed, so that the
//! certificate is judged before anybody sees it.

use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    AcmeSpec, CertificateKey, CertificateSource, HostPath, Resource, Spec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::time::Timestamp;
use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::account;
use super::pair::{self, Pair};
use super::pipe::Pipe;
use super::record::{Issued, Ordered, Place};
use crate::host::{Cabinet, NewFile, Rooted};

/// For the server to look at every name, and to issue.
const POLL: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(180));
/// Longest token that is believed; they have 43 characters.
const TOKEN: usize = 128;
const REASON_BYTES: usize = 512;

/// A certificate that is wanted of an ACME server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: ResourceId,
    pub(crate) place: Place,
    pub(crate) domains: Vec<String>,
    pub(crate) acme: AcmeSpec,
}

impl Wanted {
    /// Nothing for what is asked of nobody.
    pub(crate) fn of(resource: &Resource) -> Option<Self> {
        let Spec::Certificate(spec) = &resource.spec else {
            return None;
        };
        let CertificateSource::Acme(acme) = &spec.source else {
            return None;
        };
        Some(Self {
            id: resource.id.clone(),
            place: Place::of(&spec.path),
            domains: spec.domains.clone(),
            acme: acme.clone(),
        })
    }

    /// What an order must have been for.
    fn words(&self) -> Vec<String> {
        let mut words = vec![
            self.acme.directory.clone(),
            self.acme.key.as_str().to_owned(),
        ];
        words.extend(self.domains.iter().cloned());
        words
    }
}

/// Where records and files are.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) cabinet: Cabinet,
    pub(crate) files: Rooted,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For people; never with a key in it.
    pub(crate) reason: String,
    /// Whether the server said no: asking again soon would only count against us.
    pub(crate) refused: bool,
    /// Whether going on with the same order is of no use.
    pub(crate) ends_order: bool,
}

impl Fault {
    pub(super) fn own(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: plain(&reason.to_string()),
            refused: false,
            ends_order: false,
        }
    }

    fn refusal(reason: impl std::fmt::Display) -> Self {
        Self {
            refused: true,
            ends_order: true,
            ..Self::own(reason)
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self {
                // A server that is ill says no to nobody in particular.
                refused: problem.status.is_none_or(|status| status < 500),
                ends_order: !is_for_now(&problem),
                reason: plain(&told(&problem)),
            },
            other => Self::own(other),
        }
    }
}

/// Whether a problem has an end by itself and says nothing of an order: one that was made, or has its
/// certificate already, is gone on with. Each new one counts against the server's limits.
fn is_for_now(problem: &Problem) -> bool {
    let soft = ["rateLimited", "serverInternal", "badNonce"];
    let status = problem.status.unwrap_or_default();
    status >= 500 || status == 429 || is_one_of(problem, &soft)
}

/// Whether a problem is of one of these kinds.
pub(super) fn is_one_of(problem: &Problem, kinds: &[&str]) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:");
    kind.is_some_and(|kind| kinds.contains(&kind))
}

/// Whether a server says that it has no such order, or none of this account.
fn knows_none(problem: &Problem) -> bool {
    let kinds = ["malformed", "unauthorized", "accountDoesNotExist"];
    !is_for_now(problem) && (problem.status == Some(404) || is_one_of(problem, &kinds))
}

/// A problem with what it says of single names.
fn told(problem: &Problem) -> String {
    let mut text = problem.to_string();
    for one in problem.subproblems.iter().take(3) {
        text.push_str(&format!("; {one}"));
    }
    text
}

/// On one line, and bounded: it goes into reports.
fn plain(text: &str) -> String {
    let mut text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.truncate(text.floor_char_boundary(REASON_BYTES));
    text
}

/// Whether a token may be the name of a file: base64url, and nothing that a path is made of.
pub(crate) fn is_token(token: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=TOKEN).contains(&token.len()) && token.bytes().all(inner)
}

/// Asks for a certificate until it is there or cannot be had.
pub(crate) async fn issue(
    desk: &Desk,
    pipe: &Pipe,
    wanted: &Wanted,
    clock: fn() -> Timestamp,
) -> Result<Issued, Fault> {
    sweep(desk, wanted)?;
    let account = account::open(desk, pipe, &wanted.acme).await?;
    let (mut order, key) = order(desk, &account, wanted).await?;
    if order.state().status == OrderStatus::Pending {
        let proved = prove(desk, &mut order, wanted).await;
        let swept = sweep(desk, wanted);
        proved?;
        swept?;
    }
    if order.state().status == OrderStatus::Ready {
        let request = request(&wanted.domains, &key)?;
        order.finalize_csr(&request).await?;
    }
    let chain = match order.state().status {
        OrderStatus::Valid => order.certificate().await?,
        OrderStatus::Processing => Some(order.poll_certificate(&POLL).await?),
        OrderStatus::Invalid | OrderStatus::Pending | OrderStatus::Ready => None,
    };
    let chain = chain.ok_or_else(|| Fault::refusal("its order is not valid"))?;
    judged(desk, wanted, &chain, &key, clock)
}

fn judged(
    desk: &Desk,
    wanted: &Wanted,
    chain: &str,
    key: &Ordered,
    clock: fn() -> Timestamp,
) -> Result<Issued, Fault> {
    let refused = |error: &dyn std::fmt::Display| {
        Fault::refusal(format!("what came back is not used: {error}"))
    };
    let chain = pair::canonical(chain).map_err(|error| refused(&error))?;
    let pair = Pair {
        chain,
        key: key.key.clone(),
    };
    let before = wanted.place.issued(&desk.cabinet).unwrap_or_default();
    // Of other names or another server it may well end earlier.
    let same =
        |one: &Issued| one.domains == wanted.domains && one.directory == wanted.acme.directory;
    let before = before.filter(same).map(|one| one.validity());
    let before = before.filter(|before| pair::binds(*before, clock()));
    let seen = pair.judge_issued(&wanted.domains, before);
    let seen = seen.map_err(|error| refused(&error))?;
    Ok(Issued {
        pair,
        domains: wanted.domains.clone(),
        directory: wanted.acme.directory.clone(),
        not_before: seen.validity.not_before,
        not_after: seen.validity.not_after,
        issued_at: clock(),
    })
}

/// An order that is under way, or a new one.
async fn order(
    desk: &Desk,
    account: &instant_acme::Account,
    wanted: &Wanted,
) -> Result<(Order, Ordered), Fault> {
    let words = wanted.words();
    let place = &wanted.place;
    let mut attempts = place.attempts(&desk.cabinet);
    let known = attempts.order.take().filter(|known| known.wanted == words);
    if let Some(known) = &known
        && !known.url.is_empty()
    {
        match account.order(known.url.clone()).await {
            Ok(mut order) => {
                if order.state().status != OrderStatus::Invalid {
                    return Ok((order, known.clone()));
                }
            }
            Err(Error::Api(problem)) if knows_none(&problem) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A key that no order was made with yet is as good as new.
    let mut ordered = match known.filter(|known| known.url.is_empty()) {
        Some(known) => known,
        None => Ordered {
            url: String::new(),
            wanted: words,
            key: new_key(wanted.acme.key)?,
        },
    };
    attempts.order = Some(ordered.clone());
    place
        .keep_attempts(&desk.cabinet, &attempts)
        .map_err(Fault::own)?;
    let names: Vec<Identifier> = wanted
        .domains
        .iter()
        .cloned()
        .map(Identifier::Dns)
        .collect();
    let order = match account.new_order(&NewOrder::new(&names)).await {
        Ok(order) => order,
        Err(error) => return Err(account::doubted(desk, &wanted.acme.directory, error)),
    };
    ordered.url = order.url().to_owned();
    attempts.order = Some(ordered.clone());
    place
        .keep_attempts(&desk.cabinet, &attempts)
        .map_err(Fault::own)?;
    Ok((order, ordered))
}

fn new_key(kind: CertificateKey) -> Result<String, Fault> {
    let kind = match kind {
        CertificateKey::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        CertificateKey::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
    };
    let key = KeyPair::generate_for(kind).map_err(Fault::own)?;
    Ok(key.serialize_pem())
}

fn request(domains: &[String], ordered: &Ordered) -> Result<Vec<u8>, Fault> {
    let key = KeyPair::from_pem(&ordered.key).map_err(|_| Fault::own("its key is damaged"))?;
    let mut params = CertificateParams::new(domains).map_err(Fault::own)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(Fault::own)?;
    Ok(request.der().to_vec())
}

/// Shows the server that the names lead here.
async fn prove(desk: &Desk, order: &mut Order, wanted: &Wanted) -> Result<(), Fault> {
    let mut all = order.authorizations();
    let mut count = 0;
    while let Some(one) = all.next().await {
        let mut one = one?;
        count += 1;
        if count > wanted.domains.len() {
            return Err(Fault::refusal(
                "it wants more names to be shown than were asked for",
            ));
        }
        match one.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => {
                return Err(Fault::refusal(format!(
                    "a name's authorization is {other:?}"
                )));
            }
        }
        let name = one.identifier().to_string();
        if !wanted.domains.contains(&name) {
            return Err(Fault::refusal(
                "it wants a name to be shown that was not asked for",
            ));
        }
        let missing = || Fault::refusal(format!("it offers no http-01 for {name}"));
        let mut challenge = one.challenge(ChallengeType::Http01).ok_or_else(missing)?;
        lay(
            desk,
            wanted,
            &challenge.token,
            challenge.key_authorization().as_str(),
        )?;
        let ready = challenge.set_ready().await;
        ready.map_err(|error| {
            let fault = Fault::from(error);
            let reason = plain(&format!("{name}: {}", fault.reason));
            Fault { reason, ..fault }
        })?;
    }
    match order.poll_ready(&POLL).await {
        Ok(OrderStatus::Invalid) => {}
        Ok(_) => return Ok(()),
        // What it says of the order as a whole names neither name nor cause.
        Err(Error::Api(problem)) if order.state().status == OrderStatus::Invalid => {
            let reason = Fault::from(Error::Api(problem));
            return Err(why(order).await.unwrap_or(reason));
        }
        Err(error) => return Err(error.into()),
    }
    let nobody = || Fault::refusal("a name could not be shown, and it does not say why");
    Err(why(order).await.unwrap_or_else(nobody))
}

/// What the server says of the first name that it could not see.
async fn why(order: &mut Order) -> Option<Fault> {
    let mut all = order.authorizations();
    while let Some(Ok(mut one)) = all.next().await {
        one.refresh().await.ok()?;
        let name = one.identifier().to_string();
        let problem = one
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Some(Fault::refusal(format!("{name}: {}", told(problem))));
        }
    }
    None
}

/// Puts down what the server looks for, and remembers that first.
fn lay(desk: &Desk, wanted: &Wanted, token: &str, words: &str) -> Result<(), Fault> {
    if !is_token(token) {
        let shown: String = token.chars().take(60).collect();
        return Err(Fault::refusal(format!(
            "its token {shown:?} is no base64url"
        )));
    }
    let path = answer_path(&wanted.acme, token)?;
    let mut attempts = wanted.place.attempts(&desk.cabinet);
    attempts.tokens.push(path.to_string());
    wanted
        .place
        .keep_attempts(&desk.cabinet, &attempts)
        .map_err(Fault::own)?;
    let file = NewFile {
        path: &path,
        mode: 0o644,
        uid: None,
        gid: None,
    };
    desk.files
        .replace(&file, words.as_bytes(), None)
        .map_err(Fault::own)
}

fn answer_path(acme: &AcmeSpec, token: &str) -> Result<HostPath, Fault> {
    let folder = acme
        .challenges()
        .ok_or_else(|| Fault::own("its webroot is too long"))?;
    HostPath::new(format!("{folder}/{token}")).map_err(Fault::own)
}

/// Takes away what was put down, also what a crash left.
fn sweep(desk: &Desk, wanted: &Wanted) -> Result<(), Fault> {
    let mut attempts = wanted.place.attempts(&desk.cabinet);
    if attempts.tokens.is_empty() {
        return Ok(());
    }
    for path in &attempts.tokens {
        let path = HostPath::new(path.as_str()).map_err(Fault::own)?;
        desk.files.remove_file(&path).map_err(Fault::own)?;
    }
    attempts.tokens.clear();
    wanted
        .place
        .keep_attempts(&desk.cabinet, &attempts)
        .map_err(Fault::own)
}

/// What distinguishes attempts of hosts that were set up together, 0 to 1000.
pub(crate) fn jitter(wanted: &Wanted, at: Timestamp) -> u64 {
    let hash = ContentHash::of(format!("{:?} {at}", wanted.domains).as_bytes());
    u64::from(u16::from_le_bytes([hash.0[0], hash.0[1]])) % 1001
}
