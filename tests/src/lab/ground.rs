//! Whether lab hosts can be had on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The script that makes what every host begins with.
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/base");

/// The script that makes the layer of hosts with database servers.
const DATABASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/databases");

/// The script that makes the layer of hosts that send.
const SENDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/sender");

/// The script that makes the layer of hosts with a web server, PHP and a database server.
const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/web");

/// The script that makes the layer of hosts with all that serves an API.
const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/api");

/// The script that makes the layer of the host that names everybody.
const NAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/names");

/// What the host with the name server begins with; nothing, said loudly, where there can be none.
///
/// # Panics
/// As [`ground`].
#[must_use]
pub fn names() -> Option<PathBuf> {
    made_by(NAMES)
}

/// What hosts of an API begin with; nothing, said loudly, where there can be none.
///
/// # Panics
/// As [`ground`].
#[must_use]
pub fn api() -> Option<PathBuf> {
    made_by(API)
}

/// What hosts of an application begin with; nothing, said loudly, where there can be none.
///
/// # Panics
/// As [`ground`].
#[must_use]
pub fn web() -> Option<PathBuf> {
    made_by(WEB)
}

/// What hosts that send begin with; nothing, said loudly, where there can be none.
///
/// # Panics
/// As [`ground`].
#[must_use]
pub fn sender() -> Option<PathBuf> {
    made_by(SENDER)
}

/// What hosts with MariaDB and PostgreSQL begin with; nothing, said loudly, where there can be none.
///
/// # Panics
/// As [`ground`].
#[must_use]
pub fn databases() -> Option<PathBuf> {
    made_by(DATABASES)
}

/// The root file system that hosts begin with; nothing, said loudly, where there can be none.
///
/// # Panics
/// On the forge (`CI=true`) when something but root is missing: there a scenario that nobody runs
/// would not be noticed.
#[must_use]
pub fn ground() -> Option<PathBuf> {
    made_by(BASE)
}

fn made_by(script: &str) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT RUN: lab hosts need root");
        return None;
    }
    match found(script) {
        Ok(base) => Some(base),
        Err(reason) => {
            let on_forge = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!on_forge, "no lab hosts: {reason}");
            eprintln!("NOT RUN: {reason}");
            None
        }
    }
}

fn found(script: &str) -> Result<PathBuf, String> {
    let nspawn = Command::new("systemd-nspawn").arg("--version").output();
    nspawn.map_err(|error| format!("systemd-nspawn (package systemd-container): {error}"))?;
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/email-engine"));
    let cache = std::env::var_os("EMAIL_ENGINE_CACHE").map(PathBuf::from);
    let cache = cache
        .or_else(home)
        .ok_or("neither EMAIL_ENGINE_CACHE nor HOME is set")?;
    let output = Command::new(script)
        .arg("--find")
        .arg(cache)
        .output()
        .map_err(|error| format!("{script}: {error}"))?;
    if output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return Ok(said.trim().into());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
