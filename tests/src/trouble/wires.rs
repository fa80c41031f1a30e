//! The wires between the Raft end points of a cluster's nodes. Every datagram passes a relay in front
//! of the node that was dialled; the relay knows the sender by its address, so that a wire can be cut
//! in one direction, in the middle of a connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::NodeProcess;

/// Largest datagram.
const DATAGRAM: usize = 65_535;
/// Nodes listen on this port and the next ones, on an address of this test alone.
const NODES_FROM: u16 = 7_000;
/// Relays listen on this port and the next ones.
const RELAYS_FROM: u16 = 8_000;
/// Ports of one cluster.
const PORTS: u16 = 16;

/// Clusters of this process, so that no two share a port.
static CLUSTERS: AtomicU16 = AtomicU16::new(0);

/// A pair of nodes, in the direction of what is sent.
type Direction = (u64, u64);

/// All wires of a cluster.
#[derive(Debug)]
pub struct Wires {
    offset: u16,
    cut: Arc<Mutex<BTreeSet<Direction>>>,
    relays: Vec<JoinHandle<()>>,
}

impl Wires {
    /// Wires that are whole, for as many nodes.
    pub async fn new(nodes: u64) -> Self {
        let mut wires = Self {
            offset: CLUSTERS.fetch_add(1, Ordering::Relaxed) * PORTS,
            cut: Arc::default(),
            relays: Vec::new(),
        };
        for node in 1..=nodes {
            let front = UdpSocket::bind(wires.relay(node)).await.unwrap();
            let relay = Relay {
                node,
                offset: wires.offset,
                target: wires.node(node),
                cut: Arc::clone(&wires.cut),
            };
            wires.relays.push(tokio::spawn(relay.run(front, nodes)));
        }
        wires
    }

    /// Puts a node behind its relay. Before its first start.
    pub fn connect(&self, number: u64, node: &mut NodeProcess) {
        node.set("RAFT_LISTEN", &self.node(number).to_string());
        node.set("ADVERTISE_RAFT", &self.relay(number).to_string());
    }

    /// Nothing that `from` sends reaches `to` any more.
    pub fn cut(&self, from: u64, to: u64) {
        self.lock().insert((from, to));
    }

    /// Nothing passes between the two any more.
    pub fn cut_both(&self, one: u64, other: u64) {
        self.lock().extend([(one, other), (other, one)]);
    }

    /// Makes all wires whole.
    pub fn heal(&self) {
        self.lock().clear();
    }

    fn node(&self, number: u64) -> SocketAddr {
        address(NODES_FROM + self.offset, number)
    }

    fn relay(&self, number: u64) -> SocketAddr {
        address(RELAYS_FROM + self.offset, number)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Direction>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        for relay in &self.relays {
            relay.abort();
        }
    }
}

/// A loopback address that no other process uses: it has this process's number in it.
fn address(from: u16, number: u64) -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let port = from + u16::try_from(number).unwrap();
    // 127.0.x.x is where everybody else listens.
    SocketAddr::from(([127, (high & 0x7f) + 1, middle, low], port))
}

/// Stands in front of one node.
struct Relay {
    node: u64,
    offset: u16,
    target: SocketAddr,
    cut: Arc<Mutex<BTreeSet<Direction>>>,
}

impl Relay {
    async fn run(self, front: UdpSocket, nodes: u64) {
        let (relay, front) = (Arc::new(self), Arc::new(front));
        let mut backs: Vec<(SocketAddr, u64, Arc<UdpSocket>)> = Vec::new();
        let mut answers = tokio::task::JoinSet::new();
        for sender in 1..=nodes {
            // A socket for each sender: the answer tells by it whom it is for.
            let back = Arc::new(UdpSocket::bind((relay.target.ip(), 0)).await.unwrap());
            back.connect(relay.target).await.unwrap();
            let to = address(NODES_FROM + relay.offset, sender);
            backs.push((to, sender, Arc::clone(&back)));
            answers.spawn(Arc::clone(&relay).answer(back, Arc::clone(&front), to, sender));
        }
        let mut datagram = vec![0; DATAGRAM];
        loop {
            // An error tells of an earlier datagram to a node that is down.
            let Ok((length, from)) = front.recv_from(&mut datagram).await else {
                continue;
            };
            let known = backs.iter().find(|(sender, ..)| *sender == from);
            if let Some((_, sender, back)) = known
                && !relay.is_cut(*sender, relay.node)
            {
                let _ = back.send(&datagram[..length]).await;
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        back: Arc<UdpSocket>,
        front: Arc<UdpSocket>,
        to: SocketAddr,
        sender: u64,
    ) {
        let mut datagram = vec![0; DATAGRAM];
        loop {
            if let Ok(length) = back.recv(&mut datagram).await
                && !self.is_cut(self.node, sender)
            {
                let _ = front.send_to(&datagram[..length], to).await;
            }
        }
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.contains(&(from, to))
    }
}
