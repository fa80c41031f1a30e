//! Fleets for tests: built by carrying out the commands of a fleet file in the plainest way, without
//! the checks that the real commands make.

use std::sync::Arc;

use email_engine_protocol::api::{FleetDocument, IpSpec, IpStatus, WarmupSettings};
use email_engine_protocol::bytes::{
    CaPin, CertificateSerial, Commitment, ContentHash, SealingPublicKey, VerifyingKey,
};
use email_engine_protocol::crypto::{RecoveryPublic, Sealed};
use email_engine_protocol::id::{ClusterId, HostId, SecretId, TenantId};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use email_engine_coordinator::command::Command;
use email_engine_coordinator::fleet::lifecycle::Event;
use email_engine_coordinator::fleet::warmup;
use email_engine_coordinator::planner::{
    PLANNER_VERSION, PlanError, Planned, builtin_bundle, bundle_hash, document, plan,
};
use email_engine_coordinator::powermta::lint::Options;
use email_engine_coordinator::powermta::syntax::Sources;
use email_engine_coordinator::state::{
    ClusterRecord, FleetState, Host, HostLifecycle, Identity, Issuer, Leaving, Life, Pool, Release,
    RoleBundle, Said, SealedAtRest, SettingsRevision, Signing, StoredSecret, SubmissionAuthority,
    SubmissionAuthorityRecord, SubmissionCertificate, SubmissionNames,
};

pub(crate) const SOS_HOLIDAYS: &str = include_str!("../../../deploy/examples/sos-holidays.toml");
pub(crate) const TWO_TENANTS: &str = include_str!("../../../deploy/examples/two-tenants.toml");

/// A state under construction.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) state: FleetState,
}

impl Fleet {
    /// A founded cluster with the shipped roles and nothing in it.
    pub(crate) fn empty() -> Self {
        let mut state = FleetState {
            cluster: Some(cluster()),
            ..FleetState::default()
        };
        let files = builtin_bundle();
        let bundle = bundle_hash(&files);
        let put_at = Timestamp(0);
        state
            .bundles
            .insert(bundle, Arc::new(RoleBundle::new(files, put_at)));
        let settings = SettingsRevision {
            settings: email_engine_protocol::api::Settings::default(),
            put_at,
        };
        state.settings.insert(0, settings);
        state.default_release = Some(Release {
            bundle,
            planner_version: PLANNER_VERSION,
            settings: 0,
        });
        Self { state }
    }

    /// The fleet of a file.
    pub(crate) fn of(text: &str) -> Self {
        let mut fleet = Self::empty();
        fleet.apply(&parse(text), false);
        fleet
    }

    /// The shipped example.
    pub(crate) fn sos_holidays() -> Self {
        Self::of(SOS_HOLIDAYS).certified()
    }

    /// Two tenants on one PowerMTA host.
    pub(crate) fn two_tenants() -> Self {
        Self::of(TWO_TENANTS).certified()
    }

    /// With certificates on the hosts at which the fleet submits, as the leader brings them.
    pub(crate) fn certified(mut self) -> Self {
        let wanted: Vec<_> = self
            .state
            .submission_wanted()
            .into_iter()
            .map(|(host, names)| (host.clone(), names))
            .collect();
        for (host, names) in &wanted {
            self.certify(host, names.clone());
        }
        let authority = SubmissionAuthority {
            serial: CertificateSerial([1; 16]),
            certificate: b"who vouches for the hosts at which this fleet submits its mail".to_vec(),
            key: sealed_at_rest(),
            covers: wanted.into_iter().map(|(_, names)| names).collect(),
            issued_at: Timestamp(0),
            not_after: Timestamp(1),
        };
        self.state.submission_authority = Some(Arc::new(SubmissionAuthorityRecord {
            authority,
            revision: 0,
            issued: 1,
        }));
        self
    }

    /// Gives a host its next certificate, for these names.
    pub(crate) fn certify(&mut self, host: &HostId, names: SubmissionNames) {
        let id = FleetState::submission_secret(host);
        let before = self.state.secrets.get(&id).map(|secret| secret.version);
        let version = before.unwrap_or_default() + 1;
        let secret = StoredSecret {
            id: id.clone(),
            version,
            commitment: Commitment([u8::try_from(version).unwrap(); 32]),
            sealed: sealed_at_rest(),
        };
        self.state.secrets.insert(id.clone(), Arc::new(secret));
        let row = SubmissionCertificate {
            secret: id,
            names,
            serial: CertificateSerial([1; 16]),
            issued_at: Timestamp(0),
            not_after: Timestamp(1),
        };
        self.state.submission_certificates.insert(host.clone(), row);
    }

