//! Golden texts of the shipped examples, and what single texts hold.

use email_engine_coordinator::planner::{Planned, plan};
use email_engine_coordinator::powermta;
use email_engine_coordinator::powermta::lint::{Options, Rule, rules};
use email_engine_coordinator::powermta::schema::Version;
use email_engine_coordinator::powermta::syntax::Sources;
use email_engine_coordinator::state::{ExpiredQueue, Quarantine, TargetRecord};
use email_engine_protocol::api::IpStatus;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::fixture::{Fleet, argument, lint, parse, sections, texts};
use crate::listing::listing;

/// Compares with a golden file; `GOLDEN=write` writes it instead.
pub(crate) fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/planner/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == wanted,
        "differs from golden/{name}; GOLDEN=write accepts it\n{}",
        similar::TextDiff::from_lines(wanted.as_str(), text).unified_diff()
    );
}

#[test]
fn the_example_renders_as_it_was_read_and_found_good() {
    let fleet = Fleet::sos_holidays();
    for (host, path, name) in [
        ("pmta1", "/etc/pmta/config", "pmta1.config"),
        ("mailwizz1", "/etc/cron.d/mailwizz", "mailwizz1.cron"),
        (
            "mailwizz1",
            "/etc/email-engine/mailwizz/delivery-servers/vmta-mail1.json",
            "vmta-mail1.json",
        ),
        (
            "api1",
            "/etc/email-engine/api/sos_holidays.env",
            "sos-holidays.env",
        ),
    ] {
        golden(name, &texts(&fleet.plan(host))[path]);
    }
    for host in ["pmta1", "mailwizz1", "api1"] {
        golden(&format!("{host}.resources"), &listing(&fleet.plan(host)));
    }
}

#[test]
fn an_identity_in_quarantine_stands_still_and_no_other() {
    let mut fleet = Fleet::sos_holidays();
    let address = "192.0.2.3".parse().unwrap();
    let mut with = |status| {
        let identity = fleet.state.identities.get_mut(&address).unwrap();
        std::sync::Arc::make_mut(identity).spec.status = status;
        let listing = listing(&fleet.plan("pmta1"));
        let from = listing.find("suspension:");
        from.map(|from| {
            let rest = &listing[from..];
            let to = rest.find("transaction:").unwrap();
            rest[..to].to_owned()
        })
    };
    for status in [
        IpStatus::Active,
        IpStatus::Resting,
        IpStatus::Standby,
        IpStatus::Retiring,
    ] {
        assert_eq!(with(status), None, "{status:?}");
    }
    golden(
        "quarantine.suspensions",
        &with(IpStatus::Quarantine).unwrap(),
    );
}

#[test]
fn what_waited_too_long_in_quarantine_is_thrown_away_and_only_there() {
    let mut fleet = Fleet::sos_holidays();
    let address = "192.0.2.3".parse().unwrap();
    let mut with = |status, expired: Option<ExpiredQueue>| {
        let identity = fleet.state.identities.get_mut(&address).unwrap();
        let identity = std::sync::Arc::make_mut(identity);
        identity.spec.status = status;
        let mut out = Quarantine::new(Default::default(), Timestamp(1_795_240_800_000));
        out.expired = expired;
        identity.life.quarantine = Some(out);
        let listing = listing(&fleet.plan("pmta1"));
        let from = listing.find("discard:");
        from.map(|from| {
            let rest = &listing[from..];
            let lines = rest.split_inclusive('\n');
            let own = lines
                .enumerate()
                .take_while(|(at, line)| *at == 0 || line.starts_with(' '));
            own.map(|(_, line)| line).collect::<String>()
        })
    };
    let expired = || {
        let listed = None;
        Some(ExpiredQueue {
            at: Timestamp(1_795_240_800_000),
            listed,
        })
    };
    assert_eq!(with(IpStatus::Quarantine, None), None);
    assert_eq!(with(IpStatus::Resting, expired()), None);
    golden(
        "quarantine.discards",
        &with(IpStatus::Quarantine, expired()).unwrap(),
    );
}

