//! A DKIM key is found on its host and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

use email_engine_protocol::join::JoinToken;
use email_engine_tests::Fleet;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_dkim_key_is_found_on_its_host_and_nowhere_else() {
    let mut fleet = Fleet::converged_with(3, 2).await;
    let folder = fleet.agents["pmta1"].file("/etc/pmta/dkim");
    let mut needles = vec![];
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let pem = fs::read_to_string(&path).unwrap();
        assert!(pem.contains("PRIVATE KEY"), "{}", path.display());
        // A line from the middle of the key, as text and as the bytes that it stands for.
        let line = pem.lines().nth(10).unwrap().to_owned();
        let raw = decode_base64(&line);
        needles.push((path, line.into_bytes(), raw));
    }
    assert_eq!(needles.len(), 2);
    let issued = fleet.token(&json!("node"), false).await;
    let token: JoinToken = issued.parse().unwrap();
    let others = [
        ("admin key", fleet.admin_key().as_bytes().to_vec()),
        ("recovery key", fleet.recovery_key().as_bytes().to_vec()),
        ("secret of a join token", token.secret.to_vec()),
    ];
    for node in fleet.nodes.values_mut() {
        node.stop();
    }

    let root = fleet.dir().to_owned();
    let files = every_file(&root);
    assert!(files.len() > 40, "only {} files were searched", files.len());
    let mut at_home = 0;
    for file in files {
        let bytes = fs::read(&file).unwrap_or_default();
        for (home, text, raw) in &needles {
            let found = contains(&bytes, text) || contains(&bytes, raw);
            at_home += usize::from(found && file == *home);
            assert!(
                !found || file == *home,
                "{} holds the key of {}",
                file.display(),
                home.display()
            );
        }
        for (what, secret) in &others {
            assert!(
                !contains(&bytes, secret),
                "{} holds the {what}",
                file.display()
            );
        }
    }
    assert_eq!(
        at_home,
        needles.len(),
        "the search does not find what is there"
    );
}

fn every_file(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files.extend(every_file(&path))
        } else {
            files.push(path)
        }
    }
    files
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn decode_base64(line: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(line.as_bytes()).unwrap()
}
