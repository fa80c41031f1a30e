//! What an operator declares: the fleet document, and the specs that the state keeps of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ip::{Written, entries};
use super::{FailoverSettings, TenantWarmup, WarmupSettings};
use crate::id::{HostId, IdError, PoolName, Role, TenantId, VmtaName};
use crate::mail::{DomainName, LocalPart, MailAddress};
use crate::url::ServiceUrl;

/// A fleet file: `apply` creates and changes what it names, and never removes what it omits unless
/// asked to prune.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetDocument {
    /// Fleet-wide settings, whole; none: they stay as they are.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Tenants.
    #[serde(default)]
    pub tenants: Vec<TenantSpec>,
    /// Hosts.
    #[serde(default)]
    pub hosts: Vec<HostSpec>,
    /// Sending identities; ranges are written out as they are read.
    #[serde(default, deserialize_with = "entries")]
    pub ips: Vec<IpDocument>,
}

/// A customer with nothing in common with another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSpec {
    /// Slug.
    pub id: TenantId,
    /// Name for people.
    pub name: String,
    /// Web-site domains that may never send.
    #[serde(default)]
    pub brand_domains: BTreeSet<DomainName>,
    /// Domains of links and trackers.
    #[serde(default)]
    pub link_domains: BTreeSet<DomainName>,
    /// Where replies, postmaster and abuse mail go.
    #[serde(default)]
    pub inbound_mailbox: Option<MailAddress>,
    /// Where DMARC aggregate reports go.
    #[serde(default)]
    pub dmarc_rua: Option<MailAddress>,
    /// Where its MailWizz answers, such as `https://app.example.com`; below it lies `/api`.
    #[serde(default)]
    pub mailwizz_url: Option<ServiceUrl>,
    /// How its identities are chosen between, where nobody says otherwise.
    #[serde(default)]
    pub rotation: Rotation,
    /// What its warm-up has tighter than the fleet's.
    #[serde(default)]
    pub warmup: TenantWarmup,
    /// Its DKIM keys are changed after so many days at the latest, where that is sooner than the fleet's
    /// 180, and 90 of who sends much.
    #[serde(default)]
    pub dkim_rotation_days: Option<u32>,
}

/// How an identity is chosen among those that may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// The one that sent least in the last hour.
    LeastUsed,
    /// One after the other.
    RoundRobin,
    /// By weight, evenly mixed.
    #[default]
    WeightedRandom,
}

/// A managed machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// Slug.
    pub id: HostId,
    /// What it is for.
    pub role: Role,
    /// Whose it is; absent = shared. A MailWizz host has exactly one.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// Its addresses, the admin address first; sending addresses need not be listed.
    pub addresses: Vec<IpAddr>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What an identity sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Answers of a machine to a person.
    Autoresponder,
    /// Campaigns.
    Marketing,
    /// Regular letters.
    Newsletter,
    /// Notices of a service.
    Notification,
    /// Mail that a customer waits for.
    Transactional,
}

/// Where an identity stands in its life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum IpStatus {
    /// Sends at its full quota.
    Active,
    /// Taken out after a listing.
    Quarantine,
    /// Gets better without mail.
    Resting,
    /// Drains and goes.
    Retiring,
    /// Waits for its turn.
    #[default]
    Standby,
    /// Sends along the warm-up.
    Warming,
}

/// Where an identity stands in the warm-up.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// 50 a day.
    #[default]
    #[serde(rename = "week_1")]
    Week1,
    /// 100 a day.
    #[serde(rename = "week_2")]
    Week2,
    /// 250 a day.
    #[serde(rename = "week_3")]
    Week3,
    /// 500 a day.
    #[serde(rename = "week_4")]
    Week4,
    /// 1,000 a day.
    #[serde(rename = "week_5")]
    Week5,
    /// 2,000 a day.
    #[serde(rename = "week_6")]
    Week6,
    /// Through.
    Active,
}

