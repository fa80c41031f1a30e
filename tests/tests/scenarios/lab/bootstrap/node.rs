//! A bare machine becomes the first node of a cluster, or a further one, by one run.

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{Api, Fleet, wait_for};
use serde_json::{Value, json};

use super::{TOKEN, bootstrap, bring, changes, files, give, said};

const COORDINATOR: &str = "203.0.113.1";
const NODE: &str = "198.51.100.5";

#[test]
fn a_bare_machine_founds_a_cluster_is_taken_back_and_joins_another() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let listen = |port: u16| format!("{COORDINATOR}:{port}");
        let (agent, raft, api) = (listen(7443), listen(7444), listen(7443));
        let settings = [
            ("AGENT_LISTEN", agent.as_str()),
            ("RAFT_LISTEN", raft.as_str()),
            ("API_LISTEN", api.as_str()),
            ("DKIM_STOCK", "1"),
        ];
        let fleet = Fleet::configured(1, &settings).await;
        let guest = Guest::boot("node1", &base, &[NODE], COORDINATOR).await;
        bring(
            &guest,
            &["email-engine-bootstrap", "email-engine-coordinator"],
        );
        let bare = files(&guest);

        let init = ["coordinator", "--init", "--json"];
        let founded = bootstrap(&guest, &init);
        assert_eq!(founded.status.code(), Some(0), "{}", said(&founded));
        serves_with_keys_that_lie_nowhere(&guest, &said(&founded)).await;

        let again = bootstrap(&guest, &init);
        assert_eq!(again.status.code(), Some(0), "{}", said(&again));
        assert!(said(&again).contains("\"changed\":0"), "{}", said(&again));
        assert!(!said(&again).contains("admin_key"), "{}", said(&again));
        // A node of one cluster is none of another.
        give(&guest, &fleet.token(&json!("node"), false).await);
        let join = ["coordinator", "--join-file", TOKEN, "--json"];
        let refused = bootstrap(&guest, &join);
        assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));

        let kept = bootstrap(&guest, &["coordinator", "--uninstall", "--yes"]);
        assert_eq!(kept.status.code(), Some(0), "{}", said(&kept));
        assert!(
            guest
                .file("/var/lib/email-engine/coordinator/identity")
                .exists()
        );
        let purged = bootstrap(&guest, &["coordinator", "--uninstall", "--purge", "--yes"]);
        assert_eq!(purged.status.code(), Some(0), "{}", said(&purged));
        assert_eq!(changes(&bare, &files(&guest)), Vec::<String>::new());

        let joined = bootstrap(&guest, &join);
        assert_eq!(joined.status.code(), Some(0), "{}", said(&joined));
        wait_for("the cluster knows its new node", async || {
            let cluster = fleet.api().try_get("/cluster").await?.body;
            let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
            let endpoint = format!("{NODE}:7444");
            let known = nodes.iter().any(|node| node["raft_endpoint"] == endpoint);
            if known {
                Ok(())
            } else {
                Err(cluster.to_string())
            }
        })
        .await;
    });
}

/// The node answers who has its admin key, is closed to others, and neither key is on its disk.
async fn serves_with_keys_that_lie_nowhere(guest: &Guest, said: &str) {
    let keys = event(said, "founded");
    let key = keys["admin_key"].as_str().unwrap();
    let base = format!("https://{NODE}:7443");
    let node = Api::new(keys["ca_pem"].as_str().unwrap(), vec![base], Some(key));
    wait_for("the new cluster answers who has its key", async || {
        let answer = node.try_get("/cluster").await?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
    for secret in [key, keys["recovery_key"].as_str().unwrap()] {
        let search = format!("grep -rlF -- '{secret}' /etc /var || echo nowhere");
        assert_eq!(guest.run(&["sh", "-c", &search]).trim(), "nowhere");
    }
    let owner = ["stat", "-c", "%U %a", "/var/lib/email-engine/coordinator"];
    assert_eq!(guest.run(&owner).trim(), "email-engine-coordinator 700");

    // In tenths of what systemd calls exposure.
    let unit = "email-engine-coordinator.service";
    guest.run(&[
        "systemd-analyze",
        "security",
        "--no-pager",
        "--threshold=20",
        unit,
    ]);
}

/// The event of this name among the lines that a program would read.
fn event(lines: &str, name: &str) -> Value {
    let events = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut events = events.filter(|event: &Value| event["event"] == name);
    events
        .next()
        .unwrap_or_else(|| panic!("no {name} in {lines}"))
}