#[test]
fn two_tenants_on_one_host_render_apart() {
    let fleet = Fleet::two_tenants();
    let planned = fleet.plan("pmta1");
    let text = &texts(&planned)["/etc/pmta/config"];
    assert_eq!(lint(text), "");
    // It is taken off and not read; the line that would read it begins with the word.
    assert!(text.contains("    remove-header X-Virtual-MTA\n"), "{text}");
    assert!(!text.contains(" header X-Virtual-MTA"), "{text}");
    let mut fleet = fleet;
    // Three of each are enough to be read.
    let keep = |last: u8| matches!(last, 1 | 41 | 50);
    fleet.state.identities.retain(|address, _| match address {
        std::net::IpAddr::V4(v4) => keep(v4.octets()[3]),
        std::net::IpAddr::V6(_) => false,
    });
    golden(
        "two-tenants.config",
        &texts(&fleet.plan("pmta1"))["/etc/pmta/config"],
    );
    // The shared API host's mail could not be told apart.
    assert!(!text.contains("<source 192.0.2.30>"));
    for host in ["mailwizz1", "mailwizz2", "api1"] {
        assert!(!texts(&fleet.plan(host)).is_empty());
    }
}

#[test]
fn every_rendered_json_is_json_whatever_a_name_holds() {
    let mut fleet = Fleet::sos_holidays();
    let nasty = "A \"quoted\" \\ name\nwith <lines> & {{ braces }} #";
    fleet.edit("192.0.2.1", |ip| ip.display_name = nasty.to_owned());
    let text = texts(&fleet.plan("mailwizz1"))
        ["/etc/email-engine/mailwizz/delivery-servers/vmta-mail1.json"]
        .clone();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["from_name"], nasty);
    assert_eq!(value["daily_quota"], 100);
    assert!(!texts(&fleet.plan("pmta1"))["/etc/pmta/config"].contains("quoted"));
}

#[test]
fn the_head_names_the_hash_of_what_is_below_it() {
    let fleet = Fleet::sos_holidays();
    for (host, path) in [
        ("pmta1", "/etc/pmta/config"),
        ("mailwizz1", "/etc/cron.d/mailwizz"),
    ] {
        let text = texts(&fleet.plan(host))[path].clone();
        let mut parts = text.splitn(3, '\n');
        let head = parts.nth(1).unwrap();
        let hash = ContentHash::of(parts.next().unwrap().as_bytes());
        assert!(head.ends_with(&hash.to_string()), "{head}");
        // Nothing that only counts is in it: else every change of the fleet would be one of every file.
        let mut later = fleet.clone();
        later.state.revision += 1_000;
        let host = HostId::new(host).unwrap();
        let target = TargetRecord {
            generation: Generation {
                epoch: 3,
                number: 77,
            },
            digest: ContentHash([7; 32]),
            planner_version: 1,
            planned_from: 900,
            set_at: Timestamp(9),
            resources: 12,
        };
        later.state.targets.insert(host.clone(), target);
        assert_eq!(later.plan(host.as_str()), fleet.plan(host.as_str()));
        assert_eq!(texts(&later.plan(host.as_str()))[path], text);
    }
}

#[test]
fn an_identity_that_shall_not_send_has_the_least_rate_and_no_way_in() {
    let mut fleet = Fleet::sos_holidays();
    fleet.edit("192.0.2.1", |ip| ip.status = IpStatus::Quarantine);
    fleet.edit("192.0.2.2", |ip| ip.status = IpStatus::Retiring);
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    assert!(
        !text.contains("virtual-mta=vmta-mail1\n") && !text.contains("virtual-mta=vmta-mail2\n")
    );
    let rate = |vmta: &str| {
        let found = sections(&text)
            .into_iter()
            .find(|(head, _)| argument(head, "virtual-mta") == Some(vmta));
        let (_, lines) = found.unwrap();
        lines.last().unwrap().to_string()
    };
    assert_eq!(rate("vmta-mail1"), "max-smtp-msg-rate 1/d");
    assert_eq!(
        rate("vmta-mail2"),
        format!("max-smtp-msg-rate {}/h", powermta::hourly_cap(250))
    );
    let record = texts(&fleet.plan("mailwizz1"))
        ["/etc/email-engine/mailwizz/delivery-servers/vmta-mail1.json"]
        .clone();
    assert!(record.contains("\"status\": \"inactive\"") && record.contains("\"daily_quota\": 1,"));
}

