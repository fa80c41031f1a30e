//! Laws over generated fleets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_coordinator::command::{AddIdentity, ChangeTenant, Command, RetireIdentity};
use email_engine_coordinator::planner::preview::carried_out;
use email_engine_coordinator::planner::{PlanError, plan};
use email_engine_coordinator::powermta::lint;
use email_engine_coordinator::powermta::lint::Options;
use email_engine_coordinator::powermta::schema::Version;
use email_engine_coordinator::powermta::syntax::Sources;
use email_engine_protocol::api::{IpStatus, Phase, Purpose};
use email_engine_protocol::id::Role;
use email_engine_protocol::mail::{DomainName, LocalPart, MailAddress};
use proptest::prelude::*;

use crate::fixture::{Fleet, argument, sections, texts};
use crate::own_lines::base;

/// Fleets of up to four tenants on one PowerMTA host of either version, with all states of life.
fn fleets() -> impl Strategy<Value = Fleet> {
    let life = (0..4usize, 0..6usize, 0..7usize, 0..5usize);
    let identities = prop::collection::btree_map(2..250u8, life, 1..20);
    let version = prop::sample::select(vec!["4.5", "5.0"]);
    (identities, version).prop_map(|(identities, version)| {
        let mut text = String::from("[settings]\npostmaster = \"postmaster@example.org\"\n");
        for n in 0..4 {
            text.push_str(&format!(
                "[[tenants]]\nid = \"t{n}\"\nname = \"T\"\ninbound_mailbox = \"in@t{n}.example\"\n\
                 [[hosts]]\nid = \"mw{n}\"\nrole = \"mailwizz\"\ntenant = \"t{n}\"\n\
                 addresses = [\"198.51.100.{n}\", \"2001:db8::{n}\"]\n",
            ));
        }
        text.push_str(&format!(
            "[[hosts]]\nid = \"pmta1\"\nrole = \"powermta\"\naddresses = [\"198.51.100.20\"]\n\
             labels = {{ host-name = \"pmta1.example.org\", powermta-version = \"{version}\" }}\n\
             [[hosts]]\nid = \"api1\"\nrole = \"api\"\naddresses = [\"198.51.100.30\"]\n",
        ));
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

/// What the linter says by the rules of the version that the host has.
fn lint_of(fleet: &Fleet, text: &str) -> String {
    let labels = &fleet.state.hosts[&"pmta1".parse().unwrap()].spec.labels;
    let version = match labels["powermta-version"].as_str() {
        "4.5" => Version::V4_5,
        _ => Version::V5_0,
    };
    let options = Options {
        version,
        ..Options::default()
    };
    lint(&Sources::single("config", text), &options).to_string()
}

/// Who may submit: address and list, by the hosts and the tenants with identities here.
fn submitters(fleet: &Fleet) -> BTreeMap<IpAddr, String> {
    let state = &fleet.state;
    let identities = state.identities.values();
    let here: BTreeSet<_> = identities.map(|identity| &identity.spec.tenant).collect();
    let only = here.first().filter(|_| here.len() == 1).copied();
    let mut submitters = BTreeMap::new();
    for host in state.hosts.values() {
        let owner = match host.spec.role {
            Role::Api => host.spec.tenant.as_ref().or(only),
            Role::Mailwizz => host.spec.tenant.as_ref(),
            Role::Powermta | Role::Own(_) => None,
        };
        if let Some(tenant) = owner.filter(|tenant| here.contains(tenant)) {
            let list = format!("senders-{tenant}");
            submitters.extend(host.spec.addresses.iter().map(|it| (*it, list.clone())));
        }
    }
    submitters
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
    fn a_plan_is_valid_repeatable_and_of_known_words(
        fleet in fleets(), rate in prop::option::of(prop::sample::select(vec!["20/h", "83/10m", "500/d"])),
    ) {
        let fleet = match rate {
            Some(rate) => fleet.with_file("powermta/base.toml", &base(rate)),
            None => fleet,
        };
        let pmta1 = "pmta1".parse().unwrap();
        let is_older = fleet.state.hosts[&pmta1].spec.labels["powermta-version"] == "4.5";
        if is_older && rate.is_some_and(|rate| rate != "20/h") {
            let refused = plan(&fleet.state, &pmta1).unwrap_err();
            prop_assert!(matches!(refused, PlanError::OtherVersion { .. }), "{}", refused);
            return Ok(());
        }
        for host in fleet.state.hosts.keys() {
            let planned = plan(&fleet.state, host).unwrap();
            prop_assert_eq!(&plan(&fleet.state.clone(), host).unwrap(), &planned);
            prop_assert_eq!(planned.config.check(), Ok(()));
            prop_assert_eq!(planned.config.bodies(), planned.bodies.keys().copied().collect());
        }
        let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        prop_assert_eq!(lint_of(&fleet, &text), "");
    }

    #[test]
    fn no_source_and_no_list_knows_two_tenants(fleet in fleets()) {
        let text = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        let owner_of: BTreeMap<String, String> = fleet.state.identities.values()
            .map(|identity| (identity.spec.vmta.to_string(), identity.spec.tenant.to_string()))
            .collect();
        let mut seen = BTreeSet::new();
        let mut sources = BTreeMap::new();
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
                let address: IpAddr = address.parse().unwrap();
                prop_assert_eq!(sources.insert(address, lists[0].to_owned()), None);
            } else if argument(head, "source").is_some() {
                prop_assert!(lines.contains(&"always-allow-relaying no"));
            }
        }
        // No host too few, and no address that is no host's.
        prop_assert_eq!(sources, submitters(&fleet));
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
        let tenants: BTreeSet<_> = fleet.state.identities.values().map(|i| &i.spec.tenant).collect();
        for identity in fleet.state.identities.values() {
            let spec = &identity.spec;
            prop_assert!(names.contains(spec.vmta.as_str()));
            let leads_here = format!(" virtual-mta={}", spec.vmta);
            let by = |subject: &str| text.lines()
                .filter(|line| line.trim_start().starts_with(subject) && line.ends_with(&leads_here))
                .count();
            let may = matches!(spec.status, IpStatus::Active | IpStatus::Warming);
            prop_assert_eq!(by("mail-from "), usize::from(may));
            prop_assert_eq!(by("header X-Virtual-MTA "), usize::from(may && tenants.len() == 1));
            let source = format!("smtp-source-host {} {}\n", spec.address, spec.hostname);
            prop_assert_eq!(text.matches(&source).count(), 1);
        }
        prop_assert_eq!(planned.config.secrets().len(), fleet.state.identities.len());
    }

    #[test]
    fn changing_one_identity_changes_its_own_files_and_lines_alone(
        fleet in fleets(), pick in any::<prop::sample::Index>(), status in 0..6usize, week in 0..2usize,
        names_too in any::<bool>(),
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
            ip.purpose = Purpose::Autoresponder;
            ip.display_name = "Another \"name\"".to_owned();
            if names_too {
                ip.hostname = DomainName::new("another-host.example").unwrap();
                ip.domain = DomainName::new("another-domain.example").unwrap();
                ip.sender = LocalPart::new("another-sender").unwrap();
                ip.return_path = LocalPart::new("another-path").unwrap();
            }
        });
        let own = ["another-host.example", "another-domain.example"].map(str::to_owned);
        let names = [spec.vmta.to_string(), spec.domain.to_string(), address.to_string(), format!("{address}:25")];
        let names = [&names[..], &own].concat();
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
    fn adding_an_identity_adds_its_lines_and_changes_no_other(
        mut after in fleets(), pick in any::<prop::sample::Index>(), has_postmaster in any::<bool>(),
        has_name in any::<bool>(),
    ) {
        for revision in after.state.settings.values_mut() {
            revision.settings.postmaster.take_if(|_| !has_postmaster);
        }
        if !has_name {
            after.state.hosts.change_each(|_, host| host.spec.labels.clear());
        }
        let addresses: Vec<_> = after.state.identities.keys().copied().collect();
        let address = addresses[pick.index(addresses.len())];
        let mut before = after.clone();
        let added = before.state.identities.remove(&address).unwrap().spec.clone();
        let mut of_tenant = before.state.identities.values().filter(|i| i.spec.tenant == added.tenant);
        // With its first identity a tenant comes to the host, which is another change.
        prop_assume!(of_tenant.any(|i| i.spec.status != IpStatus::Standby));
        let config = |fleet: &Fleet| texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        let (before, after) = (config(&before), config(&after));
        prop_assert!(after.contains("\npostmaster postmaster@"));
        let names = [added.vmta.to_string(), added.domain.to_string(), address.to_string(), format!("{address}:25")];
        prop_assert_eq!(&without(&after, &names), &without(&before, &[]));
        let mut lines = after.lines();
        for line in before.lines().filter(|line| !line.contains("sha256")) {
            prop_assert!(lines.any(|kept| kept == line), "{} is gone or elsewhere", line);
        }
    }

    /// Else an identity would take away, or lead elsewhere, what all others of its tenant are written.
    #[test]
    fn no_mailbox_and_no_identity_meet_whichever_comes_first(
        fleet in fleets(), pick in any::<prop::sample::Index>(), of in 0..4usize,
    ) {
        let mut state = fleet.state;
        state.reindex();
        let addresses: Vec<_> = state.identities.keys().copied().collect();
        let address = addresses[pick.index(addresses.len())];
        let ip = state.identities[&address].spec.clone();
        let mut tenant = state.tenants[&format!("t{of}").parse().unwrap()].clone();
        tenant.inbound_mailbox = Some(MailAddress::new(&format!("in@{}", ip.domain)).unwrap());
        let change = Command::ChangeTenant(ChangeTenant { tenant });
        let refused = carried_out(&state, std::slice::from_ref(&change), 0).unwrap_err();
        prop_assert_eq!(refused.field, "commands[0].inbound_mailbox");

        let retire = Command::RetireIdentity(RetireIdentity { address });
        let add = Command::AddIdentity(AddIdentity::of(ip));
        let refused = carried_out(&state, &[retire.clone(), change, add.clone()], 1).unwrap_err();
        prop_assert_eq!(refused.field, "commands[2].domain");
        prop_assert!(carried_out(&state, &[retire, add], 1).is_ok());
    }
}
