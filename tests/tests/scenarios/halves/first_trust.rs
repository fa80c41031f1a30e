//! Whom a host belongs to is said by whoever holds the machine: a network half that is somebody else's at the
//! enrolment, or after a retirement, cannot put another fleet in its place.

use std::fs;

use email_engine_agent::halves::{ToExecutor, Trust};
use email_engine_protocol::bytes::{ContentHash, Nonce, SealingPublicKey};
use email_engine_protocol::crypto::{RecoveryPublic, SigningKey};
use email_engine_protocol::desired::{PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, Role};
use email_engine_protocol::join::JoinToken;
use email_engine_protocol::time::Timestamp;
use email_engine_tests::{AgentProcess, Fleet, samples, wait_for};
use serde_json::Value;

use super::{Intruder, converged};

const HOST: &str = "pmta1";

/// A fleet whose PowerMTA host is still to come, and the machine for it, halves apart.
async fn waiting() -> (Fleet, AgentProcess) {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let mut agent = AgentProcess::new(HOST, &fleet.host_dir(HOST));
    agent.apart();
    (fleet, agent)
}

/// A fleet of the intruder's own: its keys fit each other, and nothing else.
struct Lure {
    recovery: SigningKey,
    plan: SigningKey,
}

impl Lure {
    fn new() -> Self {
        Self {
            recovery: SigningKey::from_seed([67; 32]),
            plan: SigningKey::from_seed([66; 32]),
        }
    }

    fn trust(&self, cluster: ClusterId, host: HostId) -> Trust {
        let grant = PlanKeyGrant {
            cluster,
            version: 1,
            key: self.plan.verifying_key(),
        };
        Trust {
            cluster,
            host,
            role: Role::Powermta,
            recovery: RecoveryPublic {
                verifying: self.recovery.verifying_key(),
                sealing: SealingPublicKey([68; 32]),
            },
            plan_key: self.recovery.sign(&grant),
            epoch: 1,
        }
    }

    /// What it would have the host be.
    fn offer(&self, trust: &Trust) -> ToExecutor {
        ToExecutor::Offer(self.plan.sign(&Target {
            cluster: trust.cluster,
            host: trust.host.clone(),
            generation: Generation {
                epoch: 1,
                number: 1,
            },
            digest: ContentHash([5; 32]),
            plan_key_version: 1,
            issued_at: Timestamp(0),
        }))
    }
}

/// How often the executor has refused a trust.
fn refusals(agent: &AgentProcess) -> Vec<String> {
    let log = fs::read_to_string(agent.executor_log()).unwrap_or_default();
    let refused = log.lines().filter(|line| line.contains("trust is refused"));
    refused.map(str::to_owned).collect()
}

/// Says all that a network half could say to make the host its own, and gives the executor's words for it.
async fn lure(agent: &AgentProcess, trusts: &[Trust], lure: &Lure) -> Vec<String> {
    let before = refusals(agent).len();
    let intruder = Intruder::at(agent).await;
    assert_eq!(intruder.called.begin.trust, None);
    for trust in trusts {
        let admitted = Box::new(trust.clone());
        intruder.tell(ToExecutor::Admitted(admitted)).await;
        let nonce = Nonce([9; 16]);
        intruder.tell(ToExecutor::Session { nonce }).await;
        intruder.tell(lure.offer(trust)).await;
    }
    wait_for("each lie is refused", async || {
        let refused = refusals(agent);
        if refused.len() >= before + trusts.len() {
            Ok(())
        } else {
            Err(refused)
        }
    })
    .await;
    refusals(agent).split_off(before)
}

/// Whoever calls next hears it from the executor itself.
async fn trusts_nobody(agent: &AgentProcess) {
    let next = Intruder::at(agent).await;
    assert_eq!(next.called.begin.trust, None);
    assert_eq!(next.called.begin.standing.floor, None);
    assert_eq!(next.called.begin.standing.plan_key_version, 0);
}

