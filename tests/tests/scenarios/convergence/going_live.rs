//! What the product refuses never goes live, and a change is whole or was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use email_engine_agent::host::Cabinet;
use email_engine_agent::transaction::shelf::Shelf;
use email_engine_agent::transaction::standing::Stage;
use email_engine_tests::{AgentProcess, Fleet, Operator, samples, wait_for, wait_until};
use serde_json::{Value, json};

const HOST: &str = "pmta1";
const STAGES: [Stage; 5] = [
    Stage::Test,
    Stage::Health,
    Stage::Swap,
    Stage::ReadBack,
    Stage::Activate,
];
const REFUSAL: &str = "Error in line 7 of /etc/pmta/config: unknown directive";

/// What the product has: its configuration and keys.
fn live(agent: &AgentProcess) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let config = agent.file("/etc/pmta/config");
    found.insert(config.clone(), fs::read(config).unwrap_or_default());
    for entry in fs::read_dir(agent.file("/etc/pmta/dkim"))
        .into_iter()
        .flatten()
    {
        let path = entry.unwrap().path();
        found.insert(path.clone(), fs::read(path).unwrap());
    }
    found
}

/// From now on these lines fail; see `simulated-failures` of the agent.
fn fail(agent: &AgentProcess, lines: &str) {
    fs::write(agent.data_dir().join("executor/simulated-failures"), lines).unwrap();
}

