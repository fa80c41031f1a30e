//! Asks lists that receivers' replies name, while this node leads: minutes after the reply and not with the next
//! sweep.
//!
//! Whom a list was asked about is in the state once it has answered. One that does not answer is asked again with
//! the next sweep, or after an hour: what is remembered here is that it was asked.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use crate::dnsbl::desk::Desk;
use crate::dnsbl::query::Subject;
use crate::fleet::listing::{APART_MILLIS, asked_for_by_replies};
use crate::push::Fleet;

/// What was asked within the last hour.
#[derive(Debug, Default)]
pub(super) struct Lately(BTreeMap<(ListId, Subject), Timestamp>);

impl Lately {
    /// What is to be asked now.
    pub(super) fn due<F: Fleet>(
        &mut self,
        fleet: &F,
        desk: &Desk,
        now: Timestamp,
    ) -> BTreeMap<ListId, BTreeSet<Subject>> {
        if !fleet.leadership().borrow().is_leader {
            return BTreeMap::new();
        }
        let delay = desk.config().reply_delay();
        let wanted = fleet.view(|state| asked_for_by_replies(state, delay, now.max(state.now)));
        self.fresh(wanted, now)
    }

    /// What of it was not asked lately.
    fn fresh(
        &mut self,
        mut wanted: BTreeMap<ListId, BTreeSet<Subject>>,
        now: Timestamp,
    ) -> BTreeMap<ListId, BTreeSet<Subject>> {
        self.0.retain(|_, at| now.since(*at) < APART_MILLIS);
        for (list, subjects) in &mut wanted {
            subjects.retain(|subject| !self.0.contains_key(&(list.clone(), subject.clone())));
        }
        wanted.retain(|_, subjects| !subjects.is_empty());
        wanted
    }

    /// A list is being asked.
    pub(super) fn note(&mut self, list: &ListId, subjects: BTreeSet<Subject>, now: Timestamp) {
        let asked = subjects.into_iter();
        self.0
            .extend(asked.map(|subject| ((list.clone(), subject), now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_does_not_answer_is_not_asked_again_within_the_hour() {
        let list = ListId::new("psbl").unwrap();
        let one = Subject::Name("mail1.example.com".to_owned());
        let wanted = || BTreeMap::from([(list.clone(), BTreeSet::from([one.clone()]))]);
        let mut lately = Lately::default();
        assert_eq!(lately.fresh(wanted(), Timestamp(5)), wanted());
        lately.note(&list, [one.clone()].into(), Timestamp(5));
        let again = Timestamp(5 + APART_MILLIS);
        assert!(lately.fresh(wanted(), Timestamp(again.0 - 1)).is_empty());
        assert_eq!(lately.fresh(wanted(), again), wanted());
        assert!(lately.0.is_empty());
    }
}
