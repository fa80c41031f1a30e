//! Certificates from pebble, the ACME server that Let's Encrypt keeps for tests: over real TLS, by the
//! network half's own client, with a web server on the loopback.
//!
//! Without pebble (Debian's package of that name) these say so and end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{CertificateSource, Disposition, HostConfig, Resource, Spec};
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::time::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::mpsc;

use super::acme::{Desk, Wanted};
use super::issuer::Issuer;
use super::pipe::{Answers, Way};
use super::record::Place;
use super::tests::resource;
use crate::halves::{FromExecutor, ToExecutor};
use crate::host::{Cabinet, Rooted};
use crate::link::fetch::Fetching;

/// A busy machine makes attempts fail that a quiet one would not, and each failure is followed by a longer pause:
/// two of them pass within this time.
const PATIENCE: Duration = Duration::from_secs(90);
const PROGRAM: &str = "/usr/bin/pebble";
const NAMES: &str = "/usr/bin/pebble-challtestsrv";

/// Ends what it started.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn wait_for(why: &str, condition: impl FnMut() -> bool) {
    wait_with(why, condition, String::new);
}

fn wait_with(why: &str, mut condition: impl FnMut() -> bool, so_far: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        let is_late = Instant::now() >= deadline;
        assert!(!is_late, "waited in vain: {why}; {}", so_far());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A web server that serves files below a folder, as nginx would.
fn serve(folder: PathBuf) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &folder, &count);
        }
    });
    (port, served)
}

