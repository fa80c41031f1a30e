//! The wire from a guest to the scenario's network: everything that the guest does not have itself is
//! at its other end.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// Arguments: its process id, the guest's addresses in one word, then the name of our end.
const PLUG: &str = r#"
set -e
inside() { nsenter --target "$1" --net "${@:2}"; }
ip link add "$3" type veth peer name eth0 netns "$1"
ip link set "$3" up
inside "$1" ip link set lo up
inside "$1" ip link set eth0 up
for address in $2; do
    inside "$1" ip address add "$address/32" dev eth0
    ip route add "$address/32" dev "$3"
done
inside "$1" ip route add default dev eth0
"#;

/// A network namespace that outlives the guest's reboots, and the wire to it.
#[derive(Debug)]
pub(super) struct Wire {
    keeper: Child,
    /// Our end's.
    name: String,
}

impl Wire {
    pub(super) fn plug(addresses: &[&str]) -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let out = keeper.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        let id = keeper.id().to_string();
        let name = format!("wire{id}");
        let wire = Self { keeper, name };
        let output = Command::new("bash")
            .args(["-c", PLUG, "bash", &id, &addresses.join(" "), &wire.name])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        wire
    }

    /// What is sent to an address goes over the wire.
    pub(super) fn route(&self, address: &str) -> Output {
        let route = format!("{address}/32");
        let words = ["route", "add", &route, "dev", &self.name];
        Command::new("ip").args(words).output().unwrap()
    }

    /// The guest's end.
    pub(super) fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.keeper.id()).into()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
