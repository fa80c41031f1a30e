//! What templates may know, per role. Secrets are not among it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound::{Included, Unbounded};

use email_engine_protocol::api::{IpStatus, Purpose, TenantSecret, WarmupSettings};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, SecretId, TenantId, VmtaName};
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::time::Timestamp;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use super::certificate::WebValues;
use super::error::PlanError;
use super::firewall;
use super::monitoring::{self, MonitoringValues};
use super::role::Each;
use super::routes;
use super::secret;
use super::web::{ApiValues, MailwizzValues};
use crate::fleet::Share;
use crate::fleet::lifecycle::is_held_with;
use crate::powermta::{self, Configuration};
use crate::state::{FleetState, Host, HostSecret, Identity, SecretOf, account};

/// Values of one host.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) shared: Shared,
    pub(super) host: HostId,
    /// Addresses that the host has itself.
    pub(super) own: BTreeSet<IpAddr>,
    pub(super) identities: Vec<Item>,
    /// Identities that are gone and drain on this host.
    pub(super) leaving: Vec<Item>,
    /// DKIM keys of both.
    pub(super) keys: Vec<Item>,
    pub(super) drain: Drain,
    pub(super) tenants: Vec<Item>,
    /// The cluster's certificate for submission here, when there is one.
    pub(super) certificates: Vec<Item>,
    /// Who vouches for such certificates, on a host that submits.
    pub(super) authorities: Vec<Item>,
    /// Passwords of the host's databases, by engine and name.
    pub(super) passwords: BTreeMap<String, SecretRef>,
    /// Other secrets of the host and of its tenants.
    pub(super) secrets: BTreeMap<SecretId, SecretRef>,
    /// Text of the configuration, on a PowerMTA host.
    pub(super) powermta: Option<String>,
    /// Where fleet hosts submit, on a PowerMTA host.
    pub(super) submission: Option<SocketAddr>,
    /// The digest of the restart lines that the operator allowed a restart for.
    pub(super) restart_allowed: Option<ContentHash>,
    /// How often the operator asked for a refused content to be tried once more.
    pub(super) attempt: u32,
    /// Whom the rules of a firewall may name.
    pub(super) firewall: firewall::Known,
}

/// Virtual MTAs of a PowerMTA host, in order.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// All that may hold mail.
    pub(super) holds: Vec<String>,
    /// Those that are to go when they hold none.
    pub(super) leaving: Vec<String>,
    /// Those that may go whatever they hold.
    pub(super) given_up: Vec<String>,
}

/// What `item` is in an entry with `each`.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) secret: Option<SecretRef>,
    /// Of an identity.
    pub(super) status: Option<IpStatus>,
    /// Fleet revision since which an identity is where it is; 0 of others.
    pub(super) placed_at: u64,
    /// Since when what waits at an identity is given up.
    pub(super) expired_at: Option<Timestamp>,
}

impl Item {
    /// Of a tenant.
    pub(super) fn account(&self) -> Option<String> {
        self.attribute("account")
    }

    /// Of a tenant.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        TenantId::new(self.attribute("id")?).ok()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let value = self.value.get_attr(name).ok()?;
        value.as_str().map(str::to_owned)
    }
}

/// A certificate for submission as templates see it.
#[derive(Debug, Serialize)]
struct CertificateValues {
    file: String,
}

/// An authority as templates see it.
#[derive(Debug, Serialize)]
struct AuthorityValues {
    /// In PEM.
    certificate: String,
}

/// Seen by every template of a host.
#[derive(Debug, Serialize)]
pub(super) struct Shared {
    host: HostId,
    /// Where the exporter of the machine's own figures listens, where there is one.
    exporter: Option<String>,
    warm_up: WarmUp,
    web: WebValues,
    /// On a PowerMTA host.
    powermta: Option<PowermtaValues>,
    /// On a MailWizz host.
    mailwizz: Option<MailwizzValues>,
    /// On an API host.
    api: Option<ApiValues>,
    /// On an API host.
    monitoring: Option<MonitoringValues>,
}

