//! The world: a product that writes files, an agent that reads them, and two nodes.

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
use email_engine_protocol::observed::{FileCursor, StatisticsBatch};
use email_engine_protocol::time::Timestamp;

use super::node::Node;
use super::{Event, IDENTITIES};
use crate::command::fixture::{BEGIN, Fleet, host_id, identity};
use crate::command::{Command, HostBatch, Proposal, RecordStatistics, TellTime};

const HEADER: &str = "type,timeLogged,timeQueued,orig,rcpt,bounceCat,vmta\r\n";

pub(super) struct World {
    dir: tempfile::TempDir,
    root: Rooted,
    spec: AccountingSpec,
    books: Books,
    fleet: Fleet,
    pub(super) log: Vec<Proposal>,
    /// The first one leads and holds the session.
    pub(super) nodes: [Node; 2],
    now: Timestamp,
    file: u32,
    /// What the product wrote, and what of it is not in the file yet.
    pub(super) written: Vec<(u32, &'static str, u32)>,
    unwritten: String,
    /// When each record was in the file as a whole.
    landed: Vec<Timestamp>,
    /// Whether the file has its header.
    has_header: bool,
    /// What was proposed and never answered.
    pub(super) limbo: Vec<Proposal>,
    /// Whether months have passed.
    pub(super) was_idle: bool,
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
        posts: Vec::new(),
        lists: Vec::new(),
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
    pub(super) fn new() -> Self {
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
            landed: Vec::new(),
            has_header: false,
            was_idle: false,
            limbo: Vec::new(),
        };
        world.begin_life();
        world
    }

    fn cabinet(&self) -> Cabinet {
        Cabinet::open(&self.dir.path().join("agent")).unwrap()
    }

    pub(super) fn begin_life(&mut self) {
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

    pub(super) fn write(&mut self, bytes: usize) {
        let bytes = bytes.min(self.unwritten.len());
        let rest = self.unwritten.split_off(bytes);
        let name = format!("root/log/acct-2026-11-21-{:04}.csv", self.file);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(name))
            .unwrap();
        file.write_all(self.unwritten.as_bytes()).unwrap();
        let mut lines = self.unwritten.matches('\n').count();
        if lines > 0 && !self.has_header {
            self.has_header = true;
            lines -= 1;
        }
        self.landed.extend(std::iter::repeat_n(self.now, lines));
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

    fn proposal(&mut self, command: Command) -> Proposal {
        let proposal = self.fleet.proposal(command);
        let now = self.now.max(proposal.now);
        Proposal { now, ..proposal }
    }

    fn recording(&mut self, batch: &StatisticsBatch) -> Proposal {
        let batches = vec![HostBatch {
            host: batch.host.clone(),
            stretch: batch.stretch.clone(),
            gap: batch.gap,
            read_until: batch.read_until,
        }];
        self.proposal(Command::RecordStatistics(RecordStatistics { batches }))
    }

    /// The leader orders proposals by time.
    pub(super) fn commit(&mut self, mut proposal: Proposal) {
        let last = self.log.last().map_or(BEGIN, |last| last.now);
        proposal.now = proposal.now.max(last);
        self.log.push(proposal);
    }

    /// The agent looks and tells all that it has; the leader answers.
    pub(super) fn read(&mut self) {
        for _ in 0..1_000 {
            let Some(batch) = self.next_batch() else {
                return;
            };
            let proposal = self.recording(&batch);
            self.commit(proposal);
            self.nodes[0].follow(&self.log, self.log.len());
            self.answer(true, &batch);
        }
        panic!("the agent says the same without end");
    }

    /// As a session answers.
    fn answer(&mut self, is_recorded: bool, batch: &StatisticsBatch) {
        let cursor = self.nodes[0].cursor(batch);
        let is_there = batch.stretch.as_ref().is_none_or(|stretch| {
            let ends = |at: &FileCursor| at.at == stretch.to && at.mark == stretch.mark;
            cursor.as_ref().is_some_and(ends)
        });
        if is_recorded && !is_there {
            self.books.take_cursors(self.nodes[0].cursors());
        } else {
            self.books.answered(is_recorded, cursor);
        }
    }

    /// Until which time the cluster believes that all was read, all is counted.
    pub(super) fn check_read_until(&self) {
        let node = &self.nodes[0];
        let Some(until) = node.state.judged_until(&host_id("pmta1")) else {
            return;
        };
        let landed = self.landed.iter().filter(|at| **at < until).count() as u64;
        let counted = node.counted(|counts| counts.delivered + counts.deferred);
        assert!(counted >= landed, "{counted} of {landed} until {until}");
    }

    /// Two months without mail, in which the host says so every day or is silent.
    fn idle(&mut self, is_silent: bool) {
        self.was_idle = true;
        for _ in 0..66 {
            self.tell_time();
            if !is_silent {
                self.read();
            }
            // No entry is a day later than the one before it.
            self.now = self.now.plus(Timestamp::DAY - Timestamp::HOUR);
        }
        self.tell_time();
        if is_silent {
            self.begin_life();
        }
    }

    fn tell_time(&mut self) {
        let clocks = [].into();
        let word = self.proposal(Command::TellTime(TellTime { clocks }));
        self.commit(word);
    }

    fn rotate(&mut self) {
        self.file += 1;
        self.has_header = false;
        HEADER.clone_into(&mut self.unwritten);
    }

    pub(super) fn happen(&mut self, event: &Event) {
        match *event {
            Event::Produce(which, domain, message) => {
                self.now = self.now.plus(Timestamp::SECOND * 400);
                self.produce(which, domain, message);
            }
            Event::Write(bytes) => self.write(bytes),
            Event::Rotate { torn } => {
                self.write(usize::MAX);
                if torn {
                    // The product died in the middle of a line that it had not told anybody of.
                    "d,1795".clone_into(&mut self.unwritten);
                    self.write(usize::MAX);
                }
                self.rotate();
            }
            Event::Idle { silent } => self.idle(silent),
            Event::Refuse { late } => {
                if let Some(batch) = self.next_batch() {
                    if late {
                        let proposal = self.recording(&batch);
                        self.limbo.push(proposal);
                    }
                    self.answer(false, &batch);
                }
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
                    let proposal = self.recording(&batch);
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
            Event::Snapshot => self.nodes[0].keep(),
            Event::NextLeader { upto } => {
                self.nodes.swap(0, 1);
                let to = self.log.len() * usize::from(upto) / 4;
                self.nodes[0].follow(&self.log, to);
                self.begin_session();
            }
        }
    }
}
