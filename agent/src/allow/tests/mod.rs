//! The list as a file, and the built-in one against the roles that come with the project.

mod built_in;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    ArtifactRef, CommandCheck, CommandLine, Engine, Fate, FirewallSpec, GroupSpec, Guard,
    HealthCheckSpec, HttpQuestion, IpAddressSpec, OnNotify, PackageSpec, Probe, Resource,
    ServiceSpec, Spec, StepSpec, SymlinkSpec, SysctlSpec, UserSpec, VendorPackageSpec,
};
use email_engine_protocol::id::ResourceId;

use super::*;
use crate::reconciler::plan::tests::{config as state, directory, file};
use crate::resources::database_samples;

fn with_file(text: &str, mode: u32) -> Result<AllowList, AllowListError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("allow.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let config = Config {
        allow_list: Some(path),
        ..Config::default()
    };
    load(&config)
}

#[test]
fn a_file_takes_the_place_of_the_built_in_list_key_by_key() {
    let list = with_file("paths = [\"/srv/app/\", \"/etc/motd\"]\n", 0o644).unwrap();
    assert_eq!(
        list.judge(&state(vec![file("/srv/app/x"), file("/etc/motd")])),
        Ok(())
    );
    let reason = list.judge(&state(vec![file("/etc/pmta/config")]));
    assert!(
        reason.unwrap_err().to_string().contains("allow.toml"),
        "the reason names the file"
    );
    let built_in = load(&Config::default()).unwrap();
    assert_eq!(list.commands, built_in.commands);
    assert_eq!(list.packages, built_in.packages);
    let list = with_file("packages = [\"*\"]\nservices = [\"a.service\"]\n", 0o644).unwrap();
    assert!(list.packages.all && !list.services.all);
    assert_eq!(list.services.listed, ["a.service".to_owned()].into());
    assert_eq!((list.paths, list.set_id), (built_in.paths, Vec::new()));
}

