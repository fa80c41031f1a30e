//! The table of edges.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::IpStatus::{
    self, Active, Quarantine, Resting, Retiring, Standby, Warming,
};

/// What happens to an identity. Part of the log: append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It is taken up: into warm-up, into production when it was through lately, out of the reserve.
    Activate,
    /// The warm-up says that week 6 is passed.
    Graduate,
    /// It had no mail for 30 days.
    Idle,
    /// A list has it, or an operator wants it out.
    Quarantine {
        /// Lists on which it was confirmed; none by an operator's word alone.
        lists: BTreeSet<String>,
    },
    /// It goes one step towards service: out of quarantine to rest, from rest to the bench.
    Release,
    /// It is kept warm at little weight, or is not any more.
    Reserve {
        /// Whether it is.
        kept: bool,
    },
    /// An operator lays it to rest.
    Rest,
    /// It drains and goes.
    Retire,
}

/// An [`Event`] without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Activate,
    Graduate,
    Idle,
    Quarantine,
    Release,
    Reserve,
    Rest,
    Retire,
}

/// What an edge asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// Nothing.
    Always,
    /// A week since the last sighting, and two clean sweeps.
    Clean,
    /// 30 days without mail.
    Idle,
    /// It is kept in reserve.
    InReserve,
    /// A list that has it.
    Listed,
    /// Everything seen valid.
    Preflight,
    /// The same, through the warm-up and without a month of idleness.
    Through,
}

/// One way from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: IpStatus,
    pub(super) step: Step,
    pub(super) to: IpStatus,
    pub(super) when: When,
}

const fn edge(from: IpStatus, step: Step, to: IpStatus, when: When) -> Edge {
    Edge {
        from,
        step,
        to,
        when,
    }
}

/// All edges. Of two with the same status and step the first whose condition holds is taken.
#[rustfmt::skip]
pub(super) const EDGES: &[Edge] = &[
    edge(Standby,    Step::Activate,   Active,     When::Through),
    edge(Standby,    Step::Activate,   Warming,    When::Preflight),
    edge(Standby,    Step::Quarantine, Quarantine, When::Listed),
    edge(Standby,    Step::Retire,     Retiring,   When::Always),
    edge(Warming,    Step::Graduate,   Active,     When::Always),
    edge(Warming,    Step::Quarantine, Quarantine, When::Always),
    edge(Warming,    Step::Rest,       Resting,    When::Always),
    edge(Warming,    Step::Idle,       Resting,    When::Idle),
    edge(Warming,    Step::Retire,     Retiring,   When::Always),
    edge(Active,     Step::Activate,   Active,     When::InReserve),
    edge(Active,     Step::Reserve,    Active,     When::Always),
    edge(Active,     Step::Quarantine, Quarantine, When::Always),
    edge(Active,     Step::Rest,       Resting,    When::Always),
    edge(Active,     Step::Idle,       Resting,    When::Idle),
    edge(Active,     Step::Retire,     Retiring,   When::Always),
    // Seen again: it begins anew.
    edge(Quarantine, Step::Quarantine, Quarantine, When::Always),
    edge(Quarantine, Step::Release,    Resting,    When::Clean),
    edge(Quarantine, Step::Retire,     Retiring,   When::Always),
    edge(Resting,    Step::Release,    Standby,    When::Always),
    edge(Resting,    Step::Retire,     Retiring,   When::Always),
];

impl Event {
    pub(super) const fn step(&self) -> Step {
        match self {
            Self::Activate => Step::Activate,
            Self::Graduate => Step::Graduate,
            Self::Idle => Step::Idle,
            Self::Quarantine { .. } => Step::Quarantine,
            Self::Release => Step::Release,
            Self::Reserve { .. } => Step::Reserve,
            Self::Rest => Step::Rest,
            Self::Retire => Step::Retire,
        }
    }
}

impl Step {
    /// As an operator says it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Graduate => "week 6 passed",
            Self::Idle => "30 days without mail",
            Self::Quarantine => "quarantine",
            Self::Release => "release",
            Self::Reserve => "reserve",
            Self::Rest => "rest",
            Self::Retire => "retire",
        }
    }

    /// Where it leads, from wherever it is taken.
    pub(super) const fn leads_to(self) -> &'static str {
        match self {
            Self::Activate => "warming or active",
            Self::Graduate => "active",
            Self::Idle | Self::Rest => "resting",
            Self::Quarantine => "quarantine",
            Self::Release => "resting or standby",
            Self::Reserve => "active in reserve",
            Self::Retire => "retiring",
        }
    }

    /// Whether a declaration may be what takes it: evidence cannot be declared, and whoever goes drains first,
    /// which is a call's to begin.
    pub(super) const fn can_be_declared(self) -> bool {
        !matches!(
            self,
            Self::Graduate | Self::Idle | Self::Reserve | Self::Retire
        )
    }
}

impl When {
    const fn asks(self) -> &'static str {
        match self {
            Self::Always => "",
            Self::Clean => ", a week after the last sighting and after two clean sweeps",
            Self::Idle => "",
            Self::InReserve => ", out of the reserve",
            Self::Listed => ", when a list has it",
            Self::Preflight => ", when preflight is ok",
            Self::Through => {
                ", when it passed week 6, was idle for less than 30 days and preflight is ok"
            }
        }
    }
}

pub(super) fn edges_from(from: IpStatus) -> impl Iterator<Item = &'static Edge> {
    EDGES.iter().filter(move |edge| edge.from == from)
}

/// What may become of an identity from here, for people.
#[must_use]
pub fn allowed_from(from: IpStatus) -> Vec<String> {
    let told = |edge: &Edge| {
        let (to, step) = (edge.to.as_str(), edge.step.as_str());
        format!("{to} ({step}{})", edge.when.asks())
    };
    edges_from(from).map(told).collect()
}
