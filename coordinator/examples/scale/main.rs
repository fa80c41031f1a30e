//! What a fleet of 100,000 identities costs one node: memory, adding, counting, a day's judgement, choosing,
//! and a copy of everything.
//!
//! `cargo run --release --example scale [IDENTITIES] [FOLDER]`
//! `cargo run --release --example scale fill DATA_FOLDER [IDENTITIES [OF_EACH_HOST]]`
//!
//! The second adds such a fleet to a founded cluster of one node that is stopped, for `large_fleet` of the
//! tests' examples.
//!
//! A real node with a real store, alone in its cluster. DKIM keys are of the right size and no keys: making
//! 100,000 takes an hour and is not what is measured. Figures are of this machine; what they show is whether
//! a part grows faster than the fleet: the last thousand should cost what the first did.

mod fleet;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, UdpSocket};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use email_engine_coordinator::command::{
    AddHost, AddIdentity, Batch, Command, CreateTenant, Proposal, PutBundle, PutSettings,
    RecordStatistics, StockKeys, TickWarmup, Ticked,
};
use email_engine_coordinator::fleet::check_before_planning;
use email_engine_coordinator::fleet::selection::{Rotation, Used, candidates};
use email_engine_coordinator::fleet::warmup::{Facts, WINDOW_DAYS, day_of, judge, settings_of};
use email_engine_coordinator::pki::{NodeIdentity, node_dns_name, node_uri};
use email_engine_coordinator::planner::{Affected, affected, builtin_bundle, plan};
use email_engine_coordinator::raft::{self, Cluster, RaftConfig, system_clock};
use email_engine_coordinator::run::place::Place;
use email_engine_coordinator::state::{FleetState, Span, Subject};
use email_engine_protocol::api::{Purpose, Rotation as Mode, Settings};
use email_engine_protocol::id::{ClusterId, NodeId, RequestId};
use email_engine_protocol::time::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use fleet::{address, counted, found, host, identity, key, tenant};

const CLUSTER: ClusterId = ClusterId([1; 16]);
/// Identities of one host, and of one tenant, unless it is said.
const GROUP: u32 = 1_000;
/// Steps that an operator is told of, in one command: as the task that judges has it.
const NEWS: usize = 12;
/// Mails of an identity, day and group.
const SENT: u64 = 80;
/// Days that are counted.
const DAYS: u32 = 7;
/// The fleet is made so long before its mail: nobody is given counts of days before it was there.
static BEFORE: AtomicU64 = AtomicU64::new(8 * Timestamp::DAY);

fn now() -> Timestamp {
    Timestamp(system_clock()().0 - BEFORE.load(Ordering::Relaxed))
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|word| word == "fill").is_some() {
        let folder = arguments.next().ok_or("the node's data folder")?;
        let count = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
        let group = arguments.next().map_or(Ok(GROUP), |text| {
            text.parse::<NonZeroU32>().map(NonZeroU32::get)
        })?;
        return fill(Path::new(&folder), count, group).await;
    }
    let count: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let folder = match arguments.next() {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let node = start(folder.path()).await?;
    let empty = resident()?;
    println!("a node of an empty cluster: {empty} MiB");
    let mut bench = Bench { node, requests: 0 };
    bench.found().await?;
    bench.add(count, GROUP).await?;
    println!("with {count} identities: {} MiB", resident()?);
    BEFORE.store(0, Ordering::Relaxed);
    bench.count(count).await?;
    println!("with {DAYS} days of counts: {} MiB", resident()?);
    bench.tick().await?;
    bench.select()?;
    bench.plan()?;
    bench.copy().await?;
    println!("in the end: {} MiB", resident()?);
    bench.node.shutdown().await;
    println!("the store: {} MiB", size_of(folder.path())? >> 20);
    Ok(())
}

struct Bench {
    node: Cluster,
    requests: u32,
}

impl Bench {
    async fn propose(&mut self, command: Command) -> Outcome<Duration> {
        self.requests += 1;
        let proposal = Proposal {
            actor: "key bench".into(),
            request: RequestId::new(format!("bench-{}", self.requests))?,
            reason: "measuring".into(),
            now: now(),
            override_clock: true,
            command,
        };
        let began = Instant::now();
        self.node
            .propose(proposal)
            .await?
            .map_err(|rejection| rejection.to_string())?;
        Ok(began.elapsed())
    }

    async fn found(&mut self) -> Outcome<()> {
        self.propose(Command::Found(Box::new(found()))).await?;
        let files = builtin_bundle();
        self.propose(Command::PutBundle(PutBundle { files }))
            .await?;
        let settings = Settings::default();
        let release = false;
        self.propose(Command::PutSettings(PutSettings { settings, release }))
            .await?;
        Ok(())
    }

