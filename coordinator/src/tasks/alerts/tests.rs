//! Delivery in front of a state in memory and a stand-in; what nodes say of hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use email_engine_protocol::api::{ChannelSpec, DeliveryState, MailView, WebhookSpec};
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::secret::SecretBytes;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::url::ServiceUrl;

use super::watch::seen;
use super::*;
use crate::alerts::channels::testbed::{Mood, StandIn};
use crate::command::fixture::alerts::{away, channel_name, raise, route, with_secret};
use crate::command::fixture::{Fleet as Fixture, host_id};
use crate::command::{Command, SetChannel};
use crate::push::testbed::{FakeFleet, wait_for};
use crate::raft::{SessionRow, Sessions};
use crate::state::{FleetState, Host, HostLifecycle};

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(1, Zeroizing::new([7; 32])))
}

/// So many alerts wait for one channel.
fn waiting(stand_in: &StandIn, count: usize) -> FleetState {
    let mut fleet = Fixture::with_identities(0);
    let secret = SecretBytes {
        salt: [1; 16],
        bytes: b"0123456789abcdef".to_vec(),
    };
    let url = ServiceUrl::new(format!("http://{}/in", stand_in.address)).unwrap();
    let spec = ChannelSpec::Webhook(WebhookSpec { url });
    fleet.accept(Command::SetChannel(Box::new(SetChannel {
        secret: Some(vault().seal_secret(&secret, &Entropy(&SystemRandom::new()))),
        ..with_secret("ops", spec)
    })));
    fleet.accept(route("all", None, &["ops"]));
    let events = (0..count).map(|n| away(&format!("h{n}"))).collect();
    fleet.accept(raise(events));
    // Real time goes on from here: the gate lets no clock leap.
    fleet.state.now = crate::push::now();
    fleet.state
}

fn channels() -> Channels {
    Channels::believing(Vec::new(), Duration::from_secs(20)).unwrap()
}

fn ids(stand_in: &StandIn) -> Vec<String> {
    let heard = stand_in.heard();
    let alerts = heard.iter().flat_map(|one| {
        let alerts = one.json()["alerts"].as_array().unwrap().clone();
        alerts
            .into_iter()
            .map(|alert| alert["id"].as_str().unwrap().to_owned())
    });
    alerts.collect()
}

async fn until(stand_in: &StandIn, met: impl Fn(&StandIn) -> bool, why: &str) {
    let met = async {
        while !met(stand_in) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    wait_for(met, why).await;
}

fn all_delivered(state: &FleetState) -> bool {
    let rows = state.alerts.rows.values();
    let mut deliveries = rows.flat_map(|row| row.deliveries.values());
    deliveries.all(|one| one.state == DeliveryState::Delivered)
}

#[tokio::test]
async fn what_waits_arrives_once_and_is_written_down() {
    let stand_in = StandIn::web(None).await;
    let fleet = FakeFleet::new(waiting(&stand_in, 120));
    let running = tokio::spawn(deliver::run(fleet.clone(), vault(), channels()));
    fleet.until(all_delivered, "all is delivered").await;
    running.abort();
    let ids = ids(&stand_in);
    assert_eq!(ids.len(), 120);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 120);
    assert_eq!(stand_in.heard().len(), 3, "fifty in a letter");
}

/// The leader is gone after the letter went out and before anybody wrote that down.
#[tokio::test]
async fn a_letter_that_nobody_wrote_down_is_sent_again_under_the_same_ids() {
    let stand_in = StandIn::web(None).await;
    stand_in.next([Mood::SaysNothing]);
    let fleet = FakeFleet::new(waiting(&stand_in, 3));
    let first = tokio::spawn(deliver::run(fleet.clone(), vault(), channels()));
    until(&stand_in, |one| one.heard().len() == 1, "it went out").await;
    first.abort();
    let second = tokio::spawn(deliver::run(fleet.of_node(NodeId(2)), vault(), channels()));
    fleet.until(all_delivered, "all is delivered").await;
    second.abort();
    let ids = ids(&stand_in);
    assert_eq!(ids[..3], ids[3..]);
}

