//! Applications are asked within limits, and what they do not say stays unknown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;

use email_engine_protocol::api::TenantSecret;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::RequestId;
use email_engine_protocol::secret::SecretBytes;
use email_engine_protocol::time::Timestamp;

use super::due::{QUESTIONS, questions};
use super::{AWAY, LONGEST_AWAY, Memory, look};
use crate::command::fixture::{self, address, identity};
use crate::fleet::warmup::day_of;
use crate::mailwizz::testbed::{Application, KEY, Mood};
use crate::mailwizz::{Applications, Client};
use crate::push::testbed::FakeFleet;
use crate::push::{Fleet as _, now};
use crate::seal::Vault;
use crate::state::{Campaign, CampaignEnd, Figures, FleetState, Readings, SecretOf, StoredSecret};

struct World {
    application: Application,
    applications: Applications,
    fleet: FakeFleet,
    memory: Memory,
}

/// A tenant with so many campaigns, begun just now, that its application knows as `uid0` and so on.
async fn world(campaigns: usize) -> World {
    let application = Application::start().await;
    let vault = Arc::new(Vault::new(1, zeroize::Zeroizing::new([7; 32])));
    let mut state = fixture::Fleet::with_identities(1).state;
    state.now = now();
    let tenant = identity(0).tenant;
    state.tenants.get_mut(&tenant).unwrap().mailwizz_url = Some(application.url());
    let bytes = SecretBytes {
        salt: [1; 16],
        bytes: KEY.as_bytes().to_vec(),
    };
    let id = SecretOf::Tenant(tenant.clone(), TenantSecret::MailwizzApiKey).id();
    let secret = StoredSecret {
        id,
        version: 1,
        commitment: bytes.commitment(),
        sealed: vault.seal_secret(&bytes, &Entropy(&SystemRandom::new())),
    };
    state.put_secret(secret);
    for at in 0..campaigns {
        let uid = format!("uid{at}");
        let campaign = Campaign {
            tenant: tenant.clone(),
            name: "Autumn".to_owned(),
            parts: vec![(address(0), 100)],
            asker: [1; 16],
            known: [].into(),
            begun_at: state.now,
            end: Some(CampaignEnd::Created { uid }),
            readings: Readings::default(),
        };
        state.campaigns.insert(request(at), Arc::new(campaign));
        state.campaigns_order.push(request(at));
    }
    World {
        applications: Applications::new(Client::new().unwrap(), vault),
        application,
        fleet: FakeFleet::new(state),
        memory: Memory::default(),
    }
}

fn request(at: usize) -> RequestId {
    RequestId::new(format!("r{at:04}")).unwrap()
}

impl World {
    fn figures(&self, at: usize, figures: [u64; 3]) {
        let mut held = self.application.held.lock().unwrap();
        held.figures.insert(format!("uid{at}"), figures);
    }

    async fn look(&mut self, at: Instant) {
        look(&self.fleet, &self.applications, &mut self.memory, at).await;
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut self.application.held.lock().unwrap().asked)
    }

    fn readings(&self, at: usize) -> Vec<Figures> {
        let read = |state: &FleetState| state.campaigns[&request(at)].readings.clone();
        let days = self.fleet.view(read).0;
        days.into_values().map(|reading| reading.figures).collect()
    }
}

