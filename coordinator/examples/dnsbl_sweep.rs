//! Carries out one sweep, as a node does, and prints what came of it; the worker of `tests/benches/b8-dnsbl`.
//!
//! `cargo run --release --example dnsbl_sweep -- LISTS.toml RESOLVER:PORT ADDRESSES LISTED IN_FLIGHT`
//!
//! ADDRESSES and LISTED are files of one address a line: who is asked about, and who of them is listed on
//! every list. One JSON line is printed. `dnsbl_sweep relay LISTEN UPSTREAM RTT_MS LOSS_PERMILLE SLOW SLOW_MS`
//! carries packets like a bad network instead, and answers of the list named SLOW later.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_coordinator::dnsbl::query::{Door, Subject};
use email_engine_coordinator::dnsbl::registry::Registry;
use email_engine_coordinator::dnsbl::sweep::{Errand, Findings, Manner, drive};
use email_engine_coordinator::dnsbl::verdict::Verdict;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [word, listen, upstream, rtt, loss, slow, slow_by] if word == "relay" => {
            let network = Network {
                upstream: upstream.parse()?,
                one_way: Duration::from_millis(rtt.parse::<u64>()? / 2),
                lost_of_1000: loss.parse()?,
                slow: [&[u8::try_from(slow.len())?][..], slow.as_bytes()].concat(),
                slow_by: Duration::from_millis(slow_by.parse()?),
            };
            relay(listen.parse()?, network).await
        }
        [lists, resolver, addresses, listed, in_flight] => {
            let registry = Registry::parse(&std::fs::read_to_string(lists)?)?;
            let addresses = read(addresses)?;
            let listed: BTreeSet<IpAddr> = read(listed)?.into_iter().collect();
            let in_flight = in_flight.parse()?;
            sweep(&registry, resolver.parse()?, &addresses, &listed, in_flight).await
        }
        _ => Err("see the head of examples/dnsbl_sweep.rs".into()),
    }
}

fn read(path: &str) -> Outcome<Vec<IpAddr>> {
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| Ok(line.parse()?)).collect()
}

async fn sweep(
    registry: &Registry,
    resolver: SocketAddr,
    addresses: &[IpAddr],
    listed: &BTreeSet<IpAddr>,
    in_flight: usize,
) -> Outcome<()> {
    let mut errands = Vec::new();
    for zone in registry.zones() {
        let subjects = addresses.iter().copied().map(Subject::Address);
        errands.push(Errand::new(Door::open(zone, None, true)?, subjects));
    }
    let manner = Manner {
        in_flight,
        ..Manner::default()
    };
    let began = Instant::now();
    let findings = drive(registry, errands, resolver, manner).await?;
    let took = began.elapsed();
    let (wrong, unknown) = judge(&findings, listed);
    let lists = findings
        .iter()
        .map(|one| (one.list.to_string(), json!(one.took.as_secs_f64())));
    let report = json!({
        "seconds": took.as_secs_f64(),
        "asked": findings.iter().map(|one| one.asked).sum::<u64>(),
        "repeated": findings.iter().map(|one| one.repeated).sum::<u64>(),
        "wrong": wrong,
        "unknown": unknown,
        "lists": lists.collect::<serde_json::Map<_, _>>(),
    });
    println!("{report}");
    Ok(())
}

/// Verdicts that are not what the lists say, and those that are none.
fn judge(findings: &[Findings], listed: &BTreeSet<IpAddr>) -> (usize, usize) {
    let (mut wrong, mut unknown) = (0, 0);
    for found in findings.iter().flat_map(|one| &one.found) {
        let Subject::Address(address) = found.subject else {
            continue;
        };
        match &found.verdict {
            Verdict::Unknown(_) => unknown += 1,
            Verdict::Listed(_) if listed.contains(&address) && found.reason.is_some() => {}
            Verdict::Clean if !listed.contains(&address) => {}
            Verdict::Listed(_) | Verdict::Clean => wrong += 1,
        }
    }
    (wrong, unknown)
}

/// What is wrong with the way to the server.
#[derive(Clone)]
struct Network {
    upstream: SocketAddr,
    one_way: Duration,
    lost_of_1000: u16,
    /// The label of the slow list as it stands in a packet.
    slow: Vec<u8>,
    slow_by: Duration,
}

impl Network {
    /// When a packet arrives; never, when it is lost on the way.
    fn arrival(&self, packet: &[u8], is_answer: bool) -> Option<Instant> {
        let mut drawn = [0; 2];
        SystemRandom::new().fill(&mut drawn).ok()?;
        if u16::from_be_bytes(drawn) % 1_000 < self.lost_of_1000 {
            return None;
        }
        let is_slow = is_answer
            && packet
                .windows(self.slow.len())
                .any(|window| window.eq_ignore_ascii_case(&self.slow));
        let late = if is_slow {
            self.slow_by
        } else {
            Duration::ZERO
        };
        Some(Instant::now() + self.one_way + late)
    }
}

/// A socket that holds what a bad network has on the way: the relay loses what it is told to lose, and nothing
/// else.
async fn bound(address: SocketAddr) -> Outcome<UdpSocket> {
    const BUFFER: usize = 4 << 20;
    let socket = UdpSocket::bind(address).await?;
    set_socket_recv_buffer_size(&socket, BUFFER)?;
    set_socket_send_buffer_size(&socket, BUFFER)?;
    Ok(socket)
}

async fn relay(listen: SocketAddr, network: Network) -> Outcome<()> {
    let front = Arc::new(bound(listen).await?);
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut packet = [0; 4_096];
    loop {
        let (length, client) = front.recv_from(&mut packet).await?;
        let way = match ways.get(&client) {
            Some(way) => Arc::clone(way),
            None => {
                let way = Arc::new(bound(([127, 0, 0, 1], 0).into()).await?);
                way.connect(network.upstream).await?;
                tokio::spawn(back(
                    Arc::clone(&front),
                    Arc::clone(&way),
                    client,
                    network.clone(),
                ));
                ways.insert(client, Arc::clone(&way));
                way
            }
        };
        if let Some(at) = network.arrival(&packet[..length], false) {
            let bytes = packet[..length].to_vec();
            tokio::spawn(async move {
                sleep_until(at.into()).await;
                let _ = way.send(&bytes).await;
            });
        }
    }
}

async fn back(front: Arc<UdpSocket>, way: Arc<UdpSocket>, client: SocketAddr, network: Network) {
    let mut packet = [0; 4_096];
    while let Ok(length) = way.recv(&mut packet).await {
        if let Some(at) = network.arrival(&packet[..length], true) {
            let (front, bytes) = (Arc::clone(&front), packet[..length].to_vec());
            tokio::spawn(async move {
                sleep_until(at.into()).await;
                let _ = front.send_to(&bytes, client).await;
            });
        }
    }
}
