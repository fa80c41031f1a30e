//! Files of an operator: uploaded once, through whichever node, and on the hosts that name them.

mod hosts;
mod uploads;

use std::fs;
use std::path::Path;
use std::process::Command;

use email_engine_protocol::bytes::ContentHash;
use email_engine_tests::Operator;
use serde_json::{Value, json};

const PIECE: usize = 1024 * 1024;

/// Bytes that no packing makes smaller, and no two pieces of which are alike.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // A generator of the xorshift family.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// How an upload of these bytes begins.
fn announced(bytes: &[u8]) -> Value {
    let pieces: Vec<ContentHash> = bytes.chunks(PIECE).map(ContentHash::of).collect();
    json!({
        "name": "upload",
        "length": bytes.len(),
        "sha256": ContentHash::of(bytes),
        "pieces": pieces,
    })
}

/// A `.tar.gz` in the operator's folder: below `app/` a text and noise of this size.
fn archive(operator: &Operator, name: &str, text: &str, length: usize) -> ContentHash {
    let app = operator.folder().join("app");
    fs::create_dir_all(app.join("in")).unwrap();
    fs::write(app.join("in/text"), text).unwrap();
    fs::write(app.join("noise"), noise(length, 77)).unwrap();
    let packed = operator.folder().join(name);
    let packing = Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "-czf"])
        .arg(&packed)
        .args(["-C", operator.folder().to_str().unwrap(), "app"])
        .status();
    assert!(packing.unwrap().success());
    fs::remove_dir_all(&app).unwrap();
    hash_of(&packed)
}

fn hash_of(path: &Path) -> ContentHash {
    ContentHash::of(&fs::read(path).unwrap())
}