#[tokio::test]
async fn a_channel_that_says_nothing_keeps_no_other_waiting() {
    let (slow, good) = (StandIn::web(None).await, StandIn::web(None).await);
    slow.next([Mood::SaysNothing]);
    let mut state = waiting(&slow, 0);
    let other = waiting(&good, 1);
    let mut channel = other.alerts.channels[&channel_name("ops")].clone();
    state
        .alerts
        .channels
        .insert(channel_name("spare"), channel.clone());
    channel.clone_from(&state.alerts.channels[&channel_name("ops")]);
    let mut both = state.alerts.routes.values().next().unwrap().clone();
    both.channels.insert(channel_name("spare"));
    for route in state.alerts.routes.values_mut() {
        route.clone_from(&both);
    }
    state.alerts.raise(away("h1"), None, state.now);
    let fleet = FakeFleet::new(state);
    let running = tokio::spawn(deliver::run(fleet.clone(), vault(), channels()));
    until(&good, |one| one.heard().len() == 1, "the other one is told").await;
    until(&slow, |one| one.heard().len() == 1, "so is the slow one").await;
    running.abort();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    /// Whenever leaders are killed, and whatever the channel says meanwhile, nothing is missing.
    #[test]
    fn leaders_that_are_killed_at_any_step_lose_no_alert(
        kills in prop::collection::vec((0..4_u8, 0..6_u64), 1..8),
        count in 1..120_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = runtime.block_on(async {
            let stand_in = StandIn::web(None).await;
            let fleet = FakeFleet::new(waiting(&stand_in, count));
            for (mood, millis) in kills {
                match mood {
                    0 => stand_in.next([Mood::SaysNothing]),
                    1 => stand_in.next([Mood::Hangs]),
                    2 => stand_in.next([Mood::Says(429, "Retry-After: 0\r\n", "")]),
                    _ => {}
                }
                let leader = tokio::spawn(deliver::run(fleet.clone(), vault(), channels()));
                tokio::time::sleep(Duration::from_millis(millis)).await;
                leader.abort();
            }
            stand_in.moods.lock().unwrap().clear();
            // What failed waits: its time comes.
            fleet.change(|state| {
                // Time alone goes on: that is no revision.
                state.revision -= 1;
                let ids: Vec<_> = state.alerts.rows.keys().copied().collect();
                for id in ids {
                    state.alerts.change(id, |row| {
                        for delivery in row.deliveries.values_mut() {
                            delivery.at = Timestamp(0);
                        }
                    });
                }
                for channel in state.alerts.channels.values_mut() {
                    Arc::make_mut(channel).wait_until = Timestamp(0);
                }
            });
            let leader = tokio::spawn(deliver::run(fleet.clone(), vault(), channels()));
            fleet.until(all_delivered, "all is delivered").await;
            leader.abort();
            ids(&stand_in)
        });
        let distinct: BTreeSet<_> = told.iter().collect();
        prop_assert_eq!(distinct.len(), count);
    }
}

fn row(host: &str, turned_away: Option<&str>) -> (NodeId, SessionRow) {
    let row = SessionRow {
        host: host_id(host),
        since: Timestamp(5),
        offered: None,
        trouble: Vec::new(),
        facts: None,
        drains: Vec::new(),
        turned_away: turned_away.map(str::to_owned),
        mail: MailView::default(),
    };
    (NodeId(1), row)
}

#[test]
fn a_host_is_missed_since_this_leader_first_did_not_see_it() {
    let mut state = Fixture::with_identities(0).state;
    let enrolled = |_: &_, host: &mut Host| host.lifecycle = HostLifecycle::Enrolled;
    state.hosts.change_each(enrolled);
    let (mut missed, pmta1) = (BTreeMap::new(), host_id("pmta1"));
    let heard = |rows| Sessions {
        rows,
        unheard: Vec::new(),
    };
    let away = heard(vec![row("pmta1", Some("its certificate was revoked"))]);
    let mut since = |sessions, at| {
        let seen = seen(&state, sessions, &mut missed, Timestamp(at));
        let known = seen.hosts.get(&pmta1).cloned();
        known.map(|known| (known.missed_since, known.turned_away))
    };
    assert_eq!(
        since(heard(Vec::new()), 10),
        Some((Some(Timestamp(10)), None))
    );
    let why = Some("its certificate was revoked".into());
    assert_eq!(since(away, 20), Some((Some(Timestamp(10)), why)));
    // A node that does not answer may have it: that is neither here nor away.
    let unknown = Sessions {
        rows: Vec::new(),
        unheard: vec![NodeId(2)],
    };
    assert_eq!(since(unknown, 25), None);
    assert_eq!(
        since(heard(Vec::new()), 30),
        Some((Some(Timestamp(10)), None))
    );
    assert_eq!(
        since(heard(vec![row("pmta1", None)]), 40),
        Some((None, None))
    );
    assert_eq!(
        since(heard(Vec::new()), 50),
        Some((Some(Timestamp(50)), None))
    );
}
