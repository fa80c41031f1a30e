//! What holds for every plan: golden texts of the shipped example, and laws over generated fleets.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{IpStatus, Phase};
use email_engine_protocol::desired::{Disposition, FileContent, Resource, Spec};
use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use super::fixture::{Fleet, parse, tenant, texts};
use super::{PlanError, Planned, builtin_bundle, bundle_hash, plan};
use crate::powermta::{self, schema};
use crate::state::{HostLifecycle, RoleBundle};

/// Compares with a golden file; `GOLDEN=write` writes it instead.
fn golden(name: &str, text: &str) {
    let path = format!("{}/src/planner/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, wanted,
        "differs from golden/{name}; GOLDEN=write accepts it"
    );
}

fn listing(planned: &Planned) -> String {
    let ids = |ids: &[email_engine_protocol::id::ResourceId]| {
        ids.iter().map(|id| format!(" {id}")).collect::<String>()
    };
    let line = |resource: &Resource| {
        let what = match &resource.spec {
            Spec::File(file) => {
                let content = match &file.content {
                    FileContent::Body { .. } => "text".to_owned(),
                    FileContent::Secret(secret) => format!("secret {}", secret.id),
                };
                let (owner, group) = (file.owner.as_deref(), file.group.as_deref());
                format!(
                    " {:04o} {}:{} {content}",
                    file.mode,
                    owner.unwrap(),
                    group.unwrap()
                )
            }
            Spec::Directory(dir) => {
                let (owner, group) = (dir.owner.as_deref(), dir.group.as_deref());
                format!(" {:04o} {}:{}", dir.mode, owner.unwrap(), group.unwrap())
            }
            Spec::Step(step) => format!(" {} {:?}", step.command.program, step.command.arguments),
            Spec::Package(_) | Spec::Service(_) => String::new(),
        };
        let removal = format!("{:?}", resource.on_remove).to_lowercase();
        let mut lines = format!("{}{what} on_remove={removal}\n", resource.id);
        if !resource.after.is_empty() {
            lines.push_str(&format!("    after{}\n", ids(&resource.after)));
        }
        if !resource.notify.is_empty() {
            lines.push_str(&format!("    notify{}\n", ids(&resource.notify)));
        }
        lines
    };
    planned.config.resources.iter().map(line).collect()
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
            "/etc/email-engine/api/sos-holidays.env",
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
fn two_tenants_on_one_host_render_apart() {
    let fleet = Fleet::two_tenants();
    let planned = fleet.plan("pmta1");
    let text = &texts(&planned)["/etc/pmta/config"];
    schema::lint(text).unwrap();
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
        let hash = email_engine_protocol::bytes::ContentHash::of(parts.next().unwrap().as_bytes());
        assert!(head.ends_with(&hash.to_string()), "{head}");
    }
}

#[test]
fn a_retiring_host_gets_nothing_but_its_wipe() {
    let mut fleet = Fleet::sos_holidays();
    let host = HostId::new("pmta1").unwrap();
    let record = fleet.state.hosts.get_mut(&host).unwrap();
    record.lifecycle = HostLifecycle::Retiring {
        deadline: Timestamp(5),
    };
    let planned = fleet.plan("pmta1");
    assert_eq!(planned.config.disposition, Disposition::Retired);
    assert!(planned.config.resources.is_empty() && planned.bodies.is_empty());
    // Its submission rights end with it.
    let mut fleet = Fleet::sos_holidays();
    let mailwizz = HostId::new("mailwizz1").unwrap();
    fleet.state.hosts.get_mut(&mailwizz).unwrap().lifecycle = HostLifecycle::Retired;
    assert!(!texts(&fleet.plan("pmta1"))["/etc/pmta/config"].contains("198.51.100.10"));
}

