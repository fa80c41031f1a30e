//! A state that a fleet file makes where there is no cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use email_engine_protocol::api::{FleetDocument, HostSpec, Settings};
use email_engine_protocol::bytes::{CaPin, ContentHash, SealingPublicKey, VerifyingKey};
use email_engine_protocol::crypto::{RecoveryPublic, Sealed};
use email_engine_protocol::id::{ArtifactName, ClusterId, HostId, Role};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use crate::command::Rejection;
use crate::planner::preview::carried_out;
use crate::planner::role::RoleFile;
use crate::planner::{PLANNER_VERSION, PlanError, bundle_hash, document, plan};
use crate::state::{
    Artifact, ClusterRecord, FleetState, Issuer, Release, RoleBundle, SealedAtRest,
    SettingsRevision,
};

/// Names of artifacts that a host may want.
const ARTIFACTS: usize = 100;

/// The fleet of a document, with a host for each role of the bundle that it has none of, and without any
/// artifact.
pub(super) fn bare(
    files: &BTreeMap<String, String>,
    document: &FleetDocument,
) -> Result<FleetState, Rejection> {
    let mut document = document.clone();
    let bundle = RoleBundle::new(files.clone(), Timestamp(0));
    add_hosts(&mut document, &bundle.roles());
    let empty = empty(bundle);
    let plan = document::changes(&empty, &document, false, document::Scope::Admin)?;
    let keys = document.ips.len();
    carried_out(&empty, &plan.commands, keys)
}

/// The same with all artifacts that are named.
pub(super) fn supplied_with(bare: &FleetState) -> FleetState {
    let mut state = bare.clone();
    for host in bare.hosts.keys() {
        add_artifacts(&mut state, host);
    }
    state
}

fn add_hosts(document: &mut FleetDocument, roles: &BTreeSet<Role>) {
    let there: BTreeSet<Role> = document.hosts.iter().map(|host| host.role).collect();
    let taken: BTreeSet<IpAddr> = document
        .hosts
        .iter()
        .flat_map(|host| host.addresses.iter().copied())
        .chain(document.ips.iter().map(|ip| ip.address))
        .collect();
    // For documentation (RFC 5737): an operator's hosts are elsewhere.
    let free = (1..=254)
        .rev()
        .map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    let mut free = free.filter(|address| !taken.contains(address));
    for role in roles.difference(&there) {
        let is_taken = |id: &HostId| document.hosts.iter().any(|host| host.id == *id);
        let names = [role.to_string(), format!("{role}-lint")];
        let id = names.into_iter().filter_map(|name| HostId::new(name).ok());
        let (Some(id), Some(address)) = (id.into_iter().find(|id| !is_taken(id)), free.next())
        else {
            continue;
        };
        document.hosts.push(HostSpec {
            id,
            role: *role,
            tenant: document.tenants.first().map(|tenant| tenant.id.clone()),
            addresses: vec![address],
            labels: BTreeMap::new(),
        });
    }
}

/// Whatever a host's role names is there, and empty.
fn add_artifacts(state: &mut FleetState, host: &HostId) {
    let Some(role) = role_of(state, host) else {
        return;
    };
    // A certificate with its key is a secret.
    let secret: BTreeSet<ArtifactName> = supplied(&role).cloned().collect();
    let add = |state: &mut FleetState, name: &ArtifactName| {
        add_artifact(state, host, name, secret.contains(name));
    };
    // Those without which some of the role is not planned at all.
    for name in conditions(&role).take(ARTIFACTS) {
        add(state, &name);
    }
    for _ in 0..ARTIFACTS {
        let Err(PlanError::UnnamedArtifact { name, .. }) = plan(state, host) else {
            return;
        };
        add(state, &name);
    }
}

fn role_of(state: &FleetState, host: &HostId) -> Option<RoleFile> {
    let host = state.hosts.get(host)?;
    let bundle = state.bundles.get(&host.release.bundle)?;
    RoleFile::read(&bundle.view(&host.spec)).ok()
}

fn supplied(role: &RoleFile) -> impl Iterator<Item = &ArtifactName> {
    role.certificates
        .iter()
        .filter_map(|entry| entry.artifact.as_ref())
}

fn conditions(role: &RoleFile) -> impl Iterator<Item = ArtifactName> + use<> {
    let parts = role.parts.iter().filter_map(|part| part.artifact.as_ref());
    let files = role.files.iter();
    let files = files.filter_map(|entry| entry.when_artifact.as_ref());
    let packages = role.packages.iter();
    let packages = packages.filter_map(|entry| entry.when_artifact.as_ref());
    let groups = role.groups.iter();
    let groups = groups.filter_map(|entry| entry.when_artifact.as_ref());
    let all = parts.chain(files).chain(packages).chain(groups);
    all.cloned().collect::<BTreeSet<_>>().into_iter()
}

fn add_artifact(state: &mut FleetState, host: &HostId, name: &ArtifactName, secret: bool) {
    let sha256 = ContentHash::of(name.as_str().as_bytes());
    let artifact = Artifact {
        name: name.to_string(),
        length: name.as_str().len() as u64,
        pieces: vec![sha256],
        missing: BTreeSet::new(),
        secret,
        begun_at: Timestamp(0),
        touched_at: Timestamp(0),
        finished_at: Some(Timestamp(0)),
    };
    state.artifacts.insert(sha256, Arc::new(artifact));
    if let Some(host) = state.hosts.get_mut(host) {
        let label = format!("{}{name}", Artifact::LABEL);
        host.spec.labels.insert(label, sha256.to_string());
    }
}

/// A cluster with nothing in it. None of its keys is ever used.
fn empty(bundle: RoleBundle) -> FleetState {
    let hash = bundle_hash(&bundle.files);
    let settings = SettingsRevision {
        settings: Settings::default(),
        put_at: Timestamp(0),
    };
    FleetState {
        cluster: Some(cluster()),
        bundles: [(hash, Arc::new(bundle))].into(),
        settings: [(0, settings)].into(),
        default_release: Some(Release {
            bundle: hash,
            planner_version: PLANNER_VERSION,
            settings: 0,
        }),
        ..FleetState::default()
    }
}

fn cluster() -> ClusterRecord {
    ClusterRecord {
        id: ClusterId([0; 16]),
        epoch: 1,
        epoch_grant: None,
        version: 1,
        mode: Mode::Sandbox,
        recovery: RecoveryPublic {
            verifying: VerifyingKey([0; 32]),
            sealing: SealingPublicKey([0; 32]),
        },
        root: Vec::new(),
        ca_pin: CaPin([0; 32]),
        root_key: Sealed::nothing(),
        issuer: Issuer {
            certificate: Vec::new(),
            key: SealedAtRest {
                uid: [0; 16],
                kek_version: 0,
                wrapped_key: Vec::new(),
                ciphertext: Vec::new(),
            },
        },
        plan_keys: BTreeMap::new(),
        created_at: Timestamp(0),
    }
}
