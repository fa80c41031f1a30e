//! A target that the fleet does not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, NodeId, Role};

use super::declare;
use super::planning::{Wishes, number, start_planning};
use crate::command::{Answer, Command, Proposal, Rejection, RejectionCode};
use crate::pki::testbed::TestPki;
use crate::push::Fleet;
use crate::push::testbed::{FakeFleet, founded, host_id, wait_for};
use crate::raft::{
    Announced, Applied, Leadership, ProposeError, ReadError, SessionHearing, SessionNotice,
    SessionRow, StoreError,
};
use crate::state::FleetState;

/// A fleet that takes no target of one host, as a state does that finds it over a limit.
#[derive(Clone)]
struct Picky {
    inner: FakeFleet,
    unwanted: HostId,
    /// Commands that named the host.
    refusals: Arc<AtomicUsize>,
}

impl Fleet for Picky {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    async fn propose(&self, proposal: Proposal) -> Result<Answer, ProposeError> {
        let names_it = |command: &Command| match command {
            Command::SetTargets(set) => set.targets.iter().any(|it| it.host == self.unwanted),
            _ => false,
        };
        if !names_it(&proposal.command) {
            return self.inner.propose(proposal).await;
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        // A refusal is an entry of the log as well, and wakes whoever watches it.
        self.inner.change(|_| ());
        Ok(Err(Rejection {
            code: RejectionCode::Limit,
            field: "targets[0].bodies".to_owned(),
            value: "9".to_owned(),
            accepted: "at most 8".to_owned(),
        }))
    }

    async fn linearize(&self) -> Result<(), ReadError> {
        self.inner.linearize().await
    }

    fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R {
        self.inner.view(read)
    }

    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        self.inner.body(hash)
    }

    fn applied(&self) -> watch::Receiver<Applied> {
        self.inner.applied()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership()
    }

    async fn announce_sessions(&self, notices: Vec<SessionNotice>) -> Announced {
        self.inner.announce_sessions(notices).await
    }

    fn hear_sessions(&self, hear: SessionHearing) {
        self.inner.hear_sessions(hear);
    }

    fn serve_sessions(&self, source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>) {
        self.inner.serve_sessions(source);
    }
}

#[tokio::test]
async fn a_refused_host_holds_up_nobody_is_named_and_does_not_fill_the_log() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    let hosts = ["a", "b", "c", "d", "e"];
    let wishes = Wishes::default();
    for host in hosts {
        declare(&mut state, host);
        let wish = Ok(Role::Powermta);
        wishes.lock().unwrap().insert(host_id(host), wish);
    }
    let fleet = Picky {
        inner: FakeFleet::new(state),
        unwanted: host_id("c"),
        refusals: Arc::default(),
    };
    let began = Instant::now();
    let mut planned = start_planning(fleet.clone(), wishes.clone());
    let others = |state: &FleetState| {
        hosts
            .iter()
            .all(|host| *host == "c" || number(state, host) == 1)
    };
    fleet.inner.until(others, "all but one have a target").await;
    let named = planned.wait_for(|planned| planned.errors.contains_key(&host_id("c")));
    let named = wait_for(named, "the refusal is told").await.unwrap();
    let errors = named.errors.clone();
    drop(named);
    let reason = &errors[&host_id("c")];
    assert!(
        reason.contains("targets[0].bodies") && reason.contains("at most 8"),
        "{reason}"
    );
    assert_eq!(errors.len(), 1, "{errors:?}");

    // Passes by the dozen, each of which finds the refused target again.
    for round in 1..=20 {
        let role = if round % 2 == 0 {
            Role::Powermta
        } else {
            Role::Api
        };
        wishes.lock().unwrap().insert(host_id("b"), Ok(role));
        fleet.inner.change(|_| ());
        let next = |state: &FleetState| number(state, "b") == round + 1;
        fleet.inner.until(next, "b has its next target").await;
    }
    // Found by halving (3 commands of 5 hosts), then after 1, 3, 7, ... seconds.
    let allowed = 4 + (began.elapsed().as_secs() + 1).ilog2() as usize;
    let refusals = fleet.refusals.load(Ordering::Relaxed);
    assert!(
        refusals <= allowed,
        "{refusals} refusals, at most {allowed}"
    );
}