    async fn add(&mut self, count: u32, size: u32) -> Outcome<()> {
        let mut taken = Vec::new();
        for group in 0..count.div_ceil(size) {
            let tenant = tenant(group)?;
            self.propose(Command::CreateTenant(CreateTenant { tenant }))
                .await?;
            let host = host(group)?;
            self.propose(Command::AddHost(AddHost { host })).await?;
            let own = (group * size)..count.min((group + 1) * size);
            // None is left behind: what a running fleet adds later has real ones.
            let had = self.node.view(|state| state.prepared_keys.len());
            let lacking: Vec<_> = own.clone().skip(had).map(key).collect();
            for keys in lacking.chunks(100) {
                let keys = keys.to_vec();
                self.propose(Command::StockKeys(StockKeys { keys })).await?;
            }
            let add = |at| Ok(Command::AddIdentity(AddIdentity::of(identity(at, group)?)));
            let batch = Batch {
                base_revision: None,
                commands: own.map(add).collect::<Outcome<_>>()?,
            };
            taken.push(self.propose(Command::Batch(batch)).await?);
        }
        let millis = |taken: Duration| taken.as_secs_f64() * 1e3;
        let (first, last) = (taken[0], taken[taken.len() - 1]);
        println!(
            "{size} identities more, committed and applied: first {:.1} ms, last {:.1} ms, median {:.1} ms",
            millis(first),
            millis(last),
            millis(median(&mut taken))
        );
        Ok(())
    }

    /// Every identity sent to two groups of receivers in one hour of each of the last days.
    async fn count(&mut self, count: u32) -> Outcome<()> {
        let today = day_of(now());
        let (mut taken, began) = (Vec::new(), Instant::now());
        for day in (0..DAYS).rev() {
            for group in 0..count.div_ceil(GROUP) {
                let own = (group * GROUP)..count.min((group + 1) * GROUP);
                let batch = counted(group, own, today - day, u64::from(DAYS - 1 - day))?;
                let command = Command::RecordStatistics(RecordStatistics {
                    batches: vec![batch],
                });
                taken.push(self.propose(command).await?);
            }
        }
        let rows = f64::from(count) * 2.0 * f64::from(DAYS);
        let subject = Subject::Tenant(tenant(0)?.id);
        let stored = self.node.series(&subject, &[Span::Whole])?;
        let stored = stored.iter().flat_map(|(_, groups)| groups.values());
        let stored: u64 = stored.map(|counts| counts.sent).sum();
        let wanted = u64::from(GROUP.min(count)) * 2 * u64::from(DAYS) * SENT;
        if stored != wanted {
            return Err(format!("{stored} of {wanted} mails of a tenant are counted").into());
        }
        println!(
            "counts of {rows} identities, days and groups: {:.0} a second; an entry of 2,000 of them {:.1} ms",
            rows / began.elapsed().as_secs_f64(),
            median(&mut taken).as_secs_f64() * 1e3
        );
        Ok(())
    }

    /// As the leader does at midnight: judged on what is stored, then one entry for every thousand.
    async fn tick(&mut self) -> Outcome<()> {
        let began = Instant::now();
        let day = day_of(now());
        let verdicts = self.verdicts(day)?;
        let judged = began.elapsed();
        let count = verdicts.len();
        let told = verdicts.iter().filter(|verdict| verdict.is_news()).count();
        let (mut commands, mut news) = (0, 0);
        let mut together = Vec::new();
        for (at, verdict) in verdicts.into_iter().enumerate() {
            news += usize::from(verdict.is_news());
            together.push(verdict);
            if news == NEWS || together.len() == 1_000 || at + 1 == count {
                let verdicts = std::mem::take(&mut together);
                self.propose(Command::TickWarmup(TickWarmup { day, verdicts }))
                    .await?;
                (commands, news) = (commands + 1, 0);
            }
        }
        println!(
            "a day's judgement of {count} identities, {told} of them with news, in {commands} commands: \
             {:.2} s, of which reading and judging {:.2} s",
            began.elapsed().as_secs_f64(),
            judged.as_secs_f64()
        );
        Ok(())
    }

    fn verdicts(&self, day: u32) -> Outcome<Vec<Ticked>> {
        let all = self.node.view(|state| state.identities.clone());
        let mut verdicts = Vec::new();
        for (address, identity) in &all {
            let tenant = &identity.spec.tenant;
            let first = day.saturating_sub(WINDOW_DAYS);
            let counts = self.node.day_counts(tenant, *address, first..=day)?;
            let settings = self.node.view(|state| settings_of(state, tenant));
            let facts = Facts {
                is_read: true,
                loops: &BTreeSet::new(),
                opens: None,
                obstacle: None,
            };
            let (verdict, rates) = judge(&identity.warmup, &counts, &settings, &facts, day);
            verdicts.push(Ticked {
                address: *address,
                phase: identity.warmup.phase,
                phase_started_at: identity.warmup.phase_started_at,
                verdict,
                rates,
            });
        }
        Ok(verdicts)
    }

