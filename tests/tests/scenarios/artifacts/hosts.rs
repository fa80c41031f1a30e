//! What a role names reaches its hosts, whole, and goes when nothing names it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use email_engine_tests::{Fleet, Operator, samples, wait_for, wait_until};
use serde_json::json;

use super::{PIECE, archive, noise};

/// A role with an archive and a licence, and nothing else.
const ROLE: &str = r#"
[[directory]]
path = "/etc/email-engine"
mode = "0755"
on_remove = "leave"

[[directory]]
path = "/etc/email-engine/api"
mode = "0755"
on_remove = "leave"

[[archive]]
path = "/etc/email-engine/api/app"
artifact = "product"
form = "tar.gz"
strip = 1
mode = "0755"
on_remove = "leave"

[[file]]
path = "/etc/email-engine/api/licence"
artifact = "licence"
mode = "0640"
on_remove = "delete"
"#;

/// The same without anything of an operator.
fn bare() -> &'static str {
    ROLE.split_once("[[archive]]").unwrap().0
}

/// Moves all hosts to a role.
async fn release(fleet: &Fleet, role: &str) {
    let api = fleet.api();
    let before = api.get("/releases").await.ok()["default"]["bundle"].clone();
    let files = json!({ "from": before, "files": { "api/role.toml": role } });
    let bundle = api.post("/bundles", &files).await.ok()["bundle"].clone();
    let moved = json!({ "bundle": bundle });
    api.post("/releases", &moved).await.ok();
    // After it: a word that was given before would be used up by the state before.
    may_lose_much(fleet).await;
}

/// Most of what its role had goes from the host.
async fn may_lose_much(fleet: &Fleet) {
    let path = "/hosts/api1/allow-removal";
    fleet.api().post(path, &json!({})).await.ok();
}

async fn plan_error(fleet: &Fleet, words: &str) {
    wait_for("the host says what it lacks", async || {
        let host = fleet.host("api1").await;
        let error = host["plan_error"].as_str().unwrap_or_default();
        match error.contains(words) {
            true => Ok(()),
            false => Err(host),
        }
    })
    .await;
}

