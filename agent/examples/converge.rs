//! Brings this machine to a list of resources and measures passes over what is right already.
//!
//! `converge LIST.json DATA PASSES` reads a list as `tests/benches/b5-converge` writes it, keeps what an
//! agent remembers in the folder DATA, and prints figures as JSON. `RUST_LOG` says what it tells beside them. It changes the machine: only for one
//! that is made for it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use email_engine_agent::host::{Cabinet, Machine, Root};
use email_engine_agent::reconciler::{Reconciler, Scope, UnderWay, order};
use email_engine_agent::resources::{ContentError, Contents};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    DirectorySpec, Disposition, FileContent, FileSpec, GroupSpec, HostConfig, HostPath, OnNotify,
    OnRemove, PackageSpec, Policy, Resource, ServiceSpec, Spec, SymlinkSpec, UserSpec,
};
use email_engine_protocol::id::{ClusterId, HostId, ResourceId, Role};
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use serde::Deserialize;
use zeroize::Zeroizing;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What shall be, in the words that every tool of the comparison is given.
#[derive(Debug, Deserialize)]
struct List {
    directories: Vec<String>,
    /// Path, and the file that it is a copy of.
    files: Vec<(String, String)>,
    /// Path and target.
    links: Vec<(String, String)>,
    groups: Vec<String>,
    users: Vec<String>,
    packages: Vec<String>,
    units: Vec<String>,
}

/// Contents, by hash.
#[derive(Debug, Default)]
struct Bodies(BTreeMap<ContentHash, Vec<u8>>);

impl Contents for Bodies {
    fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        self.0.get(hash).cloned().ok_or_else(|| ContentError::Body {
            hash: *hash,
            reason: "it is not in the list".to_owned(),
        })
    }

    fn secret(&self, _: &SecretRef) -> Result<SecretBytes, ContentError> {
        Err(none())
    }

    fn is_secret(&self, _: &SecretRef, _: &[u8]) -> Result<bool, ContentError> {
        Err(none())
    }

    fn seal(&self, _: &[u8]) -> Result<Vec<u8>, ContentError> {
        Err(none())
    }

    fn unseal(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        Err(none())
    }
}

fn none() -> ContentError {
    ContentError::Copy {
        reason: "lists have no secrets".to_owned(),
    }
}

fn main() -> Outcome<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [list, data, passes] = words.as_slice() else {
        return Err("usage: converge LIST.json DATA PASSES".into());
    };
    let list: List = serde_json::from_slice(&fs::read(list)?)?;
    let passes: u32 = passes.parse()?;
    let (resources, bodies) = resources(&list)?;
    let state = HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("bench")?,
        role: Role::Api,
        disposition: Disposition::Active,
        resources,
        large_removal: false,
        accounting: None,
    };
    state.check()?;
    let order = order::order(&state.resources)?;
    let cabinet = Cabinet::open(Path::new(data))?;
    let mut reconciler = Reconciler::open(Machine::open(&Root::Real, cabinet.clone())?, cabinet);
    let go = UnderWay::default();
    let mut pass = || -> Outcome<(usize, Duration)> {
        let begin = Instant::now();
        let outcome = reconciler.pass(&state, &order, &bodies, &Scope::All, &go)?;
        if !outcome.is_good() {
            return Err(format!("not right: {:?}", outcome.statuses).into());
        }
        Ok((outcome.changed, begin.elapsed()))
    };
    let (changed, first) = pass()?;
    let mut warm = Vec::new();
    for _ in 1..passes {
        let (changed, took) = pass()?;
        if changed != 0 {
            return Err(format!("a pass over what was right changed {changed}").into());
        }
        warm.push(took);
    }
    let mut floor = Vec::new();
    for _ in 1..passes {
        floor.push(floor_of(&list)?);
    }
    let figures = serde_json::json!({
        "resources": state.resources.len(),
        "changed": changed,
        "first_us": micros(first),
        "warm_us": median(warm).map(micros),
        "floor_us": median(floor).map(micros),
    });
    println!("{figures}");
    Ok(())
}

/// What no checker can be faster than: every file's metadata, content and hash, and nothing else.
fn floor_of(list: &List) -> Outcome<Duration> {
    let begin = Instant::now();
    for (path, _) in &list.files {
        let metadata = fs::symlink_metadata(path)?;
        let hash = ContentHash::of(&fs::read(path)?);
        std::hint::black_box((metadata, hash));
    }
    Ok(begin.elapsed())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn resources(list: &List) -> Outcome<(Vec<Resource>, Bodies)> {
    let mut bodies = Bodies::default();
    let mut all = files(list, &mut bodies)?;
    all.extend(others(list)?);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((all, bodies))
}

fn resource(id: String, after: Vec<ResourceId>, spec: Spec) -> Outcome<Resource> {
    Ok(Resource {
        id: ResourceId::new(id)?,
        spec,
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after,
        notify: Vec::new(),
    })
}

fn files(list: &List, bodies: &mut Bodies) -> Outcome<Vec<Resource>> {
    let root = || Some("root".to_owned());
    let mut all = Vec::new();
    for path in &list.directories {
        let spec = DirectorySpec {
            path: HostPath::new(path.as_str())?,
            mode: 0o755,
            owner: root(),
            group: root(),
        };
        let id = format!("directory:{path}");
        all.push(resource(id, Vec::new(), Spec::Directory(spec))?);
    }
    for (path, source) in &list.files {
        let body = fs::read(source)?;
        let (hash, length) = (ContentHash::of(&body), body.len() as u64);
        bodies.0.insert(hash, body);
        let spec = FileSpec {
            path: HostPath::new(path.as_str())?,
            content: FileContent::Body { hash, length },
            mode: 0o644,
            owner: root(),
            group: root(),
            validate: None,
        };
        let id = format!("file:{path}");
        all.push(resource(id, Vec::new(), Spec::File(spec))?);
    }
    for (path, target) in &list.links {
        let id = format!("symlink:{path}");
        let spec = SymlinkSpec {
            path: HostPath::new(path.as_str())?,
            target: HostPath::new(target.as_str())?,
        };
        all.push(resource(id, Vec::new(), Spec::Symlink(spec))?);
    }
    Ok(all)
}

fn others(list: &List) -> Outcome<Vec<Resource>> {
    let mut all = Vec::new();
    for name in &list.groups {
        let spec = GroupSpec { name: name.clone() };
        all.push(resource(
            format!("group:{name}"),
            Vec::new(),
            Spec::Group(spec),
        )?);
    }
    for name in &list.users {
        let spec = UserSpec {
            name: name.clone(),
            group: None,
            groups: Vec::new(),
            home: None,
        };
        all.push(resource(
            format!("user:{name}"),
            Vec::new(),
            Spec::User(spec),
        )?);
    }
    for name in &list.packages {
        let spec = PackageSpec {
            name: name.clone(),
            version: None,
            hold: false,
        };
        let id = format!("package:{name}");
        all.push(resource(id, Vec::new(), Spec::Package(spec))?);
    }
    for unit in &list.units {
        let spec = ServiceSpec {
            unit: unit.clone(),
            enabled: true,
            running: true,
            on_notify: OnNotify::Restart,
        };
        let file = ResourceId::new(format!("file:/etc/systemd/system/{unit}"))?;
        let id = format!("service:{unit}");
        all.push(resource(id, vec![file], Spec::Service(spec))?);
    }
    Ok(all)
}
