//! Tokens, keys and nodes come and go through the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use email_engine_tests::{AgentProcess, Fleet, Operator, samples, wait_for};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_keys_and_nodes_come_and_go_through_the_command_line() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let operator = Operator::at(&fleet, 1);
    a_token_lets_its_host_in(&mut fleet, &operator).await;
    a_token_revoked_lets_nobody_in(&fleet, &operator);
    a_key_is_good_until_it_is_revoked(&fleet, &operator).await;
    a_node_joins_votes_and_is_removed(&mut fleet, &operator).await;
}

async fn a_token_lets_its_host_in(fleet: &mut Fleet, operator: &Operator) {
    let create = ["token", "create", "--host", "pmta1", "--role", "powermta"];
    let token = operator.prints(0, &create).trim().to_owned();
    let open = row(&operator.prints(0, &["token", "list"]), "pmta1");
    assert!(open.contains("open"), "{open}");
    let mut agent = AgentProcess::new("pmta1", &fleet.host_dir("pmta1"));
    agent.start(Some(&token));
    fleet.agents.insert("pmta1".to_owned(), agent);
    fleet.host_converged("pmta1", "its token was good").await;
    let list = operator.prints(0, &["token", "list"]);
    let used = row(&list, "pmta1");
    assert!(used.contains("redeemed"), "{used}");
    assert!(!list.contains(&token), "a list shows a token");
}

fn a_token_revoked_lets_nobody_in(fleet: &Fleet, operator: &Operator) {
    let out = fleet.dir().join("api1.token");
    let create = [
        "token", "create", "--host", "api1", "--role", "api", "--out",
    ];
    let _ = operator.prints(0, &[&create[..], &[out.to_str().unwrap()]].concat());
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let tokens = operator.answer(&["token", "list"]);
    let tokens = tokens.as_array().unwrap();
    let open = tokens.iter().find(|token| token["state"] == "open");
    let id = open.unwrap()["id"].as_str().unwrap();
    let _ = operator.prints(0, &["token", "revoke", id]);

    let token = fs::read_to_string(&out).unwrap();
    let mut late = AgentProcess::new("late", &fleet.dir().join("late"));
    late.start(Some(token.trim()));
    let ended = late.daemon().wait_exit("its token was revoked");
    assert_eq!(ended.code(), Some(3), "{}", late.daemon().log_tail());
}

async fn a_key_is_good_until_it_is_revoked(fleet: &Fleet, operator: &Operator) {
    let created = operator.prints(0, &["keys", "create", "ci", "--role", "viewer"]);
    let api = fleet.api().with_key(created.trim());
    assert_eq!(api.get("/tenants").await.status, 200);
    let list = operator.prints(0, &["keys", "list"]);
    assert!(row(&list, "ci").contains("viewer"), "{list}");
    assert!(!list.contains(created.trim()), "a list shows a key");
    let unconfirmed = operator.run(&["keys", "revoke", "ci"]);
    assert_eq!(unconfirmed.status.code(), Some(1), "{unconfirmed:?}");
    assert_eq!(api.get("/tenants").await.status, 200, "nobody said yes");
    let _ = operator.prints(0, &["keys", "revoke", "ci", "--yes"]);
    let refused = api.get("/tenants").await;
    assert_eq!((refused.status, refused.code()), (401, "unauthenticated"));
    let list = operator.prints(0, &["keys", "list"]);
    assert!(row(&list, "ci").contains("revoked"), "{list}");
}

async fn a_node_joins_votes_and_is_removed(fleet: &mut Fleet, operator: &Operator) {
    let out = fleet.dir().join("node.token");
    let told = operator.run(&["cluster", "add", "--out", out.to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.contains("email-engine-coordinator join --token-file"),
        "{told}"
    );
    let mut node = fleet.node_at("nodes/2");
    let mut join = node.command("join");
    join.arg("--token-file").arg(&out);
    node.run(join);
    node.start().await;
    wait_for("the new node is listed as a learner", async || {
        let view = operator.answer(&["cluster", "status"]);
        if role_of(&view, 2) == "learner" {
            Ok(())
        } else {
            Err(view)
        }
    })
    .await;
    wait_for("it has caught up and gets its vote", async || {
        let said = operator.run(&["cluster", "promote", "2"]);
        if said.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    let view = operator.answer(&["cluster", "status"]);
    assert_eq!(role_of(&view, 2), "voter", "{view}");

    let unconfirmed = operator.run(&["cluster", "remove", "2"]);
    assert_eq!(unconfirmed.status.code(), Some(1), "{unconfirmed:?}");
    let _ = operator.prints(0, &["cluster", "remove", "2", "--yes"]);
    let view = operator.answer(&["cluster", "status"]);
    assert_eq!(role_of(&view, 2), "removed", "{view}");
    assert!(
        operator
            .prints(0, &["cluster", "status"])
            .contains("removed")
    );
}

fn role_of(cluster: &Value, node: u64) -> String {
    let mut nodes = cluster["nodes"].as_array().unwrap().iter();
    let view = nodes.find(|view| view["id"] == node);
    view.map_or_else(String::new, |view| {
        view["role"].as_str().unwrap().to_owned()
    })
}

/// The line of a table that names something.
fn row(table: &str, name: &str) -> String {
    let mut lines = table.lines();
    let found = lines.find(|line| line.split_whitespace().any(|word| word == name));
    found
        .unwrap_or_else(|| panic!("no {name} in {table}"))
        .to_owned()
}
