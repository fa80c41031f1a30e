//! The whole lab: six machines as they are rented, and the world around them.
//!
//! Three become the cluster's nodes, one each a host for MailWizz, PowerMTA and the API. They are plugged
//! to one switch, with a seventh that names everybody ([`Authorities`]) and the receiver of all mail, which is
//! the scenario's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::release::{self, succeeds};
use super::{Authorities, Guest, NAMES, api, ground, names, sender, web};
use crate::mail::Receiver;
use crate::{Api, Operator, has_converged, wait_for};

/// Nodes of the cluster, with their addresses.
pub const NODES: [(&str, &str); 3] = [
    ("node1", "203.0.113.1"),
    ("node2", "203.0.113.2"),
    ("node3", "203.0.113.3"),
];
/// The host of the application, and its address.
pub const MAILWIZZ: (&str, &str) = ("mailwizz1", "198.51.100.10");
/// The host that sends, and its address.
pub const POWERMTA: (&str, &str) = ("pmta1", "198.51.100.20");
/// The host of the API, and its address.
pub const API: (&str, &str) = ("api1", "198.51.100.30");
/// Addresses that mail is sent from: `192.0.2.1` and on, whose packets the provider brings to
/// [`POWERMTA`].
pub const IDENTITIES: u8 = 20;

const READERS: &str = "203.0.113.25";
const OPERATOR: &str = "203.0.113.100";
/// What is not a guest's.
pub const WORLD: [&str; 2] = [READERS, OPERATOR];

/// Where programs and tokens lie on a machine before it is anything.
const FOLDER: &str = "/opt/email-engine";
/// Where `deploy` writes the records for the operator, in the operator's folder.
const RECORDS: &str = "email-engine-deploy/dns-records.txt";

/// The lab. Only within [`crate::mail::alone`], with [`WORLD`].
#[derive(Debug)]
pub struct World {
    /// Names and certificates.
    pub authorities: Authorities,
    /// Where all mail of the world arrives.
    pub readers: Receiver,
    guests: BTreeMap<&'static str, Guest>,
    founded: Option<(Operator, Api)>,
    folder: TempDir,
}

impl World {
    /// The fleet file of the lab.
    pub const FLEET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/fleet.toml");

    /// Six machines with nothing on them but their distribution; the packages that hosts install are in
    /// its store already. Nothing, said loudly, where there can be none.
    pub async fn bare() -> Option<Self> {
        let base = ground()?;
        let roles = [(POWERMTA, sender()?), (MAILWIZZ, web()?), (API, api()?)];
        let mut authorities = Authorities::switch_on(&names()?);
        let mut guests = BTreeMap::new();
        for (name, address) in NODES {
            let guest = Guest::switch_on(name, &base, &[address], NAMES.1, |_| ());
            guests.insert(name, guest);
        }
        for ((name, address), base) in &roles {
            // Nothing of ours is there yet but the word of whoever has the machine.
            let prepare = |root: &Path| authorities.admit(root);
            let guest = Guest::switch_on(name, base, &[*address], NAMES.1, prepare);
            guests.insert(*name, guest);
        }
        authorities.are_up().await;
        for guest in guests.values() {
            guest.is_up("it was switched on").await;
        }
        let sending: Vec<String> = (1..=IDENTITIES).map(|n| format!("192.0.2.{n}")).collect();
        let sending: Vec<&str> = sending.iter().map(String::as_str).collect();
        guests[POWERMTA.0].route(&sending);

        let world = Self {
            authorities,
            readers: Receiver::at(READERS).await,
            guests,
            founded: None,
            folder: TempDir::new().unwrap(),
        };
        fs::create_dir(world.doors()).unwrap();
        for (name, guest) in world.guests() {
            guest.write_door(&world.doors().join(name));
        }
        Some(world)
    }

    /// One of the six.
    #[must_use]
    pub fn guest(&self, name: &str) -> &Guest {
        &self.guests[name]
    }

    /// All six and the seventh, by name.
    pub fn guests(&self) -> impl Iterator<Item = (&'static str, &Guest)> {
        let six = self.guests.iter().map(|(name, guest)| (*name, guest));
        six.chain([(NAMES.0, self.authorities.guest())])
    }

    /// Programs that run words on a machine, as [`Guest::write_door`] says; called after the machine.
    #[must_use]
    pub fn doors(&self) -> PathBuf {
        self.folder.path().join("doors")
    }

    /// What is in [`Self::FLEET`].
    #[must_use]
    pub fn document() -> Value {
        toml::from_str(&fs::read_to_string(Self::FLEET).unwrap()).unwrap()
    }

