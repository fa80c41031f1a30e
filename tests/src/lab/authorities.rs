//! The seventh machine of the lab: whom all others ask about names, and who vouches for them.
//!
//! - BIND is authoritative for all names that there are (`tests/lab/world`) and takes updates that the operator
//!   signs (RFC 2136, with TSIG by HMAC-SHA-256);
//! - rbldnsd answers for [`LIST`], to which BIND finds the way as to anybody's zone;
//! - pebble, which Let's Encrypt keeps for tests, issues certificates over ACME.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rcgen::CertifiedKey;
use reqwest::{Certificate, Client};

use super::Guest;
use crate::wait_for;

/// The machine, and the address of its name server.
pub const NAMES: (&str, &str) = ("names", "203.0.113.53");
/// The zone with the senders that nobody wants mail of, as RFC 5782 has it.
pub const LIST: &str = "dnsbl.example";
/// Where the list's own server is.
const LIST_SERVER: &str = "203.0.113.54";
const LIST_FILE: &str = "/var/lib/rbldns/dnsbl";
/// The ACME server, as `tests/lab/fleet.toml` has it.
const ISSUER: &str = "acme.world.example";
/// Where it tells of itself.
const ISSUER_ROOT: &str = "https://acme.world.example:15000/roots/0";
const UPDATES: &str = "/opt/updates";
const KEY: &str = "/etc/bind/operator.key";

/// What the machine has, and what it is called in [`OWN`].
const FILES: [(&str, &str); 13] = [
    ("etc/bind/named.conf", "named.conf"),
    (
        "etc/systemd/system/named.service.d/key.conf",
        "named.service.conf",
    ),
    ("var/lib/bind/root.zone", "root.zone"),
    ("var/lib/bind/world.example.zone", "world.example.zone"),
    ("var/lib/bind/rcpt.example.zone", "rcpt.example.zone"),
    ("var/lib/bind/example.com.zone", "example.com.zone"),
    ("var/lib/bind/2.0.192.zone", "2.0.192.zone"),
    ("var/lib/bind/100.51.198.zone", "100.51.198.zone"),
    ("var/lib/bind/113.0.203.zone", "113.0.203.zone"),
    ("var/lib/rbldns/dnsbl", "dnsbl"),
    ("etc/default/rbldnsd", "rbldnsd"),
    ("etc/pebble/config.json", "pebble.json"),
    ("etc/systemd/system/pebble.service", "pebble.service"),
];
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/world");

/// Whom the hosts of the lab may ask for certificates. The rest of their lists is the built-in one.
const ALLOWED: &str = "acme_directories = [\"acme.world.example\"]\n";
/// By whom that server is believed; and where the bootstrap puts the join token, which a configuration that is
/// there already says itself.
const AGENT: &str = "\
acme_ca_file = \"/etc/email-engine/acme-ca.pem\"
join_token_file = \"/etc/email-engine/join-token\"
";

/// The machine that names everybody and vouches for them.
#[derive(Debug)]
pub struct Authorities {
    guest: Guest,
    /// By whom the ACME server itself is believed.
    door: String,
    /// Who is believed when its certificates are; known once it is up.
    root: Option<Certificate>,
}

impl Authorities {
    /// Begins to boot.
    pub(super) fn switch_on(base: &Path) -> Self {
        let issued = rcgen::generate_simple_self_signed([ISSUER.to_owned()]);
        let CertifiedKey { cert, signing_key } = issued.unwrap();
        let door = cert.pem();
        let prepare = |root: &Path| {
            for (path, own) in FILES {
                let text = fs::read_to_string(Path::new(OWN).join(own)).unwrap();
                put(root, path, &text, 0o644);
            }
            let key = signing_key.serialize_pem();
            put(root, "etc/pebble/chain.pem", &door, 0o644);
            put(root, "etc/pebble/key.pem", &key, 0o600);
            let units = root.join("etc/systemd/system");
            let wanted = units.join("multi-user.target.wants/pebble.service");
            symlink("/etc/systemd/system/pebble.service", wanted).unwrap();
            // The distribution's own would take every address of the machine for the list.
            symlink("/dev/null", units.join("rbldnsd.socket")).unwrap();
        };
        let addresses = [NAMES.1, LIST_SERVER];
        Self {
            guest: Guest::switch_on(NAMES.0, base, &addresses, NAMES.1, prepare),
            door,
            root: None,
        }
    }

