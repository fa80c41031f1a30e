//! Accounting files as PowerMTA writes them: under numbered names, a record at a time, and not always a whole one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use fastrand::Rng;

const HEADER: &str = "type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta,queue\n";

/// Who sends.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) address: String,
    pub(super) domain: String,
    pub(super) vmta: String,
}

/// What is in the files of one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) delivered: u64,
    pub(super) bounced: u64,
}

/// The files of one host.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    senders: Vec<Sender>,
    number: u32,
    /// The rest of a record whose beginning is in the file.
    rest: String,
    /// By address.
    pub(super) written: BTreeMap<String, Written>,
}

impl Files {
    pub(super) fn new(folder: PathBuf, senders: Vec<Sender>) -> Self {
        Self {
            folder,
            senders,
            number: 0,
            rest: String::new(),
            written: BTreeMap::new(),
        }
    }

    /// Some records more; now and then a new file is begun, or a record is left half-written.
    pub(super) fn write(&mut self, random: &mut Rng) {
        self.finish();
        if random.u8(..8) == 0 {
            self.number += 1;
        }
        let mut text = String::new();
        for _ in 0..random.u32(1..60) {
            text += &self.record(random);
        }
        if random.u8(..4) == 0 {
            let torn = self.record(random);
            let at = random.usize(1..torn.len());
            text += &torn[..at];
            self.rest = torn[at..].to_owned();
        }
        self.append(&text);
    }

    /// The rest of what was left half-written.
    pub(super) fn finish(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        self.append(&rest);
    }

    /// All senders together.
    pub(super) fn total(&self) -> Written {
        let sum = |one: fn(&Written) -> u64| self.written.values().map(one).sum();
        Written {
            delivered: sum(|of| of.delivered),
            bounced: sum(|of| of.bounced),
        }
    }

    fn record(&mut self, random: &mut Rng) -> String {
        let sender = self.senders[random.usize(..self.senders.len())].clone();
        let written = self.written.entry(sender.address.clone()).or_default();
        let (kind, category) = if random.u8(..10) == 0 {
            written.bounced += 1;
            ("b", "bad-mailbox")
        } else {
            written.delivered += 1;
            ("d", "")
        };
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let receiver = ["gmail.com", "rcpt.example"][random.usize(..2)];
        let Sender {
            address,
            domain,
            vmta,
        } = sender;
        let mut line = String::new();
        writeln!(
            line,
            "{kind},{now},{now},bounce@{domain},somebody@{receiver},{category},{address},{vmta},{receiver}/{vmta}"
        )
        .unwrap();
        line
    }

    fn append(&self, text: &str) {
        let name = format!("acct-2026-11-21-{:04}.csv", self.number);
        let path = self.folder.join(name);
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let text = if is_new {
            HEADER.to_owned() + text
        } else {
            text.to_owned()
        };
        file.write_all(text.as_bytes()).unwrap();
    }
}
