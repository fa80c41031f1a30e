//! One identity on two machines: the newest connection wins over all nodes, both are named, and the two
//! do not fight for ever.

use std::fs;
use std::path::Path;

use email_engine_tests::{AgentProcess, Fleet, wait_until};

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn logs(fleet: &Fleet) -> String {
    let logs = fleet
        .nodes
        .values()
        .map(|node| fs::read_to_string(node.log()));
    logs.map(Result::unwrap_or_default).collect()
}

/// The address that a line names under this field.
fn peer<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(field)?;
    let address = rest.split(' ').next()?;
    let parsed = address.parse::<std::net::SocketAddr>();
    parsed.is_ok().then_some(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_machine_is_named_and_the_two_do_not_fight_for_ever() {
    let mut fleet = Fleet::converged_with(3, 0).await;
    fleet.agents.get_mut("pmta1").unwrap().kill();
    let original = fleet.agents["pmta1"].data_dir();
    let mut clone = AgentProcess::new("clone", &fleet.dir().join("hosts/clone"));
    copy(&original, &clone.data_dir());
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    clone.start(None);

    wait_until("one line names both machines", async || {
        logs(&fleet).lines().any(|line| {
            let (older, newer) = (peer(line, " older="), peer(line, " newer="));
            older.is_some() && newer.is_some() && older != newer && line.contains("host=pmta1")
        })
    })
    .await;
    wait_until("a clone is suspected", async || {
        logs(&fleet).contains("a clone is suspected")
    })
    .await;
    wait_until("whoever comes next is kept away", async || {
        logs(&fleet).contains("is the machine a copy of another one")
    })
    .await;
    let begun = logs(&fleet)
        .lines()
        .filter(|line| line.contains("session begins") && line.contains("pmta1"))
        .count();
    assert!(begun < 60, "{begun} sessions: a storm");
    // Its generation goes on: the fight costs the host nothing but its reports.
    clone.kill();
    fleet
        .host_converged("pmta1", "the original is alone again")
        .await;
}