    /// Waits until it is up and issues certificates.
    pub(super) async fn are_up(&mut self) {
        self.guest.is_up("it was switched on").await;
        let door = Certificate::from_pem(self.door.as_bytes()).unwrap();
        let client = client(door, ISSUER, NAMES.1);
        let root = wait_for("the ACME server tells its root", async || {
            let said = |error: reqwest::Error| format!("{error:?}");
            let answer = client.get(ISSUER_ROOT).send().await.map_err(said)?;
            let answer = answer.error_for_status().map_err(said)?;
            answer.bytes().await.map_err(said)
        })
        .await;
        self.root = Some(Certificate::from_pem(&root).unwrap());
    }

    /// Lets a machine ask the lab's ACME server for certificates, once it is a host. It is for whoever has the
    /// machine to say so, before anything else is on it.
    pub(super) fn admit(&self, root: &Path) {
        put(root, "etc/email-engine/acme-ca.pem", &self.door, 0o644);
        put(root, "etc/email-engine/agent.toml", AGENT, 0o644);
        put(root, "etc/email-engine/allow.toml", ALLOWED, 0o644);
    }

    /// The machine.
    #[must_use]
    pub const fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Puts records into their zones, as whoever has the key does. One a line, as in zone files: owner, `IN`,
    /// type and value with tabs between them.
    pub fn publish(&self, records: &str) {
        let output = self.update(&updates(records), &["-k", KEY]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Has updates sent, in the words of `nsupdate`.
    #[must_use]
    pub fn update(&self, updates: &str, options: &[&str]) -> std::process::Output {
        fs::write(self.guest.file(UPDATES), updates).unwrap();
        let words = [&["nsupdate"], options, &[UPDATES]].concat();
        self.guest.try_run(&words).unwrap()
    }

    /// Puts an address on the list of senders that nobody wants mail of.
    pub fn list(&self, address: &str) {
        let file = self.guest.file(LIST_FILE);
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        writeln!(file, "{address}").unwrap();
    }

    /// Somebody who visits a page at this address and believes whoever the ACME server vouches for, and nobody
    /// else.
    #[must_use]
    pub fn visitor(&self, name: &str, address: &str) -> Client {
        let root = self.root.clone();
        client(root.expect("it is up"), name, address)
    }
}

fn client(root: Certificate, name: &str, address: &str) -> Client {
    // Whoever comes first; that somebody did is no fault.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Port 0 is that of the URL.
    let place = SocketAddr::new(address.parse().unwrap(), 0);
    Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .redirect(reqwest::redirect::Policy::none())
        .resolve(name, place)
        .build()
        .unwrap()
}

/// One update after the other, because each is for one zone.
fn updates(records: &str) -> String {
    let mut updates = format!("server {}\n", NAMES.1);
    for line in records.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.splitn(4, '\t').collect();
        let [owner, "IN", kind, value] = parts.as_slice() else {
            panic!("no record: {line}");
        };
        write!(updates, "update add {owner} 60 IN {kind} {value}\nsend\n").unwrap();
    }
    updates
}

fn put(root: &Path, path: &str, text: &str, mode: u32) {
    let file = root.join(path);
    let folder = file.parent().unwrap();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    if !folder.exists() {
        fs::create_dir_all(folder).unwrap();
        set(folder, 0o755);
    }
    fs::write(&file, text).unwrap();
    set(&file, mode);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_zone_file_are_added_one_by_one_with_all_of_their_value() {
        let records = "a.example.com.\tIN\tA\t192.0.2.1\n\
                       a.example.com.\tIN\tTXT\t\"v=spf1\t-all\" \"x\"\n\n";
        let wanted = "server 203.0.113.53\n\
                      update add a.example.com. 60 IN A 192.0.2.1\nsend\n\
                      update add a.example.com. 60 IN TXT \"v=spf1\t-all\" \"x\"\nsend\n";
        assert_eq!(updates(records), wanted);
    }

    #[test]
    #[should_panic(expected = "no record: a.example.com. A")]
    fn what_is_no_record_is_not_sent() {
        let _ = updates("a.example.com. A 192.0.2.1");
    }
}