    /// Applies a file.
    pub(crate) fn apply(
        &mut self,
        document: &FleetDocument,
        prune: bool,
    ) -> document::DocumentPlan {
        let plan = document::changes(&self.state, document, prune, document::Scope::Admin).unwrap();
        for command in plan.commands.clone() {
            self.carry_out(command);
        }
        self.state.reindex();
        plan
    }

    /// Carries one command out.
    pub(crate) fn carry_out(&mut self, command: Command) {
        let state = &mut self.state;
        match command {
            Command::PutSettings(put) => {
                let revision = state.settings.keys().next_back().map_or(0, |last| last + 1);
                let settings = SettingsRevision {
                    settings: put.settings,
                    put_at: Timestamp(0),
                };
                state.settings.insert(revision, settings);
                let release = state.default_release.as_mut().unwrap();
                release.settings = revision;
                state
                    .hosts
                    .change_each(|_, host| host.release.settings = revision);
            }
            Command::CreateTenant(create) => {
                state
                    .tenants
                    .insert(create.tenant.id.clone(), create.tenant);
            }
            Command::ChangeTenant(change) => {
                state
                    .tenants
                    .insert(change.tenant.id.clone(), change.tenant);
            }
            Command::AddHost(add) => {
                let host = Host {
                    spec: add.host,
                    lifecycle: HostLifecycle::Declared,
                    keys: None,
                    release: state.default_release.clone().unwrap(),
                    large_removal: false,
                };
                state.hosts.insert(host.spec.id.clone(), host);
            }
            Command::ChangeHost(change) => {
                let id = change.host.id.clone();
                state.hosts.get_mut(&id).unwrap().spec = change.host;
            }
            Command::RetireHost(retire) => {
                state.hosts.get_mut(&retire.host).unwrap().lifecycle = HostLifecycle::Retired;
            }
            Command::AddIdentity(add) => self.put_as_said(add.ip, add.said),
            Command::ChangeIdentity(change) => self.put_as_said(change.ip, change.said),
            Command::RetireIdentity(retire) => {
                state.identities.remove(&retire.address);
            }
            Command::SteerIdentity(steer) => {
                assert_eq!(
                    steer.event,
                    Event::Rest,
                    "a file lays to rest what it keeps"
                );
                let identity = state.identities.get_mut(&steer.address).unwrap();
                Arc::make_mut(identity).spec.status = IpStatus::Resting;
            }
            Command::RemoveTenant(remove) => {
                state.tenants.remove(&remove.tenant);
            }
            Command::AllowRemoval(allow) => {
                for host in &allow.hosts {
                    state.hosts.get_mut(host).unwrap().large_removal = true;
                }
            }
            other => panic!("a fleet file makes no {other:?}"),
        }
    }

    /// Puts an identity with a key.
    pub(crate) fn put(&mut self, spec: IpSpec) {
        let id = SecretId::new(format!("dkim/{}/{}", spec.domain, spec.selector)).unwrap();
        let own = ContentHash::of(id.as_str().as_bytes());
        let secret = StoredSecret {
            id: id.clone(),
            version: 1,
            commitment: Commitment(own.0),
            sealed: sealed_at_rest(),
        };
        let pool = Pool {
            name: spec.pool.clone(),
            tenant: spec.tenant.clone(),
            host: spec.host.clone(),
        };
        self.state.pools.insert(pool.name.clone(), pool);
        self.state.secrets.insert(id.clone(), Arc::new(secret));
        let identity = Identity {
            life: Life::new(&spec, Timestamp(0)),
            dkim_key: id,
            dkim_public: format!("{}{own}", "TUlJQklqQU5CZ2txaGtpRzl3MEJBUUVG".repeat(12)),
            added_at: Timestamp(0),
            placed_at: 0,
            warmup: warmup::begin(&spec, &WarmupSettings::default(), Timestamp(0)),
            signing: Signing::new(spec.selector.clone(), Timestamp(0)),
            spec,
            restraint: Default::default(),
        };
        let address = identity.spec.address;
        self.state.identities.insert(address, Arc::new(identity));
    }

    /// The same, by a file that says so of it.
    fn put_as_said(&mut self, spec: IpSpec, said: Said) {
        let address = spec.address;
        let known = self.state.identities.get(&address);
        let known = known.map_or_else(Said::default, |known| known.life.said);
        self.put(spec);
        let identity = self.state.identities.get_mut(&address).unwrap();
        Arc::make_mut(identity).life.said = known.with(said);
    }

