//! A link on loopback with a coordinator before it and a test in the executor's place.

use std::time::Duration;

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::desired::Target;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::super::{ExecutorSide, Link, LinkEnd, LinkSettings};
use super::coordinator::{TestCoordinator, TestSession, wait_for};
use super::{NodeNames, TestCluster};
use crate::halves::{FromExecutor, Standing, ToExecutor};
use crate::identity::{Identity, IdentityStore};

/// A running link and the executor's end of its channels.
pub(super) struct Agent {
    link: JoinHandle<LinkEnd>,
    heard: mpsc::Receiver<ToExecutor>,
    say: mpsc::Sender<FromExecutor>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) store: IdentityStore,
    _dir: tempfile::TempDir,
}

impl Agent {
    pub(super) fn start(identity: Identity) -> Self {
        Self::start_believing(identity, Timestamp(0))
    }

    /// Starts with a time that a signature vouched for in an earlier life.
    pub(super) fn start_believing(identity: Identity, floor: Timestamp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = IdentityStore::open(dir.path()).unwrap();
        store.save(&identity).unwrap();
        store.save_clock_floor(floor).unwrap();
        let (to, heard) = mpsc::channel(4);
        let (say, from) = mpsc::channel(1);
        let (stop, shutdown) = watch::channel(false);
        let settings = LinkSettings {
            mode: Mode::Sandbox,
            reconnect_max: Duration::from_millis(20),
            silence: Duration::from_secs(60),
            software: "0.0.0".to_owned(),
            acme_ca_file: None,
        };
        let executor = ExecutorSide::new(to, from, Standing::default(), shutdown);
        let link = Link::new(settings, store.clone(), identity, executor).unwrap();
        Self {
            link: tokio::spawn(link.run()),
            heard,
            say,
            stop,
            store,
            _dir: dir,
        }
    }

    pub(super) async fn heard(&mut self) -> ToExecutor {
        wait_for(self.heard.recv(), "the executor hears something")
            .await
            .unwrap()
    }

    /// Takes the two messages with which every session begins.
    pub(super) async fn heard_session(&mut self) {
        let nonce = Nonce([7; 16]);
        assert_eq!(self.heard().await, ToExecutor::Session { nonce });
        assert!(matches!(self.heard().await, ToExecutor::Grants { .. }));
    }

    pub(super) async fn say(&self, message: FromExecutor) {
        wait_for(self.say.send(message), "the link listens")
            .await
            .unwrap();
    }

    pub(super) async fn end(self) -> LinkEnd {
        wait_for(self.link, "the link ends").await.unwrap()
    }
}

pub(super) struct Stage {
    pub(super) cluster: TestCluster,
    pub(super) coordinator: TestCoordinator,
}

impl Stage {
    pub(super) fn new() -> Self {
        let cluster = TestCluster::new(1);
        let coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
        Self {
            cluster,
            coordinator,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        let endpoints = vec![self.coordinator.name()];
        self.cluster
            .identity_of("pmta1", TestCluster::week(), endpoints)
    }

    pub(super) async fn session(&mut self, list: &[Endpoint]) -> TestSession {
        self.coordinator.session(&self.cluster, list).await
    }

    pub(super) fn target(&self, issued_at: Timestamp) -> Target {
        Target {
            cluster: self.cluster.id,
            host: HostId::new("pmta1").unwrap(),
            generation: Generation {
                epoch: 1,
                number: 5,
            },
            digest: ContentHash::of(b"manifest"),
            plan_key_version: 1,
            issued_at,
        }
    }
}