#[test]
fn a_host_keeps_what_its_release_pins() {
    let mut fleet = Fleet::sos_holidays();
    let before = fleet.plan("pmta1");
    let mut files = builtin_bundle();
    let role = files.get_mut("powermta/role.toml").unwrap();
    *role = role.replace("timeout_seconds = 60", "timeout_seconds = 90");
    let bundle = bundle_hash(&files);
    let put_at = Timestamp(1);
    let put = RoleBundle { files, put_at };
    fleet.state.bundles.insert(bundle, put.into());
    let mut revision = fleet.state.settings.values().next_back().unwrap().clone();
    revision.settings.management_port = 1984;
    fleet.state.settings.insert(9, revision);
    assert_eq!(
        fleet.plan("pmta1"),
        before,
        "a new bundle alone moves nobody"
    );
    let host = HostId::new("pmta1").unwrap();
    let release = &mut fleet.state.hosts.get_mut(&host).unwrap().release;
    (release.bundle, release.settings) = (bundle, 9);
    let after = fleet.plan("pmta1");
    assert!(texts(&after)["/etc/pmta/config"].contains("http-mgmt-port 1984"));
    let release = &mut fleet.state.hosts.get_mut(&host).unwrap().release;
    release.planner_version = 2;
    let error = plan(&fleet.state, &host).unwrap_err();
    assert!(
        matches!(error, PlanError::PlannerVersion { pinned: 2, .. }),
        "{error}"
    );
}

fn with_file(path: &str, text: &str) -> Fleet {
    let mut fleet = Fleet::sos_holidays();
    let mut files = builtin_bundle();
    files.insert(path.to_owned(), text.to_owned());
    let bundle = bundle_hash(&files);
    let put_at = Timestamp(1);
    fleet
        .state
        .bundles
        .insert(bundle, RoleBundle { files, put_at }.into());
    for host in fleet.state.hosts.values_mut() {
        host.release.bundle = bundle;
    }
    fleet
}

#[test]
fn a_broken_bundle_is_named_with_file_and_line() {
    let role = "[[file]]\npath = \"/a\"\nmode = \"0644\"\non_remove = \"delete\"\n";
    for (path, text, wanted) in [
        (
            "api/env.j2",
            "A=1\n{{ nobody }}\n",
            "role bundle: api/env.j2 line 2: undefined value",
        ),
        (
            "api/env.j2",
            "A=1\n\n{% for %}\n",
            "role bundle: api/env.j2 line 3: syntax error",
        ),
        (
            "api/role.toml",
            "[values]\n\nx = 1\n",
            "role bundle: api/role.toml line 3: ",
        ),
        (
            "api/role.toml",
            "[[file]]\nnonsense = 1\n",
            "role bundle: api/role.toml line 2: unknown",
        ),
        (
            "api/role.toml",
            role,
            "role bundle: api/role.toml: file \"/a\" has exactly one of",
        ),
        (
            "api/role.toml",
            &format!("{role}template = \"gone.j2\"\n"),
            "role bundle: api/role.toml: the bundle has no file \"gone.j2\"",
        ),
        (
            "api/role.toml",
            &format!("{role}secret = \"dkim-key\"\n"),
            "role bundle: api/role.toml: dkim-key is a secret of each identity",
        ),
        (
            "api/role.toml",
            &format!("{role}template = \"api/env.j2\"\nnotify = [\"step:gone\"]\n").replace(
                "path = \"/a\"",
                "each = \"tenant\"\npath = \"/{{ item.id }}\"",
            ),
            "role bundle: api/role.toml: no resource has the id \"step:gone\"",
        ),
    ] {
        let fleet = with_file(path, text);
        let error = plan(&fleet.state, &HostId::new("api1").unwrap()).unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
}

#[test]
fn what_cannot_be_written_down_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Fleet)| {
        let mut fleet = Fleet::sos_holidays();
        change(&mut fleet);
        plan(&fleet.state, &HostId::new("pmta1").unwrap())
            .unwrap_err()
            .to_string()
    };
    let vmta = |name: &str| VmtaName::new(name).unwrap();
    let reserved = refused(&|fleet| fleet.edit("192.0.2.1", |ip| ip.vmta = vmta("reject-x")));
    assert!(
        reserved.contains("reject-x") && reserved.contains("192.0.2.1"),
        "{reserved}"
    );
    let twice = refused(&|fleet| fleet.edit("192.0.2.1", |ip| ip.vmta = vmta("vmta-mail2")));
    assert!(twice.contains("192.0.2.1 and 192.0.2.2"), "{twice}");
    let selector = refused(&|fleet| {
        fleet.edit("192.0.2.1", |ip| {
            ip.selector = "a,b.example.com,/x".to_owned()
        });
    });
    assert!(selector.contains("selector"), "{selector}");
    let size = refused(&|fleet| {
        let revision = fleet.state.settings.values_mut().next_back().unwrap();
        revision.settings.accounting_max_size = "50M\ninclude /x".to_owned();
    });
    assert!(size.contains("accounting_max_size"), "{size}");
    let key = refused(&|fleet| fleet.state.secrets.clear());
    assert!(key.contains("has no DKIM key"), "{key}");
    let shared = refused(&|fleet| {
        let mut other = fleet.state.hosts[&HostId::new("mailwizz1").unwrap()].clone();
        other.spec.id = HostId::new("other").unwrap();
        other.spec.tenant = Some(tenant("other"));
        fleet.state.hosts.insert(other.spec.id.clone(), other);
    });
    assert!(
        shared.contains("tenants sos-holidays and other"),
        "{shared}"
    );
}

