//! Authoritative DNS servers: real ones (Knot), whose zones a scenario writes, breaks and silences.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use tempfile::TempDir;

use crate::{Daemon, wait_for};

/// A server with its zones.
#[derive(Debug)]
pub struct ZoneServer {
    address: String,
    port: u16,
    dir: TempDir,
    zones: Vec<String>,
    daemon: Option<Daemon>,
}

/// A port that is free on these addresses, over UDP and TCP.
#[must_use]
pub fn free_port(addresses: &[&str]) -> u16 {
    for _ in 0..100 {
        let first = UdpSocket::bind((addresses[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let rest = addresses[1..].iter();
        let mut others = rest.map(|address| UdpSocket::bind((*address, port)));
        let mut streams = addresses
            .iter()
            .map(|address| TcpListener::bind((*address, port)));
        if others.all(|one| one.is_ok()) && streams.all(|one| one.is_ok()) {
            return port;
        }
    }
    panic!("no port is free on {addresses:?}");
}

impl ZoneServer {
    /// A server that will answer there for zones, as their files say; nothing is started.
    #[must_use]
    pub fn new(address: &str, port: u16, zones: &[(&str, &str)]) -> Self {
        let server = Self {
            address: address.to_owned(),
            port,
            dir: TempDir::new().unwrap(),
            zones: zones.iter().map(|(zone, _)| (*zone).to_owned()).collect(),
            daemon: None,
        };
        for (zone, text) in zones {
            server.write(zone, text);
        }
        server
    }

    /// Writes a zone's file; a server that runs has the zone as it was until it is started anew.
    pub fn write(&self, zone: &str, text: &str) {
        std::fs::write(self.dir.path().join(format!("{zone}.zone")), text).unwrap();
    }

    /// Starts it, or starts it anew, and waits until it answers.
    pub async fn start(&mut self) {
        self.stop();
        let dir = self.dir.path().display().to_string();
        let mut text = format!(
            "server:\n    rundir: \"{dir}\"\n    listen: \"{}@{}\"\n    udp-workers: 1\n    tcp-workers: 1\n    \
             background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n    storage: \"{dir}\"\n\
             template:\n  - id: default\n    storage: \"{dir}\"\n    file: \"%s.zone\"\n    zonefile-sync: -1\n    \
             journal-content: none\nzone:\n",
            self.address, self.port
        );
        for zone in &self.zones {
            writeln!(text, "  - domain: \"{zone}\"").unwrap();
        }
        let file = self.dir.path().join("knot.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(program("knotd"));
        command.arg("-c").arg(&file);
        let log = self.dir.path().join("log");
        let name = format!("the DNS server at {}", self.address);
        self.daemon = Some(Daemon::start(&name, command, &log));
        let at = (self.address.clone(), self.port);
        wait_for("a DNS server listens", async || {
            TcpStream::connect(&at).map(drop)
        })
        .await;
    }

    /// Silences it.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }
}

/// Where a daemon lies: the folders of daemons are not on everybody's PATH.
fn program(name: &str) -> String {
    let folders = ["/usr/sbin", "/usr/local/sbin"];
    let found = folders.map(|folder| format!("{folder}/{name}"));
    let found = found
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    found.unwrap_or_else(|| name.to_owned())
}