#[test]
fn a_host_without_a_name_takes_no_mail_from_outside() {
    let fleet = Fleet::sos_holidays().unlabelled();
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    assert_eq!(lint(&text), "");
    for absent in [":25\n", "relay-domain", "fleet-inbound", "bounce-processor"] {
        assert!(!text.contains(absent), "{absent}");
    }
}

#[test]
fn a_fleet_without_identities_is_planned_too() {
    let document = parse(crate::fixture::SOS_HOLIDAYS);
    let mut fleet = Fleet::empty();
    let bare = email_engine_protocol::api::FleetDocument {
        ips: Vec::new(),
        ..document
    };
    fleet.apply(&bare, false);
    for host in ["pmta1", "mailwizz1", "api1"] {
        assert_eq!(fleet.plan(host).config.check(), Ok(()));
    }
    assert_eq!(lint(&texts(&fleet.plan("pmta1"))["/etc/pmta/config"]), "");
}

fn label(fleet: &mut Fleet, name: &str, value: &str) {
    let host = HostId::new("pmta1").unwrap();
    let host = fleet.state.hosts.get_mut(&host).unwrap();
    host.spec.labels.insert(name.to_owned(), value.to_owned());
}

#[test]
fn submission_offers_starttls_where_the_host_has_a_certificate() {
    let mut fleet = Fleet::sos_holidays();
    label(&mut fleet, "smtp-certificate", "/etc/pmta/tls/smtp.pem");
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    assert_eq!(lint(&text), "");
    let listener = sections(&text)
        .into_iter()
        .find(|(head, _)| argument(head, "smtp-listener") == Some("198.51.100.20:2525"));
    let (_, lines) = listener.unwrap();
    assert_eq!(lines, ["tls-certificate /etc/pmta/tls/smtp.pem"]);
    for (head, lines) in sections(&text) {
        if let Some(source) = argument(head, "source") {
            assert_eq!(
                lines.contains(&"allow-starttls yes"),
                source != "0/0",
                "{source}"
            );
        }
    }
    label(
        &mut fleet,
        "smtp-certificate",
        "/etc/x\nalways-allow-relaying yes",
    );
    let error = plan(&fleet.state, &HostId::new("pmta1").unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("label smtp-certificate"),
        "{error}"
    );
}

/// Path of the certificate that a host's listener for the fleet has.
fn certificate_of(text: &str) -> Option<String> {
    let sections = sections(text);
    let mut listeners = sections
        .iter()
        .filter(|(head, _)| argument(head, "smtp-listener").is_some());
    let (_, lines) = listeners.next()?;
    let path = lines.first()?.strip_prefix("tls-certificate ")?;
    Some(path.to_owned())
}

#[test]
fn a_renewal_is_another_file_that_the_configuration_names_and_nothing_else() {
    let mut fleet = Fleet::sos_holidays();
    let host = HostId::new("pmta1").unwrap();
    let before = fleet.plan("pmta1");
    let names = fleet.state.hosts[&host].submission_names().unwrap();
    fleet.certify(&host, names);
    let after = fleet.plan("pmta1");
    let (old, new) = (texts(&before), texts(&after));
    let path = |texts: &std::collections::BTreeMap<String, String>| {
        certificate_of(&texts["/etc/pmta/config"]).unwrap()
    };
    assert_eq!(path(&old), "/etc/pmta/tls/submission-1.pem");
    assert_eq!(path(&new), "/etc/pmta/tls/submission-2.pem");
    let ids = |planned: &Planned| -> std::collections::BTreeSet<String> {
        planned
            .config
            .resources
            .iter()
            .map(|one| one.id.to_string())
            .collect()
    };
    let changed: Vec<_> = ids(&before)
        .symmetric_difference(&ids(&after))
        .cloned()
        .collect();
    let file = |number| format!("file:/etc/pmta/tls/submission-{number}.pem");
    assert_eq!(changed, [file(1), file(2)]);
    let lines =
        |texts: &std::collections::BTreeMap<String, String>| -> std::collections::BTreeSet<String> {
            texts["/etc/pmta/config"]
                .lines()
                .map(str::to_owned)
                .collect()
        };
    for line in lines(&old).symmetric_difference(&lines(&new)) {
        assert!(
            line.contains("submission-") || line.starts_with('#'),
            "{line}"
        );
    }
    for host in ["mailwizz1", "api1"] {
        assert_eq!(fleet.plan(host), Fleet::sos_holidays().plan(host), "{host}");
    }
}