    /// Changes one identity.
    pub(crate) fn edit(&mut self, address: &str, change: impl FnOnce(&mut IpSpec)) {
        let address = address.parse().unwrap();
        let identity = Arc::make_mut(self.state.identities.get_mut(&address).unwrap());
        change(&mut identity.spec);
        identity.warmup = warmup::begin(&identity.spec, &WarmupSettings::default(), Timestamp(0));
        self.state.reindex();
    }

    /// With a file of the operator's own in the bundle of every host.
    pub(crate) fn with_file(mut self, path: &str, text: &str) -> Self {
        let bundles = &mut self.state.bundles;
        self.state.hosts.change_each(|_, host| {
            let mut files = bundles[&host.release.bundle].files.clone();
            files.insert(path.to_owned(), text.to_owned());
            let hash = bundle_hash(&files);
            let bundle = RoleBundle::new(files, Timestamp(0));
            bundles.insert(hash, bundle.into());
            host.release.bundle = hash;
        });
        self
    }

    /// With a label on the PowerMTA host of the examples.
    pub(crate) fn labelled(mut self, name: &str, value: &str) -> Self {
        let host = HostId::new("pmta1").unwrap();
        let host = self.state.hosts.get_mut(&host).unwrap();
        host.spec.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The PowerMTA host of the examples without any label.
    pub(crate) fn unlabelled(mut self) -> Self {
        let host = HostId::new("pmta1").unwrap();
        let host = self.state.hosts.get_mut(&host).unwrap();
        host.spec.labels.clear();
        self
    }

    /// Why the PowerMTA host of the examples cannot be planned.
    pub(crate) fn refusal(&self) -> PlanError {
        self.refusal_of("pmta1")
    }

    /// Why a host cannot be planned.
    pub(crate) fn refusal_of(&self, host: &str) -> PlanError {
        plan(&self.indexed(), &HostId::new(host).unwrap()).unwrap_err()
    }

    /// An identity that was retired, or moved, and drains on its host.
    pub(crate) fn leave(&mut self, address: &str, moves: bool) {
        let address = address.parse().unwrap();
        let identity = Identity::clone(&self.state.identities[&address]);
        if !moves {
            self.state.identities.remove(&address);
        }
        let leaving = Leaving {
            identity,
            since: Timestamp(1),
            revision: 1,
            took_address: moves,
        };
        self.state
            .leaving
            .insert(leaving.place(), Arc::new(leaving));
        self.state.reindex();
    }

    /// Plans a host that can be planned.
    pub(crate) fn plan(&self, host: &str) -> Planned {
        plan(&self.indexed(), &HostId::new(host).unwrap()).unwrap()
    }

    /// The state, whatever was done to it by hand.
    fn indexed(&self) -> FleetState {
        let mut state = self.state.clone();
        state.reindex();
        state
    }
}

pub(crate) fn parse(text: &str) -> FleetDocument {
    toml::from_str(text).unwrap()
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

/// Path and text of the public files.
pub(crate) fn texts(planned: &Planned) -> std::collections::BTreeMap<String, String> {
    use email_engine_protocol::desired::{FileContent, Spec};
    let text = |resource: &email_engine_protocol::desired::Resource| match &resource.spec {
        Spec::File(file) => match &file.content {
            FileContent::Body { hash, .. } => {
                let text = String::from_utf8(planned.bodies[hash].clone()).unwrap();
                Some((file.path.to_string(), text))
            }
            FileContent::Artifact(_) | FileContent::Secret(_) | FileContent::Variable { .. } => {
                None
            }
        },
        _ => None,
    };
    planned.config.resources.iter().filter_map(text).collect()
}

fn sealed_at_rest() -> SealedAtRest {
    SealedAtRest {
        uid: [0; 16],
        kek_version: 1,
        wrapped_key: Vec::new(),
        ciphertext: Vec::new(),
    }
}

fn cluster() -> ClusterRecord {
    ClusterRecord {
        id: ClusterId([7; 16]),
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
            key: sealed_at_rest(),
        },
        plan_keys: std::collections::BTreeMap::new(),
        created_at: Timestamp(0),
    }
}

/// Sections of the top level: head, and lines inside.
pub(crate) fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('<') {
            let inside = lines.by_ref().take_while(|line| !line.starts_with("</"));
            found.push((line, inside.map(str::trim).collect()));
        }
    }
    found
}

pub(crate) fn argument<'a>(head: &'a str, section: &str) -> Option<&'a str> {
    head.strip_prefix('<')?
        .strip_suffix('>')?
        .strip_prefix(section)?
        .strip_prefix(' ')
}

/// What the linter says of a whole configuration; nothing when all is well.
pub(crate) fn lint(text: &str) -> String {
    let sources = Sources::single("config", text);
    email_engine_coordinator::powermta::lint(&sources, &Options::default()).to_string()
}
