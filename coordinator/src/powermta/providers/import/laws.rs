//! What holds for any earlier configuration.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use email_engine_protocol::mail::MailAddress;
use proptest::prelude::*;

use super::super::model::{Catalogue, Provider};
use super::super::{BASE_PATH, Base};
use super::*;
use crate::planner::builtin_bundle;
use crate::powermta::Configuration;

/// What must be nowhere afterwards.
#[derive(Clone, Debug)]
struct Secrets {
    address: String,
    password: String,
    key: String,
}

fn secrets() -> impl Strategy<Value = Secrets> {
    let v4 = prop_oneof![
        (1_u8..255).prop_map(|n| format!("192.0.2.{n}")),
        (1_u8..255).prop_map(|n| format!("203.0.113.{n}")),
        (1_u16..9999).prop_map(|n| format!("2001:db8::{n:x}")),
    ];
    (v4, "[a-z0-9]{8,12}", "[a-z0-9]{6,10}").prop_map(|(address, password, key)| Secrets {
        address,
        password: format!("pw{password}"),
        key: format!("/etc/pmta/keys/{key}.pem"),
    })
}

/// A line or a section, with a secret wherever one might be put.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "smtp-source-host ADDRESS mail.example.com",
        "log-file /var/log/pmta/PASSWORD.log # ADDRESS",
        "log-file /var/log/pmta/ADDRESS",
        "log-rotate 9 # was PASSWORD",
        "PASSWORD ADDRESS",
        "domain-macro ADDRESS a.example.com",
        "domain-macro mine a.example.com,ADDRESS,PASSWORD.example.com",
        "http-api-key PASSWORD",
        "include /etc/ADDRESS/KEY",
        "domain-key s,example.com,KEY",
        "spool /var/ADDRESS",
        "<spool /var/spool/PASSWORD>\npriority 5\n</spool>",
        "<spool /srv/spool>\npriority 5 # PASSWORD\nADDRESS KEY\n</spool>",
        "<smtp-user u>\npassword PASSWORD\n</smtp-user>",
        "<virtual-mta v>\nsmtp-source-host ADDRESS h.example.com\ndomain-key s,d.example.com,KEY\n\
         </virtual-mta>",
        "<smtp-pattern-list l>\nreply /ADDRESS/ mode=backoff\nreply /ESCAPED blocked/ mode=backoff\n\
         reply /x PASSWORD/ mode=backoff\nreply /KEY/ mode=backoff # ADDRESS\n\
         reply /code#1 ADDRESS/ mode=backoff\nreply /y/ PASSWORD\nreply /good[12]/ mode=backoff # KEY\n\
         reply /S3140/ disable-source-ip\n</smtp-pattern-list>",
        "<smtp-pattern-list PASSWORD>\nreply /fine/ mode=backoff\n</smtp-pattern-list>",
        "<domain $mine>\nmax-smtp-out 3 # ADDRESS\nmax-msg-rate PASSWORD\nauth-password PASSWORD\n\
         smtp-pattern-list l\nADDRESS 1\n</domain>",
        "<domain ADDRESS>\nmax-smtp-out 3\n</domain>",
        "<domain [ADDRESS/24]>\nmax-smtp-out 3\n</domain>",
        "<domain PASSWORD.example.com b.example.com>\nmax-smtp-out 4\nsmtp-hosts [ADDRESS]\n</domain>",
        "<domain q.rollup>\nsmtp-hosts [ADDRESS]:25\nmax-smtp-out 1\n</domain>",
        "<domain r.rollup>\nsmtp-pattern-list l\n</domain>",
        "<domain *>\nretry-after 10m\nbounce-after 2d\nbackoff-notify boss@example.com\n\
         smtp-pattern-list l\n</domain>",
        "<mx-rollup-list>\nmx *.q.example.com q.rollup\nmx mx.r.example.com r.rollup\n\
         mx ADDRESS r.rollup\nmx mx.s.example.com s.rollup\n</mx-rollup-list>",
        "<bounce-category-patterns>\n/ADDRESS/ spam-related\n/ESCAPED/ other\n/PASSWORD/ bad-mailbox\n\
         /fine/ bad-mailbox # KEY\n/user unknown/ PASSWORD\n// other\n</bounce-category-patterns>",
        "<domain gmail.com>\nuse-starttls yes\n</domain>",
        "<domain yahoo.com>\nqueue-to fast.queue\nmax-smtp-out 1 # KEY\n</domain>",
        "<domain fast.queue>\nsmtp-hosts lookup-mx:yahoo.com\nmax-smtp-out 9\nlog-commands yes\n\
         include /etc/PASSWORD\n</domain>",
        "<domain orange.fr>\nqueue-to Q.rollup\n</domain>",
        "<domain web.de gmx.net>\nqueue-to \"PASSWORD.queue\"\n</domain>",
        "<mx-rollup-list>\nmx mta5.am0.yahoodns.net yahoo.rollup\nmx smtp-in.sfr.fr sfr.rollup\n\
         mx mx1.comcast.net comcast.rollup\n\
         </mx-rollup-list>",
        "<smtp-pattern-list l>\nreply /blocked ADDRESS/ mode=backoff\nreply /too man./ mode=backoff\n\
         reply /quota/ bounce-rcpt\ninclude /etc/ADDRESS\n</smtp-pattern-list>",
        "<source ADDRESS>\nalways-allow-relaying yes\n</source>",
        "<PASSWORD ADDRESS>\nKEY\n</PASSWORD>",
        "# ADDRESS PASSWORD KEY",
        "</domain>",
        "<domain broken>",
    ])
}