fn answer(mut stream: TcpStream, folder: &Path, count: &AtomicUsize) {
    let mut line = String::new();
    let mut reader = BufReader::new(&stream);
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line
        .split(' ')
        .nth(1)
        .unwrap_or("/")
        .trim_start_matches('/');
    let found = std::fs::read_to_string(folder.join(path));
    let (status, body) = match found {
        Ok(body) => {
            count.fetch_add(1, Ordering::Relaxed);
            ("200 OK", body)
        }
        Err(_) => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}

/// pebble with its names, and a host's certificates beside it.
struct Bed {
    dir: tempfile::TempDir,
    pebble: Option<Program>,
    names: Program,
    port: u16,
    config: PathBuf,
    dns: u16,
    served: Arc<AtomicUsize>,
    issuer: Option<Issuer>,
    told: Arc<AtomicUsize>,
}

impl Bed {
    /// Nothing where there is no pebble.
    fn new(life_seconds: u32) -> Option<Self> {
        if !Path::new(PROGRAM).exists() || !Path::new(NAMES).exists() {
            eprintln!("skipped: {PROGRAM} is not there (apt-get install pebble)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (port, management, dns) = (free_port(), free_port(), free_port());
        let (web, served) = serve(dir.path().join("var/www/acme"));
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = own.self_signed(&key).unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": put("pebble.pem", &own.pem()),
            "privateKey": put("pebble.key", &key.serialize_pem()),
            "httpPort": web, "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": life_seconds,
        }});
        let config = put("pebble.json", &config.to_string());
        let names = Command::new(NAMES)
            .args([
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
            ])
            .args([
                "-tlsalpn01",
                "",
                "-management",
                &format!("127.0.0.1:{}", free_port()),
            ])
            .args(["-dns01", &format!("127.0.0.1:{dns}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut bed = Self {
            dir,
            pebble: None,
            names: Program(names),
            port,
            config,
            dns,
            served,
            issuer: None,
            told: Arc::default(),
        };
        bed.start_pebble();
        bed.start_issuer();
        Some(bed)
    }

    fn start_pebble(&mut self) {
        let pebble = Command::new(PROGRAM)
            .arg("-config")
            .arg(&self.config)
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.dns)])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // One in twenty good nonces is called bad: what a client has to bear.
            .env("PEBBLE_WFE_NONCEREJECT", "5")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.pebble = Some(Program(pebble));
        let port = self.port;
        wait_for("pebble listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// A life of the executor's: whatever is under way in the former ends with it.
    fn start_issuer(&mut self) {
        let (events, mut questions) = mpsc::channel(16);
        let answers = Arc::<Answers>::default();
        let desk = Desk {
            cabinet: self.cabinet(),
            files: Rooted::open(self.dir.path()).unwrap(),
        };
        let told = Arc::clone(&self.told);
        let way = Way::new(events, Arc::clone(&answers));
        let tell = move || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        self.issuer = Some(Issuer::start(desk, way, tell).unwrap());
        // The network half.
        let mut fetching = Fetching::new(Some(self.dir.path().join("pebble.pem")));
        let serve = async move {
            let (to, mut from) = mpsc::channel(16);
            loop {
                tokio::select! {
                    asked = questions.recv() => match asked {
                        Some(FromExecutor::FetchWanted { number, fetch }) => {
                            fetching.begin(number, *fetch, to.clone());
                        }
                        _ => return,
                    },
                    Some(ToExecutor::Fetched { number, answer }) = from.recv() => {
                        answers.put(number, answer);
                    }
                }
            }
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(serve));
    }

    fn cabinet(&self) -> Cabinet {
        Cabinet::open(&self.dir.path().join("agent")).unwrap()
    }

    fn resource(&self) -> Resource {
        let mut made = resource(&["mail.example.com", "www.example.com"]);
        if let Spec::Certificate(spec) = &mut made.spec
            && let CertificateSource::Acme(acme) = &mut spec.source
        {
            acme.directory = format!("https://localhost:{}/dir", self.port);
        }
        made
    }

    fn want(&self) -> Place {
        let resource = self.resource();
        let place = Wanted::of(&resource).unwrap().place;
        let config = HostConfig {
            cluster: ClusterId([1; 16]),
            host: HostId::new("web1").unwrap(),
            role: Role::Mailwizz,
            disposition: Disposition::Active,
            resources: vec![resource],
            large_removal: false,
            accounting: None,
        };
        self.issuer.as_ref().unwrap().want(&config, Timestamp(0));
        place
    }
}

#[test]
fn pebble_issues_and_what_it_issued_is_renewed_before_its_end() {
    let Some(bed) = Bed::new(30) else { return };
    let place = bed.want();
    let cabinet = bed.cabinet();
    let is_issued = || place.issued(&cabinet).unwrap().is_some();
    let so_far = || format!("{:?}", place.attempts(&cabinet));
    wait_with("a certificate is issued", is_issued, so_far);
    let first = place.issued(&cabinet).unwrap().unwrap();
    let seen = first.pair.judge().unwrap();
    assert_eq!(seen.names.len(), 2);
    assert!(
        bed.served.load(Ordering::Relaxed) >= 2,
        "it looked at both names"
    );
    wait_for("it is told", || bed.told.load(Ordering::Relaxed) >= 1);
    // It is wanted on, and a third of 30 s before its end there is another, with another key.
    wait_for("it is renewed", || {
        place
            .issued(&cabinet)
            .unwrap()
            .is_some_and(|now| now.not_after > first.not_after)
    });
    let second = place.issued(&cabinet).unwrap().unwrap();
    assert!(second.pair.key != first.pair.key);
    assert!(
        second.issued_at < first.not_after,
        "before the end of the first"
    );
    let left = std::fs::read_dir(
        bed.dir
            .path()
            .join("var/www/acme/.well-known/acme-challenge"),
    );
    assert_eq!(left.unwrap().count(), 0);
    drop(bed.names);
}

#[test]
fn a_server_that_is_away_is_the_reason_and_an_issuance_that_was_ended_goes_on() {
    let Some(mut bed) = Bed::new(3600) else {
        return;
    };
    bed.pebble = None;
    let place = bed.want();
    let cabinet = bed.cabinet();
    wait_for("the reason is known", || {
        place.attempts(&cabinet).reason.contains("onnect")
    });
    let attempts = place.attempts(&cabinet);
    assert!(
        attempts.failures == 1 && attempts.pause >= 15_000,
        "{attempts:?}"
    );
    // Another life does not begin at once, and then with the same account key.
    bed.start_pebble();
    let directory = format!("https://localhost:{}/dir", bed.port);
    let account = super::record::account(&cabinet, &directory)
        .unwrap()
        .unwrap();
    bed.start_issuer();
    bed.want();
    wait_for("an order is under way", || {
        let order = place.attempts(&cabinet).order;
        order.is_some_and(|order| !order.url.is_empty())
            || place.issued(&cabinet).unwrap().is_some()
    });
    // Killed in the middle, or a moment after the end.
    let ordered = place.attempts(&cabinet).order;
    bed.issuer = None;
    bed.start_issuer();
    bed.want();
    let is_issued = || place.issued(&cabinet).unwrap().is_some();
    let so_far = || format!("{:?}", place.attempts(&cabinet));
    wait_with("a certificate is issued", is_issued, so_far);
    let again = super::record::account(&cabinet, &directory)
        .unwrap()
        .unwrap();
    assert!(again.key == account.key);
    if let Some(ordered) = ordered {
        assert!(place.issued(&cabinet).unwrap().unwrap().pair.key == ordered.key);
    }
}