/// What a PowerMTA host's own programs and files are called.
#[derive(Debug, Serialize)]
struct PowermtaValues {
    /// As the product says it of itself, such as `5.0`, before the number of its release.
    version: String,
    /// Where it writes what goes wrong.
    log_file: String,
    /// TCP ports of receivers' servers, with blanks between them.
    smtp_ports: String,
}

/// The schedule as the API bundle's environment names it.
#[derive(Debug, Serialize)]
struct WarmUp {
    initial_quota: u32,
    weeks: u8,
    daily_increase_percent: u32,
}

/// An identity as templates see it.
#[derive(Debug, Serialize)]
struct IdentityValues<'a> {
    address: IpAddr,
    domain: &'a str,
    tenant: &'a TenantId,
    vmta: &'a str,
    key_file: String,
    sender: String,
    display_name: &'a str,
    return_path: String,
    purpose: Purpose,
    /// New mail is accepted for it.
    sends: bool,
    weight: u8,
    daily_quota: u32,
    hourly_quota: u32,
    /// Where mail for it is submitted.
    submission_address: String,
    submission_port: u16,
    /// STARTTLS is offered there.
    submission_tls: bool,
}

/// A tenant as templates see it.
#[derive(Debug, Serialize)]
struct TenantValues<'a> {
    id: &'a TenantId,
    /// Its name in accounts, databases and units.
    account: String,
    name: &'a str,
    identities: Vec<Value>,
}

impl Values {
    /// What an entry is repeated for.
    pub(super) fn items(&self, each: Each) -> &[Item] {
        match each {
            Each::Authority => &self.authorities,
            Each::Certificate => &self.certificates,
            Each::Identity => &self.identities,
            Each::Key => &self.keys,
            Each::Tenant => &self.tenants,
        }
    }

    /// Of a host of whatever role.
    fn of(state: &FleetState, host: &Host) -> Self {
        let id = &host.spec.id;
        let allowed = state.restart_allowed.get(id);
        Self {
            shared: Shared::of(state, host),
            host: id.clone(),
            own: host.spec.addresses.iter().copied().collect(),
            identities: Vec::new(),
            leaving: Vec::new(),
            keys: Vec::new(),
            drain: Drain::default(),
            tenants: Vec::new(),
            certificates: Vec::new(),
            authorities: Vec::new(),
            passwords: passwords(state, id),
            secrets: secrets(state, host),
            powermta: None,
            submission: None,
            restart_allowed: allowed.map(|allowed| allowed.lines),
            attempt: state.attempts.get(id).copied().unwrap_or_default(),
            firewall: firewall::Known::default(),
        }
    }
}

impl WarmUp {
    fn of(state: &FleetState, host: &Host) -> Self {
        let settings = state.settings_of(&host.release);
        let warmup = settings.map_or_else(WarmupSettings::default, |all| all.warmup.clone());
        Self {
            initial_quota: warmup.quotas[0],
            weeks: 6,
            daily_increase_percent: warmup.growth_percent,
        }
    }
}

impl Shared {
    fn of(state: &FleetState, host: &Host) -> Self {
        Self {
            host: host.spec.id.clone(),
            exporter: monitoring::exporter(state, host).map(|at| at.to_string()),
            web: WebValues::of(&host.spec.labels),
            warm_up: WarmUp::of(state, host),
            powermta: None,
            mailwizz: None,
            api: None,
            monitoring: None,
        }
    }
}

