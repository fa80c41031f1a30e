//! What services stand on, as a role file has it.

mod steps;

use email_engine_coordinator::planner::PlanError;
use email_engine_protocol::desired::{HostPath, Spec, UserSpec};

use crate::fixture::Fleet;

const ROLE: &str = "powermta/role.toml";

const BASICS: &str = r#"
[[group]]
name = "tls"
on_remove = "leave"

[[user]]
name = "app"
groups = ["tls", "adm"]
home = "/var/lib/app"
on_remove = "disable"
notify = ["service:pmta.service"]

[[symlink]]
path = "/etc/pmta/link"
target = "/etc/pmta/config"
on_remove = "delete"
after = ["file:/etc/pmta/config"]

[[sysctl]]
key = "net.core.somaxconn"
value = "4096"
on_remove = "delete"

[[ip_address]]
interface = "eth0"
each = "identity"
addresses = ["{{ item.address }}"]
on_remove = "delete"
"#;

/// Of the shipped role: an interface has one such resource.
const OWN: &str = r#"[[ip_address]]
each = "identity"
addresses = ["{{ item.address }}"]
on_remove = "delete"
"#;

/// The example with more in its role file, which has no addresses of its own.
fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    let role = files[ROLE].replace(OWN, "");
    assert_ne!(role, files[ROLE]);
    Fleet::sos_holidays().with_file(ROLE, &format!("{role}\n{more}"))
}

#[test]
fn a_role_has_links_accounts_settings_and_the_addresses_of_its_identities() {
    let planned = with(BASICS).plan("pmta1");
    let of = |id: &str| {
        let mut all = planned.config.resources.iter();
        all.find(|one| one.id.as_str() == id).unwrap()
    };
    let user = of("user:app");
    let expected = UserSpec {
        name: "app".to_owned(),
        group: None,
        groups: vec!["adm".to_owned(), "tls".to_owned()],
        home: Some(HostPath::new("/var/lib/app").unwrap()),
    };
    assert_eq!(user.spec, Spec::User(expected));
    assert_eq!(user.notify[0].as_str(), "service:pmta.service");
    let link = of("symlink:/etc/pmta/link");
    assert_eq!(link.after[0].as_str(), "file:/etc/pmta/config");
    let Spec::IpAddress(addresses) = &of("ip_address:eth0").spec else {
        panic!("addresses");
    };
    let listed: Vec<String> = addresses
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listed.len(), 5, "{listed:?}");
    assert!(listed.is_sorted(), "{listed:?}");
    of("group:tls");
    of("sysctl:net.core.somaxconn");
}

#[test]
fn what_no_host_would_take_is_refused_where_it_is_planned() {
    let entry = |kind: &str, lines: &str| format!("[[{kind}]]\n{lines}\non_remove = \"leave\"\n");
    for (more, said) in [
        (entry("user", "name = \"root\""), "and not root"),
        (entry("group", "name = \"A\""), "lower-case"),
        (entry("user", "name = \"a\"\nhome = \"x\""), "absolute"),
        (entry("user", "name = \"a\"\nshell = \"/bin/sh\""), "shell"),
        (
            entry("symlink", "path = \"/a\"\ntarget = \"../b\""),
            "absolute",
        ),
        (
            entry("symlink", "path = \"/etc/pmta/dkim\"\ntarget = \"/b\""),
            "claimed by",
        ),
        (
            entry("symlink", "path = \"/etc/pmta\"\ntarget = \"/b\""),
            "claimed by",
        ),
        (entry("sysctl", "key = \"x\"\nvalue = \"1\""), "dotted name"),
        (
            entry("ip_address", "addresses = [\"x\"]"),
            "\"x\" is not an IPv4",
        ),
        (
            entry("ip_address", "addresses = [\"127.0.0.1\"]"),
            "an address of a host",
        ),
        (
            entry(
                "ip_address",
                "interface = \"*\"\naddresses = [\"192.0.2.9\"]",
            ),
            "interface",
        ),
    ] {
        let refused: PlanError = with(&more).refusal();
        assert!(refused.to_string().contains(said), "{more}: {refused}");
    }
}
