//! Whoever is killed when: what the cluster counted is what stands in the files. Real files and the agent's
//! own reading of them, the cluster's own rules and its log; nodes are a state that is thrown away and
//! made anew of a snapshot and the log, with series that are as durable as RocksDB makes them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

use email_engine_agent::accounting::Books;
use email_engine_agent::accounting::telling::Session;
use email_engine_agent::host::{Cabinet, Rooted};
use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::desired::{
    AccountedIdentity, AccountingFile, AccountingSpec, HostPath, Receiver, RecordKind,
};
use email_engine_protocol::id::{ClusterId, HostId, ReceiverGroup};
use email_engine_protocol::observed::{AccountingCursors, Counts, FileCursor, StatisticsBatch};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use crate::command::fixture::{BEGIN, Fleet, host_id, identity};
use crate::command::{BodyChange, Command, HostBatch, Proposal, RecordStatistics};
use crate::state::{FleetState, SeriesChange, SeriesKey, Span, Subject};

const HEADER: &str = "type,timeLogged,timeQueued,orig,rcpt,bounceCat,vmta\r\n";
const IDENTITIES: u32 = 3;

/// A node: its state is lost when it is killed, its disk is not.
struct Node {
    state: FleetState,
    /// Entries that are in the state.
    applied: usize,
    snapshot: (FleetState, usize),
    series: BTreeMap<SeriesKey, Counts>,
    /// Entries whose changes are in the series.
    counted: usize,
}

impl Node {
    fn new(state: FleetState) -> Self {
        Self {
            snapshot: (state.clone(), 0),
            state,
            applied: 0,
            series: BTreeMap::new(),
            counted: 0,
        }
    }

    /// Applies entries up to there.
    fn follow(&mut self, log: &[Proposal], to: usize) {
        while self.applied < to {
            let (answer, changes) = self.state.apply(&log[self.applied]);
            assert!(answer.is_ok(), "{answer:?}");
            self.applied += 1;
            if self.counted >= self.applied {
                continue;
            }
            for change in changes {
                let BodyChange::Series(SeriesChange::Add(rows)) = change else {
                    continue;
                };
                for (key, counts) in rows {
                    self.series.entry(key).or_default().add(&counts);
                }
            }
            self.counted = self.applied;
        }
    }

    fn die(&mut self) {
        (self.state, self.applied) = self.snapshot.clone();
    }

    fn cursors(&self) -> AccountingCursors {
        let known = self.state.accounting.hosts.get(&host_id("pmta1"));
        known.map(|known| known.cursors()).unwrap_or_default()
    }

    fn cursor(&self, batch: &StatisticsBatch) -> Option<FileCursor> {
        let known = self.state.accounting.hosts.get(&host_id("pmta1"))?;
        known.cursor(&batch.stretch.as_ref()?.file)
    }
}

