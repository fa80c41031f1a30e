//! The only name server of a scenario's network: authoritative for whatever is put into it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::rr::rdata::{A, MX, PTR, SOA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use serde_json::Value;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// Where it answers on the scenario's own host, on port 53.
pub(super) const ADDRESS: &str = "127.0.0.1";

/// The server and its records.
pub struct Names {
    zone: Arc<InMemoryZoneHandler<TokioRuntimeProvider>>,
    server: JoinHandle<()>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// Answers on the loopback and at these addresses.
    pub async fn start(addresses: &[&str]) -> Self {
        let zone = Arc::new(InMemoryZoneHandler::empty(
            Name::root(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        ));
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&Name::root()), vec![zone.clone()]);
        let mut server = Server::new(catalog);
        for address in [ADDRESS].iter().chain(addresses) {
            server.register_socket(UdpSocket::bind((*address, 53)).await.unwrap());
            let tcp = TcpListener::bind((*address, 53)).await.unwrap();
            server.register_listener(tcp, Duration::from_secs(10), 64 * 1_024);
        }
        let names = Self {
            zone,
            server: tokio::spawn(async move { server.block_until_done().await.unwrap() }),
        };
        let soa = SOA::new(Name::root(), Name::root(), 1, 3_600, 600, 86_400, 60);
        names.put("", RData::SOA(soa)).await;
        names
    }

    /// Puts one record in, with its data in presentation form.
    pub async fn add(&self, owner: &str, kind: &str, value: &str) {
        let data = match kind {
            "A" => RData::A(A::from_str(value).unwrap()),
            "MX" => {
                let (preference, host) = value.split_once(' ').unwrap();
                RData::MX(MX::new(preference.parse().unwrap(), name(host)))
            }
            "PTR" => RData::PTR(PTR(name(value))),
            "TXT" => RData::TXT(TXT::new(strings(value))),
            other => panic!("a record of type {other} for {owner}"),
        };
        self.put(owner, data).await;
    }

    /// Publishes what the cluster says that its domains need (`GET /domains`).
    pub async fn publish(&self, domains: &Value) {
        let domains = domains.as_array().unwrap();
        let records = domains
            .iter()
            .flat_map(|domain| domain["records"].as_array().unwrap());
        for record in records {
            let text = |field: &str| record[field].as_str().unwrap();
            self.add(text("name"), text("kind"), text("value")).await;
        }
    }

    /// Publishes the DKIM records that the cluster wants now, and no other: one that it does not name any
    /// more is gone, and one that it names otherwise has no other text.
    pub async fn publish_keys(&self, domains: &Value) {
        let is_key = |owner: &str| owner.contains("._domainkey.");
        self.zone
            .records_mut()
            .await
            .retain(|key, _| !is_key(&key.name().to_string()));
        let domains = domains.as_array().unwrap();
        let records = domains
            .iter()
            .flat_map(|domain| domain["records"].as_array().unwrap());
        for record in records {
            let text = |field: &str| record[field].as_str().unwrap();
            if is_key(text("name")) {
                self.add(text("name"), text("kind"), text("value")).await;
            }
        }
    }

    /// Says that mail for a domain goes to an address.
    pub async fn exchanger(&self, domain: &str, address: &str) {
        let host = format!("mx.{domain}");
        self.add(domain, "MX", &format!("10 {host}.")).await;
        self.add(&host, "A", address).await;
    }

    async fn put(&self, owner: &str, data: RData) {
        let record = Record::from_rdata(name(owner), 60, data);
        self.zone.upsert(record, 1).await;
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn name(text: &str) -> Name {
    Name::from_str(&format!("{}.", text.trim_end_matches('.'))).unwrap()
}

/// `"one" "two"`, as in a zone file.
fn strings(value: &str) -> Vec<String> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.unwrap_or_else(|| panic!("text without quotes: {value}"));
    inner.split("\" \"").map(str::to_owned).collect()
}
