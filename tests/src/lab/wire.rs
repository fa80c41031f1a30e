//! The wire from a guest to the switch of the scenario's network: everything that the guest does not
//! have itself is at the other end, the scenario's own addresses and those of other guests.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// Arguments: its process id, the end at the switch, then the guest's addresses in one word. The first
/// guest's wire brings the switch along. Packets that it hands on are not the scenario's own to filter.
const PLUG: &str = r#"
set -e
inside() { nsenter --target "$1" --net "${@:2}"; }
if ! ip link show switch >/dev/null 2>&1; then
    ip link add switch type bridge
    ip link set switch up
    sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
fi
ip link add "$2" type veth peer name eth0 netns "$1"
ip link set "$2" master switch up
inside "$1" ip link set lo up
inside "$1" ip link set eth0 up
for address in $3; do
    inside "$1" ip address add "$address/32" dev eth0
    ip route add "$address/32" dev switch
done
inside "$1" ip route add default dev eth0
"#;

/// A network namespace that outlives the guest's reboots, and the wire to it.
#[derive(Debug)]
pub(super) struct Wire {
    keeper: Child,
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
        let wire = Self { keeper };
        let id = wire.keeper.id().to_string();
        let output = Command::new("bash")
            .args(["-c", PLUG, "bash", &id, &wire.end(), &addresses.join(" ")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        wire
    }

    /// Its end at the switch. The keeper's process id is nobody else's.
    fn end(&self) -> String {
        format!("wire{}", self.keeper.id())
    }

    /// Pulls its end out of the switch, or puts it back. The guest's own end stays as it is: its routes
    /// would go with it, and no machine loses those when somebody trips over a cable.
    pub(super) fn set(&self, plugged: bool) -> Output {
        let state = if plugged { "up" } else { "down" };
        let words = ["link", "set", &self.end(), state];
        Command::new("ip").args(words).output().unwrap()
    }

    /// The guest's end.
    pub(super) fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.keeper.id()).into()
    }
}

/// What is sent to an address goes to the switch, where whoever has it answers.
pub(super) fn route(address: &str) -> Output {
    let route = format!("{address}/32");
    let words = ["route", "add", &route, "dev", "switch"];
    Command::new("ip").args(words).output().unwrap()
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
