//! A fleet file against the state.

use std::collections::BTreeSet;

use email_engine_protocol::api::{ChangeAction, FleetDocument, IpStatus, Phase, Purpose};
use email_engine_protocol::id::HostId;

use crate::fixture::{Fleet, SOS_HOLIDAYS, TWO_TENANTS, parse, tenant, texts};
use email_engine_coordinator::command::{Command, Rejection, RejectionCode};
use email_engine_coordinator::planner::document::{Scope, changes};
use email_engine_coordinator::state::HostLifecycle;

fn refused(text: &str) -> Rejection {
    changes(&Fleet::empty().state, &parse(text), false, Scope::Admin).unwrap_err()
}

/// The example with one text replaced, which must be there.
fn with(from: &str, to: &str) -> String {
    assert!(SOS_HOLIDAYS.contains(from), "{from}");
    SOS_HOLIDAYS.replacen(from, to, 1)
}

fn kinds(commands: &[Command]) -> Vec<String> {
    let name = |command: &Command| {
        let text = format!("{command:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    };
    commands.iter().map(name).collect()
}

#[test]
fn the_example_is_created_once_and_is_then_as_it_is() {
    let mut fleet = Fleet::empty();
    let document = parse(SOS_HOLIDAYS);
    let plan = fleet.apply(&document, false);
    assert_eq!(
        kinds(&plan.commands),
        [
            "PutSettings",
            "CreateTenant",
            "AddHost",
            "AddHost",
            "AddHost",
            "AddIdentity",
            "AddIdentity",
            "AddIdentity",
            "AddIdentity",
            "AddIdentity"
        ]
    );
    assert_eq!(plan.new_identities, 5);
    assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
    assert!(plan.warnings[0].starts_with("5 sending domains are below the brand domain"));
    for prune in [false, true] {
        let again = fleet.apply(&document, prune);
        assert_eq!((again.commands.len(), again.changes.len()), (0, 0));
    }
    let mut fleet = Fleet::empty();
    let document = parse(TWO_TENANTS);
    assert_eq!(fleet.apply(&document, false).new_identities, 100);
    assert!(fleet.apply(&document, true).commands.is_empty());
}

#[test]
fn a_change_says_field_old_and_new() {
    let mut fleet = Fleet::sos_holidays();
    let text = with(
        "display_name = \"SOS Holidays Contact\"",
        "display_name = \"Contact us\"",
    );
    let plan = fleet.apply(&parse(&text), false);
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].action, ChangeAction::Update);
    assert_eq!(plan.changes[0].name, "192.0.2.1");
    assert_eq!(
        plan.changes[0].details,
        ["display_name: SOS Holidays Contact -> Contact us"]
    );
    assert_eq!(plan.new_identities, 0, "its key stays");
}

#[test]
fn what_the_file_leaves_open_about_an_identity_stays_as_it_is() {
    let mut fleet = Fleet::sos_holidays();
    fleet.edit("192.0.2.1", |ip| {
        (ip.status, ip.phase) = (IpStatus::Quarantine, Phase::Week4);
        ip.selector = "mail-202611211".to_owned();
    });
    let mut document = parse(SOS_HOLIDAYS);
    document.settings = None;
    document.ips.truncate(1);
    (document.ips[0].status, document.ips[0].phase) = (None, None);
    document.ips[0].vmta = None;
    assert!(fleet.apply(&document, false).commands.is_empty());
    // The domain moves, and what followed it follows; the key is another one.
    document.ips[0].domain = "post.sos-holidays.com".parse().unwrap();
    let plan = fleet.apply(&document, false);
    assert_eq!(
        plan.changes[0].details,
        [
            "domain: mail1.sos-holidays.com -> post.sos-holidays.com",
            "hostname: mail1.sos-holidays.com -> post.sos-holidays.com",
        ]
    );
    assert_eq!(plan.new_identities, 1);
}

#[test]
fn nothing_omitted_is_removed_without_prune_and_each_removal_is_listed_with_it() {
    let mut fleet = Fleet::sos_holidays();
    let empty = FleetDocument::default();
    assert!(fleet.apply(&empty, false).commands.is_empty());
    let plan = fleet.apply(&empty, true);
    let removed: Vec<_> = plan
        .changes
        .iter()
        .map(|c| format!("{} {}", c.kind, c.name))
        .collect();
    assert_eq!(
        removed,
        [
            "ip 192.0.2.1",
            "ip 192.0.2.2",
            "ip 192.0.2.3",
            "ip 192.0.2.4",
            "ip 192.0.2.5",
            "host api1",
            "host mailwizz1",
            "host pmta1",
            "tenant sos-holidays"
        ]
    );
    assert!(
        plan.changes
            .iter()
            .all(|change| change.action == ChangeAction::Remove)
    );
    let grace = plan.commands.iter().find_map(|command| match command {
        Command::RetireHost(retire) => Some(retire.grace_millis),
        _ => None,
    });
    assert_eq!(grace, Some(600_000));
    assert!(fleet.state.identities.is_empty() && fleet.state.tenants.is_empty());
}

