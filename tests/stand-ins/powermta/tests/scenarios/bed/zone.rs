//! An authoritative DNS server for whatever a test puts into it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::rr::rdata::{A, MX, SOA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

/// The server and its records.
pub(crate) struct Zone {
    handler: Arc<InMemoryZoneHandler<TokioRuntimeProvider>>,
    pub(crate) address: SocketAddr,
    runtime: Runtime,
}

fn name(text: &str) -> Name {
    Name::from_str(&format!("{}.", text.trim_end_matches('.'))).unwrap()
}

/// One port that is free under both protocols.
async fn both(host: Ipv4Addr) -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind((host, 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (tcp, udp);
        }
    }
}

impl Zone {
    pub(crate) fn new(host: Ipv4Addr) -> Self {
        let runtime = Runtime::new().unwrap();
        let handler = Arc::new(InMemoryZoneHandler::empty(
            Name::root(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        ));
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&Name::root()), vec![handler.clone()]);
        let address = runtime.block_on(async {
            let (tcp, udp) = both(host).await;
            let address = udp.local_addr().unwrap();
            let mut server = Server::new(catalog);
            server.register_socket(udp);
            server.register_listener(tcp, Duration::from_secs(10), 64 * 1_024);
            tokio::spawn(async move { server.block_until_done().await });
            address
        });
        let zone = Self {
            handler,
            address,
            runtime,
        };
        let soa = SOA::new(Name::root(), Name::root(), 1, 3_600, 600, 86_400, 60);
        zone.add("", RData::SOA(soa));
        zone
    }

    fn add(&self, owner: &str, data: RData) {
        let record = Record::from_rdata(name(owner), 60, data);
        self.runtime.block_on(self.handler.upsert(record, 1));
    }

    pub(crate) fn host(&self, owner: &str, address: &str) {
        self.add(owner, RData::A(A::from_str(address).unwrap()));
    }

    pub(crate) fn exchanger(&self, domain: &str, preference: u16, host: &str) {
        self.add(domain, RData::MX(MX::new(preference, name(host))));
    }

    /// A text of any length; DNS has it in pieces.
    pub(crate) fn text(&self, owner: &str, text: &str) {
        let pieces = text.as_bytes().chunks(200);
        let pieces = pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap());
        self.add(owner, RData::TXT(TXT::new(pieces.collect())));
    }

    /// Runs something that asks names of this server.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}
