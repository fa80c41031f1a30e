//! From the client's address to the address that sends: virtual MTAs, pattern lists, sources.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use email_engine_protocol::id::TenantId;

use super::super::model::{Configuration, Egress};
use super::super::schema::Version;
use super::rate::hourly_cap;
use super::text::{Text, escape};

/// The virtual MTA that discards what a tenant sends under a name that is none of its identities.
pub(super) fn reject_name(tenant: &TenantId) -> String {
    format!("reject-{tenant}")
}

fn list_name(tenant: &TenantId) -> String {
    format!("senders-{tenant}")
}

pub(super) fn virtual_mtas(text: &mut Text, configuration: &Configuration) {
    text.comment("Sending identities: one address, one EHLO name, one DKIM key each.");
    for egress in configuration.identities.values() {
        virtual_mta(text, egress, configuration.version);
    }
    if !configuration.leaving.is_empty() {
        text.comment(
            "Gone from the fleet: each stays until its queue is empty, and takes nothing new.",
        );
        for leaver in configuration.leaving.values() {
            virtual_mta(text, &leaver.egress, configuration.version);
        }
    }
}

/// Stays defined while the identity exists, whether it sends or not: mail in the queue of a virtual
/// MTA that is gone would bounce.
fn virtual_mta(text: &mut Text, egress: &Egress, version: Version) {
    text.section("virtual-mta", &egress.vmta, |text| {
        text.line(
            "smtp-source-host",
            format_args!("{} {}", egress.address, egress.hostname),
        );
        text.line(
            "domain-key",
            format_args!("{},{},{}", egress.selector, egress.domain, egress.key_path),
        );
        text.line("max-smtp-msg-rate", rate(egress, version));
    });
}

/// The least that can be written for an identity that shall not send is one attempt a day, or an hour
/// where days are not certain: the product has no pause in its configuration, and 0 may as well mean
/// no limit.
fn rate(egress: &Egress, version: Version) -> impl Display + use<> {
    let (attempts, period) = match version {
        _ if egress.drains() => (hourly_cap(egress.daily_quota), 'h'),
        Version::V4_5 => (1, 'h'),
        Version::V5_0 => (1, 'd'),
    };
    fmt::from_fn(move |f| write!(f, "{attempts}/{period}"))
}

pub(super) fn rejects(text: &mut Text, configuration: &Configuration) {
    text.comment(
        "Mail under a sender that is none of the tenant's: recorded as bounced, never sent.",
    );
    for tenant in configuration.tenants.keys() {
        text.section("virtual-mta", reject_name(tenant), |text| {
            text.section("domain", "*", |text| {
                text.line("type", "discard");
                text.line("discard-as-bounce", "true");
                // There is no address here that could pass the check; it would hold the mail back.
                text.line("check-spf-outbound", "no");
            });
        });
    }
}

/// The header that names a virtual MTA.
const HEADER: &str = "X-Virtual-MTA";

/// On a host of one tenant the header is obeyed before the sender, by lines of the list: the product's
/// own way of obeying it knows no list of allowed names, and would open the way to identities that
/// take no mail. The list is read when mail comes in, and the header removed when it leaves.
pub(super) fn pattern_lists(text: &mut Text, configuration: &Configuration) {
    text.comment(
        "Envelope sender to identity, per tenant; first match wins, the last line refuses.",
    );
    let is_shared = configuration.tenants.len() > 1;
    let mut own: BTreeMap<&TenantId, Vec<&Egress>> = BTreeMap::new();
    for egress in configuration
        .identities
        .values()
        .filter(|egress| egress.takes_mail())
    {
        own.entry(&egress.tenant).or_default().push(egress);
    }
    for tenant in configuration.tenants.keys() {
        text.section("pattern-list", list_name(tenant), |text| {
            let own = own.remove(tenant).unwrap_or_default();
            for egress in own.iter().filter(|_| !is_shared) {
                let name = escape(egress.vmta.as_str());
                // A header's value begins with the blank after its colon.
                let pattern = format_args!("{HEADER} /^\\s*{name}\\s*$/");
                text.line(
                    "header",
                    format_args!("{pattern} virtual-mta={}", egress.vmta),
                );
            }
            for egress in own {
                let domain = escape(egress.domain.as_str());
                text.line(
                    "mail-from",
                    format_args!("/@{domain}$/ virtual-mta={}", egress.vmta),
                );
            }
            text.line(
                "mail-from",
                format_args!("/.*/ virtual-mta={}", reject_name(tenant)),
            );
        });
    }
}

/// Sources go by the client's address and not by listener: a relaying source behind a listener would
/// be an open relay for whoever reaches the port.
pub(super) fn sources(text: &mut Text, configuration: &Configuration) {
    text.comment("Hosts of the fleet that may submit, each for its one tenant.");
    for (tenant, route) in &configuration.tenants {
        for address in &route.submitters {
            text.section("source", address, |text| {
                text.line("always-allow-relaying", "yes");
                text.line("pattern-list", list_name(tenant));
                // The header would outrank the list, and has no list of allowed names.
                text.line("process-x-virtual-mta", "no");
                text.line("remove-header", HEADER);
                text.line("process-x-job", "yes");
                if configuration.certificate.is_some() {
                    text.line("allow-starttls", "yes");
                }
                text.line("suppress-local-dsn", "true");
            });
        }
    }
}
