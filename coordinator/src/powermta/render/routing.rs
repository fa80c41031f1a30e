//! From the client's address to the address that sends: virtual MTAs, pattern lists, sources.

use email_engine_protocol::id::TenantId;

use super::super::model::Configuration;
use super::identities;
use super::text::Text;

/// The virtual MTA that discards what a tenant sends under a name that is none of its identities.
pub(super) fn reject_name(tenant: &TenantId) -> String {
    format!("reject-{tenant}")
}

fn list_name(tenant: &TenantId) -> String {
    format!("senders-{tenant}")
}

pub(super) fn virtual_mtas(text: &mut Text, configuration: &Configuration) {
    text.comment("Sending identities: one address, one EHLO name, one DKIM key each.");
    let version = configuration.version;
    identities::virtual_mtas(text.lines(), configuration.identities.values(), version);
    if !configuration.leaving.is_empty() {
        text.comment(
            "Gone from the fleet: each stays until its queue is empty, and takes nothing new.",
        );
        let leaving = configuration.leaving.values();
        let leaving = leaving.map(|leaver| &leaver.egress);
        identities::virtual_mtas(text.lines(), leaving, version);
    }
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
pub(super) const HEADER: &str = "X-Virtual-MTA";

/// On a host of one tenant the header is obeyed before the sender, by lines of the list: the product's
/// own way of obeying it knows no list of allowed names, and would open the way to identities that
/// take no mail. The list is read when mail comes in, and the header removed when it leaves.
pub(super) fn pattern_lists(text: &mut Text, configuration: &Configuration) {
    text.comment(
        "Envelope sender to identity, per tenant; first match wins, the last line refuses.",
    );
    let is_shared = configuration.tenants.len() > 1;
    let mut taking = identities::taking(configuration);
    for tenant in configuration.tenants.keys() {
        let own = taking.remove(tenant).unwrap_or_default();
        text.section("pattern-list", list_name(tenant), |text| {
            if !is_shared {
                identities::headers(text.lines(), &own);
            }
            identities::senders(text.lines(), &own);
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
