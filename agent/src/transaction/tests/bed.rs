//! A machine in a folder, and contents in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{FileContent, HostConfig, Resource, Spec, TransactionSpec};
use email_engine_protocol::id::{ResourceId, SecretId};
use email_engine_protocol::observed::ResourceState;
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use zeroize::Zeroizing;

use super::pair;
use crate::host::{Cabinet, Machine, Root};
use crate::reconciler::order;
use crate::reconciler::plan::tests::{config, file};
use crate::reconciler::{Outcome, Reconciler, Scope, UnderWay};
use crate::resources::{ContentError, Contents};
use crate::transaction::shelf::Shelf;
use crate::transaction::standing::Standing;

/// The service manager of a bed that has one.
const SYSTEMCTL: &str = "systemctl";

/// Bodies and secrets.
#[derive(Debug, Default)]
pub(super) struct Memory {
    bodies: RefCell<BTreeMap<ContentHash, Vec<u8>>>,
    secrets: RefCell<BTreeMap<SecretRef, SecretBytes>>,
}

impl Contents for Memory {
    fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        let found = self.bodies.borrow().get(hash).cloned();
        found.ok_or_else(|| ContentError::Body {
            hash: *hash,
            reason: "nobody has it".to_owned(),
        })
    }

    fn secret(&self, secret: &SecretRef) -> Result<SecretBytes, ContentError> {
        Ok(self.secrets.borrow()[secret].clone())
    }

    fn is_secret(&self, secret: &SecretRef, bytes: &[u8]) -> Result<bool, ContentError> {
        Ok(self.secret(secret)?.bytes == bytes)
    }

    /// Not secret, but other bytes than before.
    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError> {
        Ok(bytes.iter().map(|byte| byte ^ 0x55).collect())
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        self.seal(sealed).map(Zeroizing::new)
    }
}

/// What stands in a folder, by name.
pub(super) type Files = BTreeMap<String, String>;

pub(super) fn files(listed: &[(&str, &str)]) -> Files {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    listed.iter().map(owned).collect()
}

pub(super) struct Bed {
    pub(super) dir: tempfile::TempDir,
    pub(super) memory: Memory,
    pub(super) reconciler: Reconciler,
    /// Real programs in the place of simulated ones.
    real: bool,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(false)
    }

    pub(super) fn with_programs() -> Self {
        Self::with(true)
    }

    /// Real programs, and a service manager whose unit starts when `starts`, a script, says so. It is
    /// asked in the folder of the product's files; what it was told is in [`told`](Self::told).
    pub(super) fn with_service_manager(starts: &str) -> Self {
        let dir = quick_folder();
        std::fs::create_dir_all(dir.path().join("root/etc/p")).unwrap();
        let script = format!(
            r#"#!/bin/sh
here={}
cd "$here/root/etc/p" || exit 3
told() {{ echo "$1" >> "$here/told"; }}
is() {{ echo "$1" > "$here/is"; }}
case $1 in
show)
    [ -e "$here/silent" ] && exit 1
    printf 'LoadState=loaded\nActiveState=%s\nUnitFileState=enabled\n' \
        "$(cat "$here/is" 2> /dev/null || echo inactive)" ;;
restart)
    told restart
    if {starts}; then is active; exit 0; fi
    is failed
    echo 'Job for product.service failed.' >&2
    exit 1 ;;