/// Bodies in an agent's ledger of the size of a piece, with when they were written. One that is still being written
/// has a name of its own, which says nothing of what came.
fn pieces(agent: &Path) -> BTreeMap<String, SystemTime> {
    let Ok(bodies) = fs::read_dir(agent.join("executor/ledger/bodies")) else {
        return BTreeMap::new();
    };
    let piece = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        let name = entry.file_name().into_string().ok()?;
        (meta.len() == PIECE as u64 && !name.starts_with('.'))
            .then(|| (name, meta.modified().unwrap()))
    };
    bodies.filter_map(|entry| piece(entry.ok()?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_and_a_licence_reach_the_host_stay_there_and_go() {
    let mut fleet = Fleet::of(3).await;
    fleet.apply(&samples::fleet(1)).await;
    release(&fleet, ROLE).await;
    fleet.start_agents(&["api1"]).await;
    plan_error(&fleet, "artifact put FILE --use").await;
    may_lose_much(&fleet).await;

    // Through one node, and on the host through whichever its agent has.
    let operator = Operator::at(&fleet, 2);
    let first = archive(&operator, "product.tar.gz", "first", 100_000);
    let _ = operator.prints(
        0,
        &["artifact", "put", "product.tar.gz", "--use", "product"],
    );
    fs::write(operator.folder().join("licence"), "the licence").unwrap();
    let put = [
        "artifact",
        "put",
        "licence",
        "--confidential",
        "--use",
        "licence",
    ];
    let shown = operator.answer(&put);
    assert_eq!(shown["secret"], json!(true));
    let agent = &fleet.agents["api1"];
    let text = agent.file("/etc/email-engine/api/app/in/text");
    let has = |words: &str| fs::read_to_string(&text).is_ok_and(|found| found == words);
    wait_until("the archive is unpacked", async || has("first")).await;
    fleet.host_converged("api1", "it has both").await;
    let licence = agent.file("/etc/email-engine/api/licence");
    assert_eq!(fs::read_to_string(&licence).unwrap(), "the licence");
    let mode = fs::metadata(&licence).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    // Somebody's folder in its place is moved aside, and the tree comes back.
    // In one step: it comes back at once.
    let gone = agent.file("/gone");
    fs::rename(agent.file("/etc/email-engine/api/app"), &gone).unwrap();
    fs::remove_dir_all(gone).unwrap();
    wait_until("the tree is back", async || has("first")).await;

    // In use, it stays; its successor takes its place as a whole.
    let refused = operator.notes(1, &["artifact", "remove", &first.to_string(), "--yes"]);
    assert!(refused.contains("names it product"), "{refused}");
    archive(&operator, "next.tar.gz", "second", 2 * PIECE + 9);
    let _ = operator.prints(0, &["artifact", "put", "next.tar.gz", "--use", "product"]);
    wait_until("the next tree is there", async || has("second")).await;
    fleet.host_converged("api1", "it has the next one").await;
    let _ = operator.prints(0, &["artifact", "remove", &first.to_string(), "--yes"]);

    // Nothing names them any more: the cluster and the ledger let go.
    release(&fleet, bare()).await;
    for name in ["product", "licence"] {
        let _ = operator.prints(0, &["artifact", "unuse", name]);
    }
    let agent = &fleet.agents["api1"];
    wait_until("the licence is gone from the host", async || {
        !licence.exists()
    })
    .await;
    wait_until("the pieces are gone from the ledger", async || {
        pieces(&agent.data_dir()).is_empty()
    })
    .await;
    removed(&fleet).await;
}

/// Removes all artifacts, as soon as nothing names them.
async fn removed(fleet: &Fleet) {
    wait_for("the artifacts can be removed", async || {
        for row in fleet.api().get("/artifacts").await.ok().as_array().unwrap() {
            let path = format!("/artifacts/{}", row["sha256"].as_str().unwrap());
            let answer = fleet.api().delete(&path).await;
            if answer.status != 204 {
                return Err(answer);
            }
        }
        Ok(())
    })
    .await;
    assert_eq!(fleet.api().get("/artifacts").await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_in_the_middle_of_a_fetch_goes_on_where_it_was() {
    let mut fleet = Fleet::of(1).await;
    fleet.apply(&samples::fleet(1)).await;
    release(&fleet, ROLE).await;
    let operator = Operator::of(&fleet);
    archive(&operator, "product.tar.gz", "small", 10);
    let _ = operator.prints(
        0,
        &["artifact", "put", "product.tar.gz", "--use", "product"],
    );
    fs::write(operator.folder().join("licence"), "the licence").unwrap();
    let _ = operator.prints(0, &["artifact", "put", "licence", "--use", "licence"]);
    fleet.start_agents(&["api1"]).await;
    fleet.host_converged("api1", "it has the small one").await;
    fleet.agents.get_mut("api1").unwrap().kill();

    let whole = 24;
    let large = noise(whole * PIECE, 5);
    fs::write(operator.folder().join("licence"), &large).unwrap();
    let _ = operator.prints(0, &["artifact", "put", "licence", "--use", "licence"]);
    fleet.agents.get_mut("api1").unwrap().start(None);
    let data = fleet.agents["api1"].data_dir();
    wait_until("some pieces came", async || !pieces(&data).is_empty()).await;
    fleet.agents.get_mut("api1").unwrap().kill();
    let came = pieces(&data);
    assert!(!came.is_empty());
    fleet.agents.get_mut("api1").unwrap().start(None);
    let licence = fleet.agents["api1"].file("/etc/email-engine/api/licence");
    wait_until("the host has the whole", async || {
        fs::metadata(&licence).is_ok_and(|meta| meta.len() == large.len() as u64)
    })
    .await;
    assert!(fs::read(&licence).unwrap() == large);
    let now = pieces(&data);
    assert_eq!(now.len(), whole);
    for (name, written) in came {
        assert_eq!(now.get(&name), Some(&written), "{name} was fetched again");
    }
}
