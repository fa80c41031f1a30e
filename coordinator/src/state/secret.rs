//! Secrets at rest: only ever sealed (see [`crate::seal`]).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::TenantSecret;
use email_engine_protocol::bytes::{Commitment, ContentHash};
use email_engine_protocol::id::{ApiKeyId, HostId, ListId, Role, SecretId, TenantId};
use email_engine_protocol::secret::SecretRef;

use super::{FleetState, Host, public_key_hash};

/// Bytes under envelope encryption: a data key of their own, wrapped with the key-encryption key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAtRest {
    /// Random name of this blob, bound into both encryptions, so that blobs cannot be swapped.
    pub uid: [u8; 16],
    /// Version of the key-encryption key.
    pub kek_version: u32,
    /// Nonce and data key, encrypted with the key-encryption key.
    pub wrapped_key: Vec<u8>,
    /// Nonce and bytes, encrypted with the data key.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedAtRest({} bytes)", self.ciphertext.len())
    }
}

/// A secret in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    /// Its name.
    pub id: SecretId,
    /// Grows when the bytes change.
    pub version: u32,
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and bytes (postcard of `SecretBytes`), sealed.
    pub sealed: SealedAtRest,
}

impl StoredSecret {
    /// What a configuration names.
    #[must_use]
    pub fn reference(&self) -> SecretRef {
        SecretRef {
            id: self.id.clone(),
            version: self.version,
            commitment: self.commitment,
        }
    }
}

/// A DKIM key made ahead of need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedKey {
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and private key (PKCS#8 PEM), sealed as in [`StoredSecret`].
    pub sealed: SealedAtRest,
    /// Public half: base64 of the DER SubjectPublicKeyInfo.
    pub public: String,
}

/// What a host's own secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HostSecret {
    /// The password of Grafana's first user.
    GrafanaAdmin,
    /// The API key by which Prometheus reads the metrics of nodes.
    MetricsKey,
}

/// Whose a secret is that neither signs mail nor opens a database or a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SecretOf {
    /// A tenant's.
    Tenant(TenantId, TenantSecret),
    /// A host's own.
    Host(HostId, HostSecret),
    /// The key of a list of bad senders.
    List(ListId),
}

impl HostSecret {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrafanaAdmin => "grafana-admin",
            Self::MetricsKey => "metrics-key",
        }
    }
}

impl SecretOf {
    /// Its name in the table of secrets.
    ///
    /// # Panics
    /// Never: names of tenants and hosts are short.
    #[must_use]
    pub fn id(&self) -> SecretId {
        let name = match self {
            Self::Tenant(tenant, secret) => format!("tenant/{tenant}/{secret}"),
            Self::Host(host, secret) => format!("host/{host}/{}", secret.as_str()),
            Self::List(list) => format!("dnsbl/{list}"),
        };
        SecretId::new(name).expect("two names of at most 63 characters")
    }
}

impl fmt::Display for SecretOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant, secret) => write!(f, "tenant {tenant} ({secret})"),
            Self::Host(host, secret) => write!(f, "host {host} ({})", secret.as_str()),
            Self::List(list) => write!(f, "list {list}"),
        }
    }
}

/// What a host's Prometheus reads: [`MONITORS_FLEET`] or [`MONITORS_OWN`].
pub const MONITORS_LABEL: &str = "monitors";
/// Everything.
pub const MONITORS_FLEET: &str = "fleet";
/// What is the host's tenant's alone.
pub const MONITORS_OWN: &str = "own";

/// What stands for a tenant in names that know no `-` and are short: of accounts, databases and units.
pub const ACCOUNT: &str = "{{ item.account }}";
/// Longest of them: `api_` before it fits all.
const ACCOUNT_LENGTH: usize = 24;

/// A tenant's name in small letters, digits and `_`. A long one is cut, with a part of its hash.
#[must_use]
pub fn account(tenant: &TenantId) -> String {
    let name = tenant.as_str().replace('-', "_");
    if name.len() <= ACCOUNT_LENGTH {
        return name;
    }
    let hash = ContentHash::of(tenant.as_str().as_bytes()).to_string();
    format!("{}_{}", &name[..ACCOUNT_LENGTH - 11], &hash[..10])
}