/// Sections of the top level: head, and lines inside.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('<') {
            let inside = lines.by_ref().take_while(|line| !line.starts_with("</"));
            found.push((line, inside.map(str::trim).collect()));
        }
    }
    found
}

fn argument<'a>(head: &'a str, section: &str) -> Option<&'a str> {
    head.strip_prefix('<')?
        .strip_suffix('>')?
        .strip_prefix(section)?
        .strip_prefix(' ')
}

/// Fleets of up to four tenants on one PowerMTA host, with all states of life.
fn fleets() -> impl Strategy<Value = Fleet> {
    let life = (0..4usize, 0..6usize, 0..7usize, 0..5usize);
    prop::collection::btree_map(2..250u8, life, 1..20).prop_map(|identities| {
        let mut text = String::from("[settings]\npostmaster = \"postmaster@example.org\"\n");
        for n in 0..4 {
            text.push_str(&format!(
                "[[tenants]]\nid = \"t{n}\"\nname = \"T\"\ninbound_mailbox = \"in@t{n}.example\"\n\
                 [[hosts]]\nid = \"mw{n}\"\nrole = \"mailwizz\"\ntenant = \"t{n}\"\n\
                 addresses = [\"198.51.100.{n}\"]\n",
            ));
        }
        text.push_str(
            "[[hosts]]\nid = \"pmta1\"\nrole = \"powermta\"\naddresses = [\"198.51.100.20\"]\n\
             labels = { host-name = \"pmta1.example.org\" }\n\
             [[hosts]]\nid = \"api1\"\nrole = \"api\"\naddresses = [\"198.51.100.30\"]\n",
        );
        let purposes = [
            "marketing",
            "newsletter",
            "transactional",
            "notification",
            "autoresponder",
        ];
        for (last, (owner, status, phase, purpose)) in identities {
            let status = [
                "active",
                "warming",
                "standby",
                "quarantine",
                "resting",
                "retiring",
            ][status];
            let phase = match (status, phase) {
                ("warming", 6) | (_, 0) => "week_1".to_owned(),
                (_, 6) => "active".to_owned(),
                (_, n) => format!("week_{n}"),
            };
            text.push_str(&format!(
                "[[ips]]\naddress = \"192.0.2.{last}\"\ndomain = \"m{last}.t{owner}.example\"\n\
                 tenant = \"t{owner}\"\nstatus = \"{status}\"\nphase = \"{phase}\"\n\
                 purpose = \"{}\"\n",
                purposes[purpose]
            ));
        }
        Fleet::of(&text)
    })
}

