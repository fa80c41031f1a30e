//! Certificates from an ACME server in miniature, which stands where the network half is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use email_engine_protocol::desired::{
    AcmeSpec, CertificateKey, CertificateSource, CertificateSpec, HostPath, OnRemove, Policy,
    Resource, Spec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::acme::{self, Desk, Fault, Wanted, is_token};
use super::miniature::{Fails, HOST, Server};
use super::pair::tests::{Authority, names};
use super::pipe::{Answers, Pipe, Way};
use super::record::{self, Issued};
use crate::halves::FromExecutor;
use crate::host::{Cabinet, Rooted, clock};

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
            orders: 0,
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
    const WAYS: &[&str] = &[
        "/dir",
        "/nonce",
        "/account",
        "/order",
        "/order/1",
        "/name",
        "/challenge",
        "/finalize",
        "/certificate",
    ];
    let failures = WAYS.iter().flat_map(|at| {
        let at = std::slice::from_ref(at);
        let ill = Fails::Ill(at, 503, "serverInternal");
        let limited = Fails::Ill(at, 429, "rateLimited");
        [Fails::CutOff(at[0]), ill, limited].map(|fails| (at[0], fails))
    });
    for (at, fails) in failures {
        let bed = Bed::new(fails);
        let fault = bed.issue().await.unwrap_err();
        let is_cut_off = !fault.refused && fault.reason.contains("reset");
        let is_as_said = is_cut_off || !matches!(fails, Fails::CutOff(_));
        assert!(
            is_as_said && !fault.ends_order,
            "{fails:?}: {}",
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
        assert_eq!(server.orders, 1, "{fails:?}");
    }
}

#[tokio::test]
async fn no_time_to_ask_again_that_a_server_names_ends_anything() {
    let again = ["18446744073709551615", "Fri, 31 Dec 9999 23:59:59 GMT", "é"];
    for when in again {
        let bed = Bed::new(Fails::Again(when));
        assert!(bed.issue().await.is_ok(), "{when}");
    }
}

#[tokio::test]
async fn an_account_that_nothing_is_taken_from_is_looked_up_and_made_anew_when_it_is_none() {
    for kind in ["unauthorized", "malformed"] {
        let bed = Bed::new(Fails::Nowhere);
        let account = || record::account(&bed.desk.cabinet, &bed.wanted.acme.directory);
        let begin_anew = |fails| {
            bed.wanted.place.forget(&bed.desk.cabinet).unwrap();
            let mut server = bed.server.lock().unwrap();
            (server.chain, server.fails) = (None, fails);
            server.seen.clear();
        };
        bed.issue().await.unwrap();
        let first = account().unwrap().unwrap();
        begin_anew(Fails::Ill(&["/order"], 403, kind));
        bed.issue().await.unwrap_err();
        let doubted = account().unwrap().unwrap();
        assert!(doubted.key == first.key && doubted.id.is_empty(), "{kind}");
        begin_anew(Fails::Nowhere);
        bed.issue().await.unwrap();
        assert!(
            account().unwrap().unwrap() == first,
            "{kind}: found by its key"
        );
        // Closed: the key leads nowhere.
        begin_anew(Fails::Ill(&["/order", "/account"], 403, kind));
        bed.issue().await.unwrap_err();
        bed.issue().await.unwrap_err();
        begin_anew(Fails::Nowhere);
        bed.issue().await.unwrap();
        assert!(account().unwrap().unwrap().key != first.key, "{kind}");
    }
}

#[tokio::test]
async fn an_end_that_no_authority_gives_does_not_bind_what_comes_after_it() {
    let bed = Bed::new(Fails::Nowhere);
    let mut made_up = bed.issue().await.unwrap();
    let anew = || {
        let mut server = bed.server.lock().unwrap();
        server.chain = None;
        server.seen.clear();
        let place = &bed.wanted.place;
        place.keep_attempts(&bed.desk.cabinet, &record::Attempts::default())
    };
    for (days, is_used) in [(397, false), (5 * 366, true)] {
        made_up.not_after = clock().plus(days * Timestamp::DAY);
        let place = &bed.wanted.place;
        place.keep_issued(&bed.desk.cabinet, &made_up).unwrap();
        anew().unwrap();
        assert_eq!(bed.issue().await.is_ok(), is_used, "{days} days");
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
