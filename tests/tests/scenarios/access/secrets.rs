//! A private key is found on its host and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use email_engine_protocol::join::JoinToken;
use email_engine_tests::{Fleet, Haystack, every_file};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_found_on_its_host_and_nowhere_else() {
    let mut fleet = Fleet::converged_with(3, 2).await;
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
        let bytes = Haystack::of(&file);
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
}

fn decode_base64(line: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(line.as_bytes()).unwrap()
}