stop) told stop; is inactive ;;
esac
"#,
            dir.path().display()
        );
        let place = dir.path().join(SYSTEMCTL);
        std::fs::write(&place, script).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self::at(dir, true)
    }

    /// What the service manager was told, in order.
    pub(super) fn told(&self) -> Vec<String> {
        let told = std::fs::read_to_string(self.dir.path().join("told")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }

    /// How the service manager finds the unit.
    pub(super) fn unit_is(&self) -> String {
        let word = std::fs::read_to_string(self.dir.path().join("is")).unwrap_or_default();
        word.trim().to_owned()
    }

    fn with(real: bool) -> Self {
        let dir = quick_folder();
        std::fs::create_dir_all(dir.path().join("root/etc/p")).unwrap();
        Self::at(dir, real)
    }

    fn at(dir: tempfile::TempDir, real: bool) -> Self {
        let reconciler = open(dir.path(), real);
        Self {
            dir,
            memory: Memory::default(),
            reconciler,
            real,
        }
    }

    /// The next life.
    pub(super) fn restart(&mut self) {
        self.reconciler = open(self.dir.path(), self.real);
    }

    pub(super) fn cabinet(&self) -> Cabinet {
        Cabinet::open(&self.dir.path().join("data")).unwrap()
    }

    /// The folder as the present life has it: with its death.
    pub(super) fn reconciler_cabinet(&self) -> Cabinet {
        self.reconciler.cabinet.clone()
    }

    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join("root/etc/p").join(name)
    }

    /// A state of files in one folder that change together, in this order; `key` is a secret.
    pub(super) fn state(&self, members: &[(&str, &str)]) -> HostConfig {
        self.state_with(members, |_| {})
    }

    pub(super) fn state_with(
        &self,
        members: &[(&str, &str)],
        change: impl FnOnce(&mut TransactionSpec),
    ) -> HostConfig {
        let paths: Vec<String> = members
            .iter()
            .map(|(name, _)| format!("/etc/p/{name}"))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let mut together = pair(&paths);
        if let Spec::Transaction(spec) = &mut together.spec {
            change(spec);
        }
        let mut resources: Vec<Resource> = vec![together];
        for ((name, text), path) in members.iter().zip(&paths) {
            let mut member = file(path);
            if let Spec::File(spec) = &mut member.spec {
                spec.content = self.content(name, text);
                spec.mode = 0o640;
            }
            resources.push(member);
        }
        config(resources)
    }

    fn content(&self, name: &str, text: &str) -> FileContent {
        if name == "key" {
            let bytes = SecretBytes {
                salt: [1; 16],
                bytes: text.as_bytes().to_vec(),
            };
            let secret = SecretRef {
                id: SecretId::new("dkim/key").unwrap(),
                version: 1,
                commitment: bytes.commitment(),
            };
            self.memory
                .secrets
                .borrow_mut()
                .insert(secret.clone(), bytes);
            return FileContent::Secret(secret);
        }
        let hash = ContentHash::of(text.as_bytes());
        let body = text.as_bytes().to_vec();
        self.memory.bodies.borrow_mut().insert(hash, body);
        FileContent::Body {
            hash,
            length: text.len() as u64,
        }
    }

    /// Whoever writes this text finds another in its place when it looks.
    pub(super) fn undo_at_once(&self, text: &str) {
        let hash = ContentHash::of(text.as_bytes());
        let other = b"somebody else's".to_vec();
        self.memory.bodies.borrow_mut().insert(hash, other);
    }

    /// One pass over a state that is enforced from now on.
    pub(super) fn accept(&mut self, state: &HostConfig) -> Outcome {
        self.reconciler.change_state(false);
        self.look(state)
    }

    /// One pass over the same state.
    pub(super) fn look(&mut self, state: &HostConfig) -> Outcome {
        self.try_pass(state).unwrap()
    }

    pub(super) fn try_pass(&mut self, state: &HostConfig) -> Option<Outcome> {
        state.check().unwrap();
        let order = order::order(&state.resources).unwrap();
        let go = UnderWay::default();
        let passed = self
            .reconciler
            .pass(state, &order, &self.memory, &Scope::All, &go);
        passed.ok()
    }

    pub(super) fn recover(&mut self) {
        self.reconciler.recover(&self.memory);
    }

    /// What stands in the folder; what is begun and not ended has odd names.
    pub(super) fn files(&self) -> Files {
        let entries = std::fs::read_dir(self.dir.path().join("root/etc/p")).unwrap();
        let read = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        };
        entries.map(|entry| read(entry.unwrap())).collect()
    }

    pub(super) fn standing(&self) -> Standing {
        let id = pair(&[]).id;
        let mut standings = Shelf::new(self.cabinet()).standings();
        standings.remove(&id).unwrap_or_else(|| Standing::new(id))
    }

    /// Names of what lies on the shelf beside standings and contents.
    pub(super) fn copies(&self) -> Vec<String> {
        let names = self.cabinet().list("transactions").unwrap();
        names
            .into_iter()
            .filter(|name| name.contains(".previous-"))
            .collect()
    }

    /// The machine goes down with its service: it does not come up again by itself, since it was
    /// started with files that it refuses.
    pub(super) fn power_cut(&self) {
        let place = self.dir.path().join("data/simulated.toml");
        if let Ok(text) = std::fs::read_to_string(&place) {
            std::fs::write(place, text.replace("running = true", "running = false")).unwrap();
        }
    }

    pub(super) fn runs_now(&self) -> bool {
        self.service("running") == Some(toml::Value::Boolean(true))
    }

    /// What shall fail from now on, see `simulated-failures`.
    pub(super) fn fail(&self, lines: &str) {
        std::fs::write(self.dir.path().join("data/simulated-failures"), lines).unwrap();
    }

    /// What questions about names are answered from now on, see `simulated-answers`.
    pub(super) fn answer(&self, lines: &str) {
        std::fs::write(self.dir.path().join("data/simulated-answers"), lines).unwrap();
    }

    /// How often something was run.
    pub(super) fn runs(&self, what: &str) -> u64 {
        let text = std::fs::read_to_string(self.dir.path().join("data/simulated.toml"));
        let text = text.unwrap_or_default();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let count = table
            .get("commands")
            .and_then(|all| all.get(format!("transaction:pair/{what}")));
        count
            .and_then(toml::Value::as_integer)
            .map_or(0, |count| u64::try_from(count).unwrap())
    }

    pub(super) fn service(&self, key: &str) -> Option<toml::Value> {
        let text = std::fs::read_to_string(self.dir.path().join("data/simulated.toml")).ok()?;
        let table: toml::Table = toml::from_str(&text).unwrap();
        table
            .get("services")?
            .get("product.service")?
            .get(key)
            .cloned()
    }
}

/// In memory where there is such a place: deaths are counted, no disk is tried.
fn quick_folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok());
    made.flatten()
        .unwrap_or_else(|| tempfile::tempdir().unwrap())
}

fn open(dir: &std::path::Path, real: bool) -> Reconciler {
    let cabinet = Cabinet::open(&dir.join("data")).unwrap();
    let systemctl = dir.join(SYSTEMCTL);
    let machine = if systemctl.exists() {
        Machine::with_systemctl(&dir.join("root"), &systemctl)
    } else if real {
        Machine::with_programs(&dir.join("root"))
    } else {
        Machine::open(&Root::Sandbox(dir.join("root")), cabinet.clone()).unwrap()
    };
    Reconciler::open(machine.dies_with(&cabinet), cabinet)
}

/// What is said of the transaction.
pub(super) fn said(outcome: &Outcome) -> &ResourceState {
    let id: ResourceId = pair(&[]).id;
    let mut statuses = outcome.statuses.iter();
    &statuses.find(|status| status.id == id).unwrap().state
}

/// Why the transaction failed.
pub(super) fn failure(outcome: &Outcome) -> &str {
    match said(outcome) {
        ResourceState::Failed(reason) => reason,
        other => panic!("it did not fail: {other:?}"),
    }
}