/// What the cluster knows of a token.
async fn listed(fleet: &Fleet, token: &str) -> Value {
    let id = token.parse::<JoinToken>().unwrap().id.to_string();
    let tokens = fleet.api().get("/tokens").await.ok();
    let mut ours = tokens.as_array().unwrap().iter();
    ours.find(|view| view["id"] == id.as_str()).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_half_that_lies_at_the_enrolment_is_not_believed() {
    let (mut fleet, mut agent) = waiting().await;
    let token = fleet.host_token(HOST, "powermta").await;
    let join: JoinToken = token.parse().unwrap();
    agent.expect(&token);
    agent.start_executor();

    let thief = Lure::new();
    let host = HostId::new(HOST).unwrap();
    let lies = [
        // With the right names under its own keys, and wholly of its own.
        thief.trust(join.cluster, host.clone()),
        thief.trust(ClusterId([8; 16]), host),
    ];
    let words = lure(&agent, &lies, &thief).await.join("\n");
    assert!(words.contains("it has the recovery key"), "{words}");
    assert!(words.contains("it is of cluster"), "{words}");
    trusts_nobody(&agent).await;
    assert!(!agent.data_dir().join("executor/trust").exists());
    assert!(!agent.file("/etc/pmta").exists(), "nothing was made of it");

    // The rightful one comes, with the same token and to the same executor.
    agent.start_network(Some(&token));
    fleet.agents.insert(HOST.to_owned(), agent);
    let view = fleet.host_converged(HOST, "its own fleet let it in").await;
    assert_eq!(view["running"]["epoch"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_told_of_nobody_spends_no_token_and_believes_no_trust() {
    let (mut fleet, mut agent) = waiting().await;
    let token = fleet.host_token(HOST, "powermta").await;
    let join: JoinToken = token.parse().unwrap();
    agent.start_executor();
    agent.start_network(Some(&token));
    let ended = agent
        .daemon()
        .wait_exit("nobody told the executor of its token");
    let log = agent.daemon().log_tail();
    assert_eq!(ended.code(), Some(2), "{log}");
    assert!(
        log.contains("email-engine-bootstrap agent --join-file"),
        "{log}"
    );
    assert_eq!(listed(&fleet, &token).await["state"], "open");
    let thief = Lure::new();
    let lie = thief.trust(join.cluster, HostId::new(HOST).unwrap());
    let words = lure(&agent, &[lie], &thief).await.join("\n");
    assert!(words.contains("nobody has told this machine"), "{words}");
    trusts_nobody(&agent).await;

    // Told of another host, it spends none for this one either.
    let other = fleet.host_token("api1", "api").await;
    agent.expect(&other);
    agent.start_network(Some(&token));
    let ended = agent.daemon().wait_exit("its token is for another host");
    let log = agent.daemon().log_tail();
    assert_eq!(ended.code(), Some(2), "{log}");
    assert!(log.contains("this machine was told to be api1"), "{log}");
    assert_eq!(listed(&fleet, &token).await["state"], "open");

    agent.start(Some(&token));
    fleet.agents.insert(HOST.to_owned(), agent);
    fleet.host_converged(HOST, "it was told").await;
}

/// Retires the PowerMTA host and gives its agent when both halves have ended.
async fn retire(fleet: &mut Fleet) -> AgentProcess {
    for address in ["198.51.100.1", "198.51.100.2"] {
        let path = format!("/ips/{address}?now=true&last=true");
        fleet.api().delete(&path).await.ok();
    }
    fleet.api().delete("/hosts/pmta1").await.ok();
    let mut agent = fleet.agents.remove(HOST).unwrap();
    let ended = agent.daemon().wait_exit("its host was retired");
    assert_eq!(ended.code(), Some(5), "the network half");
    let ended = agent.executor().wait_exit("its host was retired");
    assert_eq!(ended.code(), Some(5), "the executor");
    agent.kill();
    wait_for("the host is on record as retired", async || {
        let view = fleet.host(HOST).await;
        let retired = view["lifecycle"] == "retired";
        retired.then_some(()).ok_or(view)
    })
    .await;
    agent
}

fn is_retired(status: &Value) {
    assert_eq!(status["retired"], true, "{status}");
    assert_eq!(status["tombstone"]["host"], HOST, "{status}");
    assert!(status["enrolled"].is_null(), "{status}");
    assert!(status["expected"].is_null(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_host_was_retired_is_nobodys_until_it_is_joined_anew() {
    let mut fleet = converged().await;
    let pmta = fleet.agents.get_mut(HOST).unwrap();
    let intruder = Intruder::of(pmta).await;
    let former = intruder.called.begin.trust.clone().unwrap();
    drop(intruder);
    pmta.start(None);
    let mut agent = retire(&mut fleet).await;
    is_retired(&agent.status());

    // The units are started again, as by a reboot: both end, and say why.
    agent.start(None);
    let ended = agent.daemon().wait_exit("its host was retired before");
    assert_eq!(ended.code(), Some(5), "{}", agent.daemon().log_tail());
    let ended = agent.executor().wait_exit("its host was retired before");
    assert_eq!(ended.code(), Some(5), "{}", agent.executor().log_tail());
    let log = agent.executor().log_tail();
    assert!(log.contains("this machine was host pmta1"), "{log}");
    agent.kill();

    // Whoever is the network half's user then brings its own fleet, and the one that the host was of.
    agent.start_executor();
    let thief = Lure::new();
    let lies = [
        thief.trust(former.cluster, former.host.clone()),
        former.clone(),
    ];
    let words = lure(&agent, &lies, &thief).await;
    for line in &words {
        assert!(line.contains("belongs to nobody until"), "{words:?}");
    }
    // It has nothing to do, and ends with whoever called.
    let ended = agent.executor().wait_exit("its host was retired before");
    assert_eq!(ended.code(), Some(5), "{}", agent.executor().log_tail());
    is_retired(&agent.status());
    agent.kill();

    // Whoever holds the machine joins it anew, as another host of the same fleet.
    let mut document = samples::fleet(0);
    let hosts = document["hosts"].as_array_mut().unwrap();
    let mut next = hosts
        .iter()
        .find(|host| host["id"] == HOST)
        .unwrap()
        .clone();
    next["id"] = "pmta9".into();
    next["addresses"] = serde_json::json!(["192.0.2.99"]);
    hosts.retain(|host| host["id"] != HOST);
    hosts.push(next);
    fleet.apply(&document).await;
    let token = fleet.host_token("pmta9", "powermta").await;
    agent.start(Some(&token));
    fleet.agents.insert("pmta9".to_owned(), agent);
    fleet.host_converged("pmta9", "it was joined anew").await;
    let status = fleet.agents["pmta9"].status();
    assert_eq!(status["enrolled"]["host"], "pmta9", "{status}");
    assert_eq!(status["retired"], false, "{status}");
    assert!(status["tombstone"].is_null(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_let_a_retired_host_in_joins_the_machine_no_second_time() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let token = fleet.host_token(HOST, "powermta").await;
    let mut agent = AgentProcess::new(HOST, &fleet.host_dir(HOST));
    agent.start(Some(&token));
    fleet.agents.insert(HOST.to_owned(), agent);
    fleet.host_converged(HOST, "it redeemed its token").await;
    fleet.api().delete("/hosts/pmta1").await.ok();
    let mut agent = fleet.agents.remove(HOST).unwrap();
    let ended = agent.daemon().wait_exit("its host was retired");
    assert_eq!(ended.code(), Some(5));
    let log = agent.log();
    fs::write(&log, "").unwrap();

    // One process, and its token still where it was: as a container that is started again.
    agent.start(Some(&token));
    let ended = agent.daemon().wait_exit("its host was retired before");
    assert_eq!(ended.code(), Some(5), "{}", agent.daemon().log_tail());
    let said = fs::read_to_string(&log).unwrap();
    assert!(!said.contains("enrolling"), "nobody was asked: {said}");
    let told = agent.try_expect(&token);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(words.contains("had let in: make another one"), "{words}");
    let listed = listed(&fleet, &token).await;
    assert_eq!(listed["refused"], serde_json::json!([]), "{listed}");
    is_retired(&agent.status());
}
