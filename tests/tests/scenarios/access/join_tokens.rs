//! A join token works once, for one host, of one cluster.

use std::fs;

use email_engine_tests::{AgentProcess, Fleet, samples};

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_works_once() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let token = fleet.host_token("pmta1", "powermta").await;
    let mut first = AgentProcess::new("pmta1", &fleet.host_dir("pmta1"));
    first.start(Some(&token));
    fleet.agents.insert("pmta1".to_owned(), first);
    fleet.host_converged("pmta1", "it redeemed its token").await;

    let mut thief = AgentProcess::new("thief", &fleet.dir().join("thief"));
    thief.start(Some(&token));
    let status = thief.daemon().wait_exit("its token was used before");

    assert_eq!(status.code(), Some(3), "{}", thief.daemon().log_tail());
    assert!(!thief.data_dir().join("identity/identity").exists());
    // An operator sees both machines: in the list of tokens and in the audit.
    let listed = fleet.api().get("/tokens").await.ok()[0].clone();
    assert_eq!(listed["refused"].as_array().unwrap().len(), 1, "{listed}");
    let audit = fleet.api().get("/audit?limit=50").await.ok();
    let entries = audit.as_array().unwrap();
    let named: Vec<_> = entries
        .iter()
        .filter(|entry| entry["command"] == "refuse-token")
        .collect();
    assert_eq!(named.len(), 1, "{audit}");
    let object = named[0]["object"].as_str().unwrap();
    for used in [&listed["used_by"], &listed["refused"][0]] {
        for part in ["key", "from"] {
            let part = used[part].as_str().unwrap();
            assert!(object.contains(part), "{part}: {object}");
        }
    }
    let (holder, second) = (&listed["used_by"], &listed["refused"][0]);
    assert_ne!(holder["key"], second["key"]);

    fleet
        .host_converged("pmta1", "nothing was taken from it")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_cluster_and_a_revoked_one_are_refused() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let other = Fleet::single().await;
    other.apply(&samples::fleet(1)).await;

    // The foreign token names the other cluster's CA: with our coordinator's address in it, the
    // pin does not fit and nothing of the token is told.
    let foreign = other.host_token("pmta1", "powermta").await;
    let ours = fleet.host_token("pmta1", "powermta").await;
    let mixed = samples::token_with_endpoints_of(&foreign, &ours);
    let mut agent = AgentProcess::new("foreign", &fleet.dir().join("foreign"));
    agent.start(Some(&mixed));
    let status = agent
        .daemon()
        .wait_exit("the CA is not the one its token pins");
    assert_eq!(status.code(), Some(4), "{}", agent.daemon().log_tail());

    let tokens = fleet.api().get("/tokens").await.ok();
    let id = tokens[0]["id"].as_str().unwrap().to_owned();
    fleet.api().delete(&format!("/tokens/{id}")).await.ok();
    let mut late = AgentProcess::new("late", &fleet.dir().join("late"));
    late.start(Some(&ours));
    assert_eq!(
        late.daemon().wait_exit("its token was taken back").code(),
        Some(3)
    );

    let log = fs::read_to_string(late.log()).unwrap();
    assert!(!log.contains(&ours), "the token is in the log");
}
