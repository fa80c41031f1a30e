//! What is refused before any host sees it.

use std::net::IpAddr;

use super::super::{Disposition, OnRemove, Policy};
use super::*;
use crate::id::{ClusterId, HostId, Role};

fn resource(id: &str, spec: Spec) -> Resource {
    Resource {
        id: ResourceId::new(id).unwrap(),
        spec,
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn checked(resources: Vec<Resource>) -> Result<(), String> {
    let config = HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("pmta1").unwrap(),
        role: Role::Powermta,
        disposition: Disposition::Active,
        resources,
        large_removal: false,
        accounting: None,
    };
    config.check().map_err(|error| error.to_string())
}

fn alone(spec: Spec) -> Result<(), String> {
    checked(vec![resource("one", spec)])
}

fn path(text: &str) -> HostPath {
    HostPath::new(text).unwrap()
}

fn user(name: &str, group: Option<&str>, groups: &[&str]) -> Spec {
    Spec::User(UserSpec {
        name: name.to_owned(),
        group: group.map(str::to_owned),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        home: Some(path("/var/lib/app")),
    })
}

fn group(name: &str) -> Spec {
    Spec::Group(GroupSpec {
        name: name.to_owned(),
    })
}

fn sysctl(key: &str, value: &str) -> Spec {
    Spec::Sysctl(SysctlSpec {
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

fn addresses(interface: Option<&str>, listed: &[&str]) -> Spec {
    Spec::IpAddress(IpAddressSpec {
        interface: interface.map(str::to_owned),
        addresses: listed.iter().map(|one| one.parse().unwrap()).collect(),
    })
}

fn link(at: &str, target: &str) -> Spec {
    Spec::Symlink(SymlinkSpec {
        path: path(at),
        target: path(target),
    })
}

#[test]
fn accounts_are_named_as_their_tools_take_them_and_are_never_root() {
    assert_eq!(alone(user("app-1", None, &["adm", "tls_keys"])), Ok(()));
    assert_eq!(alone(group("_app")), Ok(()));
    let long = "a".repeat(33);
    for bad in [
        "", "root", "App", "-app", "1app", "a:b", "a,b", "a\n", "a b", &long,
    ] {
        for spec in [
            group(bad),
            user(bad, None, &[]),
            user("app", Some(bad), &[]),
        ] {
            let error = alone(spec).unwrap_err();
            assert!(error.contains("not root"), "{bad:?}: {error}");
        }
    }
    for groups in [&["b", "a"][..], &["a", "a"], &["app"]] {
        let error = alone(user("app", None, groups)).unwrap_err();
        assert!(error.contains("groups is"), "{groups:?}: {error}");
    }
    let Spec::User(mut odd) = user("app", None, &[]) else {
        panic!("a user");
    };
    odd.home = Some(path("/a:b"));
    assert!(alone(Spec::User(odd)).unwrap_err().contains("without ':'"));
}

#[test]
fn settings_lead_nowhere_but_below_proc_sys() {
    assert_eq!(
        alone(sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")),
        Ok(())
    );
    for key in [
        "net", "net..x", ".net.x", "net.x.", "net/x.y", "net.../x", "net.x y", "a.b=c",
    ] {
        let error = alone(sysctl(key, "1")).unwrap_err();
        assert!(error.contains("key is"), "{key:?}: {error}");
    }
    for value in ["", " ", "1  2", "1\n2", "1\t2", "-1", "# x", "é"] {
        let error = alone(sysctl("net.core.somaxconn", value)).unwrap_err();
        assert!(error.contains("value is"), "{value:?}: {error}");
    }
}

#[test]
fn addresses_are_those_of_hosts_in_order() {
    let good = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    assert_eq!(alone(addresses(Some("eth0"), &good)), Ok(()));
    assert_eq!(alone(addresses(None, &good)), Ok(()));
    for name in [
        "",
        "all",
        "default",
        "../x",
        "eth 0",
        "-eth0",
        "a234567890123456",
    ] {
        let error = alone(addresses(Some(name), &good)).unwrap_err();
        assert!(error.contains("interface is"), "{name:?}: {error}");
    }
    for bad in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
    ] {
        let error = alone(addresses(None, &[bad])).unwrap_err();
        assert!(error.contains("an address of a host"), "{bad}: {error}");
    }
    let mapped = "192.0.2.1"
        .parse::<std::net::Ipv4Addr>()
        .unwrap()
        .to_ipv6_mapped();
    assert!(alone(addresses(None, &[&IpAddr::V6(mapped).to_string()])).is_err());
    for disorder in [
        &[][..],
        &["192.0.2.2", "192.0.2.1"],
        &["192.0.2.1", "192.0.2.1"],
    ] {
        let error = alone(addresses(None, disorder)).unwrap_err();
        assert!(error.contains("1 to 4096"), "{disorder:?}: {error}");
    }
}

#[test]
fn nothing_is_reached_through_a_link_of_the_same_state() {
    assert_eq!(alone(link("/etc/a", "/etc/b")), Ok(()));
    for target in ["/etc/a", "/etc/a/b"] {
        assert!(
            alone(link("/etc/a", target))
                .unwrap_err()
                .contains("target is")
        );
    }
    let error = checked(vec![
        resource("a", link("/etc/a", "/etc/b")),
        resource("b", link("/etc/a/deep/x", "/etc/b")),
    ]);
    assert_eq!(
        error.unwrap_err(),
        "resource b lies below the symbolic link of a"
    );
    let twice = checked(vec![
        resource("a", link("/etc/a", "/etc/b")),
        resource("b", link("/etc/a", "/etc/c")),
    ]);
    assert!(
        twice
            .unwrap_err()
            .contains("path /etc/a is claimed by a and b")
    );
}

#[test]
fn whoever_claims_what_is_claimed_already_is_named() {
    for (one, other, what) in [
        (group("app"), group("app"), "group app"),
        (
            user("app", None, &[]),
            user("app", Some("x"), &[]),
            "user app",
        ),
        (sysctl("a.b", "1"), sysctl("a.b", "2"), "kernel setting a.b"),
        (
            addresses(None, &["192.0.2.1"]),
            addresses(Some("eth1"), &["192.0.2.1"]),
            "address 192.0.2.1",
        ),
        (
            addresses(Some("eth0"), &["192.0.2.1"]),
            addresses(Some("eth0"), &["192.0.2.2"]),
            "the addresses of interface eth0",
        ),
    ] {
        let error = checked(vec![resource("a", one), resource("b", other)]).unwrap_err();
        assert_eq!(error, format!("{what} is claimed by a and b"));
    }
}