/// A sending identity as written in a fleet file or an API request; what is absent is defaulted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    bound(deserialize = "A: Deserialize<'de>, N: Deserialize<'de>")
)]
pub struct IpDocument<A = IpAddr, N = DomainName> {
    /// The sending address.
    #[serde(alias = "ip")]
    pub address: A,
    /// The sending domain.
    pub domain: N,
    /// Whose it is.
    pub tenant: TenantId,
    /// The PowerMTA host that has the address; the tenant's or the only one when absent.
    #[serde(default)]
    pub host: Option<HostId>,
    /// EHLO name and PTR; the domain when absent.
    #[serde(default)]
    pub hostname: Option<N>,
    /// Local part of the visible sender; `contact` when absent.
    #[serde(default)]
    pub sender: Option<LocalPart>,
    /// Display name of the sender; the tenant's name when absent.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Local part of the envelope sender, always in the identity's own domain; `bounce` when absent.
    #[serde(default)]
    pub return_path: Option<LocalPart>,
    /// DNS zone that holds the domain; the domain itself when absent.
    #[serde(default)]
    pub zone: Option<N>,
    /// DKIM selector; the fleet's when absent.
    #[serde(default)]
    pub selector: Option<String>,
    /// What it sends; `marketing` when absent.
    #[serde(default)]
    pub purpose: Option<Purpose>,
    /// Its pool; `TENANT-pool` when absent.
    #[serde(default)]
    pub pool: Option<PoolName>,
    /// Its virtual MTA; `vmta-` and the domain with dashes when absent.
    #[serde(default)]
    pub vmta: Option<VmtaName>,
    /// Where it stands in its life; `standby` when absent.
    #[serde(default)]
    pub status: Option<IpStatus>,
    /// Where it stands in the warm-up; `week_1` when absent.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// Mails a day that are planned for after the warm-up.
    #[serde(default)]
    pub planned_daily: Option<u32>,
    /// Whether it is active and only kept warm; it is not when absent.
    #[serde(default)]
    pub reserve: Option<bool>,
    /// The first number of a range's names; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// Where in its list it was written, when that has ranges.
    #[serde(skip)]
    pub written: Option<Written>,
}

/// A sending identity with everything decided: 1 address = 1 domain = 1 sender = 1 DKIM key = 1
/// virtual MTA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpSpec {
    /// The sending address.
    pub address: IpAddr,
    /// The sending domain.
    pub domain: DomainName,
    /// Whose it is.
    pub tenant: TenantId,
    /// The PowerMTA host that has the address.
    pub host: HostId,
    /// EHLO name and PTR.
    pub hostname: DomainName,
    /// Local part of the visible sender.
    pub sender: LocalPart,
    /// Display name of the sender.
    pub display_name: String,
    /// Local part of the envelope sender.
    pub return_path: LocalPart,
    /// DNS zone that holds the domain.
    pub zone: DomainName,
    /// DKIM selector: one DNS label.
    pub selector: String,
    /// What it sends.
    pub purpose: Purpose,
    /// Its pool.
    pub pool: PoolName,
    /// Its virtual MTA.
    pub vmta: VmtaName,
    /// Where it stands in its life.
    pub status: IpStatus,
    /// Where it stands in the warm-up.
    pub phase: Phase,
    /// Mails a day that are planned for after the warm-up.
    pub planned_daily: u32,
    /// Active, and only kept warm: it takes little until it is promoted.
    #[serde(default)]
    pub reserve: bool,
}

/// Fleet-wide settings that rendering depends on. A host sees a change only when its release moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Selector of new identities.
    #[serde(default = "default_selector")]
    pub dkim_selector: String,
    /// Where PowerMTA's notices go.
    #[serde(default)]
    pub postmaster: Option<MailAddress>,
    /// Size at which PowerMTA begins a new accounting file, such as `50M`.
    #[serde(default = "default_accounting_size")]
    pub accounting_max_size: String,
    /// Port of PowerMTA's monitor on loopback.
    #[serde(default = "default_management_port")]
    pub management_port: u16,
    /// Schedule and lines of the warm-up. Taken from the release of new hosts.
    #[serde(default)]
    pub warmup: WarmupSettings,
    /// What is done by itself when identities are listed. Taken from the release of new hosts.
    #[serde(default)]
    pub failover: FailoverSettings,
}

fn default_selector() -> String {
    "mail".to_owned()
}

fn default_accounting_size() -> String {
    "50M".to_owned()
}

const fn default_management_port() -> u16 {
    1983
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dkim_selector: default_selector(),
            postmaster: None,
            accounting_max_size: default_accounting_size(),
            management_port: default_management_port(),
            warmup: WarmupSettings::default(),
            failover: FailoverSettings::default(),
        }
    }
}

impl IpStatus {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quarantine => "quarantine",
            Self::Resting => "resting",
            Self::Retiring => "retiring",
            Self::Standby => "standby",
            Self::Warming => "warming",
        }
    }
}

