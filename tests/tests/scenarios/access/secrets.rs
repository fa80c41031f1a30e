//! A private key is found on its host and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use email_engine_protocol::join::JoinToken;
use email_engine_tests::{Fleet, Haystack, every_file, samples, wait_until};
use serde_json::json;

const SNAPSHOT_AFTER_LOGS: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_found_on_its_host_and_nowhere_else() {
    let after = SNAPSHOT_AFTER_LOGS.to_string();
    let mut fleet = Fleet::configured(3, &[("RAFT_SNAPSHOT_AFTER_LOGS", &after)]).await;
    fleet.apply(&samples::fleet(2)).await;
    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("its first document was applied").await;
    let mut needles = vec![];
    for folder in ["/etc/pmta/dkim", "/etc/pmta/tls"] {
        for entry in fs::read_dir(fleet.agents["pmta1"].file(folder)).unwrap() {
            let path = entry.unwrap().path();
            let pem = fs::read_to_string(&path).unwrap();
            let (_, key) = pem.split_once("BEGIN PRIVATE KEY").unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o640, "{}", path.display());
            // A line from the middle of the key, as text and as the bytes that it stands for.
            let line = key.lines().nth(10).unwrap().to_owned();
            let raw = decode_base64(&line);
            needles.push((path, line.into_bytes(), raw));
        }
    }
    assert_eq!(
        needles.len(),
        2 + 1,
        "two identities, and where the fleet submits"
    );
    let issued = fleet.token(&json!("node"), false).await;
    let others = forms_of_other_secrets(&fleet, &issued);
    fill_snapshots(&fleet).await;
    for node in fleet.nodes.values_mut() {
        node.stop();
    }

    let root = fleet.dir().to_owned();
    let files = every_file(&root);
    assert!(files.len() > 40, "only {} files were searched", files.len());
    let (mut at_home, mut snapshots) = (0, 0);
    for file in files {
        let bytes = Haystack::of(&file);
        let is_snapshot = file
            .parent()
            .is_some_and(|folder| folder.ends_with("snapshots"));
        snapshots += usize::from(is_snapshot && bytes.holds(PUBLIC));
        for (home, text, raw) in &needles {
            let found = bytes.holds(text) || bytes.holds(raw);
            at_home += usize::from(found && file == *home);
            assert!(
                !found || file == *home,
                "{} holds the key of {}",
                file.display(),
                home.display()
            );
        }
        for (what, secret) in &others {
            assert!(!bytes.holds(secret), "{} holds the {what}", file.display());
        }
    }
    assert_eq!(
        at_home,
        needles.len(),
        "the search does not find what is there"
    );
    assert!(
        snapshots >= 3,
        "only {snapshots} whole snapshots were searched"
    );
}

/// Something that every snapshot of this fleet holds, and may.
const PUBLIC: &[u8] = b"postmaster@example.org";

/// Secrets that belong on no disk of ours, as they are handed over and as a disk would hold them.
fn forms_of_other_secrets(fleet: &Fleet, token: &str) -> Vec<(&'static str, Vec<u8>)> {
    let join: JoinToken = token.parse().unwrap();
    let (_, admin) = fleet.admin_key().rsplit_once('.').unwrap();
    let raw_admin = data_encoding::BASE64URL_NOPAD.decode(admin.as_bytes());
    let recovery = fleet.recovery_key();
    let letters = recovery.strip_prefix("eer1-").unwrap().replace('-', "");
    let raw_recovery = data_encoding::BASE32_NOPAD.decode(letters.to_ascii_uppercase().as_bytes());
    // Behind the seed stands its checksum.
    let seed = raw_recovery.unwrap()[..32].to_vec();
    vec![
        ("admin key", admin.as_bytes().to_vec()),
        ("secret of the admin key", raw_admin.unwrap()),
        ("recovery key", recovery.as_bytes().to_vec()),
        ("recovery key without its dashes", letters.into_bytes()),
        ("seed of the recovery key", seed),
        ("join token", token.as_bytes().to_vec()),
        ("secret of a join token", join.secret.to_vec()),
    ]
}

/// Lets every node make a snapshot of a state that has the keys.
async fn fill_snapshots(fleet: &Fleet) {
    let cluster = fleet.api().get("/cluster").await.ok();
    let has_keys = cluster["applied_index"].as_u64().unwrap();
    let mut tenant = samples::tenant();
    for round in 0..=SNAPSHOT_AFTER_LOGS {
        tenant["name"] = json!(format!("round {round}"));
        fleet.api().put("/tenants/client-1", &tenant).await.ok();
    }
    for node in fleet.nodes.values() {
        let folder = node.data_dir().join("raft/snapshots");
        wait_until("a node has made a snapshot", async || {
            let files = every_file(&folder);
            files
                .iter()
                .filter_map(|file| index_of(file))
                .any(|index| index >= has_keys)
        })
        .await;
    }
}

/// The log entry up to which a snapshot goes, from its name; none of an unfinished one.
fn index_of(snapshot: &Path) -> Option<u64> {
    let name = snapshot.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    name.split_once('-')?.0.parse().ok()
}

fn decode_base64(line: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(line.as_bytes()).unwrap()
}