#[tokio::test]
async fn what_it_counts_is_said_once_and_again_when_it_changes() {
    let mut world = world(2).await;
    let begin = Instant::now();
    world.figures(0, [90, 20, 3]);
    // Nothing of the second one is out yet.
    world.figures(1, [0, 0, 0]);
    world.look(begin).await;
    let figures = |delivered, opened, clicked| Figures {
        delivered,
        opened,
        clicked,
    };
    assert_eq!(world.readings(0), [figures(90, 20, 3)]);
    assert_eq!(world.readings(1), []);
    assert_eq!((world.asked(), world.fleet.log().len()), (2, 1));
    world.look(begin + Duration::from_secs(59 * 60)).await;
    assert_eq!(world.asked(), 0, "each once an hour");
    world.look(begin + Duration::from_secs(61 * 60)).await;
    assert_eq!((world.asked(), world.fleet.log().len()), (2, 1), "no news");
    // A new leader remembers nothing, and asks; the figures are whole ones.
    world.memory = Memory::default();
    world.figures(0, [95, 31, 4]);
    world.look(begin).await;
    assert_eq!(world.readings(0), [figures(95, 31, 4)]);
    assert_eq!((world.asked(), world.fleet.log().len()), (2, 2));
}

#[tokio::test]
async fn an_application_is_asked_a_few_questions_at_a_time_each_in_its_turn() {
    let mut world = world(QUESTIONS + 5).await;
    let begin = Instant::now();
    for at in 0..QUESTIONS + 5 {
        world.figures(at, [10, 1, 0]);
    }
    world.look(begin).await;
    assert_eq!(world.asked(), QUESTIONS);
    assert!(world.readings(0).is_empty(), "the newest are first");
    world.look(begin + Duration::from_secs(60)).await;
    assert_eq!(world.asked(), 5);
    for at in 0..QUESTIONS + 5 {
        assert_eq!(world.readings(at).len(), 1, "{at}");
    }
}

#[tokio::test]
async fn one_that_does_not_answer_is_left_alone_for_longer_each_time_and_nothing_is_known_of_it() {
    let mut world = world(3).await;
    let mut at = Instant::now();
    world.figures(0, [10, 1, 0]);
    let mut wait = AWAY;
    for _ in 0..6 {
        world.application.will(&[Mood::Breaks(502); 3]);
        world.look(at).await;
        assert_eq!(world.asked(), 3, "one question, asked again twice");
        world.look(at + wait - Duration::from_secs(1)).await;
        assert_eq!(world.asked(), 0);
        at += wait;
        wait = (wait * 2).min(LONGEST_AWAY);
    }
    assert!(world.fleet.log().is_empty());
    // One that was deleted there is no reason to leave the others out.
    world.application.will(&[]);
    world.look(at).await;
    assert_eq!(world.asked(), 3);
    assert_eq!(world.readings(0).len(), 1);
    assert!(world.memory.away.is_empty());
}

#[tokio::test]
async fn campaigns_are_followed_for_a_while_from_their_first_mail_on() {
    let world = world(2).await;
    let (at, today) = (now(), day_of(now()));
    let mut memory = Memory::default();
    let mut asked = |days: u64, asked_ago: u64| {
        let since = Instant::now();
        memory.asked = [(request(0), since)].into();
        let at = at.plus(days * Timestamp::DAY);
        let then = since + Duration::from_secs(asked_ago);
        let asked = world
            .fleet
            .view(|state| questions(state, &memory, at, then));
        let uids = asked.tenants.iter().flat_map(|one| &one.uids);
        let is_asked = uids.into_iter().any(|(own, _)| *own == request(0));
        (is_asked, asked.followed.contains(&request(0)))
    };
    // It may be for later.
    assert_eq!(asked(2, 3_600), (true, true));
    assert_eq!(asked(3, 3_600), (false, true));
    assert_eq!(asked(89, 6 * 3_600), (true, true));
    assert_eq!(asked(90, 6 * 3_600), (false, false));
    world.fleet.change(|state| {
        let campaign = state.campaigns.get_mut(&request(0)).unwrap();
        let reading = crate::state::Reading {
            at,
            figures: Figures::default(),
        };
        let readings = &mut Arc::make_mut(campaign).readings;
        readings.0.insert(today + 10, reading);
    });
    assert_eq!(asked(12, 3_600), (true, true));
    assert_eq!(asked(23, 6 * 3_600), (true, true));
    assert_eq!(asked(24, 6 * 3_600), (false, false));
}
