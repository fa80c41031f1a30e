//! What a fleet outlives in a bad week, on the whole lab: minutes long, for `tests/run --lab`.

use std::time::{Duration, Instant};

use email_engine_tests::lab::{API, Guest, MAILWIZZ, NODES, POWERMTA, WORLD, World};
use email_engine_tests::mail::alone;
use email_engine_tests::{wait_for, wait_until};
use serde_json::{Value, json};

use super::super::bootstrap::{changes, files};
use super::{application, deployed, has_layers, mail, pages};

/// Hosts, each with a folder that it has of its role.
const HOSTS: [((&str, &str), &str); 3] = [
    (POWERMTA, "/etc/pmta"),
    (MAILWIZZ, "/etc/email-engine"),
    (API, "/etc/email-engine"),
];
const BOOTSTRAP: &str = "/opt/email-engine/email-engine-bootstrap";
/// How long a host stays cut off.
const CUT_OFF: Duration = Duration::from_secs(120);
/// How often mail is sent meanwhile.
const ROUNDS: u32 = 12;

#[test]
#[ignore = "minutes long: tests/run --lab"]
fn a_deployed_fleet_outlives_partitions_kills_and_reboots_and_is_taken_back_without_a_trace() {
    if !has_layers() {
        return;
    }
    alone(&WORLD, async move {
        let mut world = World::bare().await.expect("layers of the lab");
        let bare: Vec<_> = NODES
            .map(|(node, _)| files(world.guest(node)))
            .into_iter()
            .collect();
        world.found().await;
        deployed(&world, World::FLEET).await;
        world.publish();
        application::is_set_up(&world).await;
        let mut round = 1;
        mail::arrives(&world, round).await;

        for (host, folder) in HOSTS {
            is_cut_off_for_minutes(&world, host, folder, &mut round).await;
        }
        for (number, node) in NODES.iter().enumerate() {
            loses_a_node(&world, node.0, number).await;
        }
        for (machine, guest) in world.guests() {
            guest.reboot().await;
            world.converged(&format!("{machine} was rebooted")).await;
        }
        pages::are_certified(&world).await;
        round += 1;
        mail::arrives(&world, round).await;

        is_taken_back(&world, &bare);
    });
}

/// Mail goes on all the while, and what somebody changes on the host comes back.
async fn is_cut_off_for_minutes(
    world: &World,
    host: (&str, &str),
    folder: &str,
    round: &mut usize,
) {
    world.partition(host);
    let begin = Instant::now();
    let path = format!("/hosts/{}", host.0);
    wait_for("the cluster misses the host", async || {
        let view = world.api().try_get(&path).await?.body;
        if view["connected"].is_null() {
            Ok(())
        } else {
            Err(view.to_string())
        }
    })
    .await;
    let guest = world.guest(host.0);
    for part in 1..=ROUNDS {
        // Whoever does it oftener than five times fights with the agent, which then takes its time.
        if part % 3 == 1 {
            drifts_and_is_mended(guest, folder).await;
        }
        *round += 1;
        mail::arrives(world, *round).await;
        let end = CUT_OFF * part / ROUNDS;
        wait_until("its part of the time is over", async || {
            begin.elapsed() >= end
        })
        .await;
    }
    world.heal();
    world.converged("a partition has ended").await;
}

async fn drifts_and_is_mended(guest: &Guest, folder: &str) {
    let mode = || guest.run(&["stat", "-c", "%a", folder]).trim().to_owned();
    let good = mode();
    guest.run(&["chmod", "0777", folder]);
    wait_until("a folder has its mode again", async || mode() == good).await;
}

/// A node is killed where it stands; the others take a change meanwhile, and it comes back by itself.
async fn loses_a_node(world: &World, node: &str, number: usize) {
    let unit = "email-engine-coordinator.service";
    world
        .guest(node)
        .run(&["systemctl", "kill", "--signal=KILL", unit]);
    let mut document = World::document();
    document["ips"][number]["planned_daily"] = json!(1_000 + number);
    let change = world.operator().file("change.toml", &document);
    wait_for("a change is taken", async || {
        let output = world.operator().run(&["apply", "-f", change, "--yes"]);
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{output:?}")),
        }
    })
    .await;
    world.converged("a node was killed").await;
    wait_for("all nodes have everything", async || {
        let cluster = world.api().try_get("/cluster").await?.body;
        let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
        let has_all = |node: &&Value| {
            node["leader"] == json!(true) || node["matched_index"] == cluster["last_index"]
        };
        let well = nodes.iter().filter(has_all).count();
        if well == NODES.len() {
            Ok(())
        } else {
            Err(cluster.to_string())
        }
    })
    .await;
}

/// Hosts keep what their roles brought, the service of the API with its folders too, and nothing of ours; nodes are as on their first day.
fn is_taken_back(world: &World, bare: &[std::collections::BTreeMap<String, String>]) {
    for ((host, _), _) in HOSTS {
        let guest = world.guest(host);
        world.bring(host, &["email-engine-bootstrap"]);
        guest.run(&[BOOTSTRAP, "agent", "--uninstall", "--yes"]);
        let left = "ls -d /usr/local/bin/email-engine* /var/lib/email-engine-* /run/email-engine* \
                    /etc/systemd/system/email-engine-agent* /etc/systemd/system/email-engine-executor* \
                    2>/dev/null | grep -v /email-engine-api; getent passwd email-engine; true";
        assert_eq!(guest.run(&["sh", "-c", left]), "", "{host}");
    }
    for ((node, _), bare) in NODES.iter().zip(bare) {
        let guest = world.guest(node);
        let words = ["coordinator", "--uninstall", "--purge", "--yes"];
        guest.run(&[&[BOOTSTRAP], &words[..]].concat());
        let left = changes(bare, &files(guest));
        assert_eq!(left, Vec::<String>::new(), "{node}");
    }
}
