//! What is kept of a sending identity's life: where it stands since when, what was seen of it, and the
//! last turns that it took.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{
    Cause, Check, IpDocument, IpSpec, IpStatus, Phase, Statement, Transition, Verdict,
};
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

/// What an identity remembers beside its declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Since when it has its status.
    pub since: Timestamp,
    /// When mail left it last, as far as that is known.
    pub last_sent: Option<Timestamp>,
    /// Idleness counts from here, or from the last mail when that is later.
    pub idle_from: Timestamp,
    /// Whether mail may ever have left it: what receivers hold of it must be verifiable for a while.
    pub sent_ever: bool,
    /// Why it is out, while it is.
    pub quarantine: Option<Quarantine>,
    /// What was seen of it, the latest of each.
    pub checks: BTreeMap<Check, Statement>,
    /// What a file said last of where it stands, in its own words. A file that says it again says nothing
    /// new: what the fleet did since stands.
    pub said: Said,
    /// The last turns of its life, oldest first.
    pub history: VecDeque<Transition>,
    /// How many turns before those are not kept.
    pub forgotten: u64,
}

impl Life {
    /// Most turns that are kept.
    pub const TURNS: usize = 32;

    /// The life of an identity that begins now as it is declared.
    #[must_use]
    pub fn new(spec: &IpSpec, now: Timestamp) -> Self {
        let out = spec.status == IpStatus::Quarantine;
        Self {
            since: now,
            last_sent: None,
            idle_from: now,
            // What was taken over from elsewhere may have sent there.
            sent_ever: spec.status != IpStatus::Standby || spec.phase != Phase::Week1,
            quarantine: out.then(|| Quarantine::new(BTreeSet::new(), now)),
            checks: BTreeMap::new(),
            said: Said::default(),
            history: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Takes what a host said of its address last, if it did: that outranks what anybody stated.
    pub fn hear_host(&mut self, host: &HostId, said: Option<&Verdict>, at: Timestamp) {
        if let Some(verdict) = said {
            let statement = Statement {
                verdict: verdict.clone(),
                by: Self::by(host),
                at,
            };
            self.checks.insert(Check::Address, statement);
        }
    }

    /// Whether it has sent, and its host was the last that said to have its address.
    #[must_use]
    pub fn sent_from(&self, host: &HostId) -> bool {
        let said = self.checks.get(&Check::Address);
        let on_host =
            said.is_some_and(|said| said.verdict == Verdict::Valid && said.by == Self::by(host));
        self.sent_ever && on_host
    }

    /// Who says what a host says.
    fn by(host: &HostId) -> String {
        format!("host {host}")
    }

    /// The turns that it took, newest first: that mail of it expired is in its history, and none of them.
    pub fn turns(&self) -> impl Iterator<Item = &Transition> {
        let history = self.history.iter().rev();
        history.filter(|turn| turn.cause != Cause::Expired)
    }

    /// Keeps a turn, and lets the oldest go when there are too many.
    pub fn remember(&mut self, turn: Transition) {
        self.history.push_back(turn);
        while self.history.len() > Self::TURNS {
            self.history.pop_front();
            self.forgotten += 1;
        }
    }
}

/// Why an identity is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Lists that have or had it.
    pub lists: BTreeSet<String>,
    /// When it was seen on one last; when it was taken out, if it was on none.
    pub last_sighting: Timestamp,
    /// Healthy sweeps since then that found it on no list, one after the other.
    pub clean_sweeps: u8,
    /// When the last of them was.
    pub last_sweep: Option<Timestamp>,
    /// What waited in its queue is given up.
    pub expired: Option<ExpiredQueue>,
}

/// Mail that waited too long at an identity in quarantine: it never leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiredQueue {
    /// Since when.
    pub at: Timestamp,
    /// What its host says of it, where anything waited.
    pub listed: Option<ListedRecipients>,
}

/// Recipients to whom mail was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRecipients {
    /// How many there are.
    pub recipients: u64,
    /// The host on which they are listed.
    pub host: HostId,
    /// The file there.
    pub file: String,
}

impl Quarantine {
    /// Begins with a sighting.
    #[must_use]
    pub const fn new(lists: BTreeSet<String>, now: Timestamp) -> Self {
        Self {
            lists,
            last_sighting: now,
            clean_sweeps: 0,
            last_sweep: None,
            expired: None,
        }
    }
}

/// Where a declaration says that an identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Its status.
    pub status: IpStatus,
    /// Its phase.
    pub phase: Phase,
    /// Whether it is in reserve.
    pub reserve: bool,
}

impl Declared {
    /// What a declaration says.
    #[must_use]
    pub const fn of(spec: &IpSpec) -> Self {
        Self {
            status: spec.status,
            phase: spec.phase,
            reserve: spec.reserve,
        }
    }
}

/// What a file says of where an identity stands, and nothing that was filled in for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its status.
    pub status: Option<IpStatus>,
    /// Its phase.
    pub phase: Option<Phase>,
    /// Whether it is in reserve.
    pub reserve: Option<bool>,
}

impl Said {
    /// The words of a file.
    #[must_use]
    pub const fn of(ip: &IpDocument) -> Self {
        Self {
            status: ip.status,
            phase: ip.phase,
            reserve: ip.reserve,
        }
    }

    /// These words, and the newer ones where there are any.
    #[must_use]
    pub fn with(self, newer: Self) -> Self {
        Self {
            status: newer.status.or(self.status),
            phase: newer.phase.or(self.phase),
            reserve: newer.reserve.or(self.reserve),
        }
    }
}
