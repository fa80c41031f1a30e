//! A network half that lies cannot make a report believed or a state accepted, on either end.

use std::fs;

use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::desired::{PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::CoordinatorMessage;
use email_engine_protocol::wire::{Floor, Hello, RefusalCode};
use email_engine_tests::lying::{FalseNode, Session};
use email_engine_tests::{Fleet, samples, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_report_is_not_believed() {
    let mut fleet = Fleet::converged_with(1, 1).await;
    let before = fleet.host("pmta1").await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();

    // The network half has the host's certificate, but not the executor's report key.
    let endpoint = &fleet.nodes[&1].endpoints().agent;
    let mut session = Session::open(&agent.data_dir(), endpoint).await.unwrap();
    session.report_what_never_was().await;

    let ending = session.end().await;
    let refusal = ending.refusal.expect("it was not told why");
    assert_eq!(refusal.code, RefusalCode::Protocol, "{refusal:?}");
    assert!(refusal.reason.contains("signature"), "{refusal:?}");
    assert_eq!(ending.code, Some(1), "{}", ending.reason);
    let refused = "email_engine_reports_refused_total";
    assert_eq!(fleet.api_of(1).metric(refused).await, 1.0);
    let after = fleet.host("pmta1").await;
    assert_eq!(before["convergence"], after["convergence"]);
    assert_eq!(before["running"], after["running"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_not_signed_or_has_other_bytes_is_not_accepted() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("its first document was applied").await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();
    let (data, config) = (agent.data_dir(), agent.file("/etc/pmta/config"));
    let before = fs::read(&config).unwrap();
    // A target that is rightly signed and new, as the network half gets it.
    fleet.apply_for("pmta1", &samples::fleet(2), false).await;
    let endpoint = &fleet.nodes[&1].endpoints().agent;
    let mut heard = Session::open(&data, endpoint).await.unwrap();
    let genuine = heard.offer().await;
    let mut welcome = heard.welcome().clone();
    drop(heard);
    fleet.nodes.get_mut(&1).unwrap().kill();

    // The node's certificate and place, a recovery key and a plan key of its own.
    let liar = FalseNode::in_place_of(&fleet.nodes[&1]);
    let key = SigningKey::from_seed([66; 32]);
    let plan_key = welcome.plan_key.unverified().unwrap();
    welcome.plan_key = key.sign(&PlanKeyGrant {
        version: plan_key.version + 1,
        key: key.verifying_key(),
        ..plan_key
    });
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    let mut session = liar.session(welcome).await;
    let accepted = session.hello.floor.expect("it has accepted a state");
    for (version, refused) in [
        (plan_key.version, "signature"),
        (plan_key.version + 1, "plan key version"),
    ] {
        let forged = key.sign(&higher(&session.hello, accepted, version));
        session.say(&CoordinatorMessage::Offer(forged)).await;
        let report = session.refusal(refused).await;
        assert_eq!(report.generations.accepted, Some(accepted.generation));
        assert_eq!(report.generations.running, Some(accepted.generation));
    }
    session.say(&CoordinatorMessage::Offer(genuine)).await;
    session.give_for_any_body(b"other bytes").await;
    let report = session.refusal("another hash").await;
    assert_eq!(report.generations.accepted, Some(accepted.generation));
    assert_eq!(report.generations.running, Some(accepted.generation));
    assert_eq!(fs::read(&config).unwrap(), before);
    drop(session);
    liar.stop().await;

    // With the right bytes the same target is taken.
    fleet.nodes.get_mut(&1).unwrap().start().await;
    wait_until("the agent takes what its cluster says", async || {
        fs::read_to_string(&config).is_ok_and(|text| text.contains("mail2.example.net"))
    })
    .await;
    fleet.converged("its own node is back").await;
}

/// A target far above what the host has accepted, of a content that it has.
fn higher(hello: &Hello, accepted: Floor, plan_key_version: u32) -> Target {
    let Generation { epoch, number } = accepted.generation;
    Target {
        cluster: hello.cluster,
        host: hello.host.clone(),
        generation: Generation {
            epoch,
            number: number + 900,
        },
        digest: accepted.digest,
        plan_key_version,
        issued_at: Timestamp(1),
    }
}
