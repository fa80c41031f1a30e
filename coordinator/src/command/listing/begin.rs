//! `begin-sweep`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::{ListId, NodeId};

use super::LISTS;
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, StaleRevision};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::listing::close;
use crate::state::{FleetState, ListWeight, Sweep, SweepRules, SweptList};

/// See [`Command::BeginSweep`](crate::command::Command::BeginSweep).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginSweep {
    /// Its number: the next one. Of two who begin one at the same time, one does.
    pub number: u64,
    /// Lists that are configured, and what a listing on each may do to an address.
    pub lists: BTreeMap<ListId, ListWeight>,
    /// Nodes that share them out among themselves.
    pub members: BTreeSet<NodeId>,
    /// Times that it goes by.
    pub rules: SweepRules,
}

impl Verb for BeginSweep {
    fn name(&self) -> &'static str {
        "begin-sweep"
    }

    fn object(&self) -> String {
        format!("sweep {}: {} lists", self.number, self.lists.len())
    }

    fn is_change_of_fleet(&self) -> bool {
        false
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let next = state
            .listings
            .sweep
            .as_ref()
            .map_or(1, |sweep| sweep.number + 1);
        if self.number != next {
            return Err(refuse(
                StaleRevision,
                "number",
                &self.number,
                next.to_string(),
            ));
        }
        at_most("lists", self.lists.len(), LISTS)?;
        if self.members.is_empty() {
            let accepted = "nodes that ask the lists";
            return Err(refuse(Invalid, "members", &"", accepted));
        }
        let now = turn.now();
        close(state, now);
        let lists = self.lists.iter().map(|(list, weight)| {
            let swept = SweptList {
                weight: *weight,
                ..SweptList::default()
            };
            (list.clone(), swept)
        });
        state.listings.sweep = Some(Sweep {
            number: self.number,
            began_at: now,
            closed_at: None,
            members: self.members.clone(),
            lists: lists.collect(),
            rules: self.rules,
        });
        // A list that is asked no more has no health.
        let configured = &self.lists;
        state
            .listings
            .lists
            .retain(|list, _| configured.contains_key(list));
        Ok(Change::DONE)
    }
}
