//! Real files, written as the product writes them, agents that die at any step, and a cluster that counts
//! by the rule: a stretch is added when it begins where the cluster's cursor stands.

mod beginnings;
mod lives;
mod reading;
mod refusals;
mod replies;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::desired::{AccountingSpec, HostPath};
use email_engine_protocol::id::{ClusterId, HostId, ReceiverGroup};
use email_engine_protocol::observed::{
    AccountingCursors, AccountingFileId, Counts, FileCursor, Gap, StatisticsBatch, Stretch,
};
use email_engine_protocol::time::Timestamp;

use super::Books;
use super::names::tests::spec;
use super::telling::Session;
use crate::host::{Cabinet, Rooted};

const NOW: Timestamp = Timestamp(1_795_240_800_000);
const HEADER: &str = "type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta,queue\r\n";
const FIRST: &str = "acct-2026-11-21-0000.csv";
const SECOND: &str = "acct-2026-11-21-0001.csv";

/// Whether a batch was counted, and up to where its file is.
type Answer = (bool, Option<FileCursor>);

/// What the cluster knows of the host.
#[derive(Default)]
struct Cluster {
    cursors: BTreeMap<AccountingFileId, FileCursor>,
    floors: BTreeMap<String, String>,
    rows: BTreeMap<(IpAddr, u32, ReceiverGroup), Counts>,
    /// Replies by identity and list.
    replies: BTreeMap<(IpAddr, String), u64>,
    gaps: Vec<Gap>,
    read_until: Option<Timestamp>,
}

impl Cluster {
    /// Counts a batch if it fits, and answers it.
    fn take(&mut self, batch: &StatisticsBatch) -> Answer {
        let is_counted = self.fits(batch);
        if is_counted {
            self.gaps.extend(batch.gap);
            self.read_until = self.read_until.max(batch.read_until);
            if let Some(stretch) = &batch.stretch {
                self.count(stretch);
            }
        }
        self.answer(is_counted, batch)
    }

    /// Answers a batch that could not be counted.
    fn refuse(&self, batch: &StatisticsBatch) -> Answer {
        self.answer(false, batch)
    }

    fn answer(&self, is_counted: bool, batch: &StatisticsBatch) -> Answer {
        let file = batch.stretch.as_ref().map(|stretch| &stretch.file);
        (
            is_counted,
            file.and_then(|file| self.cursors.get(file)).cloned(),
        )
    }

    fn fits(&self, batch: &StatisticsBatch) -> bool {
        let Some(stretch) = &batch.stretch else {
            return true;
        };
        let known = self.cursors.get(&stretch.file).map(|known| known.at);
        match stretch.instead_of {
            None => stretch.from == known.unwrap_or(0),
            given_up => known == given_up,
        }
    }

    fn count(&mut self, stretch: &Stretch) {
        for row in &stretch.totals {
            let key = (row.address, row.hour, row.group.clone());
            self.rows.entry(key).or_default().add(&row.counts);
        }
        assert_eq!(
            stretch.fault(),
            None,
            "the cluster believes no such stretch"
        );
        for row in &stretch.replies {
            let key = (row.address, row.list.to_string());
            *self.replies.entry(key).or_default() += row.count;
        }
        let cursor = FileCursor {
            file: stretch.file.clone(),
            at: stretch.to,
            mark: stretch.mark,
        };
        self.cursors.insert(stretch.file.clone(), cursor);
    }

    fn cursors(&self) -> AccountingCursors {
        AccountingCursors {
            files: self.cursors.values().cloned().collect(),
            floors: self.floors.clone(),
            read_until: self.read_until,
        }
    }

    fn total(&self) -> Counts {
        let mut total = Counts::NONE;
        self.rows.values().for_each(|counts| total.add(counts));
        total
    }

    fn delivered(&self) -> u64 {
        self.total().delivered
    }
}

/// A machine with a log folder and an agent's own folder, and its cluster.
struct Bed {
    dir: tempfile::TempDir,
    files: Rooted,
    spec: AccountingSpec,
    now: Timestamp,
    cluster: Cluster,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/log")).unwrap();
        Self {
            files: Rooted::open(&dir.path().join("root")).unwrap(),
            dir,
            spec: spec(3),
            now: NOW,
            cluster: Cluster::default(),
        }
    }

    fn cabinet(&self) -> Cabinet {
        Cabinet::open(&self.dir.path().join("agent")).unwrap()
    }

    /// A new life of the agent, in a session of its own.
    fn life(&self) -> Books {
        let mut books = Books::open(&self.cabinet());
        self.begin_session(&mut books);
        books
    }

    fn begin_session(&self, books: &mut Books) {
        books.begin_session();
        books.take_cursors(self.cluster.cursors());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root/log").join(name)
    }

    fn length(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn cut(&self, name: &str, length: usize) {
        let file = OpenOptions::new().write(true).open(self.path(name));
        file.unwrap().set_len(length as u64).unwrap();
    }

    fn step(&self, books: &mut Books) -> super::Step {
        books
            .step(&self.files, &self.cabinet(), &self.spec, self.now)
            .unwrap()
    }

    /// Reads and tells until nothing is left.
    fn read(&mut self, books: &mut Books) {
        loop {
            let step = self.step(books);
            let mut told = false;
            while let Some(batch) = next(books) {
                told = true;
                answered(books, self.cluster.take(&batch));
            }
            if !(step.more || told) {
                return;
            }
        }
    }

    fn position(&self, books: &Books, name: &str) -> u64 {
        books
            .position(&HostPath::new("/log/acct.csv").unwrap(), name)
            .unwrap()
    }
}

fn answered(books: &mut Books, (is_counted, cursor): Answer) {
    books.answered(is_counted, cursor);
}

fn next(books: &mut Books) -> Option<StatisticsBatch> {
    let host = HostId::new("pmta1").unwrap();
    books.next_batch(Session {
        cluster: ClusterId([1; 16]),
        host: &host,
        nonce: Nonce([2; 16]),
    })
}

fn delivered(vmta: u8) -> String {
    row(
        "d",
        &format!("bounce@mail{vmta}.example.com"),
        &format!("vmta-{vmta}"),
    )
}

fn discarded(sender: &str) -> String {
    row("b", sender, "reject-client")
}

fn deferred(message: u64) -> String {
    row("t", &format!("b{message}@mail1.example.com"), "vmta-1")
}

/// A file whose records say what receivers replied.
const HEADER_OF_REPLIES: &str = "type,timeLogged,orig,dsnDiag,vmta\r\n";

/// A record of such a file.
fn replied(kind: &str, vmta: u8, reply: &str) -> String {
    let seconds = NOW.0 / Timestamp::SECOND;
    format!("{kind},{seconds},b@mail{vmta}.example.com,\"{reply}\",vmta-{vmta}\r\n")
}

fn row(kind: &str, sender: &str, vmta: &str) -> String {
    row_at(NOW, kind, sender, vmta)
}

fn row_at(at: Timestamp, kind: &str, sender: &str, vmta: &str) -> String {
    let seconds = at.0 / Timestamp::SECOND;
    format!(
        "{kind},{seconds},2026-11-21 05:59:00+0000,{sender},r@rcpt.example,other,,{vmta},rcpt.example/{vmta}\r\n"
    )
}
