//! Sessions: what passes through them, and how they end.

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Floor, Refusal, RefusalCode};

use super::super::LinkEnd;
use super::coordinator::{TestCoordinator, wait_for};
use super::stage::{Agent, Stage};
use super::{NodeNames, TestCluster};
use crate::halves::{FromExecutor, Standing, ToExecutor};

#[tokio::test]
async fn messages_pass_both_ways_and_a_ping_is_answered() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    assert_eq!(session.hello.cluster, stage.cluster.id);
    assert_eq!(session.hello.mode, Mode::Sandbox);
    agent.heard_session().await;
    let offer = stage.cluster.plan.sign(&stage.target(TestCluster::now()));
    session.say(&CoordinatorMessage::Offer(offer.clone())).await;
    assert_eq!(agent.heard().await, ToExecutor::Offer(offer));
    session.say(&CoordinatorMessage::Ping { number: 8 }).await;
    assert_eq!(session.heard().await, AgentMessage::Pong { number: 8 });
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    agent.stop.send(true).unwrap();
    let closed = wait_for(session.connection.closed(), "the agent says good-bye").await;
    assert!(closed.to_string().contains("closed by peer"), "{closed}");
    assert_eq!(agent.end().await, LinkEnd::Shutdown);
}

#[tokio::test]
async fn a_late_report_for_an_older_session_is_not_relayed() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    // The executor was busy when its session ended: a coordinator takes this for a replay.
    let late = stage.cluster.report_for(Nonce([6; 16]));
    agent.say(FromExecutor::Report(late)).await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
}

#[tokio::test]
async fn a_session_comes_back_after_its_coordinator_went_away() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let session = stage.session(&[]).await;
    agent.heard_session().await;
    drop(session);
    let address = stage.coordinator.stop().await;
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    // Nobody is there: what the executor says is read all the same, and where it stands is kept.
    let floor = Floor {
        generation: Generation {
            epoch: 1,
            number: 9,
        },
        digest: ContentHash::of(b"manifest"),
    };
    for _ in 0..20 {
        agent
            .say(FromExecutor::Report(stage.cluster.report()))
            .await;
    }
    let standing = Standing {
        floor: Some(floor),
        plan_key_version: 4,
        ..Standing::default()
    };
    agent.say(FromExecutor::Standing(standing)).await;
    agent
        .say(FromExecutor::BodiesWanted(vec![floor.digest]))
        .await;

    let names = NodeNames::default();
    stage.coordinator = TestCoordinator::start_at(&stage.cluster, &names, address);
    let session = stage.session(&[]).await;
    assert_eq!(session.hello.floor, Some(floor));
    assert_eq!(session.hello.plan_key_version, 4);
    agent.heard_session().await;
}

#[tokio::test]
async fn the_list_of_coordinators_is_learnt_remembered_and_used() {
    let mut stage = Stage::new();
    let mut other = TestCoordinator::start(&stage.cluster, &NodeNames::default());
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[other.name()]).await;
    agent.heard_session().await;
    let (first, second) = (stage.coordinator.name(), other.name());
    assert_eq!(
        agent.store.coordinators().unwrap(),
        [first.clone(), second.clone()]
    );
    let list = vec![second.clone(), "192.0.2.9:7443".to_owned()];
    session.say(&CoordinatorMessage::Coordinators(list)).await;
    session.say(&CoordinatorMessage::Ping { number: 1 }).await;
    session.heard().await;
    let known = agent.store.coordinators().unwrap();
    assert_eq!(known, [first, second.clone(), "192.0.2.9:7443".to_owned()]);
    let list = vec![second];
    session.say(&CoordinatorMessage::Coordinators(list)).await;

    let refusal = Refusal {
        code: RefusalCode::NoLeader,
        reason: "no leader".to_owned(),
        retry_after_millis: Some(600_000),
    };
    session.say(&CoordinatorMessage::Refused(refusal)).await;
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    let _other = other.session(&stage.cluster, &[]).await;
    agent.heard_session().await;
    assert_eq!(agent.store.coordinators().unwrap(), [other.name()]);
}

#[tokio::test]
async fn a_busy_executor_does_not_silence_the_link() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    // Far more than the channel to the executor takes.
    for _ in 0..30 {
        session.say(&CoordinatorMessage::Secrets(vec![])).await;
    }
    session.say(&CoordinatorMessage::Ping { number: 4 }).await;
    assert_eq!(session.heard().await, AgentMessage::Pong { number: 4 });
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    agent.heard_session().await;
    for _ in 0..30 {
        assert_eq!(agent.heard().await, ToExecutor::Secrets(vec![]));
    }
}

#[tokio::test]
async fn a_frame_over_the_cap_closes_the_connection() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    session.send.write_all(&[0xff; 4]).await.unwrap();
    let closed = wait_for(session.connection.closed(), "the agent closes").await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed otherwise: {closed}");
    };
    assert_eq!(close.error_code, 1_u32.into());
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
}

#[tokio::test]
async fn a_revoked_host_stops_for_good() {
    let mut stage = Stage::new();
    let agent = Agent::start(stage.identity());
    let mut session = stage.coordinator.hello().await;
    let refusal = Refusal {
        code: RefusalCode::Revoked,
        reason: "revoked by an operator".to_owned(),
        retry_after_millis: None,
    };
    session.say(&CoordinatorMessage::Refused(refusal)).await;
    assert_eq!(agent.end().await, LinkEnd::Revoked);
}

#[tokio::test]
async fn a_host_that_is_cut_off_before_it_could_say_that_it_is_wiped_has_been_retired() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let standing = Standing {
        is_retiring: true,
        ..Standing::default()
    };
    agent.say(FromExecutor::Standing(standing)).await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    let refusal = Refusal {
        code: RefusalCode::Revoked,
        reason: "this host is retired and cut off".to_owned(),
        retry_after_millis: None,
    };
    session.say(&CoordinatorMessage::Refused(refusal)).await;
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    assert_eq!(agent.heard().await, ToExecutor::CutOff);
    agent.say(FromExecutor::Retired).await;
    assert_eq!(agent.end().await, LinkEnd::Retired);
}

#[tokio::test]
async fn a_retired_host_hands_over_its_last_report_and_ends() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    agent.say(FromExecutor::Retired).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    session.over().await;
    assert_eq!(agent.end().await, LinkEnd::Retired);
}

#[tokio::test]
async fn a_host_that_was_retired_while_alone_confirms_it_in_the_next_session() {
    let mut stage = Stage::new();
    let identity = stage.identity();
    let names = NodeNames::default();
    let address = stage.coordinator.stop().await;
    let mut agent = Agent::start(identity);
    agent.say(FromExecutor::Retired).await;
    stage.coordinator = TestCoordinator::start_at(&stage.cluster, &names, address);
    let mut session = stage.coordinator.session(&stage.cluster, &[]).await;
    agent.heard_session().await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    session.over().await;
    assert_eq!(agent.end().await, LinkEnd::Retired);
}

#[tokio::test]
async fn a_signed_target_lifts_a_clock_that_is_behind() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let later = TestCluster::now().plus(Timestamp::DAY);
    let forged = TestCluster::new(9).plan.sign(&stage.target(later.plus(1)));
    session.say(&CoordinatorMessage::Offer(forged)).await;
    agent.heard().await;
    assert!(agent.store.clock_floor().unwrap() < later);
    let good = stage.cluster.plan.sign(&stage.target(later));
    session.say(&CoordinatorMessage::Offer(good)).await;
    agent.heard().await;
    assert_eq!(agent.store.clock_floor().unwrap(), later);
}