/// How the names of a host's metrics keys begin: eight signs follow, another for each key.
#[must_use]
pub fn metrics_key_prefix(host: &HostId) -> String {
    let host: String = host.as_str().chars().take(46).collect();
    format!("metrics-{host}-")
}

/// Whether a host reads the figures of the whole fleet, where there are so many tenants.
pub(super) fn watches_fleet(host: &email_engine_protocol::api::HostSpec, tenants: usize) -> bool {
    match host.labels.get(MONITORS_LABEL).map(String::as_str) {
        Some(MONITORS_FLEET) => true,
        Some(MONITORS_OWN) => false,
        _ => host.tenant.is_none() || tenants == 1,
    }
}

impl FleetState {
    /// Puts a key behind those that were made before it.
    pub(crate) fn stock_key(&mut self, key: PreparedKey) {
        self.lookup.keys.insert(public_key_hash(&key.public));
        let number = self.next_prepared_key;
        self.prepared_keys.insert(number, Arc::new(key));
        self.next_prepared_key += 1;
    }

    /// Keeps a secret under its name, in place of the one before it.
    pub(crate) fn put_secret(&mut self, secret: StoredSecret) {
        self.drop_secret(&secret.id);
        self.lookup.commitments.insert(secret.commitment);
        self.secrets.insert(secret.id.clone(), Arc::new(secret));
    }

    /// Destroys a secret, if there is one of this name.
    pub(crate) fn drop_secret(&mut self, id: &SecretId) {
        if let Some(gone) = self.secrets.remove(id) {
            self.lookup.commitments.remove(&gone.commitment);
        }
    }

    /// Destroys all secrets whose names begin so.
    fn drop_secrets(&mut self, beginning: &str) {
        let from = SecretId::new(beginning).into_iter();
        let found = from.flat_map(|from| {
            let behind = self.secrets.range(from..).map(|(id, _)| id);
            let its = behind.take_while(|id| id.as_str().starts_with(beginning));
            its.cloned().collect::<Vec<_>>()
        });
        for id in found.collect::<Vec<_>>() {
            self.drop_secret(&id);
        }
    }

    /// The tenants that a host serves: on an API host its own or, where it has none, all that have no API
    /// host of theirs; on a host of an operator's own role its own or all.
    #[must_use]
    pub fn tenants_served<'a>(&'a self, host: &'a Host) -> BTreeSet<&'a TenantId> {
        match (host.spec.role, &host.spec.tenant) {
            (Role::Mailwizz | Role::Powermta, _) => BTreeSet::new(),
            (_, Some(tenant)) => BTreeSet::from([tenant]),
            (Role::Own(_), None) => self.tenants.keys().collect(),
            (Role::Api, None) => {
                let mut tenants: BTreeSet<_> = self.tenants.keys().collect();
                for other in self.hosts.values().filter(|other| other.takes_work()) {
                    if let (Role::Api, Some(served)) = (other.spec.role, &other.spec.tenant) {
                        tenants.remove(served);
                    }
                }
                tenants
            }
        }
    }

    /// Whether a host reads the figures of the whole fleet: as its label says, else where it is nobody's
    /// alone, or all of the fleet is one tenant's.
    #[must_use]
    pub fn watches_fleet(&self, host: &Host) -> bool {
        watches_fleet(&host.spec, self.tenants.len())
    }

