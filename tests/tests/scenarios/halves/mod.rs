//! The agent's halves as two processes: each may die or be somebody else's, and the host stays kept.

mod first_trust;

use std::fs;
use std::path::PathBuf;

use email_engine_agent::halves::{FromExecutor, ToExecutor};
use email_engine_agent::socket::call::{Called, call};
use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::crypto::{Signed, SigningKey};
use email_engine_protocol::desired::Target;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::frame;
use email_engine_tests::{AgentProcess, Fleet, samples, wait_for, wait_until};

/// A small fleet whose PowerMTA host runs its halves apart.
async fn converged() -> Fleet {
    let mut fleet = Fleet::of(1).await;
    fleet.apply(&samples::fleet(2)).await;
    fleet
        .start_prepared_agents(&samples::HOSTS, |host, agent| {
            if host == "pmta1" {
                agent.apart();
            }
        })
        .await;
    fleet.converged("its first document was applied").await;
    fleet
}

fn agent(fleet: &mut Fleet) -> &mut AgentProcess {
    fleet.agents.get_mut("pmta1").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_that_are_two_processes_keep_a_host_whichever_of_them_dies() {
    let mut fleet = converged().await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let good = fs::read(&config).unwrap();
    let intact = || fs::read(&config).is_ok_and(|bytes| bytes == good);

    agent(&mut fleet).kill_network();
    fs::remove_file(&config).unwrap();
    wait_until("a file comes back without the network half", async || {
        intact()
    })
    .await;

    // Started anew, the executor is kept waiting for by the network half, and found.
    agent(&mut fleet).start(None);
    agent(&mut fleet).kill_executor();
    fs::write(&config, "edited while nobody looked").unwrap();
    agent(&mut fleet).start_executor();
    wait_until("a file comes back by the new executor", async || intact()).await;

    fleet.apply(&samples::fleet(3)).await;
    fleet.converged("both halves are there again").await;
    wait_until("the change is on the host", async || {
        let text = fs::read_to_string(&config).unwrap_or_default();
        text.contains("mail3.example.net")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_host_is_wiped_by_one_half_and_confirmed_by_the_other_and_both_end() {
    let mut fleet = converged().await;
    // The network half is away meanwhile: what it has to confirm is done when it is back.
    agent(&mut fleet).kill_network();
    for address in ["198.51.100.1", "198.51.100.2"] {
        let path = format!("/ips/{address}?now=true&last=true");
        fleet.api().delete(&path).await.ok();
    }
    fleet.api().delete("/hosts/pmta1").await.ok();
    let pmta = agent(&mut fleet);
    pmta.start(None);
    let ended = pmta.daemon().wait_exit("its host was retired");
    assert_eq!(ended.code(), Some(5), "the network half");
    let ended = pmta.executor().wait_exit("its host was retired");
    assert_eq!(ended.code(), Some(5), "the executor");
    for gone in ["identity/identity", "executor/keys", "executor/trust"] {
        assert!(!pmta.data_dir().join(gone).exists(), "{gone} is left");
    }
    assert!(secrets(pmta).is_empty());
    wait_for("the host is on record as retired", async || {
        let view = fleet.host("pmta1").await;
        let retired = view["lifecycle"] == "retired";
        retired.then_some(()).ok_or(view)
    })
    .await;
}

/// In the place of the network half: everything that it holds, and the socket.
struct Intruder {
    called: Called,
    said: Vec<FromExecutor>,
}

impl Intruder {
    async fn of(agent: &mut AgentProcess) -> Self {
        agent.kill_network();
        Self::at(agent).await
    }

    /// Where no network half was yet.
    async fn at(agent: &AgentProcess) -> Self {
        wait_until("the executor listens", async || agent.socket().exists()).await;
        let called = call(&agent.socket()).await.unwrap();
        Self {
            called,
            said: Vec::new(),
        }
    }

    async fn tell(&self, message: ToExecutor) {
        self.called.to.send(message).await.unwrap();
    }

    /// Listens until the executor has answered something of this kind.
    async fn until(&mut self, why: &str, is_it: impl Fn(&FromExecutor) -> bool) {
        wait_for(why, async || {
            while let Ok(said) = self.called.from.try_recv() {
                self.said.push(said);
            }
            if self.said.iter().any(&is_it) {
                Ok(())
            } else {
                Err(format!("{} messages, none of them", self.said.len()))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_over_the_network_half_rules_nothing_and_reads_nothing() {
    let mut fleet = converged().await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let good = fs::read(&config).unwrap();
    let accepted = fleet.host("pmta1").await["running"].clone();
    let secrets = secrets(&fleet.agents["pmta1"]);
    assert!(!secrets.is_empty());

    let mut intruder = Intruder::of(agent(&mut fleet)).await;
    let trust = intruder.called.begin.trust.clone().unwrap();
    let floor = intruder.called.begin.standing.floor.unwrap();
    let nonce = Nonce([9; 16]);
    intruder.tell(ToExecutor::Session { nonce }).await;
    // A state of its own making, above the floor, under a key of its own.
    let target = |number, digest| Target {
        cluster: trust.cluster,
        host: trust.host.clone(),
        generation: Generation {
            epoch: floor.generation.epoch,
            number,
        },
        digest,
        plan_key_version: intruder.called.begin.standing.plan_key_version,
        issued_at: Timestamp(0),
    };
    let forger = SigningKey::from_seed([3; 32]);
    let forged: Signed<Target> =
        forger.sign(&target(floor.generation.number + 1, ContentHash([5; 32])));
    // The floor's own state under another digest, and one below the floor.
    let older = forger.sign(&target(floor.generation.number - 1, floor.digest));
    for offer in [forged, older] {
        intruder.tell(ToExecutor::Offer(offer)).await;
    }
    // Another trust than the pinned one.
    let mut other = trust.clone();
    other.epoch += 1;
    intruder.tell(ToExecutor::Admitted(Box::new(other))).await;
    intruder.tell(ToExecutor::CutOff).await;
    intruder
        .until("the refusal is told", |said| {
            matches!(said, FromExecutor::Standing(standing)
            if standing.generations.attempted.as_ref().is_some_and(|attempt| {
                attempt.reason.contains("target")
            }))
        })
        .await;

    let standing = intruder.said.iter().rev().find_map(|said| match said {
        FromExecutor::Standing(standing) => Some(standing.clone()),
        _ => None,
    });
    assert_eq!(standing.unwrap().floor, Some(floor));
    assert_eq!(fs::read(&config).unwrap(), good, "nothing was changed");
    // What it was told it may keep: no secret is in it, sealed or not.
    let heard = format!("{:?}", intruder.said).into_bytes();
    let wire = frame::encode(&intruder.said).unwrap();
    for secret in &secrets {
        let found = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
        assert!(
            !found(&heard) && !found(&wire),
            "a secret crossed the socket"
        );
    }
    drop(intruder);

    // The rightful one is let in again, and the host is what it was.
    agent(&mut fleet).start(None);
    let view = fleet
        .host_converged("pmta1", "its own network half is back")
        .await;
    assert_eq!(view["running"], accepted);
}

/// The private keys on a host, without the lines around them.
fn secrets(agent: &AgentProcess) -> Vec<Vec<u8>> {
    let keys = fs::read_dir(agent.file("/etc/pmta/dkim"));
    let keys = keys
        .into_iter()
        .flatten()
        .map(|entry| -> PathBuf { entry.unwrap().path() });
    keys.map(|key| {
        let text = fs::read_to_string(key).unwrap();
        text.lines().nth(1).unwrap().as_bytes().to_vec()
    })
    .collect()
}
