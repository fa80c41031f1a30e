//! What one PowerMTA host shall do, before it becomes text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use email_engine_protocol::api::{IpStatus, Purpose};
use email_engine_protocol::id::{TenantId, VmtaName};
use email_engine_protocol::mail::{DomainName, LocalPart, MailAddress};

use super::providers::Catalogue;
use super::render::LOG_FILE;
use super::schema::Version;
use super::verbatim::Verbatim;

/// The directive that says where a receiver's servers listen (guide, 3.3.10.88).
const SMTP_PORT: &str = "default-smtp-port";
/// Another server in place of a receiver's, such as `[192.0.2.1]:2525`.
const ROUTE: &str = "route";

/// Everything that the configuration of one host depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where fleet hosts submit. Never a sending address.
    pub admin_address: Ipv4Addr,
    /// Name of the machine itself. Without it no inbound mail is taken: forwarding needs an EHLO
    /// name of its own.
    pub host_name: Option<DomainName>,
    /// Where the product's own notices go.
    pub postmaster: Option<MailAddress>,
    /// Port of the monitor, which answers on loopback only.
    pub management_port: u16,
    /// Size at which a new accounting file is begun.
    pub accounting_max_size: String,
    /// Rules of this version hold on the host.
    pub version: Version,
    /// Certificate and key, in one PEM file on the host, that submission offers STARTTLS with.
    /// Without it submission is in the clear.
    pub certificate: Option<String>,
    /// What is known of receivers.
    pub catalogue: Arc<Catalogue>,
    /// An operator's own lines.
    pub extra: Option<Verbatim>,
    /// Tenants with identities here.
    pub tenants: BTreeMap<TenantId, TenantRoute>,
    /// Where mail from outside goes that is addressed to a tenant's domains: of those with identities
    /// here, and of those whose last one drains here.
    pub mailboxes: BTreeMap<TenantId, MailAddress>,
    /// Sending identities placed here.
    pub identities: BTreeMap<IpAddr, Egress>,
    /// Those that are gone, whose queues here may hold mail.
    pub leaving: BTreeMap<VmtaName, Leaver>,
}

/// A virtual MTA that takes no new mail and goes when its queue is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// What it was, with a status that takes no mail.
    pub egress: Egress,
    /// The address is still this host's: what is answered to it arrives here.
    pub has_address: bool,
}

/// How one tenant's mail comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantRoute {
    /// Addresses of the hosts that may submit for it. No address belongs to two tenants.
    pub submitters: BTreeSet<IpAddr>,
}

/// One sending identity: one virtual MTA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The sending address.
    pub address: IpAddr,
    /// EHLO name.
    pub hostname: DomainName,
    /// The sending domain, also that of the envelope sender.
    pub domain: DomainName,
    /// Whose it is.
    pub tenant: TenantId,
    /// Name of the virtual MTA.
    pub vmta: VmtaName,
    /// Local part of the visible sender.
    pub sender: LocalPart,
    /// Local part of the envelope sender.
    pub return_path: LocalPart,
    /// DKIM selector.
    pub selector: String,
    /// Where the DKIM key lies on the host.
    pub key_path: String,
    /// What it sends.
    pub purpose: Purpose,
    /// Where it stands in its life.
    pub status: IpStatus,
    /// Mails a day while it sends or drains; see [`super::hourly_cap`].
    pub daily_quota: u32,
    /// Whether it sent from here, so that what it sent is answered here.
    pub is_answered: bool,
}

impl Configuration {
    /// Where the product writes what goes wrong: as the operator's own lines say, else as the base does.
    #[must_use]
    pub fn log_file(&self) -> String {
        let own = self.extra.as_ref().and_then(|own| own.global("log-file"));
        let based = || self.catalogue.global.get("log-file").cloned();
        own.or_else(based).unwrap_or_else(|| LOG_FILE.to_owned())
    }

