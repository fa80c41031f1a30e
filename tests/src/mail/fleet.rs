//! A fleet that sends, with everything around it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::host::{self, Machine};
use super::mailwizz::MailWizz;
use super::names::Names;
use super::powermta::PowerMta;
use super::receiver::Receiver;
use crate::{AgentProcess, Fleet, wait_for};

/// The shipped example: one tenant, five identities.
const EXAMPLE: &str = "../deploy/examples/sos-holidays.toml";
/// What the product is asked for.
const LICENSE: &str = "stand-ins/powermta/packaging/license";
/// The host that sends.
const HOST: &str = "pmta1";
/// Where it takes mail from the fleet.
const ADMIN_ADDRESS: &str = "198.51.100.20";
const SUBMISSION_PORT: u16 = 2_525;
/// Mail exchangers of the world, and of the tenant's own office.
const READERS: (&str, &str) = ("rcpt.example", "203.0.113.25");
const OFFICE: (&str, &str) = ("sos-holidays.com", "203.0.113.26");

/// Somebody who gets mail.
pub const RECIPIENT: &str = "reader@rcpt.example";

/// Every address of these scenarios: identities, hosts, receivers, and a stranger's.
#[must_use]
pub const fn addresses() -> &'static [&'static str] {
    &[
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.5",
        "192.0.2.6",
        "198.51.100.10",
        "198.51.100.11",
        ADMIN_ADDRESS,
        "198.51.100.30",
        READERS.1,
        OFFICE.1,
        "203.0.113.66",
    ]
}

/// The fleet of the shipped example with its agents, name server, PowerMTA and receivers. Only within
/// [`super::alone()`].
#[derive(Debug)]
pub struct MailFleet {
    /// Cluster and agents.
    pub fleet: Fleet,
    /// DNS.
    pub names: Names,
    /// The product on `pmta1`.
    pub powermta: PowerMta,
    /// The application on its hosts.
    pub mailwizz: BTreeMap<String, MailWizz>,
    /// Where mail to recipients arrives.
    pub readers: Receiver,
    /// Where the tenant reads what people write to its senders.
    pub office: Receiver,
    root: PathBuf,
}