#[test]
fn a_certificate_for_an_address_of_before_is_not_shown() {
    let mut fleet = Fleet::sos_holidays();
    let host = HostId::new("pmta1").unwrap();
    let row = fleet.state.submission_certificates.get_mut(&host).unwrap();
    row.names.address = [198, 51, 100, 99].into();
    let planned = fleet.plan("pmta1");
    let text = texts(&planned)["/etc/pmta/config"].clone();
    assert_eq!((certificate_of(&text), lint(&text).as_str()), (None, ""));
    assert!(!text.contains("allow-starttls"));
    assert!(
        planned
            .config
            .resources
            .iter()
            .all(|one| !one.id.as_str().contains("submission-"))
    );
    let record = texts(&fleet.plan("mailwizz1"))
        ["/etc/email-engine/mailwizz/delivery-servers/vmta-mail1.json"]
        .clone();
    assert!(record.contains("\"protocol\": \"\","), "{record}");
    // Its other name is the mail name's: that one may be late.
    let row = fleet.state.submission_certificates.get_mut(&host).unwrap();
    row.names.address = [198, 51, 100, 20].into();
    row.names.host_name = None;
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    assert!(certificate_of(&text).is_some());
    // One that it has and should not have any more is not vouched for: the whole is refused then.
    let row = fleet.state.submission_certificates.get_mut(&host).unwrap();
    row.names.host_name = Some(DomainName::new("old.example.com").unwrap());
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    assert_eq!(certificate_of(&text), None);
}

#[test]
fn rules_of_4_5_render_only_what_4_5_knows() {
    let mut fleet = Fleet::sos_holidays();
    label(&mut fleet, "powermta-version", "4.5");
    fleet.edit("192.0.2.1", |ip| ip.status = IpStatus::Quarantine);
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    let sources = Sources::single("config", &text);
    let options = Options {
        version: Version::V4_5,
        ..Options::default()
    };
    assert_eq!(powermta::lint(&sources, &options).to_string(), "");
    assert!(text.contains("max-smtp-msg-rate 1/h\n"));
    label(&mut fleet, "powermta-version", "3.5");
    let error = plan(&fleet.state, &HostId::new("pmta1").unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("4.5, or 5.0 or a later one"),
        "{error}"
    );
}

#[test]
fn an_operators_own_lines_come_last_between_marks_and_are_flagged() {
    let fleet = |extra: &str| Fleet::sos_holidays().with_file("powermta/extra.conf", extra);
    let planned = fleet("new-directive yes\n").plan("pmta1");
    let text = texts(&planned)["/etc/pmta/config"].clone();
    let marked =
        "# email-engine: verbatim begin\nnew-directive yes\n# email-engine: verbatim end\n";
    assert!(text.ends_with(marked), "{text}");
    assert!(lint(&text).contains("notice PM022") && lint(&text).lines().count() == 1);
    assert_eq!(
        planned.flags,
        ["1 lines of /etc/pmta/config are verbatim: neither known nor checked"]
    );
    assert_eq!(Fleet::sos_holidays().plan("pmta1").flags, [""; 0]);
    let error = fleet("log-rotate 9\n<domain *>\n").refusal();
    assert!(
        error
            .to_string()
            .starts_with("role bundle: powermta/extra.conf line 2: "),
        "{error}"
    );
}

/// They are written down in tickets and in scripts.
#[test]
fn every_code_of_the_linter_means_what_it_meant() {
    let line = |rule: &Rule| format!("{} {}\n", rule.code, rule.title);
    let codes: String = rules().values().map(line).collect();
    golden("lint.codes", &codes);
}