fn configurations() -> impl Strategy<Value = (Secrets, String)> {
    (secrets(), prop::collection::vec(piece(), 0..14)).prop_map(|(secrets, pieces)| {
        let escaped = secrets.address.replace('.', "\\.");
        // Somewhere the password and the key are told to be what they are.
        let told = "<smtp-user me>\npassword PASSWORD\n</smtp-user>\ndomain-key s,*,KEY";
        let text = format!("{told}\n{}\n", pieces.join("\n"))
            .replace("ADDRESS", &secrets.address)
            .replace("ESCAPED", &escaped)
            .replace("PASSWORD", &secrets.password)
            .replace("KEY", &secrets.key);
        (secrets, text)
    })
}

fn taken(text: &str) -> Imported {
    let sources = Sources::single("config", text);
    import(&sources, Version::V5_0, "config", "2026-11-21")
}

fn loaded(base: &Base, mut files: BTreeMap<String, String>) -> Catalogue {
    files.insert(BASE_PATH.to_owned(), base.to_toml().unwrap());
    Catalogue::load(&files).unwrap_or_else(|error| panic!("{error} in {}", files[BASE_PATH]))
}

/// A host with nothing but what is known of receivers.
fn rendered(catalogue: Catalogue) -> String {
    crate::powermta::render(&Configuration {
        admin_address: Ipv4Addr::new(198, 51, 100, 20),
        host_name: None,
        postmaster: Some(MailAddress::new("postmaster@example.net").unwrap()),
        management_port: 1983,
        accounting_max_size: "50M".to_owned(),
        version: Version::V5_0,
        certificate: None,
        catalogue: catalogue.into(),
        extra: None,
        tenants: BTreeMap::new(),
        mailboxes: BTreeMap::new(),
        identities: BTreeMap::new(),
        leaving: BTreeMap::new(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn no_address_password_or_key_is_in_what_is_taken_or_told((secrets, text) in configurations()) {
        let imported = taken(&text);
        let mut shown = imported.base.to_toml().unwrap();
        for note in &imported.notes {
            shown.push_str(&format!("{} {} {}\n", note.file, note.what, note.why));
        }
        let shown = shown.replace('\\', "");
        for secret in [&secrets.address, &secrets.password, &secrets.key] {
            prop_assert!(!shown.contains(secret.as_str()), "{secret} of\n{text}\nin\n{shown}");
        }
    }

    #[test]
    fn what_is_taken_over_is_a_base_that_ships_and_is_found_good((_, text) in configurations()) {
        let base = taken(&text).base;
        let text = rendered(loaded(&base, builtin_bundle()));
        let found = lint(&Sources::single("config", &text), &Options::default()).findings;
        prop_assert!(found.is_empty(), "{found:#?} of\n{text}");
    }

    #[test]
    fn no_receiver_of_ours_loses_its_limits_to_nothing((_, text) in configurations()) {
        let ours = Catalogue::load(&builtin_bundle()).unwrap();
        let merged = loaded(&taken(&text).base, builtin_bundle());
        let (silent, limited): (Vec<&Provider>, Vec<&Provider>) = merged
            .special()
            .partition(|provider| provider.settings.is_empty() && provider.replies.is_empty());
        for provider in ours.special() {
            for domain in &provider.domains {
                let has = |limited: &&Provider| limited.domains.contains(domain);
                prop_assert!(limited.iter().any(has), "{domain} of\n{text}");
            }
            for rollup in &provider.rollups {
                let mut others = silent.iter().flat_map(|silent| &silent.rollups);
                prop_assert!(!others.any(|other| other.meets(rollup)), "{rollup:?} of\n{text}");
            }
            let mut queues = silent.iter().flat_map(|silent| &silent.rollups);
            prop_assert!(!queues.any(|queue| provider.receives_at(queue)), "of\n{text}");
        }
    }

    #[test]
    fn what_is_rendered_from_a_base_gives_the_same_base((_, text) in configurations()) {
        let first = taken(&text).base;
        let again = taken(&rendered(loaded(&first, BTreeMap::new()))).base;
        prop_assert_eq!(again.to_toml().unwrap(), first.to_toml().unwrap(), "of\n{}", text);
    }
}

proptest! {
    // Each case reads a text of a thousand lines four times.
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn a_base_that_took_the_catalogue_over_stays_as_it_is((_, text) in configurations()) {
        let first = taken(&text).base;
        let whole = taken(&rendered(loaded(&first, builtin_bundle()))).base;
        let again = taken(&rendered(loaded(&whole, builtin_bundle()))).base;
        prop_assert_eq!(again.to_toml().unwrap(), whole.to_toml().unwrap(), "of\n{}", text);
    }
}
