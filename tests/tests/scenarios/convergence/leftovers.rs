//! An identity that was moved or removed leaves no key behind.

use std::fs;
use std::path::{Path, PathBuf};

use email_engine_tests::{Fleet, Haystack, every_file, samples, wait_until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_moved_or_removed_leaves_no_key_behind() {
    let mut fleet = Fleet::converged_with(1, 4).await;
    let mut document = samples::fleet(4);
    document["hosts"].as_array_mut().unwrap().push(json!(
        { "id": "pmta2", "role": "powermta", "addresses": ["192.0.2.21"] }
    ));
    fleet.apply(&document).await;
    fleet.start_agents(&["pmta2"]).await;
    fleet.converged("a second PowerMTA host came").await;
    let key_of = |fleet: &Fleet, host: &str, number: usize| {
        let folder = fleet.agents[host].file("/etc/pmta/dkim");
        let label = format!("mail{number}");
        fs::read_dir(folder).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().contains(&label))
        })
    };
    assert!(key_of(&fleet, "pmta1", 1) && key_of(&fleet, "pmta1", 2));
    let (moved, removed, kept) = (
        Needle::of(&fleet, 1),
        Needle::of(&fleet, 2),
        Needle::of(&fleet, 3),
    );

    // Identity 1 moves, with a pool of its own: a pool stays on one host.
    document["ips"][0]["host"] = json!("pmta2");
    document["ips"][0]["pool"] = json!("client-1-second");
    fleet.apply(&document).await;
    fleet.api().delete("/ips/198.51.100.2").await.ok();
    wait_until(
        "moved and removed keys are gone, and the moved one is there",
        async || {
            !key_of(&fleet, "pmta1", 1) && !key_of(&fleet, "pmta1", 2) && key_of(&fleet, "pmta2", 1)
        },
    )
    .await;

    fleet.converged("identities moved and went").await;
    assert!(
        key_of(&fleet, "pmta1", 3) && key_of(&fleet, "pmta1", 4),
        "the others stay"
    );
    // Not under another name either, nor in what the agent keeps for itself.
    let old = fleet.host_dir("pmta1");
    assert_eq!(kept.found_below(&old), 1, "the search finds what is there");
    assert_eq!(moved.found_below(&fleet.host_dir("pmta2")), 1);
    for gone in [&moved, &removed] {
        assert_eq!(gone.found_below(&old), 0, "{} is still there", gone.0);
    }
}

/// A line from the middle of an identity's key.
struct Needle(String);

impl Needle {
    fn of(fleet: &Fleet, number: usize) -> Self {
        let folder = fleet.agents["pmta1"].file("/etc/pmta/dkim");
        let label = format!("mail{number}");
        let mut files = fs::read_dir(folder).unwrap().flatten();
        let file = files
            .find(|file| file.file_name().to_string_lossy().contains(&label))
            .unwrap();
        let pem = fs::read_to_string(file.path()).unwrap();
        Self(pem.lines().nth(10).unwrap().to_owned())
    }

    /// How many files below a folder hold it, as text or as the bytes that the text stands for.
    fn found_below(&self, folder: &Path) -> usize {
        let text = self.0.as_bytes();
        let raw = data_encoding::BASE64.decode(text).unwrap();
        let holds = |file: &PathBuf| {
            let bytes = Haystack::of(file);
            bytes.holds(text) || bytes.holds(&raw)
        };
        every_file(folder).iter().filter(|file| holds(file)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_removes_much_when_it_was_told_to_prune() {
    let fleet = Fleet::converged_with(1, 12).await;
    let keys = fleet.agents["pmta1"].file("/etc/pmta/dkim");

    // Eleven of twelve identities go: far more than the 30 % that the agent refuses without the word
    // (shown beside its reconciler).
    fleet
        .api()
        .post("/fleet?prune=true", &samples::fleet(1))
        .await
        .ok();
    wait_until("the pruned keys are gone", async || {
        fs::read_dir(&keys).unwrap().count() == 1
    })
    .await;
    fleet.converged("much was pruned").await;
}
