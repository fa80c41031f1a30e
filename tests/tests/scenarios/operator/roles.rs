//! An operator's own roles: written in a folder, judged, stored, tried on one host, and on it.

use std::fs;

use email_engine_tests::{Fleet, Operator, wait_for};
use serde_json::{Value, json};

const ROLE: &str = "\
[values]
greeting = \"hello\"

[[directory]]
path = \"/etc/email-engine\"
mode = \"0755\"
on_remove = \"leave\"

[[directory]]
path = \"/etc/email-engine/api\"
mode = \"0755\"
on_remove = \"leave\"

[[file]]
path = \"/etc/email-engine/api/relay.conf\"
template = \"relay/relay.conf.j2\"
mode = \"0644\"
on_remove = \"delete\"
";

fn write(operator: &Operator, path: &str, text: &str) {
    let path = operator.folder().join("my-roles").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Stores the folder and gives the hash of the bundle.
fn stored(operator: &Operator) -> String {
    let stored = operator.prints(0, &["roles", "put", "my-roles"]);
    let hash = stored.trim().to_owned();
    assert_eq!(hash.len(), 64, "{stored}");
    hash
}

async fn file_says(fleet: &Fleet, host: &str, path: &str, expected: &str) {
    let file = fleet.agents[host].file(path);
    let what = format!("{path} of {host} says {expected:?}");
    wait_for(&what, async || {
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        // Below the head that says who wrote it, where there is one.
        if text.ends_with(expected) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_role_is_written_without_the_project_knowing_it_and_reaches_its_host() {
    let mut fleet = Fleet::converged_with(1, 1).await;
    let operator = Operator::of(&fleet);
    write(&operator, "relay/role.toml", ROLE);
    write(&operator, "relay/relay.conf.j2", "{{ values.greetin }}\n");
    let said = operator.prints(2, &["roles", "lint", "my-roles"]);
    assert!(said.contains("relay/relay.conf.j2"), "{said}");
    let said = operator.notes(1, &["roles", "put", "my-roles"]);
    assert!(said.contains("nothing was stored"), "{said}");

    write(
        &operator,
        "relay/relay.conf.j2",
        "{{ values.greeting }} from {{ host }}\n",
    );
    let said = operator.prints(0, &["roles", "lint", "my-roles"]);
    assert!(said.contains("Nothing is wrong"), "{said}");

    // Before the bundle has the role, its name is a slip of the pen.
    let host = json!({
        "id": "relay1", "role": "relay", "addresses": ["192.0.2.77"], "tenant": null, "labels": {},
    });
    let refused = fleet.api().post("/hosts", &host).await;
    assert_eq!(refused.code(), "invalid", "{refused:?}");
    let hash = stored(&operator);
    let used = operator.prints(0, &["roles", "use", &hash]);
    assert!(used.contains(&hash), "{used}");
    fleet.api().post("/hosts", &host).await.ok();
    fleet.start_agents(&["relay1"]).await;
    let conf = "/etc/email-engine/api/relay.conf";
    file_says(&fleet, "relay1", conf, "hello from relay1\n").await;
    let view = fleet
        .host_converged("relay1", "its role was released")
        .await;
    assert_eq!(view["role"], "relay");

    // It cannot be taken from under the host.
    let shipped = fleet.api().get(&format!("/bundles/{hash}")).await.ok();
    let mut files: Value = shipped["files"].clone();
    files.as_object_mut().unwrap().remove("relay/role.toml");
    let created = fleet
        .api()
        .post("/bundles", &json!({ "files": files }))
        .await;
    let without = created.ok()["bundle"].as_str().unwrap().to_owned();
    let said = operator.notes(1, &["roles", "use", &without]);
    assert!(said.contains("relay/role.toml"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_has_in_the_place_of_the_roles_is_planned_first_and_no_other_host_has_it() {
    let fleet = Fleet::converged_with(1, 1).await;
    let operator = Operator::of(&fleet);
    let before = operator.prints(0, &["roles", "show", "mailwizz/cron.j2"]);
    assert!(before.contains("send-campaigns"), "{before}");
    write(
        &operator,
        "overrides/hosts/mailwizz1/mailwizz/cron.j2",
        "# none yet\n",
    );
    let hash = stored(&operator);
    let planned = operator.prints(2, &["roles", "use", &hash, "--host", "mailwizz1", "--plan"]);
    assert!(
        planned.contains("+# none yet") && planned.contains("-* * * * *"),
        "{planned}"
    );
    assert!(!planned.contains("Host pmta1"), "{planned}");
    let used = operator.prints(0, &["roles", "use", &hash, "--host", "mailwizz1"]);
    assert!(used.contains("mailwizz1"), "{used}");
    file_says(&fleet, "mailwizz1", "/etc/cron.d/mailwizz", "# none yet\n").await;
    let rows = operator.rows(&["roles", "list"]);
    let with = |host: &str| {
        rows.iter()
            .find(|row| row.join(" ").contains(host))
            .unwrap()
    };
    assert_eq!(with("mailwizz1")[0], hash);
    assert_ne!(with("pmta1")[0], hash, "one host was moved: {rows:?}");
}