    /// One of a tenant's thousand, as the API chooses it.
    fn select(&self) -> Outcome<()> {
        let tenant = tenant(0)?.id;
        let now = now();
        let (began, today) = (Instant::now(), day_of(now));
        let mut read = BTreeMap::new();
        for at in 0..GROUP {
            let counts = self.node.day_counts(&tenant, address(at), today..=today)?;
            let today = counts.iter().map(|day| day.total().sent).sum();
            let used = Used {
                today,
                ..Used::default()
            };
            read.insert(address(at), used);
        }
        println!(
            "reading what {GROUP} sent today, beside it: {:.1} ms",
            began.elapsed().as_secs_f64() * 1e3
        );
        for mode in [Mode::RoundRobin, Mode::WeightedRandom, Mode::LeastUsed] {
            let mut rotation = Rotation::default();
            let mut taken = Vec::new();
            for _ in 0..10_000 {
                let began = Instant::now();
                self.node.view(|state| {
                    let used = |address: IpAddr| Used {
                        taken: state.reserved.of(today, address),
                        ..read.get(&address).copied().unwrap_or_default()
                    };
                    let all = candidates(state, &tenant, Purpose::Marketing, used);
                    all.map(|all| rotation.choose(&all, mode, now))
                })?;
                taken.push(began.elapsed());
            }
            taken.sort_unstable();
            let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].as_secs_f64() * 1e6;
            println!(
                "choosing one of {GROUP}, {mode:?}: p50 {:.0} us, p99 {:.0} us",
                at(50),
                at(99)
            );
        }
        Ok(())
    }

    /// What the leader does before a host gets its next target.
    fn plan(&self) -> Outcome<()> {
        let began = Instant::now();
        let before = self.node.view(FleetState::clone);
        let copied = began.elapsed();
        let mut after = before.clone();
        let one = after.identities.get_mut(&address(0)).ok_or("no identity")?;
        Arc::make_mut(one).spec.reserve = true;
        let began = Instant::now();
        let Affected::Hosts(hosts) = affected(&before, &after) else {
            return Err("everybody is planned".into());
        };
        let found = began.elapsed();
        let began = Instant::now();
        check_before_planning(Some(&before), &after)?;
        let checked = began.elapsed();
        let began = Instant::now();
        for host in &hosts {
            plan(&after, host)?;
        }
        let millis = |taken: Duration| taken.as_secs_f64() * 1e3;
        println!(
            "planning after a change of one: a copy of the state {:.3} ms, whom it concerns {:.1} ms, invariants \
             {:.1} ms, the plan of {} host with its {GROUP} {:.1} ms",
            millis(copied),
            millis(found),
            millis(checked),
            hosts.len(),
            millis(began.elapsed())
        );
        Ok(())
    }

    async fn copy(&self) -> Outcome<()> {
        let began = Instant::now();
        let recovery = found().cluster.recovery;
        let (bytes, _) = self.node.backup(Vec::new(), &recovery, &[7; 32]).await?;
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "a snapshot, sealed as a backup: {} MiB in {seconds:.2} s",
            bytes.len() >> 20
        );
        Ok(())
    }
}

fn median(taken: &mut [Duration]) -> Duration {
    taken.sort_unstable();
    taken[taken.len() / 2]
}

/// Resident memory of this process.
fn resident() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? / 1024)
}

fn size_of(folder: &Path) -> Outcome<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        size += match entry.file_type()?.is_dir() {
            true => size_of(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(size)
}

/// Adds identities, their hosts and tenants to what a stopped node has.
async fn fill(folder: &Path, count: u32, group: u32) -> Outcome<()> {
    let place = Place::open(folder)?;
    let identity = place.identity().load()?;
    let (node, cluster) = (identity.node, identity.cluster);
    let (_keep, identity) = watch::channel(Arc::new(identity));
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let config = RaftConfig::new(node, cluster, place.raft(), socket, identity);
    let node = raft::start(config).await?;
    let leads = tokio::time::timeout(Duration::from_secs(30), async {
        let mut leadership = node.leadership();
        leadership.wait_for(|one| one.is_leader).await.map(drop)
    });
    leads.await??;
    BEFORE.store(0, Ordering::Relaxed);
    let mut bench = Bench { node, requests: 0 };
    bench.add(count, group).await?;
    bench.node.shutdown().await;
    Ok(())
}

async fn start(folder: &Path) -> Outcome<Cluster> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut params = CertificateParams::new(vec![node_dns_name(CLUSTER, NodeId(1))])?;
    let uri = node_uri(CLUSTER, NodeId(1)).try_into()?;
    params.subject_alt_names.push(SanType::URI(uri));
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &authority)?;
    let identity = NodeIdentity {
        cluster: CLUSTER,
        node: NodeId(1),
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der())?,
        root: CertificateDer::from(authority.der().to_vec()),
    };
    let (_, identity) = watch::channel(Arc::new(identity));
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut config = RaftConfig::new(NodeId(1), CLUSTER, folder.join("1"), socket, identity);
    config.clock = Arc::new(now);
    let node = raft::start(config).await?;
    node.initialize(node.local_addr()?.to_string()).await?;
    Ok(node)
}
