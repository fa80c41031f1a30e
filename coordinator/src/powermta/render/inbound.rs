//! Mail from outside: bounces, complaints, and what people write to a sender.
//!
//! It is taken on the identities' own addresses. Bounces and complaints become accounting records;
//! postmaster, abuse and answers to the visible sender are forwarded to the tenant's mailbox, from the
//! machine's own address and name; the rest is dropped, because the MX of these domains is this very
//! machine and delivery would go in circles.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::id::TenantId;
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
    aliases(text, configuration, host_name);
}

fn receiving(configuration: &Configuration) -> impl Iterator<Item = &Egress> {
    let leaving = configuration.leaving.values();
    let leaving = leaving.filter(|leaver| leaver.has_address);
    configuration
        .identities
        .values()
        .chain(leaving.map(|leaver| &leaver.egress))
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

/// What is forwarded. The tenant's mailbox gets everything; without one the machine's postmaster gets
/// what the standards demand, and no tenant's correspondence.
fn aliases(text: &mut Text, configuration: &Configuration, host_name: &DomainName) {
    let targets = Targets::of(configuration, host_name);
    if !targets.any(configuration) {
        return;
    }
    text.section("aliases", "", |text| {
        if let Some(operator) = targets.operator {
            for local in DEMANDED {
                text.line("alias", format_args!("{local}@{host_name} {operator}"));
            }
        }
        for egress in receiving(configuration) {
            let mailbox = targets.tenants.get(&egress.tenant).copied();
            let Some(target) = mailbox.or(targets.operator) else {
                continue;
            };
            let sender = mailbox.map(|_| egress.sender.as_str());
            for local in forwarded(egress, sender) {
                text.line("alias", format_args!("{local}@{} {target}", egress.domain));
            }
        }
    });
}

/// Local parts that RFC 2142 demands.
const DEMANDED: [&str; 2] = ["abuse", "postmaster"];

/// Local parts of a domain that are forwarded, in order: what a processor reads is not.
fn forwarded<'a>(egress: &'a Egress, sender: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let new = sender.filter(|sender| !DEMANDED.contains(sender));
    let mut locals = [Some(DEMANDED[0]), Some(DEMANDED[1]), new];
    locals.sort_unstable();
    let processed = [egress.return_path.as_str(), COMPLAINTS];
    let is_read = move |local: &&str| processed.contains(local);
    locals
        .into_iter()
        .flatten()
        .filter(move |local| !is_read(local))
}

/// Who may be forwarded to. Forwarding to a domain whose mail comes here would go in circles.
struct Targets<'a> {
    operator: Option<&'a MailAddress>,
    tenants: BTreeMap<&'a TenantId, &'a MailAddress>,
}

impl<'a> Targets<'a> {
    fn of(configuration: &'a Configuration, host_name: &DomainName) -> Self {
        let mailboxes = configuration.tenants.iter().filter_map(|(tenant, route)| {
            let mailbox = route.inbound_mailbox.as_ref()?;
            Some((tenant, mailbox))
        });
        let mut tenants: BTreeMap<_, _> = mailboxes.collect();
        let mut operator = configuration.postmaster.as_ref();
        // There are few of them and many domains: one walk over the domains, and no set of them.
        let known = tenants.values().copied().chain(operator);
        let wanted: BTreeSet<&DomainName> = known.map(|target| &target.domain).collect();
        let domains = receiving(configuration).map(|egress| &egress.domain);
        let own: BTreeSet<&DomainName> = domains
            .chain([host_name])
            .filter(|domain| wanted.contains(domain))
            .collect();
        let leaves = |target: &MailAddress| !own.contains(&target.domain);
        tenants.retain(|_, target| leaves(target));
        operator = operator.filter(|target| leaves(target));
        Self { operator, tenants }
    }

    /// Whether one line will stand in the section: an empty one is not written.
    fn any(&self, configuration: &Configuration) -> bool {
        self.operator.is_some()
            || receiving(configuration).any(|egress| {
                let mailbox = self.tenants.get(&egress.tenant);
                mailbox.is_some()
                    && forwarded(egress, Some(egress.sender.as_str()))
                        .next()
                        .is_some()
            })
    }
}
