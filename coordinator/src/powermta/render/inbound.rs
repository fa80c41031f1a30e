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
use super::identities;
use super::text::Text;

/// The virtual MTA that forwards. No identity may have a name that begins with `fleet-`.
const FORWARDER: &str = "fleet-inbound";
/// Local part of the machine's own address for bounces, which nothing is sent under.
const BOUNCES: &str = "bounce";
/// Local part under which a domain is enrolled with receivers' feedback loops.
pub(super) const COMPLAINTS: &str = "fbl";

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
        identities::listeners(text.lines(), configuration);
    }
}

pub(super) fn sections(text: &mut Text, configuration: &Configuration) {
    let Some(targets) = Targets::of(configuration) else {
        return;
    };
    text.comment("Mail from outside.");
    identities::relay_domains(text.lines(), configuration);
    forwarder(text, configuration, targets.host_name);
    processors(text, configuration, targets.host_name);
    aliases(text, configuration, &targets);
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
        text.section("domain", host_name, |text| text.line("type", "discard"));
        identities::discards(text.lines(), configuration);
    });
}

/// What a processor does not understand is not delivered, which would go in circles; what it cannot
/// parse goes to whoever runs the machine.
///
/// Both are there from the beginning, each with an address of the machine's own: one that came with the
/// first identity, or went with the last, would wait for a restart.
fn processors(text: &mut Text, configuration: &Configuration, host_name: &DomainName) {
    type Addresses = fn(&mut String, &Configuration);
    let kinds: [(&'static str, &str, Addresses); 2] = [
        ("bounce-processor", BOUNCES, identities::bounces),
        (
            "feedback-loop-processor",
            COMPLAINTS,
            identities::complaints,
        ),
    ];
    for (kind, local, addresses) in kinds {
        text.section(kind, "", |text| {
            unmatched(text, configuration);
            text.section("address-list", "", |text| {
                text.line("address", format_args!("{local}@{host_name}"));
                addresses(text.lines(), configuration);
            });
        });
    }
}

fn unmatched(text: &mut Text, configuration: &Configuration) {
    text.line("deliver-unmatched-email", "no");
    text.line("deliver-matched-email", "no");
    if let Some(postmaster) = &configuration.postmaster {
        text.line("forward-errors-to", postmaster);
    }
}

/// What is forwarded. The tenant's mailbox gets everything; without one the machine's postmaster gets
/// what the standards demand, and no tenant's correspondence. An empty section is not written.
fn aliases(text: &mut Text, configuration: &Configuration, targets: &Targets<'_>) {
    let any = |egress: &Egress| {
        let target = targets.of_egress(egress);
        target.is_some_and(|(_, sender)| forwarded(egress, sender).next().is_some())
    };
    if targets.operator.is_none() && !identities::receiving(configuration).any(any) {
        return;
    }
    text.section("aliases", "", |text| {
        if let Some(operator) = &targets.operator {
            for local in DEMANDED {
                text.line(
                    "alias",
                    format_args!("{local}@{} {operator}", targets.host_name),
                );
            }
        }
        identities::aliases(text.lines(), configuration, targets);
    });
}

/// Local parts that RFC 2142 demands.
const DEMANDED: [&str; 2] = ["abuse", "postmaster"];

/// Local parts of a domain that are forwarded, in order: what a processor reads is not.
pub(super) fn forwarded<'a>(
    egress: &'a Egress,
    sender: Option<&'a str>,
) -> impl Iterator<Item = &'a str> {
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
#[derive(Debug)]
pub(super) struct Targets<'a> {
    host_name: &'a DomainName,
    operator: Option<String>,
    tenants: BTreeMap<&'a TenantId, String>,
}

impl<'a> Targets<'a> {
    /// None where no mail is taken from outside.
    pub(super) fn of(configuration: &'a Configuration) -> Option<Self> {
        let host_name = configuration.host_name.as_ref()?;
        let mailboxes = &configuration.mailboxes;
        let operator = configuration.postmaster.as_ref();
        // There are few of them and many domains: one walk over the domains, and no set of them.
        let known = mailboxes.values().chain(operator);
        let wanted: BTreeSet<&DomainName> = known.map(|target| &target.domain).collect();
        let own: BTreeSet<&DomainName> = identities::receiving(configuration)
            .map(|egress| &egress.domain)
            .chain([host_name])
            .filter(|domain| wanted.contains(domain))
            .collect();
        let leaves = |target: &&MailAddress| !own.contains(&target.domain);
        let tenants = mailboxes.iter().filter(|(_, target)| leaves(target));
        Some(Self {
            host_name,
            operator: operator.filter(leaves).map(ToString::to_string),
            tenants: tenants
                .map(|(tenant, target)| (tenant, target.to_string()))
                .collect(),
        })
    }

    /// Where mail to an identity's domain goes, and the visible sender whose mail goes there too.
    pub(super) fn of_egress<'b>(
        &'b self,
        egress: &'b Egress,
    ) -> Option<(&'b str, Option<&'b str>)> {
        match self.tenants.get(&egress.tenant) {
            Some(mailbox) => Some((mailbox, Some(egress.sender.as_str()))),
            None => Some((self.operator.as_deref()?, None)),
        }
    }
}
