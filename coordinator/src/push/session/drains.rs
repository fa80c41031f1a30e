//! What a report says of virtual MTAs that are to go: when a queue is empty, the fleet is told.

use std::collections::BTreeSet;

use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::observed::{DrainStatus, HostReport};

use super::Session;
use crate::push::Fleet;
use crate::state::FleetState;

/// Names that are empty, and the generation that they are in.
#[derive(Debug)]
pub(super) struct Emptied {
    generation: Generation,
    vmtas: BTreeSet<VmtaName>,
}

impl Emptied {
    /// What a report says, if it says anything.
    fn of(running: Option<Generation>, drains: &[DrainStatus]) -> Option<Self> {
        let over = drains.iter().filter(|drain| drain.is_over);
        let vmtas: BTreeSet<_> = over
            .filter_map(|drain| VmtaName::new(drain.name.clone()).ok())
            .collect();
        Some(Self {
            generation: running.filter(|_| !vmtas.is_empty())?,
            vmtas,
        })
    }

    /// Those of them that the fleet still waits for. What is said of another target than the current
    /// one, or of one from before an identity left, says nothing.
    fn news(&self, state: &FleetState, host: &HostId) -> BTreeSet<VmtaName> {
        let target = state.targets.get(host);
        let Some(target) = target.filter(|target| target.generation == self.generation) else {
            return BTreeSet::new();
        };
        let waits = |vmta: &&VmtaName| {
            let leaving = state.leaving.get(&(host.clone(), (*vmta).clone()));
            leaving.is_some_and(|leaving| leaving.revision <= target.planned_from)
        };
        self.vmtas.iter().filter(waits).cloned().collect()
    }
}

impl<F: Fleet> Session<F> {
    pub(super) fn note_drains(&mut self, report: &HostReport) {
        self.emptied = Emptied::of(report.generations.running, &report.drains);
        self.end_drains();
    }

    /// One command for all that are news; nothing while one is under way. Called again by the clock: a
    /// report is not repeated because nobody could write down what it says.
    pub(super) fn end_drains(&mut self) {
        let Some(emptied) = self.emptied.as_ref().filter(|_| !self.ending) else {
            return;
        };
        let (host, expired) = (&self.host, &self.tellings.expired);
        let vmtas = self.push.fleet.view(|state| {
            // What was deleted of it is said first: its row goes with the end.
            let untold: BTreeSet<_> = expired.news(state, host).map(|one| &one.vmta).collect();
            let mut vmtas = emptied.news(state, host);
            vmtas.retain(|vmta| !untold.contains(vmta));
            vmtas
        });
        if !vmtas.is_empty() {
            self.ending = true;
            let generation = emptied.generation;
            self.end(generation, vmtas);
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::Observed;
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::command::fixture::{Fleet, address, host_id, identity};
    use crate::command::{Command, RetireIdentity};

    #[test]
    fn only_what_is_said_of_the_current_target_is_news_and_only_once() {
        let mut fleet = Fleet::with_identities(2);
        fleet.accept(fleet.target(&[b"with it"]));
        fleet.accept(Command::RetireIdentity(RetireIdentity {
            address: address(0),
        }));
        let host = host_id("pmta1");
        let said = |number| Emptied {
            generation: Generation { epoch: 1, number },
            vmtas: [identity(0).vmta, identity(1).vmta].into(),
        };
        let none = BTreeSet::new();
        assert_eq!(said(1).news(&fleet.state, &host), none, "from before");
        fleet.accept(fleet.target(&[b"it drains"]));
        assert_eq!(said(1).news(&fleet.state, &host), none, "of another target");
        let news = said(2).news(&fleet.state, &host);
        assert_eq!(news, [identity(0).vmta].into(), "the other one lives");
        let generation = Generation {
            epoch: 1,
            number: 2,
        };
        fleet.accept(Command::EndDrain(crate::command::EndDrain {
            host: host.clone(),
            generation,
            vmtas: news,
        }));
        assert_eq!(said(2).news(&fleet.state, &host), none, "it was told");
    }

    #[test]
    fn what_is_not_over_says_nothing() {
        let mut drain = DrainStatus {
            name: "vmta-mail3".to_owned(),
            messages: Observed::Known {
                value: 0,
                at: Timestamp(1),
            },
            is_over: false,
        };
        let running = Some(Generation {
            epoch: 1,
            number: 2,
        });
        assert!(Emptied::of(running, &[drain.clone()]).is_none());
        drain.is_over = true;
        let emptied = Emptied::of(running, &[drain]).unwrap();
        assert_eq!(emptied.vmtas.len(), 1);
    }
}
