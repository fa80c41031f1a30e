//! `token`, `keys`, `cluster` and `hosts retire`: who may enter comes and goes by the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use email_engine_tests::{AgentProcess, Fleet, Operator, samples, wait_for};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_its_host_in_once_and_none_when_revoked() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let operator = Operator::of(&fleet);
    // Its role is the one that the host was declared with.
    let token = operator.prints(0, &["token", "create", "--host", "pmta1"]);
    let token = token.trim();
    let open = row(&operator, &["token", "list"], "host pmta1 (powermta)");
    assert_eq!(open[2], "open", "{open:?}");
    let mut agent = AgentProcess::new("pmta1", &fleet.host_dir("pmta1"));
    agent.start(Some(token));
    fleet.agents.insert("pmta1".to_owned(), agent);
    fleet.host_converged("pmta1", "its token was good").await;
    let used = row(&operator, &["token", "list"], "host pmta1 (powermta)");
    assert_eq!(used[2], "redeemed", "{used:?}");
    let list = operator.prints(0, &["token", "list", "--output", "json"]);
    assert!(!list.contains(token), "a list shows a token");
    let again = operator.notes(1, &["token", "create", "--host", "pmta1"]);
    assert!(
        again.contains("or `replace` to end this agent's identity"),
        "{again}"
    );

    let create = [
        "token",
        "create",
        "--host",
        "api1",
        "--ttl",
        "10m",
        "--out",
        "api1.token",
    ];
    let _ = operator.prints(0, &create);
    let out = operator.folder().join("api1.token");
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let id = row(&operator, &["token", "list"], "host api1 (api)")[0].clone();
    let _ = operator.prints(0, &["token", "revoke", &id]);
    let revoked = row(&operator, &["token", "list"], "host api1 (api)");
    assert_eq!(revoked[2], "revoked", "{revoked:?}");
    let token = fs::read_to_string(&out).unwrap();
    let mut late = AgentProcess::new("late", &fleet.dir().join("late"));
    late.start(Some(token.trim()));
    let ended = late.daemon().wait_exit("its token was revoked");
    assert_eq!(ended.code(), Some(3), "{}", late.daemon().log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_until_it_is_revoked_and_then_says_so_however_often_it_is_tried() {
    let fleet = Fleet::single().await;
    let operator = Operator::of(&fleet);
    let created = operator.prints(0, &["keys", "create", "ci", "--role", "viewer", "--quiet"]);
    let viewer = Operator::with_key(&fleet, "ci", created.trim());
    assert_eq!(viewer.answer(&["tenants"]), json!([]));
    let refused = viewer.notes(1, &["keys", "list"]);
    assert!(refused.contains("(HTTP 403)"), "a viewer: {refused}");
    let listed = row(&operator, &["keys", "list"], "ci");
    assert_eq!(
        (&*listed[1], &*listed[2], &*listed[4]),
        ("viewer", "-", "in force")
    );
    let list = operator.prints(0, &["keys", "list", "--output", "json"]);
    assert!(!list.contains(created.trim()), "a list shows a key");

    let unconfirmed = operator.notes(1, &["keys", "revoke", "ci"]);
    assert!(
        unconfirmed.contains("nothing was changed; say --yes"),
        "{unconfirmed}"
    );
    assert_eq!(viewer.answer(&["tenants"]), json!([]), "nobody said yes");
    let _ = operator.prints(0, &["keys", "revoke", "ci", "--yes"]);
    let revoked = row(&operator, &["keys", "list"], "ci");
    assert!(revoked[4].starts_with("revoked "), "{revoked:?}");
    // More calls than an address has guesses: each says the same at once.
    let file = viewer.context().display();
    for _ in 0..25 {
        let refused = viewer.notes(1, &["tenants"]);
        let expected = format!("the key in {file} is not accepted (revoked?)");
        assert!(refused.contains(&expected), "{refused}");
    }
    assert_eq!(
        operator.answer(&["tenants"]),
        json!([]),
        "others are not held up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_votes_and_is_removed() {
    let fleet = Fleet::single().await;
    let operator = Operator::at(&fleet, 1);
    let told = operator.notes(0, &["cluster", "add", "--out", "node.token"]);
    let step = "2. email-engine-coordinator join --token-file node.token";
    assert!(told.lines().any(|line| line == step), "{told}");
    let mut node = fleet.node_at("nodes/2");
    let mut join = node.command("join");
    join.arg("--token-file")
        .arg(operator.folder().join("node.token"));
    node.run(join);
    node.start().await;
    wait_for("the new node is listed as a learner", async || {
        let parts = parts(&operator);
        let is_listed = parts == ["voter", "learner"];
        is_listed.then_some(()).ok_or(parts)
    })
    .await;
    wait_for("it has caught up and gets its vote", async || {
        let said = operator.run(&["cluster", "promote", "2"]);
        said.status.success().then_some(()).ok_or(said)
    })
    .await;
    assert_eq!(parts(&operator), ["voter", "voter"]);
    let nobody = operator.notes(1, &["cluster", "promote", "9"]);
    assert!(
        nobody.starts_with("error: node \"9\" does not exist\n"),
        "{nobody}"
    );

    let unconfirmed = operator.notes(1, &["cluster", "remove", "2"]);
    assert!(unconfirmed.contains("say --yes"), "{unconfirmed}");
    assert_eq!(parts(&operator), ["voter", "voter"]);
    let _ = operator.prints(0, &["cluster", "remove", "2", "--yes"]);
    assert_eq!(parts(&operator), ["voter", "removed"]);
    let last = operator.notes(1, &["cluster", "remove", "1", "--yes"]);
    assert!(last.starts_with("error: "), "{last}");
    assert_eq!(parts(&operator), ["voter", "removed"]);
    drop(node);
}

/// What part each node has, by the table; the JSON says the same.
fn parts(operator: &Operator) -> Vec<String> {
    let text = operator.prints(0, &["cluster", "status"]);
    let rows = text
        .lines()
        .skip_while(|line| !line.contains("PART"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty());
    let shown = rows.map(|line| line.split_whitespace().nth(1).unwrap().to_owned());
    let shown: Vec<_> = shown.collect();
    let view = operator.answer(&["cluster", "status"]);
    let nodes = view["nodes"].as_array().unwrap().iter();
    let told: Vec<_> = nodes.map(|node| node["role"].as_str().unwrap()).collect();
    assert_eq!(shown, told);
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_saved_in_a_new_file_and_a_host_is_retired() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let operator = Operator::of(&fleet);
    let _ = operator.prints(0, &["cluster", "backup", "fleet.backup"]);
    let backup = fs::read(operator.folder().join("fleet.backup")).unwrap();
    assert!(!backup.is_empty());
    let twice = operator.notes(1, &["cluster", "backup", "fleet.backup"]);
    assert!(twice.contains("fleet.backup"), "{twice}");
    assert_eq!(
        fs::read(operator.folder().join("fleet.backup")).unwrap(),
        backup
    );

    let unconfirmed = operator.notes(1, &["hosts", "retire", "api1"]);
    assert!(unconfirmed.contains("say --yes"), "{unconfirmed}");
    let _ = operator.prints(0, &["hosts", "retire", "api1", "--yes"]);
    let retired = row(&operator, &["hosts"], "api1");
    assert_eq!(retired.last().unwrap(), "retired");
}

/// The row of a table that has something in one of its cells.
fn row(operator: &Operator, arguments: &[&str], name: &str) -> Vec<String> {
    let rows = operator.rows(arguments);
    let found = rows.iter().find(|row| row.iter().any(|cell| cell == name));
    found
        .unwrap_or_else(|| panic!("no {name} in {rows:?}"))
        .clone()
}
