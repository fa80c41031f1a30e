//! Mail from outside: bounces, complaints, and what people write to a sender.
//!
//! It is taken on the identities' own addresses. Bounces and complaints become accounting records;
//! postmaster, abuse and answers to the visible sender are forwarded to the tenant's mailbox, from the
//! machine's own address and name; the rest is dropped, because the MX of these domains is this very
//! machine and delivery would go in circles.

use std::collections::BTreeSet;

use email_engine_protocol::mail::{DomainName, MailAddress};

use super::super::model::{Configuration, Egress};
use super::text::Text;

/// The virtual MTA that forwards. No identity may have a name that begins with `fleet-`.
const FORWARDER: &str = "fleet-inbound";
/// Local part under which a domain is enrolled with receivers' feedback loops.
const COMPLAINTS: &str = "fbl";

/// What the outside may do on this host: reach the domains listed for relay, nothing else.
pub(super) fn outside(text: &mut Text, configuration: &Configuration) {
    text.comment("Everybody else: may write to the domains below, and relay nothing.");
    text.section("source", "0/0", |text| {
        text.line("always-allow-relaying", "no");
        text.line("process-x-virtual-mta", "no");
        text.line("remove-header", "X-Virtual-MTA");
        text.line("suppress-local-dsn", "true");
        if configuration.host_name.is_some() {
            text.line("default-virtual-mta", FORWARDER);
        }
    });
}

pub(super) fn listeners(text: &mut Text, configuration: &Configuration) {
    if configuration.host_name.is_some() {
        for egress in receiving(configuration) {
            text.line("smtp-listener", format_args!("{}:25", egress.address));
        }
    }
}

pub(super) fn sections(text: &mut Text, configuration: &Configuration) {
    let Some(host_name) = &configuration.host_name else {
        return;
    };
    text.comment("Mail from outside.");
    for egress in receiving(configuration) {
        text.line("relay-domain", &egress.domain);
    }
    forwarder(text, configuration, host_name);
    if receiving(configuration).next().is_some() {
        processors(text, configuration);
    }
    let aliases = aliases(configuration, host_name);
    if !aliases.is_empty() {
        text.section("aliases", "", |text| {
            for (alias, target) in aliases {
                text.line("alias", format_args!("{alias} {target}"));
            }
        });
    }
}

fn receiving(configuration: &Configuration) -> impl Iterator<Item = &Egress> {
    configuration
        .identities
        .values()
        .filter(|egress| egress.receives())
}

fn forwarder(text: &mut Text, configuration: &Configuration, host_name: &DomainName) {
    text.section("virtual-mta", FORWARDER, |text| {
        text.line(
            "smtp-source-host",
            format_args!("{} {host_name}", configuration.admin_address),
        );
        text.section("domain", "*", |text| {
            // Forwarded mail keeps its writer's envelope: it is not ours to sign, cannot pass a check
            // of SPF, and is no mail of an identity.
            text.line("dkim-sign", "no");
            text.line("check-spf-outbound", "no");
            text.line("disable-acct-records", "d,b,t,tq");
        });
        let domains = receiving(configuration).map(|egress| &egress.domain);
        for domain in [host_name].into_iter().chain(domains) {
            text.section("domain", domain, |text| text.line("type", "discard"));
        }
    });
}

/// What a processor does not understand is not delivered, which would go in circles; what it cannot
/// parse goes to whoever runs the machine.
fn processors(text: &mut Text, configuration: &Configuration) {
    text.section("bounce-processor", "", |text| {
        unmatched(text, configuration);
        text.section("address-list", "", |text| {
            for egress in receiving(configuration) {
                text.line(
                    "address",
                    format_args!("{}@{}", egress.return_path, egress.domain),
                );
            }
        });
    });
    text.section("feedback-loop-processor", "", |text| {
        unmatched(text, configuration);
        text.section("address-list", "", |text| {
            for egress in receiving(configuration) {
                text.line("address", format_args!("{COMPLAINTS}@{}", egress.domain));
            }
        });
    });
}

fn unmatched(text: &mut Text, configuration: &Configuration) {
    text.line("deliver-unmatched-email", "no");
    text.line("deliver-matched-email", "no");
    if let Some(postmaster) = &configuration.postmaster {
        text.line("forward-errors-to", postmaster);
    }
}

/// What is forwarded, as alias and target. The tenant's mailbox gets everything; without one the
/// machine's postmaster gets what the standards demand, and no tenant's correspondence.
fn aliases<'a>(
    configuration: &'a Configuration,
    host_name: &'a DomainName,
) -> Vec<(String, &'a MailAddress)> {
    // Forwarding to a domain whose mail comes here would go in circles.
    let own: BTreeSet<&DomainName> = receiving(configuration)
        .map(|egress| &egress.domain)
        .chain([host_name])
        .collect();
    let leaves = |target: &&MailAddress| !own.contains(&target.domain);
    let operator = configuration.postmaster.as_ref().filter(leaves);
    let mut aliases = Vec::new();
    if let Some(target) = operator {
        aliases
            .extend(["abuse", "postmaster"].map(|local| (format!("{local}@{host_name}"), target)));
    }
    for egress in receiving(configuration) {
        let mailbox = configuration
            .tenants
            .get(&egress.tenant)
            .and_then(|route| route.inbound_mailbox.as_ref())
            .filter(leaves);
        let mut locals = BTreeSet::from(["abuse", "postmaster"]);
        if mailbox.is_some() {
            locals.insert(egress.sender.as_str());
        }
        for processed in [egress.return_path.as_str(), COMPLAINTS] {
            locals.remove(processed);
        }
        if let Some(target) = mailbox.or(operator) {
            let alias = |local| (format!("{local}@{}", egress.domain), target);
            aliases.extend(locals.into_iter().map(alias));
        }
    }
    aliases
}