/// Values of a PowerMTA host: the identities that are placed on it, with their keys. `text` is what was
/// rendered of `configuration`.
pub(super) fn of_powermta(
    state: &FleetState,
    host: &Host,
    configuration: &Configuration,
    text: String,
) -> Result<Values, PlanError> {
    let mut identities = Vec::new();
    for identity in state.identities_on(&host.spec.id) {
        identities.push(signing(state, identity)?);
    }
    let drained = || {
        let leaving = state.leaving_on(&host.spec.id);
        leaving.map(|leaving| &leaving.identity)
    };
    let leaving = state.leaving_on(&host.spec.id).map(|leaving| {
        let item = signing(state, &leaving.identity)?;
        Ok(Item {
            expired_at: item.expired_at.filter(|_| is_held_with(state, leaving)),
            ..item
        })
    });
    let placed = state
        .identities_on(&host.spec.id)
        .map(|identity| &**identity);
    let signing = placed.chain(drained());
    let keys: Vec<Vec<Item>> = signing
        .map(|identity| secret::keys(state, identity))
        .collect::<Result<_, _>>()?;
    let certificate = routes::issued(state, host).map(|secret| Item {
        value: Value::from(Serde(CertificateValues {
            file: routes::certificate_file(secret),
        })),
        secret: Some(secret.reference()),
        status: None,
        placed_at: 0,
        expired_at: None,
    });
    let smtp_ports = configuration.smtp_ports();
    let smtp_ports: Vec<String> = smtp_ports.iter().map(ToString::to_string).collect();
    let mut shared = Shared::of(state, host);
    shared.powermta = Some(PowermtaValues {
        version: routes::version_said(host).to_owned(),
        log_file: configuration.log_file(),
        smtp_ports: smtp_ports.join(" "),
    });
    Ok(Values {
        shared,
        identities,
        leaving: leaving.collect::<Result<_, PlanError>>()?,
        keys: keys.into_iter().flatten().collect(),
        drain: drain(state, &host.spec.id),
        certificates: certificate.into_iter().collect(),
        powermta: Some(text),
        submission: Some(SocketAddr::new(
            routes::admin_address(host)?.into(),
            powermta::SUBMISSION_PORT,
        )),
        ..Values::of(state, host)
    })
}

fn signing(state: &FleetState, identity: &Identity) -> Result<Item, PlanError> {
    Ok(Item {
        secret: Some(secret::key(state, identity, &identity.dkim_key)?),
        ..item(state, identity)?
    })
}

fn drain(state: &FleetState, host: &HostId) -> Drain {
    let text = |vmta: &VmtaName| vmta.to_string();
    let leaving: Vec<String> = state
        .leaving_on(host)
        .map(|one| text(&one.spec().vmta))
        .collect();
    let placed = state
        .identities_on(host)
        .map(|identity| text(&identity.spec.vmta));
    let mut holds: Vec<String> = placed.chain(leaving.iter().cloned()).collect();
    holds.sort_unstable();
    let given_up = state.given_up_on(host).into_iter().flatten();
    Drain {
        holds,
        leaving,
        given_up: given_up.map(|(vmta, _)| text(vmta)).collect(),
    }
}

/// Values of a MailWizz host: the identities of its one tenant.
pub(super) fn of_mailwizz(state: &FleetState, host: &Host) -> Result<Values, PlanError> {
    let tenant = host
        .spec
        .tenant
        .as_ref()
        .ok_or_else(|| PlanError::NoTenant(host.spec.id.clone()))?;
    let mut shared = Shared::of(state, host);
    shared.mailwizz = Some(MailwizzValues::of(state, host, tenant)?);
    Ok(Values {
        shared,
        identities: items_of(state, tenant)?,
        authorities: authorities(state),
        ..Values::of(state, host)
    })
}

/// Values of an API host: its tenant, or on a shared host every tenant without an API host of its own.
pub(super) fn of_api(state: &FleetState, host: &Host) -> Result<Values, PlanError> {
    let mut shared = Shared::of(state, host);
    shared.api = Some(ApiValues::of(state, host)?);
    shared.monitoring = Some(MonitoringValues::of(state, host));
    Ok(Values {
        shared,
        tenants: tenants_of(state, state.tenants_served(host))?,
        authorities: authorities(state),
        ..Values::of(state, host)
    })
}

/// Values of a host whose role is an operator's own: its tenant with its identities, or all tenants.
pub(super) fn of_own(state: &FleetState, host: &Host) -> Result<Values, PlanError> {
    let identities = match &host.spec.tenant {
        Some(tenant) => items_of(state, tenant)?,
        None => Vec::new(),
    };
    Ok(Values {
        tenants: tenants_of(state, state.tenants_served(host))?,
        identities,
        ..Values::of(state, host)
    })
}

