//! What a host is pinned to, and what cannot be planned.

use email_engine_coordinator::planner::{PlanError, builtin_bundle, bundle_hash, plan};
use email_engine_coordinator::state::{HostLifecycle, RoleBundle};
use email_engine_protocol::desired::Disposition;
use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::time::Timestamp;

use crate::fixture::{Fleet, tenant, texts};

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
    let put = RoleBundle::new(files, put_at);
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

#[test]
fn nobody_is_told_of_a_certificate_that_the_pinned_bundle_has_no_place_for() {
    let mut fleet = Fleet::sos_holidays();
    let tls = |fleet: &mut Fleet| {
        let configuration = texts(&fleet.plan("pmta1"))["/etc/pmta/config"].clone();
        let records = texts(&fleet.plan("mailwizz1"));
        let record = records.into_iter().find(|(path, _)| path.contains("vmta-"));
        let record: serde_json::Value = serde_json::from_str(&record.unwrap().1).unwrap();
        let offered = configuration.contains("tls-certificate /etc/pmta/tls/submission-1.pem");
        (offered, record["protocol"].as_str() == Some("tls"))
    };
    assert_eq!(tls(&mut fleet), (true, true));
    let mut files = builtin_bundle();
    let role = files.get_mut("powermta/role.toml").unwrap();
    let entry = role.find("[[file]]\npath = \"/etc/pmta/tls/").unwrap();
    let end = entry + role[entry..].find("\n\n").unwrap();
    role.replace_range(entry..end, "");
    *role = role.replace("\"file:/etc/pmta/tls/*\", ", "");
    let bundle = bundle_hash(&files);
    let put = RoleBundle::new(files, Timestamp(1));
    fleet.state.bundles.insert(bundle, put.into());
    let host = HostId::new("pmta1").unwrap();
    fleet.state.hosts.get_mut(&host).unwrap().release.bundle = bundle;
    assert_eq!(tls(&mut fleet), (false, false));
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
        .insert(bundle, RoleBundle::new(files, put_at).into());
    fleet
        .state
        .hosts
        .change_each(|_, host| host.release.bundle = bundle);
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
        fleet.state.reindex();
    });
    assert!(
        shared.contains("tenants sos-holidays and other"),
        "{shared}"
    );
}