/// A text without the lines and sections that name one of `names`, and without its hash.
fn without(text: &str, names: &[String]) -> String {
    let mut out = String::new();
    let mut skip: Option<(usize, String)> = None;
    for line in text.lines().filter(|line| !line.contains("sha256")) {
        let depth = line.len() - line.trim_start().len();
        if let Some((at, close)) = &skip {
            if depth == *at && line.trim_start() == close {
                skip = None;
            }
            continue;
        }
        let words = line
            .split(|c: char| " />@,$=\"".contains(c))
            .map(|word| word.replace('\\', ""));
        if words.into_iter().any(|word| names.contains(&word)) {
            let section = line.trim_start().strip_prefix('<');
            let name = section.and_then(|rest| rest.split([' ', '>']).next());
            skip = name.map(|name| (depth, format!("</{name}>")));
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_is_valid_repeatable_and_of_known_words(fleet in fleets()) {
        for host in fleet.state.hosts.keys() {
            let planned = plan(&fleet.state, host).unwrap();
            prop_assert_eq!(&plan(&fleet.state.clone(), host).unwrap(), &planned);
            prop_assert_eq!(planned.config.check(), Ok(()));
            prop_assert_eq!(planned.config.bodies(), planned.bodies.keys().copied().collect());
        }
        let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        prop_assert_eq!(schema::lint(&text), Ok(()));
    }

    #[test]
    fn no_source_and_no_list_knows_two_tenants(fleet in fleets()) {
        let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        let owner_of: BTreeMap<String, String> = fleet.state.identities.values()
            .map(|identity| (identity.spec.vmta.to_string(), identity.spec.tenant.to_string()))
            .collect();
        let mut seen = BTreeSet::new();
        for (head, lines) in sections(&text) {
            if let Some(list) = argument(head, "pattern-list") {
                let owner = list.strip_prefix("senders-").unwrap();
                let (last, own) = lines.split_last().unwrap();
                prop_assert_eq!(*last, format!("mail-from /.*/ virtual-mta=reject-{owner}"));
                for line in own {
                    let vmta = line.rsplit_once("virtual-mta=").unwrap().1;
                    prop_assert_eq!(owner_of[vmta].as_str(), owner);
                }
                prop_assert!(seen.insert(list.to_owned()), "list {} is there twice", list);
            }
            if let Some(address) = argument(head, "source").filter(|address| *address != "0/0") {
                let lists: Vec<_> = lines.iter().filter_map(|l| l.strip_prefix("pattern-list ")).collect();
                prop_assert_eq!(lists.len(), 1);
                prop_assert!(seen.contains(lists[0]), "a list comes before its source");
                let owner = fleet.state.hosts.values()
                    .filter(|host| host.spec.addresses.contains(&address.parse().unwrap()))
                    .filter_map(|host| host.spec.tenant.as_ref())
                    .map(|tenant| format!("senders-{tenant}"))
                    .next();
                if let Some(owner) = owner {
                    prop_assert_eq!(lists[0], owner);
                }
            } else if argument(head, "source").is_some() {
                prop_assert!(lines.contains(&"always-allow-relaying no"));
            }
        }
    }

    #[test]
    fn every_identity_is_there_once_and_takes_mail_only_if_it_may(fleet in fleets()) {
        let planned = fleet.plan("pmta1");
        let text = texts(&planned)["/etc/pmta/config"].clone();
        let mut names = BTreeSet::new();
        for (head, _) in sections(&text) {
            if let Some(name) = argument(head, "virtual-mta") {
                prop_assert!(names.insert(name.to_ascii_lowercase()), "{} is there twice", name);
            }
        }
        for identity in fleet.state.identities.values() {
            let spec = &identity.spec;
            prop_assert!(names.contains(spec.vmta.as_str()));
            let routed = text.matches(&format!(" virtual-mta={}\n", spec.vmta)).count();
            let may = matches!(spec.status, IpStatus::Active | IpStatus::Warming);
            prop_assert_eq!(routed, usize::from(may));
            let source = format!("smtp-source-host {} {}\n", spec.address, spec.hostname);
            prop_assert_eq!(text.matches(&source).count(), 1);
        }
        prop_assert_eq!(planned.config.secrets().len(), fleet.state.identities.len());
    }

    #[test]
    fn changing_one_identity_changes_its_own_files_and_lines_alone(
        fleet in fleets(), pick in any::<prop::sample::Index>(), status in 0..6usize, week in 0..2usize,
    ) {
        let others = |fleet: &Fleet, address| fleet.state.identities.values()
            .any(|i| i.spec.address != address && i.spec.status != IpStatus::Standby);
        let addresses: Vec<_> = fleet.state.identities.keys().copied().collect();
        let address = addresses[pick.index(addresses.len())];
        prop_assume!(others(&fleet, address));
        let spec = fleet.state.identities[&address].spec.clone();
        let mut changed = fleet.clone();
        changed.edit(&address.to_string(), |ip| {
            ip.status = [
                IpStatus::Active, IpStatus::Warming, IpStatus::Standby,
                IpStatus::Quarantine, IpStatus::Resting, IpStatus::Retiring,
            ][status];
            ip.phase = [Phase::Week2, Phase::Week5][week];
            ip.selector = "mail-202611211".to_owned();
        });
        let names = [spec.vmta.to_string(), spec.domain.to_string(), address.to_string(), format!("{address}:25")];
        for host in fleet.state.hosts.keys() {
            let (before, after) = (fleet.plan(host.as_str()), changed.plan(host.as_str()));
            let (before, after) = (texts(&before), texts(&after));
            prop_assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
            for (path, text) in &before {
                let own = path.contains(&format!("/{}.json", spec.vmta));
                if !own {
                    prop_assert_eq!(without(text, &names), without(&after[path], &names), "{}", path);
                }
            }
        }
    }

    #[test]
    fn key_files_of_two_identities_never_meet(a in "[a-z][a-z0-9-]{0,20}[a-z0-9]", b in "[a-z][a-z0-9-]{0,20}[a-z0-9]") {
        let file = |name: &str| super::routes::key_file(&VmtaName::new(name).unwrap());
        let names = [a.clone(), b.clone(), format!("vmta-{a}"), format!("vmta-{b}"), format!("vmta-vmta-{a}")];
        let names: BTreeSet<_> = names.into_iter().collect();
        let files: BTreeSet<_> = names.iter().map(|name| file(name)).collect();
        prop_assert_eq!(files.len(), names.len());
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
    let mut fleet = Fleet::sos_holidays();
    let host = HostId::new("pmta1").unwrap();
    fleet
        .state
        .hosts
        .get_mut(&host)
        .unwrap()
        .spec
        .labels
        .clear();
    let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
    schema::lint(&text).unwrap();
    for absent in [":25\n", "relay-domain", "fleet-inbound", "bounce-processor"] {
        assert!(!text.contains(absent), "{absent}");
    }
}

#[test]
fn a_fleet_without_identities_is_planned_too() {
    let document = parse(super::fixture::SOS_HOLIDAYS);
    let mut fleet = Fleet::empty();
    let bare = email_engine_protocol::api::FleetDocument {
        ips: Vec::new(),
        ..document
    };
    fleet.apply(&bare, false);
    for host in ["pmta1", "mailwizz1", "api1"] {
        assert_eq!(fleet.plan(host).config.check(), Ok(()));
    }
    schema::lint(&texts(&fleet.plan("pmta1"))["/etc/pmta/config"]).unwrap();
}