    /// Whoever operates the cluster.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.founded.as_ref().unwrap().0
    }

    /// The cluster's own door.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.founded.as_ref().unwrap().1
    }

    /// Makes a cluster of the three machines that are for it, as their operator does: one run on each.
    pub async fn found(&mut self) {
        let programs = ["email-engine-bootstrap", "email-engine-coordinator"];
        for (node, _) in NODES {
            self.bring(node, &programs);
        }
        let said = self.bootstrap(NODES[0].0, &["coordinator", "--init", "--json"]);
        let mut lines = said.lines().map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event
        });
        let keys = lines.find(|event| event["event"] == "founded").unwrap();
        let text = |name: &str| keys[name].as_str().unwrap();
        let (ca_pem, key) = (text("ca_pem"), text("admin_key"));
        let urls: Vec<String> = NODES
            .iter()
            .map(|(_, address)| format!("https://{address}:7443"))
            .collect();
        let api = Api::new(ca_pem, urls.clone(), Some(key));
        let folder = self.folder.path().join("operator");
        let operator = Operator::of_cluster(folder, "admin", ca_pem, urls, key);
        self.founded = Some((operator, api));
        self.members(1).await;
        for (count, (node, _)) in NODES.iter().enumerate().skip(1) {
            self.join(node).await;
            self.members(count + 1).await;
        }
    }

    async fn join(&self, node: &str) {
        let file = format!("{node}.token");
        let operator = self.operator();
        let _ = operator.prints(0, &["cluster", "add", "--out", &file]);
        let token = fs::read(operator.folder().join(&file)).unwrap();
        let place = self.guest(node).file(&format!("{FOLDER}/token"));
        fs::write(&place, token).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&place, mode).unwrap();
        let token = format!("{FOLDER}/token");
        let _ = self.bootstrap(node, &["coordinator", "--join-file", &token, "--json"]);
    }

    /// As many voters as there shall be by now; whoever caught up is made one.
    async fn members(&self, count: usize) {
        wait_for("the cluster has its voters", async || {
            let cluster = self.api().try_get("/cluster").await?.body;
            let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
            let (voters, others): (Vec<&Value>, Vec<&Value>) =
                nodes.iter().partition(|node| node["role"] == "voter");
            if voters.len() == count {
                return Ok(());
            }
            for learner in others {
                let path = format!("/cluster/nodes/{}/promote", learner["id"]);
                let _ = self.api().post(&path, &json!({})).await;
            }
            Err(cluster.to_string())
        })
        .await;
    }

    /// Puts programs of this build on a machine, as a download does.
    pub fn bring(&self, name: &str, programs: &[&str]) {
        let folder = self.guest(name).file(FOLDER);
        fs::create_dir_all(&folder).unwrap();
        let release = release::programs(self.folder.path());
        for program in programs {
            fs::copy(release.join(program), folder.join(program)).unwrap();
        }
    }

    fn bootstrap(&self, name: &str, words: &[&str]) -> String {
        let program = format!("{FOLDER}/email-engine-bootstrap");
        self.guest(name).run(&[&[program.as_str()], words].concat())
    }

    /// Runs the operator's `deploy` of a fleet file, with all that it asks for.
    pub async fn deploy(&self, file: &str) -> Output {
        let via = format!("{}/{{host}}", self.doors().display());
        let programs = release::programs(self.folder.path());
        let programs = programs.display().to_string();
        let artifacts = release::artifacts(self.operator().folder());
        let artifacts = artifacts.iter().flat_map(|one| ["--artifact", one]);
        let call = ["deploy", "-f", file, "--via", &via, "--yes"];
        // Another's product, which can be had from its maker only.
        let more = ["--without", "grafana", "--programs", &programs];
        let call = call.into_iter().chain(more);
        let words: Vec<&str> = call.chain(artifacts).collect();
        let mut command = tokio::process::Command::from(self.operator().command(&words));
        command.kill_on_drop(true).output().await.unwrap()
    }

    /// Lets nothing pass between a machine and the nodes of the cluster; everybody else hears it as before.
    pub fn partition(&self, machine: (&str, &str)) {
        let nodes = NODES.map(|(_, address)| address).join(", ");
        let rules = format!(
            "table bridge lab {{\nchain between {{\ntype filter hook forward priority 0; policy accept;\n\
             ip saddr {0} ip daddr {{ {nodes} }} drop\nip daddr {0} ip saddr {{ {nodes} }} drop\n}}\n}}\n",
            machine.1
        );
        let file = self.folder.path().join("partition.nft");
        fs::write(&file, rules).unwrap();
        succeeds(Command::new("nft").arg("-f").arg(file));
    }

    /// Ends what [`Self::partition`] began.
    pub fn heal(&self) {
        succeeds(Command::new("nft").args(["delete", "table", "bridge", "lab"]));
    }

    /// Waits until the cluster says of all hosts that they are what they shall be.
    pub async fn converged(&self, why: &str) {
        wait_for(&format!("all hosts are as declared: {why}"), async || {
            for (host, _) in [POWERMTA, MAILWIZZ, API] {
                let view = self.api().try_get(&format!("/hosts/{host}")).await?.body;
                if !has_converged(&view) {
                    return Err(view.to_string());
                }
            }
            Ok(())
        })
        .await;
    }

    /// Publishes the records that [`Self::deploy`] wrote out for the operator.
    pub fn publish(&self) {
        let records = fs::read_to_string(self.operator().folder().join(RECORDS)).unwrap();
        self.authorities.publish(&records);
    }
}
