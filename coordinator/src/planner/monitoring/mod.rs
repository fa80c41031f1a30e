//! Whom the Prometheus of an API host reads, as templates see it.
//!
//! The whole fleet, where one tenant has it all or the host is nobody's alone; else what is the host's
//! tenant's own. The label `monitors` says otherwise: `fleet` or `own`.

use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use email_engine_protocol::api::MemberRole;
use serde::Serialize;

use super::routes;
use crate::state::{FleetState, Host, HostSecret, SecretOf};

/// What has an exporter of a machine's own figures.
const EXPORTER: &str = "prometheus-node-exporter";
/// Where that listens.
const PORT: u16 = 9100;

/// What is read.
#[derive(Debug, Serialize)]
pub(super) struct MonitoringValues {
    /// All of it.
    fleet: bool,
    /// There is a key to read nodes by.
    key: bool,
    hosts: Vec<Watched>,
    nodes: Vec<Member>,
    /// Who vouches for nodes, in PEM.
    authority: String,
}

/// A host with an exporter.
#[derive(Debug, Serialize)]
struct Watched {
    id: String,
    role: String,
    /// Empty of a host that is nobody's alone.
    tenant: String,
    target: SocketAddr,
}

/// A node of the cluster.
#[derive(Debug, Serialize)]
struct Member {
    id: String,
    target: String,
}

impl MonitoringValues {
    pub(super) fn of(state: &FleetState, host: &Host) -> Self {
        let fleet = state.watches_fleet(host);
        let hosts = state.hosts.values().filter(|other| {
            let is_ours = other.spec.tenant.is_some() && other.spec.tenant == host.spec.tenant;
            routes::works(other) && (fleet || is_ours || other.spec.id == host.spec.id)
        });
        let watched = |other: &Host| {
            Some(Watched {
                id: other.spec.id.to_string(),
                role: other.spec.role.to_string(),
                tenant: other
                    .spec
                    .tenant
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
                target: exporter(state, other)?,
            })
        };
        let nodes = state.nodes.values().filter(|_| fleet);
        let nodes = nodes.filter(|node| node.role != MemberRole::Removed);
        let root = state
            .cluster
            .as_ref()
            .map(|cluster| cluster.root.as_slice());
        let key = SecretOf::Host(host.spec.id.clone(), HostSecret::MetricsKey);
        Self {
            fleet,
            key: state.secrets.contains_key(&key.id()),
            hosts: hosts.filter_map(watched).collect(),
            nodes: nodes
                .map(|node| Member {
                    id: node.id.to_string(),
                    target: node.api_endpoint.to_string(),
                })
                .collect(),
            authority: root.map_or_else(String::new, pem),
        }
    }
}

/// Where a host's exporter listens: at the address that the fleet reaches it by, where its role has one.
pub(super) fn exporter(state: &FleetState, host: &Host) -> Option<SocketAddr> {
    let bundle = state.bundles.get(&host.release.bundle)?;
    let is_there = bundle.installs(&host.spec, |part| part.is_for(state, host), EXPORTER);
    let admin = routes::admin_address(host).ok().map(IpAddr::from);
    let address = admin.or_else(|| host.spec.addresses.first().copied());
    address
        .filter(|_| is_there)
        .map(|address| SocketAddr::new(address, PORT))
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}