    /// Where servers of receivers are connected to: port 25, and whatever the base or the operator's own
    /// lines set for some.
    #[must_use]
    pub fn smtp_ports(&self) -> BTreeSet<u16> {
        let said = |keyword: &str| {
            let of_base = self.catalogue.providers.iter();
            let of_base = of_base.filter_map(|provider| provider.settings.get(keyword).cloned());
            let own = self.extra.as_ref().map(|own| own.everywhere(keyword));
            of_base.chain(own.into_iter().flatten()).collect::<Vec<_>>()
        };
        let (ports, routes) = (said(SMTP_PORT), said(ROUTE));
        let of_routes = routes.iter().filter_map(|to| Some(to.rsplit_once(':')?.1));
        let named = ports.iter().map(String::as_str).chain(of_routes);
        // What is no port is refused by whoever reads the configuration.
        let named = named.filter_map(|port| port.trim().parse().ok());
        named.chain([25]).filter(|port| *port > 0).collect()
    }

    /// What a plan must say of this configuration, because nobody checked it.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let extra = self.extra.as_ref();
        extra
            .map(|extra| {
                format!(
                    "{} lines of /etc/pmta/config are verbatim: neither known nor checked",
                    extra.count()
                )
            })
            .into_iter()
            .collect()
    }
}

impl Egress {
    /// Whether new mail is accepted for it: standby, quarantine, resting and retiring take none.
    #[must_use]
    pub const fn takes_mail(&self) -> bool {
        matches!(self.status, IpStatus::Active | IpStatus::Warming)
    }

    /// Whether what is in its queue still goes out.
    #[must_use]
    pub const fn drains(&self) -> bool {
        self.takes_mail() || matches!(self.status, IpStatus::Retiring)
    }

    /// Whether mail from outside is taken on its address. A standby that is new has sent nothing yet that
    /// could be answered, and its address need not be on the machine, without which a listener fails. How
    /// an IPv6 listener is written is documented nowhere.
    #[must_use]
    pub const fn receives(&self) -> bool {
        self.address.is_ipv4() && (self.is_answered || !matches!(self.status, IpStatus::Standby))
    }
}

/// Whether an identity may not have this virtual MTA: such names are the configuration's own, and
/// one name space holds all.
#[must_use]
pub fn is_reserved(vmta: &VmtaName) -> bool {
    let name = vmta.as_str();
    name.starts_with("reject-") || name.starts_with("fleet-")
}

/// Whether a text is a size as PowerMTA takes it for accounting files: digits and a unit, at least
/// one megabyte.
#[must_use]
pub fn is_accounting_size(text: &str) -> bool {
    let unit = text.chars().last().unwrap_or_default().to_ascii_lowercase();
    let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let Ok(number) = digits.parse::<u32>() else {
        return false;
    };
    plain
        && match unit {
            'k' => number >= 1024,
            'm' | 'g' => number >= 1,
            _ => false,
        }
}

/// Whether a text can stand as the path of a file in a configuration: absolute, without anything that
/// would end it.
#[must_use]
pub fn is_file_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    text.len() > 1 && text.len() <= 255 && text.starts_with('/') && text.bytes().all(plain)
}

/// Whether a text is one DNS label and so a DKIM selector: it stands in a comma-separated list.
#[must_use]
pub fn is_selector(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_size_of_a_megabyte_or_more_is_an_accounting_size() {
        for good in ["50M", "1m", "1G", "1024k"] {
            assert!(is_accounting_size(good), "{good}");
        }
        for bad in [
            "", "M", "50", "0M", "1023k", "50MB", "5 0M", "+5M", "50M\nx", "é",
        ] {
            assert!(!is_accounting_size(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_path_in_a_configuration_ends_nothing() {
        assert!(is_file_path("/etc/pmta/tls/smtp-1.pem"));
        for bad in ["", "/", "etc/x", "/a b", "/a#b", "/a\"", "/a\n", "/é"] {
            assert!(!is_file_path(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_selector_is_one_label() {
        for good in ["mail", "mail-202611211"] {
            assert!(is_selector(good), "{good}");
        }
        for bad in ["", "a,b", "a.b", "-a", "a-", "A", "a b", "a#"] {
            assert!(!is_selector(bad), "{bad:?}");
        }
    }
}
