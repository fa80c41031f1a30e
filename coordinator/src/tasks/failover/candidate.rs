//! Looks at those who could take a place, one after the other, and proposes the first that fits.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::api::{IpStatus, Verdict as Said};

use super::due::unfit;
use crate::alerts::rules::Line;
use crate::command::{Asked, Command, PromoteIdentity};
use crate::dnsbl::desk::Desk;
use crate::dnsbl::query::Subject;
use crate::dnsbl::registry::Kind;
use crate::dnsbl::sweep::Findings;
use crate::dnsbl::verdict::Verdict;
use crate::fleet::failover::candidate::Runner;
use crate::fleet::failover::runners;
use crate::fleet::lifecycle::{Event, Standing, next};
use crate::fleet::listing::preflight;
use crate::push::{Fleet, now, proposal};
use crate::state::FleetState;
use crate::tasks::{SessionsFn, dnsbl};

/// Most that are looked at for one event and at one time.
const MOST: usize = 8;

/// What a look needs. A cheap clone.
#[derive(Clone)]
pub(super) struct Looking<F> {
    pub(super) fleet: F,
    pub(super) desk: Desk,
    pub(super) sessions: SessionsFn,
}

impl<F: Fleet> Looking<F> {
    /// Promotes the best that fits, or says why nobody does.
    pub(super) async fn look(&self, event: u64) {
        // Whoever could take the place is sought in a copy, so that nobody waits for it.
        let state = self.fleet.view(FleetState::clone);
        let event_row = state.failover.events.get(&event);
        let runners = event_row.map_or_else(Vec::new, |row| runners(&state, row, &BTreeMap::new()));
        drop(state);
        let heard = (self.sessions)().await;
        let mut why: BTreeMap<IpAddr, Line> = BTreeMap::new();
        for runner in runners.into_iter().take(MOST) {
            let address = runner.address;
            let on_host = self.fleet.view(|state| {
                let identity = state.identities.get(&address)?;
                let mut rows = heard.rows.iter().map(|(_, row)| row);
                let row = rows.find(|row| row.is_live() && row.host == identity.spec.host)?;
                row.has_address(address)
            });
            let hindered = self
                .fleet
                .view(|state| hindered(state, &runner, on_host.as_ref()));
            if let Some(reason) = hindered {
                why.insert(address, reason);
                continue;
            }
            let asked = self.ask(address).await;
            let fits = self.fleet.view(|state| {
                let seen = asked.seen(state, address);
                let at = now().max(state.now);
                Runner { seen, ..runner }.fits(at)
            });
            if let Err(reason) = fits {
                why.insert(address, Line::said(reason));
                continue;
            }
            match self.promote(event, address, asked, on_host).await {
                Ok(()) => return,
                Err(reason) => {
                    why.insert(address, reason);
                }
            }
        }
        if !why.is_empty() {
            super::say(&self.fleet, "nobody fits", unfit(event, why)).await;
        }
    }

    /// Asks all lists about one address, and writes down what they said.
    async fn ask(&self, address: IpAddr) -> Asked {
        let at = now();
        let doors = self.fleet.view(|state| self.desk.doors(state));
        let doors: Vec<_> = doors
            .into_iter()
            .filter(|door| door.zone.kind == Kind::Ip)
            .collect();
        let names: Vec<_> = doors.iter().map(|door| door.zone.id.clone()).collect();
        let mut asked = Asked {
            at,
            ..Asked::default()
        };
        match self
            .desk
            .ask(doors, &[Subject::Address(address)], None)
            .await
        {
            Ok(findings) => {
                for of_list in &findings {
                    let observer = self.desk.observer();
                    dnsbl::report::report(&self.fleet, &observer, None, of_list).await;
                    count(&mut asked, of_list);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "lists cannot be asked about a candidate");
                asked.unknown.extend(names);
            }
        }
        asked
    }

    async fn promote(
        &self,
        event: u64,
        address: IpAddr,
        asked: Asked,
        on_host: Option<Said>,
    ) -> Result<(), Line> {
        let command = Command::PromoteIdentity(Box::new(PromoteIdentity {
            event,
            address,
            asked,
            on_host,
        }));
        let actor = format!("node {}", self.fleet.node());
        let offer = proposal(&self.fleet, actor, "it takes a listed one's place", command);
        match self.fleet.propose(offer).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(rejection)) => Err(Line::said(rejection)),
            // It may have been taken all the same; whoever leads then sees which.
            Err(error) => {
                tracing::info!(%error, %address, "a promotion is not said yet");
                Ok(())
            }
        }
    }
}

/// What keeps somebody from it beside lists.
fn hindered(state: &FleetState, runner: &Runner, on_host: Option<&Said>) -> Option<Line> {
    let identity = state.identities.get(&runner.address)?;
    if runner.status != IpStatus::Standby {
        return None;
    }
    let (mut life, at) = (identity.life.clone(), now().max(state.now));
    life.hear_host(&identity.spec.host, on_host, at);
    let preflight = preflight(state, identity, &life.checks, at);
    let turned = next(&Standing::of(identity), &Event::Activate, at, &preflight);
    turned.err().map(Line::said)
}

fn count(asked: &mut Asked, findings: &Findings) {
    let list = findings.list.clone();
    let verdict = findings.found.first().map(|found| &found.verdict);
    match verdict {
        Some(Verdict::Listed(_)) if findings.health().is_healthy() => asked.listed.insert(list),
        Some(Verdict::Clean) if findings.health().is_healthy() => asked.clean.insert(list),
        // It is not asked about such addresses.
        None if findings.health().is_healthy() => asked.clean.insert(list),
        _ => asked.unknown.insert(list),
    };
}