impl MailFleet {
    /// The document of the shipped example.
    #[must_use]
    pub fn document() -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE);
        toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// A document with everybody past the warm-up: no rate changes with the day, or holds mail back.
    #[must_use]
    pub fn past_warm_up(mut document: Value) -> Value {
        for ip in document["ips"].as_array_mut().unwrap() {
            ip["status"] = json!("active");
            ip["phase"] = json!("active");
        }
        document
    }

    /// The example past the warm-up, with one identity more: `vmta-mail6` at 192.0.2.6.
    #[must_use]
    pub fn with_a_sixth() -> Value {
        let mut document = Self::past_warm_up(Self::document());
        let mut sixth = document["ips"][4].clone();
        sixth["address"] = json!("192.0.2.6");
        sixth["domain"] = json!("mail6.sos-holidays.com");
        sixth["vmta"] = json!("vmta-mail6");
        document["ips"].as_array_mut().unwrap().push(sixth);
        document
    }

    /// That document with another label of the host that sends.
    #[must_use]
    pub fn labelled(label: &str, value: &str) -> Value {
        let mut document = Self::document();
        let hosts = document["hosts"].as_array_mut().unwrap();
        let host = hosts.iter_mut().find(|host| host["id"] == HOST).unwrap();
        host["labels"][label] = json!(value);
        document
    }

    /// The example, sending.
    pub async fn sending() -> Self {
        Self::of(&Self::document()).await
    }

    /// A document that has grown from the example, sending.
    pub async fn of(document: &Value) -> Self {
        Self::with(document, None).await
    }

    /// The same with an agent that runs the product itself, on a machine of its own. The other hosts have
    /// no agent there: their files are put as the cluster plans them.
    pub async fn on_a_machine(document: &Value) -> Self {
        Self::with(document, Some(host::machine)).await
    }

    async fn with(document: &Value, machine: Option<fn(&Path) -> Command>) -> Self {
        // Few keys ahead of need: each costs as much as everything else here.
        let mut settings = vec![("DKIM_STOCK", "1")];
        settings.extend(machine.map(|_| ("MODE", "real")));
        let mut fleet = Fleet::configured(1, &settings).await;
        fleet.apply(document).await;
        let applications = applications(document);
        let mut hosts = vec![HOST];
        if machine.is_none() {
            hosts.extend(applications.keys().map(String::as_str));
        }
        let root = fleet.host_dir(HOST).join("root");
        if machine.is_some() {
            fs::create_dir_all(root.join("etc/pmta")).unwrap();
            fs::copy(LICENSE, root.join("etc/pmta/license")).unwrap();
        }
        let prepare = |host: &str, agent: &mut AgentProcess| {
            if let (HOST, Some(machine)) = (host, machine) {
                agent.on_machine(machine);
            }
        };
        fleet.start_prepared_agents(&hosts, prepare).await;
        fleet.converged("the document was applied").await;
        if machine.is_some() {
            for application in applications.keys() {
                fleet.vouched_for(&[application]).await;
                put_records(&fleet, application).await;
            }
        }
        let mailwizz = applications
            .into_iter()
            .map(|(host, address)| {
                let root = fleet.host_dir(&host).join("root");
                (host, MailWizz::new(address, root))
            })
            .collect();

        let submission = SocketAddr::new(ADMIN_ADDRESS.parse().unwrap(), SUBMISSION_PORT);
        let log = fleet.dir().join("pmtad.log");
        let mut mail = Self {
            names: names(&fleet).await,
            powermta: PowerMta::new(&root, &log, submission),
            mailwizz,
            readers: Receiver::at(READERS.1).await,
            office: Receiver::at(OFFICE.1).await,
            root,
            fleet,
        };
        if machine.is_none() {
            mail.powermta.start().await;
        }
        mail
    }

    /// The tenant's application.
    #[must_use]
    pub fn mailwizz1(&self) -> &MailWizz {
        &self.mailwizz["mailwizz1"]
    }

    /// Where the fleet submits.
    #[must_use]
    pub fn submission() -> SocketAddr {
        SocketAddr::new(ADMIN_ADDRESS.parse().unwrap(), SUBMISSION_PORT)
    }

    /// From now on mail for a domain goes to the readers.
    pub async fn read_for(&self, domain: &str) {
        self.names.exchanger(domain, READERS.1).await;
    }

    /// The root of the host that sends.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Applies a document and waits until the host's own agent has brought it into force.
    pub async fn change_by_agent(&self, document: &Value) {
        self.fleet.apply_for(HOST, document, false).await;
        self.fleet.converged("a changed document was applied").await;
        self.catch_up().await;
    }

    /// Takes an identity out and waits as long.
    pub async fn take_out(&self, address: &str) {
        self.fleet.take_out(address).await;
        self.fleet
            .host_caught_up(HOST, "an identity was taken out")
            .await;
        self.fleet.converged("an identity was taken out").await;
        self.catch_up().await;
    }

    /// Takes it up again and waits as long.
    pub async fn take_up(&self, address: &str) {
        self.fleet.take_up(address).await;
        self.fleet
            .host_caught_up(HOST, "an identity was taken up again")
            .await;
        self.fleet.converged("an identity was taken up again").await;
        self.catch_up().await;
    }

    /// Where only the host that sends has an agent: everybody else has what the cluster plans now.
    pub async fn catch_up(&self) {
        let domains = self.fleet.api().get("/domains").await.ok();
        self.names.publish(&domains).await;
        for application in self.mailwizz.keys() {
            put_records(&self.fleet, application).await;
        }
    }

    /// The programs of the machine that the host's own agent runs on.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine::at(&self.root)
    }

    /// The agent of the host that sends.
    pub fn agent(&mut self) -> &mut AgentProcess {
        self.fleet.agents.get_mut(HOST).unwrap()
    }

    /// The log of the agent of the host that sends.
    #[must_use]
    pub fn agent_log(&self) -> String {
        fs::read_to_string(self.fleet.agents[HOST].log()).unwrap()
    }

    /// Applies a document and lets PowerMTA take what the agent wrote, as the role's steps do.
    pub async fn change(&self, document: &Value, prune: bool) {
        self.fleet.apply_for(HOST, document, prune).await;
        self.fleet.converged("a changed document was applied").await;
        let domains = self.fleet.api().get("/domains").await.ok();
        self.names.publish(&domains).await;
        self.powermta.take_over();
    }
}

/// MailWizz hosts of a document, with their addresses.
fn applications(document: &Value) -> BTreeMap<String, String> {
    let hosts = document["hosts"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    hosts
        .iter()
        .filter(|host| host["role"] == "mailwizz")
        .map(|host| (text(&host["id"]), text(&host["addresses"][0])))
        .collect()
}

/// What an agent of a host would write there, put in its place.
async fn put_records(fleet: &Fleet, host: &str) {
    let path = format!("/hosts/{host}/config");
    let config = wait_for("the host is planned", async || {
        let answer = fleet.api().try_get(&path).await?;
        let files = answer.body["files"].as_array().cloned();
        files.ok_or_else(|| answer.body.to_string())
    })
    .await;
    for file in config {
        let place = file["path"].as_str().unwrap().trim_start_matches('/');
        let place = fleet.host_dir(host).join("root").join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, file["text"].as_str().unwrap()).unwrap();
    }
}

/// DNS with what the cluster wants published, and the receivers.
async fn names(fleet: &Fleet) -> Names {
    let names = Names::start(&[]).await;
    names.publish(&fleet.api().get("/domains").await.ok()).await;
    for (domain, address) in [READERS, OFFICE] {
        names.exchanger(domain, address).await;
    }
    names
}

/// The sending addresses of a document, by domain.
#[must_use]
pub fn identities(document: &Value) -> BTreeMap<String, IpAddr> {
    let ips = document["ips"].as_array().unwrap();
    ips.iter()
        .map(|ip| {
            let domain = ip["domain"].as_str().unwrap().to_owned();
            (domain, ip["address"].as_str().unwrap().parse().unwrap())
        })
        .collect()
}