fn tenants_of(state: &FleetState, tenants: BTreeSet<&TenantId>) -> Result<Vec<Item>, PlanError> {
    let one = |id: &TenantId| {
        let tenant = state.tenants.get(id);
        let tenant = tenant.ok_or_else(|| PlanError::UnknownTenant(id.clone()))?;
        let identities = items_of(state, id)?;
        Ok(Item {
            value: Value::from(Serde(TenantValues {
                id,
                account: account(id),
                name: &tenant.name,
                identities: identities.into_iter().map(|item| item.value).collect(),
            })),
            secret: None,
            status: None,
            placed_at: 0,
            expired_at: None,
        })
    };
    tenants.into_iter().map(one).collect()
}

/// What was made for the databases of a host.
fn passwords(state: &FleetState, host: &HostId) -> BTreeMap<String, SecretRef> {
    let beginning = format!("database/{host}");
    let Ok(first) = SecretId::new(&*beginning) else {
        return BTreeMap::new();
    };
    let behind = state.secrets.range((Included(first), Unbounded));
    let near = behind.map_while(|(id, secret)| {
        let rest = id.as_str().strip_prefix(&beginning)?;
        Some((rest, secret))
    });
    // Hosts whose names go on otherwise stand among them.
    near.filter_map(|(rest, secret)| Some((rest.strip_prefix('/')?.to_owned(), secret.reference())))
        .collect()
}

/// What was made for a host or given to its tenants.
fn secrets(state: &FleetState, host: &Host) -> BTreeMap<SecretId, SecretRef> {
    let own = [HostSecret::GrafanaAdmin, HostSecret::MetricsKey].into_iter();
    let own = own.map(|secret| SecretOf::Host(host.spec.id.clone(), secret));
    let tenants = state.tenants_served(host).into_iter();
    let tenants = tenants.flat_map(|tenant| {
        TenantSecret::ALL.map(|secret| SecretOf::Tenant(tenant.clone(), secret))
    });
    let there = own
        .chain(tenants)
        .filter_map(|of| state.secrets.get(&of.id()));
    there
        .map(|secret| (secret.id.clone(), secret.reference()))
        .collect()
}

/// Who vouches for the hosts at which the fleet submits.
fn authorities(state: &FleetState) -> Vec<Item> {
    let record = state.submission_authority.as_ref();
    let item = record.map(|record| Item {
        value: Value::from(Serde(AuthorityValues {
            certificate: record.authority.pem(),
        })),
        secret: None,
        status: None,
        placed_at: 0,
        expired_at: None,
    });
    item.into_iter().collect()
}

fn items_of(state: &FleetState, tenant: &TenantId) -> Result<Vec<Item>, PlanError> {
    let own = state.identities_of(tenant);
    own.map(|identity| item(state, identity)).collect()
}

fn item(state: &FleetState, identity: &Identity) -> Result<Item, PlanError> {
    let spec = &identity.spec;
    let powermta = state
        .hosts
        .get(&spec.host)
        .ok_or_else(|| PlanError::UnknownHost(spec.host.clone()))?;
    let share = Share::of(identity);
    let out = identity.life.quarantine.as_ref();
    let expired = out.and_then(|out| out.expired.as_ref());
    let value = Value::from(Serde(IdentityValues {
        address: spec.address,
        domain: spec.domain.as_str(),
        tenant: &spec.tenant,
        vmta: spec.vmta.as_str(),
        key_file: routes::key_file(identity, &spec.selector),
        sender: spec.sender_address().to_string(),
        display_name: &spec.display_name,
        return_path: spec.return_address().to_string(),
        purpose: spec.purpose,
        sends: identity.takes_mail(),
        weight: share.probability,
        daily_quota: share.daily,
        hourly_quota: powermta::hourly_quota(share.daily),
        submission_address: routes::admin_address(powermta)?.to_string(),
        submission_port: powermta::SUBMISSION_PORT,
        submission_tls: routes::offers_tls(state, powermta),
    }));
    Ok(Item {
        value,
        secret: None,
        status: Some(spec.status),
        placed_at: identity.placed_at,
        expired_at: expired.map(|expired| expired.at),
    })
}
