//! An agent whose machine shows a time that is a year off goes on keeping its host, comes back to its cluster by
//! the key that it has, and loses nothing.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use email_engine_protocol::time::Timestamp;
use email_engine_tests::{AgentProcess, Clock, Fleet, samples, wait_for, wait_until};

const HOST: &str = "pmta1";
/// More than any year has: the year is another one whenever it is.
const AHEAD: &str = "+400d";
const BEHIND: &str = "-400d";

fn count(path: &Path, needle: &str) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(needle)).count()
}

/// What somebody removes comes back.
async fn is_kept(agent: &AgentProcess, why: &str) {
    let config = agent.file("/etc/pmta/config");
    fs::remove_file(&config).unwrap();
    wait_until(&format!("a file comes back: {why}"), async || {
        fs::read_to_string(&config).is_ok_and(|text| text.contains("mail1.example.net"))
    })
    .await;
}

/// An identity more is on the host.
async fn takes(fleet: &Fleet, number: usize, what: &str) {
    fleet
        .api()
        .post("/ips", &samples::identity(number))
        .await
        .ok();
    let table = fleet.agents[HOST].file("/etc/pmta/config");
    let name = format!("mail{number}.example.net");
    wait_for(&format!("it takes {what}"), async || {
        let text = fs::read_to_string(&table).unwrap_or_default();
        if text.contains(&name) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

/// The year that a line begins with.
fn year(line: &str) -> String {
    line.chars().take(4).collect()
}

/// What a clock shows that is shifted by so many days.
fn shifted(shift: &str) -> Timestamp {
    let days: i64 = shift.trim_end_matches('d').parse().unwrap();
    let now = i64::try_from(now().0).unwrap();
    Timestamp(u64::try_from(now + days * 86_400_000).unwrap())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// Gives how often the node renewed a certificate that was over by the agent's clock; nothing when it was skipped.
async fn a_year_off(shift: &str) -> Option<usize> {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let clock = Clock::new(fleet.dir())?;
    fleet
        .start_prepared_agents(&[HOST], |_, agent| {
            for (key, value) in clock.environment() {
                agent.set(key, value);
            }
        })
        .await;
    fleet.converged("its first document was applied").await;
    let keys = fleet.agents[HOST].data_dir().join("executor/keys");
    let before = (fleet.host(HOST).await, fs::read(&keys).unwrap());

    // Its clock is set while it runs, then it is started anew under it with nobody there.
    clock.show(shift);
    is_kept(&fleet.agents[HOST], "its clock was set").await;
    fleet.nodes.get_mut(&1).unwrap().stop();
    let agent = fleet.agents.get_mut(HOST).unwrap();
    agent.kill();
    fs::write(agent.log(), "").unwrap();
    agent.start(None);
    is_kept(
        agent,
        "it was started with the wrong time, and nobody is there",
    )
    .await;
    let shown = fs::read_to_string(agent.log()).unwrap();
    let shifted = shifted(shift).to_string();
    // Days later or earlier, by the day on which this runs.
    assert_eq!(year(&shown), year(&shifted), "{shown}");

    // The cluster is back. By the agent's clock no certificate of these days is good.
    fleet.nodes.get_mut(&1).unwrap().start().await;
    fleet.leader().await;
    let view = fleet
        .host_converged(HOST, "it came back with a wrong time")
        .await;
    let number = |view: &serde_json::Value| view["running"]["number"].as_u64().unwrap();
    assert!(number(&view) >= number(&before.0), "nothing was begun anew");
    takes(&fleet, 2, "what its cluster signs now").await;

    // Nobody does more than set the clock.
    clock.set_right();
    is_kept(&fleet.agents[HOST], "its clock is right again").await;
    takes(&fleet, 3, "what its cluster signs afterwards").await;
    fleet.host_converged(HOST, "its clock is right again").await;
    let agent = &fleet.agents[HOST];
    assert_eq!(
        fs::read(&keys).unwrap(),
        before.1,
        "it has the keys that it had"
    );
    assert_eq!(count(&agent.log(), "enrolling"), 0, "no token was needed");
    Some(count(
        &fleet.nodes[&1].log(),
        "certificate renewed past its end",
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_clock_is_a_year_ahead_keeps_its_host_and_comes_back_by_renewing() {
    let renewals = a_year_off(AHEAD).await;
    assert_ne!(renewals, Some(0), "it did not renew by its old key");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_clock_is_a_year_behind_keeps_its_host_and_comes_back() {
    // Lifted to the beginning of its own certificate, which is as old as its coordinators', its clock is good
    // enough for them.
    let renewals = a_year_off(BEHIND).await;
    assert!(
        renewals.is_none_or(|renewals| renewals == 0),
        "{renewals:?}"
    );
}