impl Phase {
    /// In their order.
    pub const ALL: [Self; 7] = [
        Self::Week1,
        Self::Week2,
        Self::Week3,
        Self::Week4,
        Self::Week5,
        Self::Week6,
        Self::Active,
    ];

    /// The phase that is left of this one after so many steps back; the first is the last that goes.
    #[must_use]
    pub fn back(self, steps: u64) -> Self {
        let here = Self::ALL.iter().position(|phase| *phase == self);
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        let at = here.unwrap_or_default().saturating_sub(steps);
        Self::ALL.get(at).copied().unwrap_or_default()
    }

    /// Mails a day in this phase by the usual schedule; `active` is the usual target per identity.
    #[must_use]
    pub const fn daily_quota(self) -> u32 {
        match self {
            Self::Week1 => 50,
            Self::Week2 => 100,
            Self::Week3 => 250,
            Self::Week4 => 500,
            Self::Week5 => 1_000,
            Self::Week6 => 2_000,
            Self::Active => 10_000,
        }
    }
}

impl IpSpec {
    /// The visible sender.
    #[must_use]
    pub fn sender_address(&self) -> MailAddress {
        MailAddress {
            local: self.sender.clone(),
            domain: self.domain.clone(),
        }
    }

    /// The envelope sender.
    #[must_use]
    pub fn return_address(&self) -> MailAddress {
        MailAddress {
            local: self.return_path.clone(),
            domain: self.domain.clone(),
        }
    }
}

impl FleetDocument {
    /// The field as it was written: `ips[3].domain` for `ips[56].domain`, and of which range that is.
    #[must_use]
    pub fn as_written(&self, field: &str) -> Option<(String, Option<&str>)> {
        let (at, rest) = field.strip_prefix("ips[")?.split_once(']')?;
        let written = self.ips.get(at.parse::<usize>().ok()?)?.written.as_ref()?;
        let field = format!("ips[{}]{rest}", written.entry);
        Some((field, written.range.as_deref()))
    }
}

impl IpDocument {
    /// An identity of which only the necessary is said.
    #[must_use]
    pub const fn new(address: IpAddr, domain: DomainName, tenant: TenantId) -> Self {
        Self {
            address,
            domain,
            tenant,
            host: None,
            hostname: None,
            sender: None,
            display_name: None,
            return_path: None,
            zone: None,
            selector: None,
            purpose: None,
            pool: None,
            vmta: None,
            status: None,
            phase: None,
            planned_daily: None,
            reserve: None,
            first: None,
            written: None,
        }
    }

    /// Fills in what is absent.
    ///
    /// # Errors
    /// When a default cannot be a valid name, for example a pool of a tenant with a very long slug.
    pub fn resolve(
        &self,
        host: HostId,
        tenant_name: &str,
        settings: &Settings,
    ) -> Result<IpSpec, IdError> {
        let pool = match &self.pool {
            Some(pool) => pool.clone(),
            None => PoolName::new(format!("{}-pool", self.tenant))?,
        };
        let vmta = match &self.vmta {
            Some(vmta) => vmta.clone(),
            None => VmtaName::new(format!("vmta-{}", self.domain.as_str().replace('.', "-")))?,
        };
        let sender = match &self.sender {
            Some(sender) => sender.clone(),
            None => LocalPart::new("contact")?,
        };
        let return_path = match &self.return_path {
            Some(return_path) => return_path.clone(),
            None => LocalPart::new("bounce")?,
        };
        Ok(IpSpec {
            address: self.address,
            domain: self.domain.clone(),
            tenant: self.tenant.clone(),
            host,
            hostname: self.hostname.clone().unwrap_or_else(|| self.domain.clone()),
            sender,
            display_name: self
                .display_name
                .clone()
                .unwrap_or_else(|| tenant_name.to_owned()),
            return_path,
            zone: self.zone.clone().unwrap_or_else(|| self.domain.clone()),
            selector: self
                .selector
                .clone()
                .unwrap_or_else(|| settings.dkim_selector.clone()),
            purpose: self.purpose.unwrap_or(Purpose::Marketing),
            pool,
            vmta,
            status: self.status.unwrap_or_default(),
            // Whoever sends at the full quota is through.
            phase: match self.status {
                Some(IpStatus::Active) => Phase::Active,
                _ => self.phase.unwrap_or_default(),
            },
            planned_daily: self.planned_daily.unwrap_or(0),
            reserve: self.reserve.unwrap_or(false),
        })
    }
}
