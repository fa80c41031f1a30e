//! What services stand on: one of each kind.

use email_engine_protocol::desired::{
    GroupSpec, HostPath, IpAddressSpec, OnRemove, Policy, Resource, Spec, SymlinkSpec, SysctlSpec,
    UserSpec,
};

use super::samples::resource;

pub(crate) fn all() -> Vec<Resource> {
    let path = |text: &str| HostPath::new(text).unwrap();
    let made = |id: &str, spec| resource(id, spec, OnRemove::Disable, Policy::Enforce);
    let group = GroupSpec {
        name: "app".to_owned(),
    };
    let addresses = IpAddressSpec {
        interface: Some("eth0".to_owned()),
        addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    };
    let link = SymlinkSpec {
        path: path("/etc/app/current"),
        target: path("/etc/app/one"),
    };
    let setting = SysctlSpec {
        key: "net.core.somaxconn".to_owned(),
        value: "4096".to_owned(),
    };
    let user = UserSpec {
        name: "app".to_owned(),
        group: Some("app".to_owned()),
        groups: vec!["adm".to_owned()],
        home: Some(path("/var/lib/app")),
    };
    vec![
        made("group:app", Spec::Group(group)),
        made("ip_address:eth0", Spec::IpAddress(addresses)),
        made("symlink:/etc/app/current", Spec::Symlink(link)),
        made("sysctl:net.core.somaxconn", Spec::Sysctl(setting)),
        made("user:app", Spec::User(user)),
    ]
}