#[test]
fn a_file_that_cannot_be_used_stops_the_agent_and_is_never_the_built_in_list() {
    for (text, expected) in [
        ("path = []", "line 1, column 1"),
        ("paths = [\"etc\"]", "absolute"),
        ("paths = [\"/a/../b\"]", "absolute"),
        ("commands = [[\"pmta\"]]", "absolute"),
        ("commands = [\"/usr/sbin/pmta\"]", "line 1"),
        (
            "commands = [[\"/bin/a\", \"$\", \"b\"]]",
            "accepted as the last one alone",
        ),
        ("packages = \"cron\"", "line 1"),
        ("set_id = [\"srv\"]", "set_id: path"),
        (
            "addresses = [\"192.0.2.1\"]",
            "addresses: \"192.0.2.1\" is no network",
        ),
        ("sysctls = \"*\"", "line 1"),
        ("ports = [\"80\"]", "line 1"),
        ("ports = [70000]", "line 1"),
    ] {
        let error = with_file(text, 0o600).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    for open in [0o664, 0o602] {
        let error = with_file("paths = []", open).unwrap_err().to_string();
        assert!(error.contains("writable to nobody else"), "{error}");
    }
    let long = format!("paths = []\n{}", "#".repeat(1024 * 1024));
    let error = with_file(&long, 0o600).unwrap_err().to_string();
    assert!(error.contains("longer than the 1048576 bytes"), "{error}");
    let config = Config {
        allow_list: Some("/nowhere/allow.toml".into()),
        ..Config::default()
    };
    assert!(matches!(load(&config), Err(AllowListError::Read { .. })));
}

fn basic(spec: Spec) -> Resource {
    let mut made = file("/x");
    made.id = ResourceId::new("one").unwrap();
    made.spec = spec;
    made
}

fn link(target: &str) -> Resource {
    basic(Spec::Symlink(SymlinkSpec {
        path: HostPath::new("/srv/app/link").unwrap(),
        target: HostPath::new(target).unwrap(),
    }))
}

fn user(groups: &[&str]) -> Resource {
    basic(Spec::User(UserSpec {
        name: "app".to_owned(),
        group: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        home: None,
    }))
}

fn group(name: &str) -> Resource {
    basic(Spec::Group(GroupSpec {
        name: name.to_owned(),
    }))
}

fn sysctl(key: &str) -> Resource {
    basic(Spec::Sysctl(SysctlSpec {
        key: key.to_owned(),
        value: "1".to_owned(),
    }))
}

fn firewall() -> Resource {
    basic(Spec::Firewall(FirewallSpec {
        input: Fate::Drop,
        output: Fate::Drop,
        sets: Vec::new(),
        rules: Vec::new(),
        rollback_seconds: 60,
        attempt: 0,
    }))
}

fn addresses(interface: Option<&str>, address: &str) -> Resource {
    basic(Spec::IpAddress(IpAddressSpec {
        interface: interface.map(str::to_owned),
        addresses: vec![address.parse().unwrap()],
    }))
}

fn health_check(probe: Probe, restart: Option<&str>) -> Resource {
    basic(Spec::HealthCheck(HealthCheckSpec {
        probes: vec![probe],
        interval_seconds: 30,
        attempts: 3,
        restart: restart.map(str::to_owned),
    }))
}

fn page(address: &str) -> Probe {
    Probe::Http {
        question: HttpQuestion {
            address: address.parse().unwrap(),
            tls: false,
            host: None,
            path: "/".to_owned(),
            least_status: 200,
            most_status: 399,
            contains: None,
        },
        seconds: 5,
        steady_seconds: 0,
    }
}

#[test]
fn what_a_health_check_asks_runs_and_restarts_is_listed() {
    let text =
        "ports = [80]\ncommands = [[\"/usr/bin/app\", \"status\"]]\nservices = [\"web.service\"]\n";
    let list = with_file(text, 0o644).unwrap();
    let judge = |probe: Probe, restart: Option<&str>| {
        let judged = list.judge(&state(vec![health_check(probe, restart)]));
        judged.map_err(|error| error.to_string())
    };
    assert_eq!(judge(page("127.0.0.1:80"), Some("web.service")), Ok(()));
    assert_eq!(judge(page("192.0.2.10:80"), None), Ok(()));
    let restart = judge(page("127.0.0.1:80"), Some("ssh.service")).unwrap_err();
    assert!(
        restart.contains("`services`") && restart.contains("ssh.service"),
        "{restart}"
    );
    let (address, seconds) = ("127.0.0.1:2375".parse().unwrap(), 5);
    let begins = "220".to_owned();
    for probe in [
        page("127.0.0.1:2375"),
        Probe::Connect { address, seconds },
        Probe::Greeting {
            address,
            begins,
            seconds,
        },
    ] {
        let refused = judge(probe, None).unwrap_err();
        assert!(
            refused.contains("`ports`") && refused.contains("2375"),
            "{refused}"
        );
    }
    let unit = "ssh.service".to_owned();
    let running = judge(Probe::Running { unit, seconds }, None).unwrap_err();
    assert!(running.contains("ssh.service"), "{running}");
    let command = |word: &str| Probe::Command {
        check: CommandCheck {
            command: CommandLine {
                program: HostPath::new("/usr/bin/app").unwrap(),
                arguments: vec![word.to_owned()],
            },
            seconds: 5,
            refused_by: Vec::new(),
            must_say: Vec::new(),
        },
    };
    assert_eq!(judge(command("status"), None), Ok(()));
    let refused = judge(command("stop"), None).unwrap_err();
    assert!(refused.contains("`/usr/bin/app stop`"), "{refused}");
}

#[test]
fn a_transaction_asks_pages_at_listed_ports_alone() {
    let list = with_file(
        "ports = [80]\ncommands = [[]]\nservices = [\"*\"]\npaths = [\"/\"]\n",
        0o644,
    );
    let list = list.unwrap();
    let judge = |probe: Probe| {
        let mut together = crate::transaction::tests::pair(&["/a"]);
        if let Spec::Transaction(spec) = &mut together.spec {
            spec.health.push(probe);
        }
        list.judge(&state(vec![file("/a"), together]))
            .map_err(|error| error.to_string())
    };
    assert_eq!(judge(page("127.0.0.1:80")), Ok(()));
    let refused = judge(page("127.0.0.1:8080")).unwrap_err();
    assert!(
        refused.contains("`ports`") && refused.contains("8080"),
        "{refused}"
    );
}

#[test]
fn databases_their_users_and_tables_are_listed_each_by_itself() {
    let text = "databases = [\"mysql/shop\"]\ndatabase_users = [\"mysql/shop\"]\n\
                tables = [\"mysql/shop.server\"]\n";
    let list = with_file(text, 0o644).unwrap();
    let judge = |resource: Resource| {
        let judged = list.judge(&state(vec![resource]));
        judged.map_err(|error| error.to_string())
    };
    assert_eq!(judge(database_samples::database()), Ok(()));
    assert_eq!(judge(database_samples::row("one", 5)), Ok(()));
    let mut other = database_samples::database();
    if let Spec::Database(spec) = &mut other.spec {
        spec.user = "other".to_owned();
    }
    let error = judge(other).unwrap_err();
    assert!(
        error.contains("`database_users`") && error.contains("mysql/other"),
        "{error}"
    );
    let mut other = database_samples::database();
    if let Spec::Database(spec) = &mut other.spec {
        spec.engine = Engine::Postgresql;
    }
    let error = judge(other).unwrap_err();
    assert!(
        error.contains("`databases`") && error.contains("postgresql/shop"),
        "{error}"
    );
    let mut other = database_samples::row("one", 5);
    if let Spec::SqlRow(spec) = &mut other.spec {
        spec.table = "users".to_owned();
    }
    let error = judge(other).unwrap_err();
    assert!(
        error.contains("`tables`") && error.contains("mysql/shop.users"),
        "{error}"
    );
}

#[test]
fn what_services_stand_on_is_listed_by_name_network_and_where_a_link_leads() {
    let list = with_file(
        "paths = [\"/srv/app/\"]\nusers = [\"app\"]\ngroups = [\"tls\"]\n\
         sysctls = [\"net.core.somaxconn\"]\ninterfaces = [\"eth0\"]\n\
         addresses = [\"192.0.2.0/25\", \"2001:db8::/32\"]\n",
        0o644,
    )
    .unwrap();
    let judge = |resource: Resource| {
        let judged = list.judge(&state(vec![resource]));
        judged.map_err(|error| error.to_string())
    };
    for allowed in [
        link("/srv/app/target"),
        user(&["tls"]),
        group("tls"),
        sysctl("net.core.somaxconn"),
        addresses(Some("eth0"), "192.0.2.1"),
        addresses(Some("eth0"), "2001:db8::1"),
    ] {
        assert_eq!(judge(allowed), Ok(()));
    }
    for (refused, reason) in [
        (link("/etc/shadow"), "`paths`"),
        (link("/var/lib/email-engine-agent/x"), "the agent's own"),
        (user(&["sudo"]), "`groups`"),
        (group("app"), "`groups`"),
        (sysctl("kernel.core_pattern"), "`sysctls`"),
        (addresses(None, "192.0.2.1"), "allows default"),
        (addresses(Some("eth1"), "192.0.2.1"), "`interfaces`"),
        (addresses(Some("eth0"), "192.0.2.200"), "allows 192.0.2.200"),
    ] {
        let error = judge(refused).unwrap_err();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    let built_in = load(&Config::default()).unwrap();
    assert_eq!(built_in.judge(&state(vec![firewall()])), Ok(()));
    let none = with_file("firewall = false\n", 0o644).unwrap();
    let error = none.judge(&state(vec![firewall()])).unwrap_err();
    assert!(error.to_string().contains("allows no firewall"), "{error}");
    for resource in [user(&[]), group("app"), sysctl("net.core.somaxconn")] {
        assert!(built_in.judge(&state(vec![resource])).is_err());
    }
}
