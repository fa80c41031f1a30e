//! What a report says of mail that was deleted because it waited too long in quarantine: when it is news, the
//! fleet is told.

use email_engine_protocol::desired::ResourceKind;
use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::observed::{HostReport, ResourceState, ResourceStatus};
use email_engine_protocol::time::Timestamp;

use super::Session;
use crate::alerts::rules::Line;
use crate::command::ToldQueue;
use crate::push::Fleet;
use crate::state::FleetState;

/// What the last report said, and whether the fleet is being told of it.
#[derive(Debug, Default)]
pub(super) struct Telling {
    seen: Vec<ToldQueue>,
    pub(super) underway: bool,
}

/// Every queue of which a report says that it was deleted. What is told comes before what is right, so that only
/// more than a report holds is left out; that is said by a later one.
fn told(statuses: &[ResourceStatus]) -> Vec<ToldQueue> {
    let told = statuses.iter().filter_map(|status| {
        let ResourceState::Told(told) = &status.state else {
            return None;
        };
        let row = (status.kind == ResourceKind::Discard).then(|| told.rows.first())??;
        let (_, name) = status.id.as_str().split_once(':')?;
        Some(ToldQueue {
            vmta: VmtaName::new(name).ok()?,
            recipients: row.first()?.parse().ok()?,
            file: Line::new(row.get(1)?),
            since: Timestamp(row.get(2)?.parse().ok()?),
        })
    });
    told.collect()
}

impl Telling {
    /// What the fleet does not know.
    pub(super) fn news<'a>(
        &'a self,
        state: &'a FleetState,
        host: &'a HostId,
    ) -> impl Iterator<Item = &'a ToldQueue> {
        let is_news = move |queue: &&ToldQueue| {
            let living = state.lookup.vmtas.get(&queue.vmta);
            let living = living.and_then(|address| state.identities.get(address));
            let place = (host.clone(), queue.vmta.clone());
            let drains = state.leaving.get(&place).map(|one| &one.identity);
            let mut both = living.map(|one| &**one).into_iter().chain(drains);
            both.any(|one| queue.is_news_of(one, host))
        };
        self.seen.iter().filter(is_news)
    }
}

impl<F: Fleet> Session<F> {
    pub(super) fn note_expired(&mut self, report: &HostReport) {
        self.tellings.expired.seen = told(&report.statuses);
        self.tell_expired();
    }

    /// One command at a time, and again by the clock when nobody could write it down.
    pub(super) fn tell_expired(&mut self) {
        let (host, told) = (&self.host, &self.tellings.expired);
        if told.underway || told.seen.is_empty() {
            return;
        }
        let queues = |state: &FleetState| told.news(state, host).cloned().collect();
        let queues: Vec<ToldQueue> = self.push.fleet.view(queues);
        if !queues.is_empty() {
            self.tellings.expired.underway = true;
            self.record_expired(queues);
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ResourceId;
    use email_engine_protocol::observed::Told;

    use super::*;
    use crate::command::fixture::{Fleet, address, host_id, identity};
    use crate::command::{Command, ExpireQueues, RecordExpired, SteerIdentity};
    use crate::fleet::lifecycle::Event;

    fn status(kind: ResourceKind, rows: &[&str]) -> ResourceStatus {
        let id = format!("discard:{}", identity(0).vmta);
        let row = rows.iter().map(|text| (*text).to_owned()).collect();
        ResourceStatus {
            id: ResourceId::new(id).unwrap(),
            kind,
            state: ResourceState::Told(Told::new([row])),
        }
    }

    fn news(seen: &[ToldQueue], state: &FleetState, host: &HostId) -> Vec<ToldQueue> {
        let telling = Telling {
            seen: seen.to_vec(),
            underway: false,
        };
        telling.news(state, host).cloned().collect()
    }

    #[test]
    fn what_was_deleted_is_told_once_and_only_of_whom_it_was_given_up() {
        let mut fleet = Fleet::with_identities(1);
        let host = host_id("pmta1");
        let said = |since: Timestamp| {
            let since = since.0.to_string();
            let seen = told(&[
                status(ResourceKind::SqlScript, &["9", "/elsewhere", &since]),
                status(ResourceKind::Discard, &["many", "/list", &since]),
                status(ResourceKind::Discard, &["3", "/list"]),
                status(ResourceKind::Discard, &["3", "/list", &since]),
            ]);
            assert_eq!(seen.len(), 1);
            seen
        };
        let early = said(fleet.now());
        assert!(news(&early, &fleet.state, &host).is_empty(), "it may send");
        fleet.accept(Command::SteerIdentity(SteerIdentity {
            address: address(0),
            event: Event::Quarantine {
                lists: Default::default(),
            },
            force: false,
            on_host: None,
        }));
        fleet.wait(12 * Timestamp::HOUR);
        let addresses = [address(0)].into();
        fleet.accept(Command::ExpireQueues(ExpireQueues { addresses }));
        let out = fleet.state.identities[&address(0)].life.quarantine.as_ref();
        let seen = said(out.unwrap().expired.as_ref().unwrap().at);
        assert!(
            news(&early, &fleet.state, &host).is_empty(),
            "of another time"
        );
        assert!(news(&seen, &fleet.state, &host_id("pmta2")).is_empty());
        let queues = news(&seen, &fleet.state, &host);
        assert_eq!(queues, seen);
        let record = Command::RecordExpired(RecordExpired {
            host: host.clone(),
            queues,
        });
        fleet.accept(record);
        assert!(news(&seen, &fleet.state, &host).is_empty(), "it is known");
    }
}
