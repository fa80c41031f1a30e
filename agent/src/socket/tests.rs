use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::call::{CallError, call};
use super::frames::{self, FROM_EXECUTOR};
use super::place::{self, NetworkUser, PlaceError, is_executor, is_network_half};
use super::serve::{ServeEnd, serve, serve_until};
use super::{Begin, VERSION};
use crate::allow::{AllowList, Names};
use crate::executor::{self, ExecutorConfig, Root, Started};
use crate::halves::{FromExecutor, ToExecutor};
use crate::host::OwnPlaces;

const SOON: Duration = Duration::from_secs(20);

/// An executor of a sandbox behind a socket.
struct Rig {
    dir: tempfile::TempDir,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<ServeEnd>,
}

fn ourselves() -> NetworkUser {
    NetworkUser {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

/// An executor of a sandbox that allows nothing.
fn started(dir: &Path) -> Started {
    executor::start(ExecutorConfig {
        data_dir: dir.join("executor"),
        root: Root::Sandbox(dir.join("root")),
        allow: AllowList {
            origin: "an empty list".to_owned(),
            paths: Vec::new(),
            commands: Vec::new(),
            packages: Names::default(),
            package_files: Names::default(),
            package_repositories: Vec::new(),
            services: Names::default(),
            users: Names::default(),
            groups: Names::default(),
            sysctls: Names::default(),
            interfaces: Names::default(),
            ports: Names::default(),
            databases: Names::default(),
            database_users: Names::default(),
            tables: Names::default(),
            acme_directories: Names::default(),
            addresses: Vec::new(),
            firewall: true,
            set_id: Vec::new(),
            own: BTreeSet::new(),
        },
        own: OwnPlaces::new(),
        audit_interval: Duration::from_secs(60),
        agent_version: "1.2.3".to_owned(),
    })
    .unwrap()
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let started = started(dir.path());
        let listener = place::listen(&dir.path().join("run/socket"), ourselves()).unwrap();
        let (stop, shutdown) = watch::channel(false);
        let served = tokio::spawn(serve(listener, ourselves(), started, shutdown));
        Self { dir, stop, served }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("run/socket")
    }

    async fn end(self) -> ServeEnd {
        self.stop.send_replace(true);
        soon(self.served).await.unwrap()
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(SOON, work).await.expect("it takes no longer")
}

/// Reads until the other side hangs up.
async fn hangs_up(stream: &mut UnixStream) {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn the_executor_says_who_it_is_first_and_then_both_speak() {
    let rig = Rig::new();
    let called = soon(call(&rig.path())).await.unwrap();
    assert!(!called.begin.retired);
    assert_eq!(called.begin.trust, None);
    // More than may wait on the way: they are read.
    for _ in 0..64 {
        let begun = ToExecutor::Session {
            nonce: Nonce([7; 16]),
        };
        soon(called.to.send(begun)).await.unwrap();
    }
    assert_eq!(rig.end().await, ServeEnd::Shutdown);
}

#[tokio::test]
async fn whoever_talks_nonsense_is_let_go_and_the_next_one_is_let_in() {
    let rig = Rig::new();
    let long = (frames::TO_EXECUTOR as u32 + 1).to_be_bytes();
    let garbage: [&[u8]; 4] = [
        &long,
        &[0, 0, 0, 3, 0xff, 0xff, 0xff],
        &[0, 0],
        &[0, 0, 0, 0],
    ];
    for bytes in garbage {
        let mut stream = UnixStream::connect(rig.path()).await.unwrap();
        let version: Option<u32> = frames::read(&mut stream, FROM_EXECUTOR).await.unwrap();
        let begin: Option<Begin> = frames::read(&mut stream, FROM_EXECUTOR).await.unwrap();
        assert!(version == Some(VERSION) && begin.is_some());
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        hangs_up(&mut stream).await;
    }
    let called = soon(call(&rig.path())).await.unwrap();
    assert!(!called.begin.retired);
    drop(called);
    assert_eq!(rig.end().await, ServeEnd::Shutdown);
}

#[tokio::test]
async fn a_body_that_nobody_may_send_is_refused_before_it_comes() {
    let (mut here, mut there) = tokio::io::duplex(4096);
    let announced = frames::announce(ContentHash([1; 32]), limits::BODY_BYTES + 1);
    frames::write(&mut here, &announced, frames::TO_EXECUTOR)
        .await
        .unwrap();
    let refused = frames::read_to_executor(&mut there, |_| true).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("at most"), "{refused}");
}

#[tokio::test]
async fn the_newest_network_half_is_heard_and_the_older_one_let_go() {
    let rig = Rig::new();
    let mut first = soon(call(&rig.path())).await.unwrap();
    let second = soon(call(&rig.path())).await.unwrap();
    while soon(first.from.recv()).await.is_some() {}
    let begun = ToExecutor::Session {
        nonce: Nonce([7; 16]),
    };
    second.to.send(begun).await.unwrap();
    assert_eq!(rig.end().await, ServeEnd::Shutdown);
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_one_group_and_takes_the_place_of_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/socket");
    for _ in 0..2 {
        let listener = place::listen(&path, ourselves()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o660);
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        drop(listener);
        let refused = call(&path).await.unwrap_err();
        assert!(matches!(refused, CallError::Absent { .. }), "{refused}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file of somebody").unwrap();
    let refused = place::listen(&path, ourselves()).unwrap_err();
    assert!(matches!(refused, PlaceError::InTheWay(_)), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file of somebody");
}

#[tokio::test]
async fn the_largest_body_passes_when_it_is_wanted_and_not_a_byte_of_another() {
    let bytes = vec![7; usize::try_from(limits::BODY_BYTES).unwrap()];
    let hash = ContentHash::of(&bytes);
    for is_wanted in [true, false] {
        let (mut here, mut there) = tokio::io::duplex(64 * 1024);
        let body = ToExecutor::Body {
            hash,
            bytes: bytes.clone(),
        };
        let sending = tokio::spawn(async move {
            let _ = frames::write_to_executor(&mut here, body).await;
        });
        let read = soon(frames::read_to_executor(&mut there, |_| is_wanted)).await;
        match read {
            Ok(Some(ToExecutor::Body { bytes: came, .. })) => assert!(is_wanted && came == bytes),
            Err(error) => assert!(!is_wanted && error.to_string().contains("did not ask")),
            other => panic!("{other:?}"),
        }
        drop(there);
        soon(sending).await.unwrap();
    }
}

#[tokio::test]
async fn who_stays_after_the_host_was_retired_or_does_not_come_holds_nothing_up() {
    for stays in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut started = started(dir.path());
        let (say, events) = mpsc::channel(4);
        let _own = std::mem::replace(&mut started.events, events);
        let path = dir.path().join("run/socket");
        let listener = place::listen(&path, ourselves()).unwrap();
        let (_stop, shutdown) = watch::channel(false);
        let farewell = Duration::from_millis(50);
        let serving = serve_until(listener, ourselves(), started, shutdown, farewell);
        let served = tokio::spawn(serving);
        let mut called = None;
        if stays {
            called = Some(soon(call(&path)).await.unwrap());
        }
        say.send(FromExecutor::Retired).await.unwrap();
        if let Some(called) = &mut called {
            let said = soon(called.from.recv()).await;
            assert_eq!(said, Some(FromExecutor::Retired), "it is told");
        }
        let ended = soon(served).await.unwrap();
        assert_eq!(ended, ServeEnd::Retired, "somebody stays: {stays}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_ends_the_connection() {
    let rig = Rig::new();
    let mut called = soon(call(&rig.path())).await.unwrap();
    let body = ToExecutor::Body {
        hash: ContentHash([1; 32]),
        bytes: vec![0; 1024],
    };
    called.to.send(body).await.unwrap();
    while soon(called.from.recv()).await.is_some() {}
    assert!(
        soon(call(&rig.path())).await.is_ok(),
        "the next one is let in"
    );
    rig.end().await;
}

#[test]
fn whose_process_is_at_the_other_end_counts() {
    let user = NetworkUser { uid: 990, gid: 990 };
    let (root, other) = (0, 1000);
    for (peer, own, allowed) in [
        (990, root, true),
        (root, root, true),
        (other, root, false),
        (other, other, true),
        (root, other, false),
    ] {
        assert_eq!(is_network_half(peer, user, own), allowed, "{peer} of {own}");
    }
    assert!(is_executor(root, other) && is_executor(other, other));
    assert!(!is_executor(990, other) && !is_executor(other, root));
}