    /// Secrets that the cluster makes for a host.
    #[must_use]
    pub fn secrets_wanted(&self, host: &Host) -> BTreeSet<SecretOf> {
        let bundle = self.bundles.get(&host.release.bundle);
        let Some(bundle) = bundle.filter(|_| host.takes_work()) else {
            return BTreeSet::new();
        };
        let own = |secret| SecretOf::Host(host.spec.id.clone(), secret);
        let mut wanted = BTreeSet::new();
        for word in bundle.secrets(&host.spec, |part| part.is_for(self, host)) {
            match word {
                "api-key" => wanted.extend(
                    self.tenants_served(host)
                        .into_iter()
                        .map(|tenant| SecretOf::Tenant(tenant.clone(), TenantSecret::ApiKey)),
                ),
                "grafana-admin" => wanted.extend([own(HostSecret::GrafanaAdmin)]),
                "metrics-key" => wanted.extend([own(HostSecret::MetricsKey)]),
                _ => {}
            }
        }
        wanted
    }

    /// Those that were not made yet.
    pub fn secrets_missing(&self) -> impl Iterator<Item = SecretOf> {
        let wanted = self
            .live_hosts()
            .flat_map(|(_, host)| self.secrets_wanted(host));
        wanted.filter(|wanted| !self.secrets.contains_key(&wanted.id()))
    }

    /// Whether a host that is there wants a secret. Only those are asked that can.
    #[must_use]
    pub fn wants_secret(&self, of: &SecretOf) -> bool {
        let wants = |host: &Host| self.secrets_wanted(host).contains(of);
        match of {
            SecretOf::Host(host, _) => self.live_host(host).is_some_and(wants),
            SecretOf::Tenant(tenant, _) => self
                .live_hosts()
                .any(|(_, host)| self.tenants_served(host).contains(tenant) && wants(host)),
            SecretOf::List(_) => false,
        }
    }

    /// Takes back what a tenant had.
    pub(crate) fn forget_tenant_secrets(&mut self, tenant: &TenantId) {
        self.drop_secrets(&format!("tenant/{tenant}/"));
    }

    /// Takes back what a metrics key was written into, once it is revoked: another one is made.
    pub(crate) fn forget_metrics_key(&mut self, key: &ApiKeyId) {
        let is_its = |host: &&HostId| {
            let rest = key.as_str().strip_prefix(&metrics_key_prefix(host));
            rest.is_some_and(|rest| rest.len() == 8 && !rest.contains('-'))
        };
        let host = self.hosts.keys().find(is_its).cloned();
        if let Some(host) = host {
            self.drop_secret(&SecretOf::Host(host, HostSecret::MetricsKey).id());
        }
    }

    /// The name of a database's password in the table of secrets; none for what is too long for one.
    #[must_use]
    pub fn database_secret(host: &HostId, database: &str) -> Option<SecretId> {
        SecretId::new(format!("database/{host}/{database}")).ok()
    }

    /// Databases of a host whose user has a password, by engine and name.
    #[must_use]
    pub fn passwords_wanted(&self, host: &Host) -> BTreeSet<String> {
        let bundle = self.bundles.get(&host.release.bundle);
        let wanted = bundle.filter(|_| host.takes_work());
        let names = wanted.map_or_else(BTreeSet::new, |bundle| {
            bundle.passwords(&host.spec, |part| part.is_for(self, host))
        });
        let (each, alone): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.contains(ACCOUNT));
        let mut all: BTreeSet<String> = alone.into_iter().collect();
        if !each.is_empty() {
            for account in self.tenants_served(host).into_iter().map(account) {
                all.extend(each.iter().map(|name| name.replace(ACCOUNT, &account)));
            }
        }
        all
    }

    /// Those that were not made yet.
    pub fn passwords_missing(&self) -> impl Iterator<Item = (&HostId, String)> {
        self.live_hosts().flat_map(|(id, host)| {
            let wanted = self.passwords_wanted(host).into_iter();
            let is_missing = |name: &String| {
                let secret = Self::database_secret(id, name);
                secret.is_some_and(|secret| !self.secrets.contains_key(&secret))
            };
            wanted.filter(is_missing).map(move |name| (id, name))
        })
    }

    /// Takes back what a host had.
    pub(crate) fn forget_passwords(&mut self, host: &HostId) {
        self.drop_secrets(&format!("database/{host}/"));
        self.drop_secrets(&format!("host/{host}/"));
    }
}