/// How often the product was asked to do something.
fn runs(agent: &AgentProcess, what: &str) -> i64 {
    let text = fs::read_to_string(agent.data_dir().join("executor/simulated.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let count = table["commands"].get(format!("transaction:pmta/{what}"));
    count.and_then(toml::Value::as_integer).unwrap_or_default()
}

/// Waits until the host says this of its last failure.
async fn said(fleet: &Fleet, words: &str) -> Value {
    wait_for(&format!("{HOST} says: {words}"), async || {
        let view = fleet.host(HOST).await;
        let trouble = view["trouble"].to_string();
        let at_target = view["running"] == view["target"];
        if at_target && trouble.contains(words) {
            Ok(view)
        } else {
            Err(view.to_string())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_the_product_refuses_never_becomes_live_and_the_old_one_still_serves()
{
    let mut fleet = Fleet::converged_with(1, 2).await;
    let old = live(&fleet.agents[HOST]);
    let told = runs(&fleet.agents[HOST], "activate");
    fail(
        &fleet.agents[HOST],
        &format!("transaction:pmta/test: {REFUSAL}\n"),
    );
    fleet.apply(&samples::fleet(3)).await;
    said(&fleet, "was refused at stage test").await;
    wait_until("what only the refused content had is gone", async || {
        live(&fleet.agents[HOST]) == old
    })
    .await;
    let tests = runs(&fleet.agents[HOST], "test");

    let shown = Operator::at(&fleet, 1).run(&["hosts", "show", HOST]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let words = "transaction:pmta failed: content";
    assert!(shown.contains(words) && shown.contains(REFUSAL), "{shown}");
    // A report of another look at the host may be on its way, and says `converging` for a moment.
    wait_for("status names the stage", async || {
        let status = Operator::at(&fleet, 1).run(&["status"]);
        let status = String::from_utf8(status.stdout).unwrap();
        let is_named = status.contains("was refused at stage test");
        if is_named { Ok(()) } else { Err(status) }
    })
    .await;

    // Drift is mended to what serves, in this life of the agent and in the next.
    let config = fleet.agents[HOST].file("/etc/pmta/config");
    for life in ["first", "second"] {
        fs::write(&config, "edited\n").unwrap();
        let back = async || live(&fleet.agents[HOST]) == old;
        wait_until(&format!("the edit in its {life} life is undone"), back).await;
        let agent = fleet.agents.get_mut(HOST).unwrap();
        agent.kill();
        agent.start(None);
    }
    fail(&fleet.agents[HOST], "");
    said(&fleet, "was refused at stage test").await;
    let agent = &fleet.agents[HOST];
    // It may have died between the mending and this; then it is owed to the next life.
    wait_until("what was mended is brought into force", async || {
        runs(agent, "activate") > told
    })
    .await;
    assert_eq!(
        (runs(agent, "test"), live(agent)),
        (tests, old.clone()),
        "it was tried again"
    );

    let shown = Operator::at(&fleet, 1).run(&["hosts", "retry", HOST]);
    assert!(shown.status.success(), "{shown:?}");
    fleet
        .host_converged(HOST, "an operator wants it tried again")
        .await;
    let new = live(&fleet.agents[HOST]);
    assert_eq!((old.len(), new.len()), (3, 4), "one key more");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("mail3.example.net"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_steps_of_the_swap_ends_in_old_or_new_and_never_in_neither() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    // At which steps a real change is cut off is chosen in `mail::machine::power_cut`; here it is chance.
    let mut amid = Vec::new();
    for round in 0..10_usize {
        let is_refused = round % 2 == 0;
        let old = live(&fleet.agents[HOST]);
        let failure = if is_refused {
            "transaction:pmta/health\n"
        } else {
            ""
        };
        fail(&fleet.agents[HOST], failure);
        let count = [3, 4, 3, 2][round % 4];
        let left = fleet.host(HOST).await["target"].clone();
        fleet.apply_pruning(&samples::fleet(count)).await;
        kill_at(&mut fleet, STAGES[round % STAGES.len()], &left).await;
        let cut_off = shelf(&fleet.agents[HOST]).standings().into_values();
        amid.extend(cut_off.filter_map(|one| Some(one.journal?.stage)));
        check_names(&fleet.agents[HOST]);

        let agent = fleet.agents.get_mut(HOST).unwrap();
        agent.start(None);
        if is_refused {
            said(&fleet, "was refused at stage health").await;
            let agent = &fleet.agents[HOST];
            wait_until("what only the refused content had is gone", async || {
                live(agent) == old
            })
            .await;
        } else {
            fleet
                .host_converged(HOST, &format!("it was killed in round {round}"))
                .await;
            // What was removed goes when the host has said twice that nothing is in its queue.
            wait_until("there is one key each", async || {
                live(&fleet.agents[HOST]).len() == 1 + count
            })
            .await;
            fleet.host_converged(HOST, "what was removed is gone").await;
        }
        check_names(&fleet.agents[HOST]);
        // A host whose dead connections are taken over again and again is taken for two machines; a
        // node that starts anew knows of none.
        let node = fleet.nodes.get_mut(&1).unwrap();
        node.stop();
        node.start().await;
        let standings = shelf(&fleet.agents[HOST]).standings();
        assert!(
            standings.values().all(|one| one.journal.is_none()),
            "{standings:?}"
        );
    }
    assert!(!amid.is_empty(), "no kill came amid a change");
}

fn shelf(agent: &AgentProcess) -> Shelf {
    Shelf::new(Cabinet::open(&agent.data_dir().join("executor")).unwrap())
}

/// Kills the agent once a change has reached a stage, or once it is through with it: a stage lasts
/// milliseconds and may be missed.
async fn kill_at(fleet: &mut Fleet, stage: Stage, left: &Value) {
    let shelf = shelf(&fleet.agents[HOST]);
    let reached = || {
        let standings = shelf.standings().into_values();
        let mut journals = standings.filter_map(|one| one.journal);
        journals.any(|journal| journal.stage >= stage)
    };
    wait_for(
        "the agent is amid a change or through with it",
        async || {
            if (0..500).any(|_| reached()) {
                return Ok(());
            }
            let view = fleet.host(HOST).await;
            let settled = view["running"] == view["target"] && view["convergence"] != "converging";
            if view["target"] != *left && settled {
                Ok(())
            } else {
                Err(view.to_string())
            }
        },
    )
    .await;
    fleet.agents.get_mut(HOST).unwrap().kill();
}

/// Whatever is cut off: the live configuration names no key that is not there whole.
fn check_names(agent: &AgentProcess) {
    let text = fs::read_to_string(agent.file("/etc/pmta/config")).unwrap();
    let keys = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("domain-key "));
    for key in keys.filter_map(|rest| rest.rsplit(',').next()) {
        let found = fs::read_to_string(agent.file(key)).unwrap_or_default();
        let whole = found.starts_with("-----BEGIN") && found.trim_end().ends_with("KEY-----");
        assert!(whole, "{key} is named and not there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_restart_brings_into_force_waits_for_an_operators_word() {
    let mut fleet = Fleet::single().await;
    let document = |receives: bool| {
        let mut document = samples::fleet(1);
        if receives {
            document["hosts"][1]["labels"] = json!({ "host-name": "host.example.net" });
        }
        document
    };
    fleet.apply(&document(false)).await;
    fleet.start_agents(&[HOST]).await;
    fleet.converged("it takes no mail from outside").await;
    let old = live(&fleet.agents[HOST]);

    let path = "/fleet?dry_run=true";
    let plan = fleet
        .api()
        .post(path, &document(true))
        .await
        .ok()
        .to_string();
    assert!(
        plan.contains("email-engine hosts allow-restart pmta1"),
        "{plan}"
    );
    let operator = Operator::at(&fleet, 1);
    let before = operator.run(&["hosts", "allow-restart", HOST]);
    let digest = digest_of(&String::from_utf8(before.stderr).unwrap());
    fleet.apply(&document(true)).await;
    let view = said(&fleet, "waits for an operator to allow a restart").await;
    assert!(
        view["trouble"].to_string().contains("<bounce-processor>"),
        "{view}"
    );
    assert_eq!(live(&fleet.agents[HOST]), old, "something was swapped");

    // What was looked at before the change is not what there is to be allowed now.
    let other = operator.run(&["hosts", "allow-restart", HOST, "--yes", "--lines", &digest]);
    let refused = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(1), "{refused}");
    assert!(
        refused.contains("are others by now: <bounce-processor>"),
        "{refused}"
    );
    let asked = operator.run(&["hosts", "allow-restart", HOST]);
    let shown = String::from_utf8(asked.stderr).unwrap();
    assert!(shown.contains("\n  <bounce-processor>\n"), "{shown}");
    let digest = digest_of(&shown);
    let allowed = operator.run(&["hosts", "allow-restart", HOST, "--yes", "--lines", &digest]);
    assert!(allowed.status.success(), "{allowed:?}");
    fleet.host_converged(HOST, "the restart is allowed").await;
    assert_ne!(live(&fleet.agents[HOST]), old);
    assert_eq!(restarts(&fleet), Some(2), "a start and a restart");

    // Nothing says that a processor ends without one either.
    fleet.apply(&document(false)).await;
    let view = said(&fleet, "waits for an operator to allow a restart").await;
    let trouble = view["trouble"].to_string();
    assert!(trouble.contains("no more <bounce-processor>"), "{view}");
    let allowed = operator.run(&["hosts", "allow-restart", HOST, "--yes"]);
    assert!(allowed.status.success(), "{allowed:?}");
    fleet
        .host_converged(HOST, "the second restart is allowed")
        .await;
    assert_eq!(restarts(&fleet), Some(3));
}

/// From now plus so many hours, for two hours: times of the day, UTC.
fn window(hours: u64) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let minute = since.as_secs() / 60 + hours * 60;
    let time = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    format!("{}-{}", time(minute), time(minute + 120))
}

/// Who gave a word for a restart so far, and why.
async fn words_given(fleet: &Fleet) -> Vec<(String, String)> {
    let audit = fleet.api().get("/audit?limit=1000").await.ok();
    let entries = audit.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries
        .filter(|entry| entry["command"] == "allow-restart")
        .map(|entry| (text(&entry["actor"]), text(&entry["reason"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_goes_live_by_itself_in_the_hosts_window_and_not_outside_of_it() {
    let mut fleet = Fleet::single().await;
    let document = |name: Option<&str>, window: &str| {
        let mut document = samples::fleet(1);
        document["hosts"][1]["labels"] = json!({ "restart-window": window });
        if let Some(name) = name {
            document["hosts"][1]["labels"]["host-name"] = json!(name);
        }
        document
    };
    // An hour ago it opened: it does not close while this runs.
    let (closed, open) = (window(12), window(23));
    fleet.apply(&document(None, &closed)).await;
    fleet.start_agents(&[HOST]).await;
    fleet.converged("it takes no mail from outside").await;
    let old = live(&fleet.agents[HOST]);
    let name = Some("host.example.net");
    fleet.apply(&document(name, &closed)).await;
    said(&fleet, "waits for an operator to allow a restart").await;
    assert_eq!(words_given(&fleet).await, []);
    assert_eq!(live(&fleet.agents[HOST]), old, "something was swapped");
    assert_eq!(restarts(&fleet), Some(1));

    fleet.apply(&document(name, &open)).await;
    fleet.host_converged(HOST, "its window is open").await;
    let word = ("node 1".to_owned(), "its restart window is open".to_owned());
    assert_eq!(words_given(&fleet).await, [word]);
    assert_ne!(live(&fleet.agents[HOST]), old);
    assert_eq!(restarts(&fleet), Some(2), "a start and a restart");
}

/// The digest of the lines that `hosts allow-restart` shows.
fn digest_of(shown: &str) -> String {
    let mut lines = shown.lines();
    let line = lines.find_map(|line| line.strip_prefix("digest "));
    line.unwrap_or_else(|| panic!("no digest in {shown}"))
        .to_owned()
}

/// How often the product was started anew, in the agent's simulation.
fn restarts(fleet: &Fleet) -> Option<i64> {
    let folder = fleet.agents[HOST].data_dir();
    let text = fs::read_to_string(folder.join("executor/simulated.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    table["services"]["pmta.service"]["restarts"].as_integer()
}
