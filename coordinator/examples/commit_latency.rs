//! Measures how long a commit takes on three nodes over QUIC with every log flushed, against one
//! plain `fdatasync` of 256 bytes on the same disk.
//!
//! `cargo run --release --example commit_latency [FOLDER]`

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_coordinator::command::{Command, Proposal, RevokeToken};
use email_engine_coordinator::pki::{NodeIdentity, node_dns_name, node_uri};
use email_engine_coordinator::raft::{self, Cluster, RaftConfig, system_clock};
use email_engine_protocol::id::{ClusterId, NodeId, RequestId, TokenId};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

const CLUSTER: ClusterId = ClusterId([1; 16]);
const WRITES: usize = 500;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Authority = CertifiedIssuer<'static, KeyPair>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = match std::env::args().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    print("fdatasync of 256 bytes", &mut flushes(folder.path())?);
    let nodes = cluster(folder.path()).await?;
    let mut alone = Vec::new();
    for write in 0..WRITES {
        alone.push(commit(&nodes[0], &format!("alone-{write}")).await?);
    }
    print("commit, 1 writer on the leader", &mut alone);
    let mut forwarded = Vec::new();
    for write in 0..WRITES {
        forwarded.push(commit(&nodes[1], &format!("forwarded-{write}")).await?);
    }
    print("commit, 1 writer on a follower", &mut forwarded);
    crowd(&nodes[0]).await?;
    for node in &nodes {
        node.shutdown().await;
    }
    Ok(())
}

async fn crowd(leader: &Cluster) -> Outcome<()> {
    let (began, before) = (Instant::now(), leader.flushes());
    let writers = (0..64).map(|writer| {
        let leader = leader.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for write in 0..WRITES / 5 {
                taken.push(commit(&leader, &format!("w{writer}-{write}")).await?);
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(taken)
        })
    });
    let mut all = Vec::new();
    for writer in futures::future::join_all(writers).await {
        all.extend(writer??);
    }
    let rate = all.len() as f64 / began.elapsed().as_secs_f64();
    print("commit, 64 writers on the leader", &mut all);
    let flushes = leader.flushes() - before;
    println!("  {rate:.0} commits/s, {flushes} flushes on the leader");
    Ok(())
}

fn flushes(folder: &Path) -> Outcome<Vec<Duration>> {
    let mut file = File::create(folder.join("plain"))?;
    let mut taken = Vec::new();
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[7; 256])?;
        file.sync_data()?;
        taken.push(began.elapsed());
    }
    Ok(taken)
}

async fn commit(node: &Cluster, request: &str) -> Outcome<Duration> {
    // Refused by the rules, and committed all the same: what is measured is the log.
    let id = TokenId::new("nobody")?;
    let proposal = Proposal {
        actor: "key bench".into(),
        request: RequestId::new(request)?,
        reason: "measuring".into(),
        now: system_clock()(),
        override_clock: false,
        command: Command::RevokeToken(RevokeToken { id }),
    };
    let began = Instant::now();
    // The answer is a refusal; that it came is what counts.
    let _ = node.propose(proposal).await?;
    Ok(began.elapsed())
}

async fn cluster(folder: &Path) -> Outcome<Vec<Cluster>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let identity = Arc::new(identity(&authority, NodeId(node))?);
        let (_, identity) = watch::channel(identity);
        let data_dir = folder.join(node.to_string());
        let config = RaftConfig::new(NodeId(node), CLUSTER, data_dir, socket, identity);
        nodes.push(raft::start(config).await?);
    }
    nodes[0]
        .initialize(nodes[0].local_addr()?.to_string())
        .await?;
    for node in &nodes[1..] {
        let endpoint = node.local_addr()?.to_string();
        nodes[0].add_learner(node.node(), endpoint).await?;
        nodes[0].promote(node.node()).await?;
    }
    let voters: BTreeSet<NodeId> = nodes[0].status().voters.into_iter().collect();
    assert_eq!(voters.len(), 3);
    Ok(nodes)
}

fn identity(authority: &Authority, node: NodeId) -> Outcome<NodeIdentity> {
    let mut params = CertificateParams::new(vec![node_dns_name(CLUSTER, node)])?;
    let uri = node_uri(CLUSTER, node).try_into()?;
    params.subject_alt_names.push(SanType::URI(uri));
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, authority)?;
    Ok(NodeIdentity {
        cluster: CLUSTER,
        node,
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der())?,
        root: CertificateDer::from(authority.der().to_vec()),
    })
}

fn print(what: &str, taken: &mut [Duration]) {
    taken.sort_unstable();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        at(50),
        at(99),
        at(100)
    );
}