struct World {
    dir: tempfile::TempDir,
    root: Rooted,
    spec: AccountingSpec,
    books: Books,
    fleet: Fleet,
    log: Vec<Proposal>,
    /// The first one leads and holds the session.
    nodes: [Node; 2],
    now: Timestamp,
    file: u32,
    /// What the product wrote, and what of it is in the file.
    written: Vec<(u32, &'static str, u32)>,
    unwritten: String,
    /// What was proposed and never answered.
    limbo: Vec<Proposal>,
}

fn spec() -> AccountingSpec {
    let one = |at| {
        let spec = identity(at);
        AccountedIdentity {
            vmta: spec.vmta,
            address: spec.address,
            domain: spec.domain,
        }
    };
    AccountingSpec {
        files: vec![AccountingFile {
            path: HostPath::new("/log/acct.csv").unwrap(),
            records: vec![RecordKind::Delivered, RecordKind::Deferred],
        }],
        identities: (0..IDENTITIES).map(one).collect(),
        rejecting: Vec::new(),
        receivers: vec![Receiver {
            group: ReceiverGroup::new("gmail").unwrap(),
            names: vec!["gmail.com".to_owned()],
        }],
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/log")).unwrap();
        let fleet = Fleet::with_identities(IDENTITIES);
        let node = || Node::new(fleet.state.clone());
        let mut world = Self {
            root: Rooted::open(&dir.path().join("root")).unwrap(),
            books: Books::default(),
            dir,
            spec: spec(),
            nodes: [node(), node()],
            fleet,
            log: Vec::new(),
            now: BEGIN,
            file: 0,
            written: Vec::new(),
            unwritten: HEADER.to_owned(),
            limbo: Vec::new(),
        };
        world.begin_life();
        world
    }

    fn cabinet(&self) -> Cabinet {
        Cabinet::open(&self.dir.path().join("agent")).unwrap()
    }

    fn begin_life(&mut self) {
        self.books = Books::open(&self.cabinet());
        self.begin_session();
    }

    fn begin_session(&mut self) {
        self.books.begin_session();
        self.books.take_cursors(self.nodes[0].cursors());
    }

    fn produce(&mut self, which: u32, domain: &'static str, message: u32) {
        let at = self.now.0 / Timestamp::SECOND;
        let vmta = identity(which).vmta;
        let kind = if message == 0 { "d" } else { "t" };
        self.unwritten += &format!("{kind},{at},{at},b{message}@x.example,r@{domain},,{vmta}\r\n");
        self.written.push((which, domain, message));
    }

    fn write(&mut self, bytes: usize) {
        let bytes = bytes.min(self.unwritten.len());
        let rest = self.unwritten.split_off(bytes);
        let name = format!("root/log/acct-2026-11-21-{:04}.csv", self.file);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(name))
            .unwrap();
        file.write_all(self.unwritten.as_bytes()).unwrap();
        self.unwritten = rest;
    }

    fn next_batch(&mut self) -> Option<StatisticsBatch> {
        let cabinet = self.cabinet();
        let step = self.books.step(&self.root, &cabinet, &self.spec, self.now);
        step.unwrap();
        let host = HostId::new("pmta1").unwrap();
        self.books.next_batch(Session {
            cluster: ClusterId([1; 16]),
            host: &host,
            nonce: Nonce([2; 16]),
        })
    }

    fn proposal(&mut self, batch: &StatisticsBatch) -> Proposal {
        let batches = vec![HostBatch {
            host: batch.host.clone(),
            stretch: batch.stretch.clone(),
            gap: batch.gap,
            read_until: batch.read_until,
        }];
        self.fleet
            .proposal(Command::RecordStatistics(RecordStatistics { batches }))
    }

    /// The leader orders proposals by time.
    fn commit(&mut self, mut proposal: Proposal) {
        let last = self.log.last().map_or(BEGIN, |last| last.now);
        proposal.now = proposal.now.max(last);
        self.log.push(proposal);
    }

