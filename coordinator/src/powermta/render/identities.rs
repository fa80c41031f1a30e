//! What each identity has in every section, written in one walk over them.
//!
//! An identity has lines in nine places. A fleet has a hundred thousand identities, and fetching one from
//! memory costs more than writing its lines: so each is looked at once, and its lines are kept by place
//! until their section is written.

use std::collections::BTreeMap;
use std::fmt::Write;

use email_engine_protocol::id::TenantId;

use super::super::model::{Configuration, Egress};
use super::super::schema::Version;
use super::inbound::{COMPLAINTS, Targets, forwarded};
use super::rate::hourly_cap;
use super::routing::HEADER;
use super::text::escape_into;

/// Bytes of one identity's lines, about: guesses that save growing.
const LISTENER: usize = 40;
const VIRTUAL_MTA: usize = 210;
const LISTED: usize = 110;
const DOMAIN: usize = 48;
const DISCARD: usize = 80;
const ALIASES: usize = 190;

/// Lines of all identities, by the place where they stand.
#[derive(Debug, Default)]
pub(super) struct Lines<'a> {
    pub(super) listeners: String,
    pub(super) virtual_mtas: String,
    pub(super) lists: BTreeMap<&'a TenantId, List>,
    pub(super) relay_domains: String,
    pub(super) discards: String,
    pub(super) bounces: String,
    pub(super) complaints: String,
    pub(super) aliases: String,
}

/// Lines of one tenant's pattern list.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) headers: String,
    pub(super) senders: String,
}

impl<'a> Lines<'a> {
    /// Of all identities; `targets` is where mail from outside goes, where it is taken.
    pub(super) fn of(configuration: &'a Configuration, targets: Option<&Targets<'_>>) -> Self {
        let mut lines = Self::with_room(configuration);
        let is_shared = configuration.tenants.len() > 1;
        let mut address = String::new();
        for egress in configuration.identities.values() {
            address.clear();
            // A string takes whatever is written to it.
            let _ = write!(address, "{}", egress.address);
            lines.virtual_mta(egress, &address, configuration.version);
            if egress.takes_mail() {
                lines
                    .lists
                    .entry(&egress.tenant)
                    .or_default()
                    .add(egress, is_shared);
            }
            if let Some(targets) = targets.filter(|_| egress.receives()) {
                lines.inbound(egress, &address, targets);
            }
        }
        lines
    }

    fn with_room(configuration: &Configuration) -> Self {
        let room = |bytes: usize| String::with_capacity(bytes * configuration.identities.len());
        let inbound = |bytes: usize| match &configuration.host_name {
            Some(_) => room(bytes),
            None => String::new(),
        };
        Self {
            listeners: inbound(LISTENER),
            virtual_mtas: room(VIRTUAL_MTA),
            lists: BTreeMap::new(),
            relay_domains: inbound(DOMAIN),
            discards: inbound(DISCARD),
            bounces: inbound(DOMAIN),
            complaints: inbound(DOMAIN),
            aliases: inbound(ALIASES),
        }
    }

    /// Stays defined while the identity exists, whether it sends or not: mail in the queue of a virtual
    /// MTA that is gone would bounce.
    fn virtual_mta(&mut self, egress: &Egress, address: &str, version: Version) {
        let out = &mut self.virtual_mtas;
        put(
            out,
            [
                "<virtual-mta ",
                egress.vmta.as_str(),
                ">\n    smtp-source-host ",
                address,
                " ",
            ],
        );
        put(
            out,
            [
                egress.hostname.as_str(),
                "\n    domain-key ",
                &egress.selector,
                ",",
            ],
        );
        put(
            out,
            [
                egress.domain.as_str(),
                ",",
                &egress.key_path,
                "\n    max-smtp-msg-rate ",
            ],
        );
        let (attempts, period) = rate(egress, version);
        let _ = write!(out, "{attempts}");
        put(out, [period, "\n</virtual-mta>\n"]);
    }

    fn inbound(&mut self, egress: &Egress, address: &str, targets: &Targets<'_>) {
        let domain = egress.domain.as_str();
        put(&mut self.listeners, ["smtp-listener ", address, ":25\n"]);
        put(&mut self.relay_domains, ["relay-domain ", domain, "\n"]);
        let discard = [
            "    <domain ",
            domain,
            ">\n        type discard\n    </domain>\n",
        ];
        put(&mut self.discards, discard);
        let bounces = [
            "        address ",
            egress.return_path.as_str(),
            "@",
            domain,
            "\n",
        ];
        put(&mut self.bounces, bounces);
        put(
            &mut self.complaints,
            ["        address ", COMPLAINTS, "@", domain, "\n"],
        );
        let Some((target, sender)) = targets.of_egress(egress) else {
            return;
        };
        for local in forwarded(egress, sender) {
            put(
                &mut self.aliases,
                ["    alias ", local, "@", domain, " ", target, "\n"],
            );
        }
    }
}

impl List {
    /// On a host of one tenant the header is obeyed before the sender.
    fn add(&mut self, egress: &Egress, is_shared: bool) {
        let vmta = egress.vmta.as_str();
        if !is_shared {
            let out = &mut self.headers;
            // A header's value begins with the blank after its colon.
            put(out, ["    header ", HEADER, " /^\\s*"]);
            escape_into(out, vmta);
            put(out, ["\\s*$/ virtual-mta=", vmta, "\n"]);
        }
        let out = &mut self.senders;
        if out.capacity() - out.len() < LISTED {
            out.reserve(out.len().max(LISTED));
        }
        out.push_str("    mail-from /@");
        escape_into(out, egress.domain.as_str());
        put(out, ["$/ virtual-mta=", vmta, "\n"]);
    }
}

/// The least that can be written for an identity that shall not send is one attempt a day, or an hour
/// where days are not certain: the product has no pause in its configuration, and 0 may as well mean
/// no limit.
fn rate(egress: &Egress, version: Version) -> (u32, &'static str) {
    match version {
        _ if egress.drains() => (hourly_cap(egress.daily_quota), "/h"),
        Version::V4_5 => (1, "/h"),
        Version::V5_0 => (1, "/d"),
    }
}

fn put<const N: usize>(out: &mut String, parts: [&str; N]) {
    for part in parts {
        out.push_str(part);
    }
}
