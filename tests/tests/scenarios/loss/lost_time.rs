//! An agent whose machine shows a time that is a year off goes on keeping its host, comes back to its cluster by
//! the key that it has, and loses nothing.

use std::fs;
use std::path::{Path, PathBuf};

use email_engine_tests::{AgentProcess, Fleet, samples, wait_for, wait_until};

const HOST: &str = "pmta1";
const RIGHT: &str = "+0";

/// The library that shows a process another time, where it is installed.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let mut places = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = places.find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: libfaketime is not installed: no agent was shown a wrong time");
    }
    found
}

/// The clock of one agent's machine: what it shows can be changed while the agent runs. Its pace, by which
/// pauses and deadlines are measured, is the machine's own, as it is when somebody sets a clock.
struct Clock(PathBuf);

impl Clock {
    fn of(agent: &mut AgentProcess, library: &Path, folder: &Path) -> Self {
        let clock = Self(folder.join("clock"));
        clock.show(RIGHT);
        agent.set("LD_PRELOAD", library.to_str().unwrap());
        agent.set("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().unwrap());
        agent.set("FAKETIME_NO_CACHE", "1");
        agent.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        agent.set("NO_FAKE_STAT", "1");
        clock
    }

    fn show(&self, shift: &str) {
        // Whole at once: it is read at every look at the time.
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, format!("{shift}\n")).unwrap();
        fs::rename(fresh, &self.0).unwrap();
    }
}

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

async fn a_year_off(shift: &str) {
    let Some(library) = library() else { return };
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let mut clock = None;
    let folder = fleet.host_dir(HOST);
    fleet
        .start_prepared_agents(&[HOST], |_, agent| {
            clock = Some(Clock::of(agent, &library, &folder));
        })
        .await;
    let clock = clock.unwrap();
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
    let year = |line: &str| line.get(..4).and_then(|year| year.parse::<i32>().ok());
    let shown = shown.lines().find_map(year).unwrap();
    let now = std::process::Command::new("date")
        .arg("+%Y")
        .output()
        .unwrap();
    let now: i32 = String::from_utf8(now.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_ne!(shown, now, "it was shown another time");

    // The cluster is back. By the agent's clock no certificate of these days is good.
    fleet.nodes.get_mut(&1).unwrap().start().await;
    fleet.leader().await;
    let view = fleet
        .host_converged(HOST, "it came back with a wrong time")
        .await;
    let number = |view: &serde_json::Value| view["running"]["number"].as_u64().unwrap();
    assert!(number(&view) >= number(&before.0), "nothing was begun anew");
    fleet.api().post("/ips", &samples::identity(2)).await.ok();
    let table = fleet.agents[HOST].file("/etc/pmta/config");
    wait_for("it takes what its cluster signs now", async || {
        let text = fs::read_to_string(&table).unwrap_or_default();
        if text.contains("mail2.example.net") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;

    // Nobody does more than set the clock.
    clock.show(RIGHT);
    is_kept(&fleet.agents[HOST], "its clock is right again").await;
    fleet.api().post("/ips", &samples::identity(3)).await.ok();
    wait_for("it goes on with the right time", async || {
        let text = fs::read_to_string(&table).unwrap_or_default();
        if text.contains("mail3.example.net") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    fleet.host_converged(HOST, "its clock is right again").await;
    let agent = &fleet.agents[HOST];
    assert_eq!(
        fs::read(&keys).unwrap(),
        before.1,
        "it has the keys that it had"
    );
    assert_eq!(count(&agent.log(), "enrolling"), 0, "no token was needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_clock_is_a_year_ahead_keeps_its_host_and_comes_back_by_renewing() {
    a_year_off("+365d").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_clock_is_a_year_behind_keeps_its_host_and_comes_back() {
    a_year_off("-365d").await;
}
