//! The fleets that are made up for measuring are fleet files as any other.

use std::fs;
use std::path::Path;
use std::process::Command;

use email_engine_coordinator::command::RejectionCode;
use email_engine_coordinator::planner::document::{Scope, changes};

use crate::fixture::{Fleet, parse};

#[test]
fn a_made_up_fleet_is_a_fleet_file_that_an_admins_key_applies() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/benches/large-fleet.py");
    let folder = tempfile::tempdir().unwrap();
    // All states in which its identities are.
    let made = Command::new("python3")
        .arg(script)
        .arg("50")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let document = parse(&fs::read_to_string(folder.path().join("fleet-001.toml")).unwrap());
    let empty = Fleet::empty().state;
    let plan = changes(&empty, &document, false, Scope::Admin).unwrap();
    assert_eq!((plan.new_identities, document.hosts.len()), (50, 1));
    let refused = changes(&empty, &document, false, Scope::Operator).unwrap_err();
    assert_eq!(
        (refused.code, refused.field.as_str()),
        (RejectionCode::Forbidden, "ips[0].status")
    );
}
