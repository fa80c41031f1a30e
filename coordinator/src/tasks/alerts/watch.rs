//! Looks at the fleet for what people have to know and no command says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::ResourceState;
use email_engine_protocol::time::Timestamp;

use super::SessionsFn;
use crate::alerts::rules::{DiskSeen, HostSeen, Line, Looked, Seen, look};
use crate::command::{ALERTS_TOGETHER, Command, RaiseAlerts};
use crate::push::{Fleet, Registry, now};
use crate::raft::{SessionRow, Sessions};
use crate::state::{FleetState, HostLifecycle};
use crate::tasks::{leads, say};

/// At least between two looks: each asks all nodes whom they have.
const AGAIN: Duration = Duration::from_secs(5);
/// A look without a change.
const IDLE: Duration = Duration::from_secs(30);

/// Looks while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, registry: Registry, sessions: SessionsFn) {
    let mut leadership = fleet.leadership();
    let mut applied = fleet.applied();
    while leads(&mut leadership).await {
        let mut missed = BTreeMap::new();
        while leadership.borrow().is_leader {
            applied.mark_unchanged();
            let heard = sessions().await;
            let frozen = registry.frozen();
            let looked = fleet.view(|state| {
                let at = now().max(state.now);
                let mut seen = seen(state, heard, &mut missed, at);
                let epoch = state.cluster.as_ref().map_or(0, |cluster| cluster.epoch);
                for (host, frozen) in frozen {
                    if let Some(known) = seen.hosts.get_mut(&host) {
                        known.ahead = frozen.holds_in(epoch).then_some(frozen.accepted);
                    }
                }
                look(state, &seen, at)
            });
            for command in commands(looked) {
                say(&fleet, "what a look found", command).await;
            }
            sleep(AGAIN).await;
            tokio::select! {
                changed = timeout(IDLE, applied.changed()) => {
                    if let Ok(Err(_)) = changed {
                        return;
                    }
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Few enough for one command each.
fn commands(looked: Looked) -> Vec<Command> {
    let Looked { raised, resolved } = looked;
    let raises = raised.chunks(ALERTS_TOGETHER).map(|raised| RaiseAlerts {
        raised: raised.to_vec(),
        resolved: Vec::new(),
    });
    let ends = resolved
        .chunks(ALERTS_TOGETHER)
        .map(|resolved| RaiseAlerts {
            raised: Vec::new(),
            resolved: resolved.to_vec(),
        });
    ends.chain(raises).map(Command::RaiseAlerts).collect()
}

/// What the nodes say of hosts that have an agent. Since when one is missed is remembered while this node
/// leads; a new leader begins to count anew.
pub(super) fn seen(
    state: &FleetState,
    heard: Sessions,
    missed: &mut BTreeMap<HostId, Timestamp>,
    now: Timestamp,
) -> Seen {
    let Sessions { rows, unheard } = heard;
    let mut live: BTreeMap<HostId, SessionRow> = BTreeMap::new();
    let mut away: BTreeMap<HostId, SessionRow> = BTreeMap::new();
    for (_, row) in rows {
        let table = match row.is_live() {
            true => &mut live,
            false => &mut away,
        };
        let newer = table
            .get(&row.host)
            .is_none_or(|known| known.since < row.since);
        if newer {
            table.insert(row.host.clone(), row);
        }
    }
    let mut seen = Seen::default();
    for (id, host) in state.live_hosts() {
        if host.lifecycle != HostLifecycle::Enrolled {
            continue;
        }
        if let Some(row) = live.remove(id) {
            seen.hosts.insert(id.clone(), connected(&row, now));
        } else if unheard.is_empty() {
            let turned_away = away.remove(id).and_then(|row| row.turned_away);
            let missing = HostSeen {
                missed_since: Some(missed.get(id).copied().unwrap_or(now)),
                turned_away: turned_away.map(Line::from),
                ..HostSeen::default()
            };
            seen.hosts.insert(id.clone(), missing);
        } else {
            seen.unknown.insert(id.clone());
        }
    }
    let is_missed = |id: &HostId| {
        let known = seen.hosts.get(id);
        seen.unknown.contains(id) || known.is_some_and(|known| known.missed_since.is_some())
    };
    missed.retain(|id, _| is_missed(id));
    for (id, known) in &seen.hosts {
        if let Some(since) = known.missed_since {
            missed.entry(id.clone()).or_insert(since);
        }
    }
    seen
}

fn connected(row: &SessionRow, now: Timestamp) -> HostSeen {
    // A host names its worst resources; several parts of one file are one.
    let mut named = BTreeSet::new();
    let contested = row.trouble.iter().filter_map(|status| match &status.state {
        ResourceState::Drifted(why) if why.starts_with("contested") => {
            let name = Line::said(&status.id);
            named.insert(name.clone()).then(|| (name, Line::new(why)))
        }
        _ => None,
    });
    let contested = contested.collect();
    let disks = row.facts.iter().flat_map(|facts| &facts.disks);
    let disks = disks.map(|disk| DiskSeen {
        mount: Line::new(&disk.mount_point),
        left: disk.available_bytes,
        size: disk.total_bytes,
    });
    let notices = row.mail.notices.clone().current(now).words();
    HostSeen {
        missed_since: None,
        turned_away: None,
        contested,
        disks: disks.collect(),
        notices: notices.into_iter().map(Line::from).collect(),
        ahead: None,
    }
}
