//! Authoritative DNS servers: real ones (Knot), whose zones a scenario writes, breaks and silences, and somebody
//! else than the fleet changes ([`Stranger`]).

mod stranger;

pub use stranger::Stranger;

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
    /// Name and secret of the key that may change zones.
    key: Option<(String, String)>,
    /// Server that has the zones from this one.
    second: Option<String>,
    /// Server that this one has its zones from.
    first: Option<String>,
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
            key: None,
            second: None,
            first: None,
            daemon: None,
        };
        for (zone, text) in zones {
            server.write(zone, text);
        }
        server
    }

    /// The same, changed by whoever has this key (hmac-sha256, in base64), and by the [`Stranger`]. It keeps
    /// changes in memory: one that is started anew has its zones as their files say.
    #[must_use]
    pub fn changed_by(mut self, key: &str, secret: &str) -> Self {
        self.key = Some((key.to_owned(), secret.to_owned()));
        self
    }

    /// The same, whose zones another server at this address has from it.
    #[must_use]
    pub fn followed_by(mut self, address: &str) -> Self {
        self.second = Some(address.to_owned());
        self
    }

    /// A server that will have these zones from the one at another address.
    #[must_use]
    pub fn following(address: &str, port: u16, zones: &[&str], first: &str) -> Self {
        let mut server = Self::new(address, port, &[]);
        server.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        server.first = Some(first.to_owned());
        server
    }

    /// Somebody who may change its zones without a key.
    #[must_use]
    pub fn stranger(&self) -> Stranger {
        Stranger::new(&self.address, self.port)
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
             {}template:\n  - id: default\n    storage: \"{dir}\"\n    file: \"%s.zone\"\n    zonefile-sync: -1\n    \
             journal-content: none\n{}zone:\n",
            self.address,
            self.port,
            self.others(),
            self.rights()
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

    /// Keys, other servers, and what they may.
    fn others(&self) -> String {
        let (mut keys, mut remotes, mut rights) = (String::new(), String::new(), String::new());
        if let Some((name, secret)) = &self.key {
            write!(
                keys,
                "key:\n  - id: {name}\n    algorithm: hmac-sha256\n    secret: {secret}\n"
            )
            .unwrap();
            write!(
                rights,
                "  - id: fleet\n    key: {name}\n    action: update\n"
            )
            .unwrap();
            let stranger = Stranger::ADDRESS;
            write!(
                rights,
                "  - id: stranger\n    address: {stranger}\n    action: update\n"
            )
            .unwrap();
        }
        for (id, address, action) in [
            ("second", &self.second, "transfer"),
            ("first", &self.first, "notify"),
        ] {
            if let Some(address) = address {
                write!(
                    remotes,
                    "  - id: {id}\n    address: {address}@{}\n    via: {}\n",
                    self.port, self.address
                )
                .unwrap();
                write!(
                    rights,
                    "  - id: of-{id}\n    address: {address}\n    action: {action}\n"
                )
                .unwrap();
            }
        }
        let titled = |title: &str, text: String| match text.is_empty() {
            true => text,
            false => format!("{title}:\n{text}"),
        };
        format!(
            "{keys}{}{}",
            titled("remote", remotes),
            titled("acl", rights)
        )
    }

    fn rights(&self) -> String {
        let mut rights = Vec::new();
        let mut lines = String::new();
        if self.key.is_some() {
            rights.extend(["fleet", "stranger"]);
        }
        if self.second.is_some() {
            rights.push("of-second");
            lines.push_str("    notify: second\n");
        }
        if self.first.is_some() {
            rights.push("of-first");
            lines.push_str("    master: first\n");
        }
        if !rights.is_empty() {
            writeln!(lines, "    acl: [{}]", rights.join(", ")).unwrap();
        }
        lines
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