#[test]
fn a_tenant_waits_for_its_hosts_to_be_wiped() {
    let mut fleet = Fleet::sos_holidays();
    let host = HostId::new("pmta1").unwrap();
    fleet.state.hosts.get_mut(&host).unwrap().lifecycle = HostLifecycle::Enrolled;
    let plan = fleet.apply(&FleetDocument::default(), true);
    assert!(!kinds(&plan.commands).contains(&"RemoveTenant".to_owned()));
    assert!(
        plan.warnings[0].contains("host pmta1 has to wipe"),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn pruning_keeps_what_the_file_still_needs_and_lets_a_domain_move() {
    let mut fleet = Fleet::sos_holidays();
    let mut document = parse(SOS_HOLIDAYS);
    (document.tenants, document.hosts) = (Vec::new(), Vec::new());
    document.ips[0].address = "192.0.2.77".parse().unwrap();
    let plan = fleet.apply(&document, true);
    assert_eq!(
        kinds(&plan.commands),
        [
            "RetireIdentity",
            "AllowRemoval",
            "AddIdentity",
            "RetireHost",
            "RetireHost"
        ],
        "the host and tenant of the identities stay"
    );
    let without_prune = {
        let fleet = Fleet::sos_holidays();
        changes(&fleet.state, &document, false, Scope::Admin).unwrap_err()
    };
    assert_eq!(without_prune.field, "ips[0].domain");
}

/// Each text is refused with this code and this place.
fn assert_refused<const N: usize>(faults: [(String, RejectionCode, &str); N]) {
    for (text, code, field) in faults {
        let rejection = refused(&text);
        let got = (rejection.code, rejection.field.as_str());
        assert_eq!(got, (code, field), "{rejection}");
        assert!(!rejection.accepted.is_empty());
    }
}

#[test]
fn what_belongs_to_one_identity_is_refused_to_a_second() {
    use RejectionCode as Code;
    let pool = with("purpose = \"newsletter\"", "pool = \"p\"") + &other_tenant();
    let domain = "domain = \"mail5.sos-holidays.com\"";
    assert_refused([
        (
            with("192.0.2.3\"", "192.0.2.1\""),
            Code::Duplicate,
            "ips[2].address",
        ),
        (
            with("192.0.2.3\"", "198.51.100.20\""),
            Code::Duplicate,
            "ips[2].address",
        ),
        (
            with("192.0.2.3\"", "198.51.100.10\""),
            Code::Duplicate,
            "ips[2].address",
        ),
        (
            with("mail5.sos", "mail1.sos"),
            Code::Duplicate,
            "ips[4].domain",
        ),
        (
            with("vmta-mail4", "vmta-mail1"),
            Code::Duplicate,
            "ips[3].vmta",
        ),
        (
            with(domain, "domain = \"sos-holidays.com\""),
            Code::BrandDomain,
            "ips[4].domain",
        ),
        (pool, Code::PoolMismatch, "ips[5].pool"),
    ]);
}

#[test]
fn a_fault_of_an_identity_names_its_place_and_what_would_do() {
    use RejectionCode as Code;
    let hello = "sender = \"hello\"";
    let zone = "zone = \"sos-holidays.com\"";
    let tenant = "\ntenant = \"sos-holidays\"\nsender = \"hello\"";
    assert_refused([
        (
            with(tenant, "\ntenant = \"nobody\""),
            Code::NotFound,
            "ips[2].tenant",
        ),
        (
            with(hello, "host = \"mailwizz1\""),
            Code::WrongRole,
            "ips[2].host",
        ),
        (
            with(hello, "host = \"nobody\""),
            Code::NotFound,
            "ips[2].host",
        ),
        (
            with(hello, "selector = \"a,b\""),
            Code::Invalid,
            "ips[2].selector",
        ),
        (
            with("vmta-mail4", "reject-mail4"),
            Code::Invalid,
            "ips[3].vmta",
        ),
        (
            with("\"week_4\"", "\"active\""),
            Code::Invalid,
            "ips[2].phase",
        ),
        (
            with(zone, "zone = \"example.com\""),
            Code::Invalid,
            "ips[0].zone",
        ),
    ]);
}

#[test]
fn a_fault_of_a_host_or_a_setting_names_its_place_and_what_would_do() {
    use RejectionCode as Code;
    let powermta = "addresses = [\"198.51.100.20\"]";
    let mailwizz = "tenant = \"sos-holidays\"\naddresses = [\"198.51.100.10\"]";
    let name = "\"pmta1.sos-holidays.com\"";
    assert_refused([
        (
            with("\"api1\"", "\"pmta1\""),
            Code::Duplicate,
            "hosts[2].id",
        ),
        (
            with(powermta, "addresses = [\"2001:db8::1\"]"),
            Code::Invalid,
            "hosts[1].addresses",
        ),
        (
            with(mailwizz, "addresses = [\"198.51.100.10\"]"),
            Code::Invalid,
            "hosts[0].tenant",
        ),
        (
            with(name, "\"pmta1\""),
            Code::Invalid,
            "hosts[1].labels.host-name",
        ),
        (
            with("\"50M\"", "\"50 MB\""),
            Code::Invalid,
            "settings.accounting_max_size",
        ),
        (
            with("= 1983", "= 25"),
            Code::Invalid,
            "settings.management_port",
        ),
    ]);
}

/// A second tenant with its own PowerMTA host, whose identity wants the pool of the first.
fn other_tenant() -> String {
    "[[tenants]]\nid = \"other\"\nname = \"Other\"\n\
     [[hosts]]\nid = \"pmta2\"\nrole = \"powermta\"\ntenant = \"other\"\naddresses = [\"198.51.100.40\"]\n\
     [[ips]]\naddress = \"203.0.113.1\"\ndomain = \"mail.example.net\"\ntenant = \"other\"\npool = \"p\"\n"
        .to_owned()
}

#[test]
fn the_default_host_is_the_own_one_or_the_only_shared_one() {
    let shared = with(
        "role = \"powermta\"\ntenant = \"sos-holidays\"",
        "role = \"powermta\"",
    );
    let fleet = Fleet::of(&shared);
    assert!(
        fleet
            .state
            .identities
            .values()
            .all(|ip| ip.spec.host.as_str() == "pmta1")
    );
    let two = format!(
        "{SOS_HOLIDAYS}\n[[hosts]]\nid = \"pmta2\"\nrole = \"powermta\"\ntenant = \"sos-holidays\"\n\
         addresses = [\"198.51.100.21\"]\n"
    );
    let rejection = refused(&two);
    assert_eq!(rejection.field, "ips[0].host");
    assert!(
        rejection.accepted.contains("one of pmta1, pmta2"),
        "{rejection}"
    );
    let none = refused(&with("role = \"powermta\"", "role = \"api\""));
    assert_eq!(
        (none.code, none.field.as_str()),
        (RejectionCode::NotFound, "ips[0].host")
    );
}

#[test]
fn an_address_of_the_fleet_stays_with_its_owner() {
    let fleet = Fleet::two_tenants();
    let text = "[[ips]]\naddress = \"203.0.113.200\"\ndomain = \"m01.client2.example.com\"\ntenant = \"client-1\"\n";
    let rejection = changes(&fleet.state, &parse(text), false, Scope::Admin).unwrap_err();
    assert_eq!(rejection.code, RejectionCode::Duplicate);
    assert!(!rejection.to_string().contains("client-2"), "{rejection}");
}

#[test]
fn a_key_of_one_tenant_touches_nothing_of_another() {
    let fleet = Fleet::two_tenants();
    let own = tenant("client-1");
    let try_it = |text: &str| changes(&fleet.state, &parse(text), true, Scope::Tenant(&own));
    for foreign in [
        "[settings]\n",
        "[[tenants]]\nid = \"client-2\"\nname = \"x\"\n",
        "[[hosts]]\nid = \"pmta1\"\nrole = \"powermta\"\naddresses = [\"192.0.2.20\"]\n",
        "[[hosts]]\nid = \"mailwizz2\"\nrole = \"mailwizz\"\ntenant = \"client-1\"\naddresses = [\"192.0.2.12\"]\n",
        "[[ips]]\naddress = \"203.0.113.200\"\ndomain = \"a.example.com\"\ntenant = \"client-2\"\n",
        "[[ips]]\naddress = \"198.51.100.1\"\ndomain = \"a.example.com\"\ntenant = \"client-1\"\n",
    ] {
        let rejection = try_it(foreign).unwrap_err();
        assert_eq!(rejection.code, RejectionCode::ForeignTenant, "{foreign}");
    }
    let plan = try_it("[[ips]]\naddress = \"203.0.113.1\"\ndomain = \"m01.client1.example.com\"\ntenant = \"client-1\"\n").unwrap();
    let ours = |change: &email_engine_protocol::api::Change| change.name.starts_with("203.0.113.");
    assert_eq!(plan.changes.len(), 49, "its identities, and no host");
    assert!(plan.changes.iter().all(ours), "{:?}", plan.changes);
}

#[test]
fn a_key_of_one_tenant_does_to_hosts_by_document_what_it_may_by_route() {
    let fleet = Fleet::two_tenants();
    let own = tenant("client-1");
    let try_it = |text: &str| changes(&fleet.state, &parse(text), true, Scope::Tenant(&own));
    let host = |id: &str, address: &str| {
        format!(
            "[[hosts]]\nid = \"{id}\"\nrole = \"mailwizz\"\ntenant = \"client-1\"\n\
             addresses = [\"{address}\"]\n"
        )
    };
    let id = HostId::new("mailwizz1").unwrap();
    let at = fleet.state.hosts[&id].spec.addresses[0].to_string();
    for denied in [host("new", "192.0.2.99"), host("mailwizz1", "192.0.2.99")] {
        let rejection = try_it(&denied).unwrap_err();
        let told = (rejection.code, rejection.field.as_str());
        assert_eq!(told, (RejectionCode::Forbidden, "hosts[0].id"), "{denied}");
    }
    // Its host as it is may stand in the file, and the guard of a shared host stays up.
    let plan = try_it(&host("mailwizz1", &at)).unwrap();
    let allowed: Vec<_> = plan
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::AllowRemoval(allow) => Some(allow.hosts.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(allowed, [BTreeSet::from([id])]);
    assert!(!kinds(&plan.commands).contains(&"RetireHost".to_owned()));
    let shared = |text: &String| text.contains("several tenants share");
    assert!(plan.warnings.iter().any(shared), "{:?}", plan.warnings);
}

/// The example with all identities sending, and what pruning it to `kept` of them would do.
fn pruned_to(kept: std::ops::Range<usize>) -> (Fleet, FleetDocument) {
    let mut document = parse(SOS_HOLIDAYS);
    let fleet = Fleet::of(SOS_HOLIDAYS);
    document.ips = document.ips[kept].to_vec();
    (fleet, document)
}

#[test]
fn the_last_identity_of_a_purpose_rests_until_it_is_removed_by_name() {
    let (mut fleet, document) = pruned_to(0..4);
    let last = "192.0.2.5".parse().unwrap();
    let plan = fleet.apply(&document, true);
    assert_eq!(kinds(&plan.commands), ["SteerIdentity"]);
    assert_eq!(plan.changes[0].details, ["status: warming -> resting"]);
    let kept = "ip 192.0.2.5 is kept although the file omits it, and takes no mail: it is the last of \
                tenant sos-holidays for purpose notification; `email-engine ips remove 192.0.2.5 \
                --last` removes it";
    assert!(
        plan.warnings.iter().any(|told| told == kept),
        "{:?}",
        plan.warnings
    );
    assert_eq!(fleet.state.identities[&last].spec.status, IpStatus::Resting);
    let config = &texts(&fleet.plan("pmta1"))["/etc/pmta/config"];
    let section =
        "<virtual-mta vmta-mail5>\n    smtp-source-host 192.0.2.5 mail5.sos-holidays.com\n";
    assert!(config.contains(section), "{config}");
    assert!(
        config.contains("max-smtp-msg-rate 1/d\n") && !config.contains("virtual-mta=vmta-mail5")
    );
    // The same file again changes nothing more, and still says so.
    let again = fleet.apply(&document, true);
    assert!(again.commands.is_empty(), "{:?}", again.commands);
    assert!(again.warnings.iter().any(|told| told == kept));
}

#[test]
fn one_of_two_for_a_purpose_is_pruned_and_so_is_what_never_sent() {
    let (mut fleet, mut document) = pruned_to(0..4);
    document.ips[3].purpose = Some(Purpose::Notification);
    let plan = fleet.apply(&document, true);
    assert!(kinds(&plan.commands).contains(&"RetireIdentity".to_owned()));
    assert!(!plan.warnings.concat().contains("is kept although"));
    let (mut fleet, document) = pruned_to(0..4);
    let last: std::net::IpAddr = "192.0.2.5".parse().unwrap();
    let identity = fleet.state.identities.get_mut(&last).unwrap();
    std::sync::Arc::make_mut(identity).spec.status = IpStatus::Standby;
    fleet.apply(&document, true);
    assert!(!fleet.state.identities.contains_key(&last));
}
