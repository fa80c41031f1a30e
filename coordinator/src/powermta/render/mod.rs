//! The whole text, in the order that the product needs: a pattern list before the source that names
//! it, macros and lists of replies before the `<domain>` that does; everything else for the reader.
//! What the fleet's operators change comes first; what is known of receivers is long, the same on
//! every host, and stands behind it.

mod accounting;
mod identities;
mod inbound;
mod providers;
#[cfg(test)]
mod random;
mod rate;
mod routing;
mod text;

use email_engine_protocol::bytes::ContentHash;

use super::SUBMISSION_PORT;
use super::model::Configuration;
use text::Text;

pub use accounting::accounting;
pub use rate::{hourly_cap, hourly_quota};

/// The log, when nobody says another.
pub(super) const LOG_FILE: &str = "/var/log/pmta/log";
/// The spool, when nobody says another.
pub(super) const SPOOL_PATH: &str = "/var/spool/pmta";
/// Limits of every receiver, when nobody says others.
pub(super) const ALWAYS: [(&str, &str); 2] = [("retry-after", "10m"), ("bounce-after", "24h")];

/// What stands above the hash.
const HEAD: &str = "# Written by Email-Engine for PowerMTA; what is changed here is changed back.\n\
                    # sha256 of the lines below this one: ";
/// As long as a hash.
const PLACE_OF_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes that a configuration needs about, and each of its identities: guesses that save growing.
const ROOM: usize = 64 * 1024;
const ROOM_OF_IDENTITY: usize = 1024;

/// Text of `/etc/pmta/config`. Its head names the hash of the lines below it and nothing that
/// changes without them, so that the same fleet gives the same bytes.
#[must_use]
pub fn render(configuration: &Configuration) -> String {
    let mut text = Text::with_room(ROOM + configuration.identities.len() * ROOM_OF_IDENTITY);
    text.verbatim(HEAD);
    text.verbatim(PLACE_OF_HASH);
    text.verbatim("\n");
    global(&mut text, configuration);
    routing::virtual_mtas(&mut text, configuration);
    routing::rejects(&mut text, configuration);
    routing::pattern_lists(&mut text, configuration);
    routing::sources(&mut text, configuration);
    inbound::outside(&mut text, configuration);
    inbound::sections(&mut text, configuration);
    accounting::files(&mut text, configuration);
    providers::named(&mut text, &configuration.catalogue);
    defaults(&mut text, configuration);
    providers::domains(&mut text, configuration);
    providers::categories(&mut text, &configuration.catalogue);
    if let Some(extra) = &configuration.extra {
        text.comment("The operator's own lines, neither known nor checked.");
        text.verbatim(&extra.marked());
    }
    sealed(text.finish())
}

/// Puts the hash into its place. In place, because a copy of a large text costs as much as writing it.
fn sealed(mut text: String) -> String {
    let place = HEAD.len()..HEAD.len() + PLACE_OF_HASH.len();
    let body = &text.as_bytes()[place.end + 1..];
    let hash = ContentHash::of(body).to_string();
    text.replace_range(place, &hash);
    text
}

fn global(text: &mut Text, configuration: &Configuration) {
    if let Some(host_name) = &configuration.host_name {
        text.line("host-name", host_name);
    }
    if let Some(postmaster) = &configuration.postmaster {
        text.line("postmaster", postmaster);
    }
    text.line("run-as-root", "yes");
    log(text, configuration);
    text.line("http-mgmt-port", configuration.management_port);
    // The list is empty otherwise, and an empty list lets nobody in.
    text.line("http-access", "127.0.0.1 monitor");
    submission(text, configuration);
    inbound::listeners(text, configuration);
    spools(text, configuration);
}

/// The certificate is the listener's own: the directive for all listeners wants a password by the guide
/// (3.3.1.9), this one may have none (3.3.17.4); and nobody outside the fleet is shown it.
fn submission(text: &mut Text, configuration: &Configuration) {
    let address = configuration.admin_address;
    match &configuration.certificate {
        None => text.line("smtp-listener", format_args!("{address}:{SUBMISSION_PORT}")),
        Some(certificate) => text.section(
            "smtp-listener",
            format_args!("{address}:{SUBMISSION_PORT}"),
            |text| text.line("tls-certificate", certificate),
        ),
    }
}

fn log(text: &mut Text, configuration: &Configuration) {
    let global = &configuration.catalogue.global;
    if !global.contains_key("log-file") {
        text.line("log-file", LOG_FILE);
    }
    for (keyword, value) in global {
        text.line(keyword, value);
    }
}

fn spools(text: &mut Text, configuration: &Configuration) {
    let spools = &configuration.catalogue.spools;
    if spools.is_empty() {
        text.section("spool", SPOOL_PATH, |_| ());
    }
    for spool in spools {
        text.section("spool", &spool.path, |text| {
            for (keyword, value) in &spool.settings {
                text.line(keyword, value);
            }
        });
    }
}

fn defaults(text: &mut Text, configuration: &Configuration) {
    text.comment("For every receiver. Mail that would fail SPF bounces here and hurts nobody.");
    text.section("domain", "*", |text| {
        text.line("dkim-sign", "yes");
        // Unsigned they break one-click unsubscription; the product's own list lacks them.
        text.line("dkim-headers", "List-Unsubscribe-Post, Feedback-ID");
        text.line("use-starttls", "yes");
        providers::everyone(text, &configuration.catalogue, &ALWAYS);
        text.line("check-spf-outbound", "yes");
    });
}