    /// The agent looks and tells all that it has; the leader answers.
    fn read(&mut self) {
        while let Some(batch) = self.next_batch() {
            let proposal = self.proposal(&batch);
            self.commit(proposal);
            self.nodes[0].follow(&self.log, self.log.len());
            self.books.answered(self.nodes[0].cursor(&batch));
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Produce(which, domain, message) => {
                self.now = self.now.plus(Timestamp::SECOND * 400);
                self.produce(which, domain, message);
            }
            Event::Write(bytes) => self.write(bytes),
            Event::Rotate => {
                self.write(usize::MAX);
                self.file += 1;
                HEADER.clone_into(&mut self.unwritten);
            }
            Event::Read => self.read(),
            Event::KillAgent { wiped } => {
                if wiped {
                    fs::remove_dir_all(self.dir.path().join("agent")).ok();
                }
                self.begin_life();
            }
            Event::LoseAnswer { at } => {
                if let Some(batch) = self.next_batch() {
                    let proposal = self.proposal(&batch);
                    match at {
                        0 => {}
                        1 => self.commit(proposal),
                        2 => {
                            // Its outcome was unclear: it is proposed once more.
                            self.commit(proposal.clone());
                            self.commit(proposal);
                        }
                        _ => self.limbo.push(proposal),
                    }
                    // The node that answers next need not have applied it.
                    self.begin_session();
                }
            }
            Event::CommitLate => {
                if let Some(late) = self.limbo.pop() {
                    self.commit(late);
                }
            }
            Event::KillNode => self.nodes[0].die(),
            Event::Snapshot => {
                let node = &mut self.nodes[0];
                node.snapshot = (node.state.clone(), node.applied);
            }
            Event::NextLeader { upto } => {
                self.nodes.swap(0, 1);
                let to = self.log.len() * usize::from(upto) / 4;
                self.nodes[0].follow(&self.log, to);
                self.begin_session();
            }
        }
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A message is delivered, or put off when it has a number.
    Produce(u32, &'static str, u32),
    /// So many bytes reach the file.
    Write(usize),
    /// A new file is begun.
    Rotate,
    Read,
    KillAgent {
        wiped: bool,
    },
    /// The node dies before, in and after its proposal, and the session with it.
    LoseAnswer {
        at: u8,
    },
    /// What an earlier leader had in hand is committed after all.
    CommitLate,
    KillNode,
    Snapshot,
    /// Another node leads, which has applied so many quarters of the log.
    NextLeader {
        upto: u8,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let domain = prop_oneof![Just("gmail.com"), Just("rcpt.example")];
    let event = prop_oneof![
        8 => (0..IDENTITIES, domain, prop_oneof![3 => Just(0_u32), 1 => 1..4_u32])
            .prop_map(|(which, domain, message)| Event::Produce(which, domain, message)),
        5 => (1_usize..300).prop_map(Event::Write),
        1 => Just(Event::Rotate),
        4 => Just(Event::Read),
        2 => any::<bool>().prop_map(|wiped| Event::KillAgent { wiped }),
        3 => (0..4_u8).prop_map(|at| Event::LoseAnswer { at }),
        1 => Just(Event::CommitLate),
        2 => Just(Event::KillNode),
        1 => Just(Event::Snapshot),
        2 => (0..5_u8).prop_map(|upto| Event::NextLeader { upto }),
    ];
    prop::collection::vec(event, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_counted_is_what_stands_in_the_files_whoever_is_killed(events in events()) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.write(usize::MAX);
        // Everybody comes back, and whatever was on its way arrives.
        while let Some(late) = world.limbo.pop() {
            world.commit(late);
        }
        world.nodes[0].follow(&world.log, world.log.len());
        world.begin_life();
        world.read();
        let entries = world.log.len();
        let tenant = identity(0).tenant;
        for node in &mut world.nodes {
            node.follow(&world.log, entries);
            for which in 0..IDENTITIES {
                for domain in ["gmail.com", "rcpt.example"] {
                    let own = |row: &&(u32, &str, u32)| (row.0, row.1) == (which, domain);
                    let delivered = world.written.iter().filter(own).filter(|row| row.2 == 0);
                    let wanted = delivered.count() as u64;
                    let group = if domain == "gmail.com" { "gmail" } else { "other" };
                    let subject = Subject::Identity(tenant.clone(), identity(which).address);
                    let counted = |is_own: fn(&Span) -> bool| -> u64 {
                        let rows = node.series.iter().filter(|(key, _)| {
                            key.subject == subject && key.group.as_str() == group && is_own(&key.span)
                        });
                        rows.map(|(_, counts)| counts.delivered).sum()
                    };
                    prop_assert_eq!(counted(|span| matches!(span, Span::Day(_))), wanted);
                    prop_assert_eq!(counted(|span| matches!(span, Span::Hour(_))), wanted);
                    prop_assert_eq!(counted(|span| *span == Span::Whole), wanted);
                }
            }
            let deferred = node.series.iter().filter(|(key, _)| {
                matches!(key.span, Span::Day(_)) && key.subject == Subject::Tenant(tenant.clone())
            });
            let deferred: u64 = deferred.map(|(_, counts)| counts.deferred).sum();
            let put_off = world.written.iter().filter(|row| row.2 > 0).count() as u64;
            // The time of queueing tells them apart.
            prop_assert_eq!(deferred, put_off);
        }
        prop_assert_eq!(&world.nodes[0].series, &world.nodes[1].series);
    }
}
