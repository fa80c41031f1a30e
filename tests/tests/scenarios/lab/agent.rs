//! A node for real hosts, and how an operator brings the agent to one: two units, as they are shipped.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use email_engine_tests::lab::Guest;
use email_engine_tests::{Fleet, binary, wait_for};

pub(super) const EXECUTOR: &str = "email-engine-executor.service";
pub(super) const NETWORK: &str = "email-engine-agent.service";

const TOKEN: &str = "/etc/email-engine/join-token";
/// What differs from the defaults: tests look more often.
const CONFIG: &str = "\
audit_interval_seconds = 2
reconnect_max_seconds = 1
join_token_file = \"/etc/email-engine/join-token\"
";

/// One node for real hosts, which reach it at this address of the world.
pub(super) async fn fleet_at(address: &str) -> Fleet {
    let listen = format!("{address}:7443");
    let settings = [
        ("MODE", "real"),
        ("AGENT_LISTEN", listen.as_str()),
        ("DKIM_STOCK", "1"),
    ];
    Fleet::configured(1, &settings).await
}

/// A program, without what only a debugger reads.
pub(super) fn put_program(guest: &Guest, folder: &str, program: &str) {
    let output = Command::new("strip")
        .args(["--strip-debug", "-o"])
        .arg(guest.file(&format!("{folder}/{program}")))
        .arg(binary(program))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The agent's program, its user and units, and a token for one enrolment.
pub(super) fn install(guest: &Guest, token: &str) {
    put_program(guest, "/usr/local/bin", "email-engine-agent");
    let user = ["useradd", "--system", "--no-create-home", "--user-group"];
    guest.run(&[&user[..], &["--shell", "/usr/sbin/nologin", "email-engine"]].concat());
    put(
        guest,
        "/etc/email-engine/agent.toml",
        CONFIG.as_bytes(),
        0o644,
    );
    put(guest, TOKEN, token.as_bytes(), 0o640);
    guest.run(&["chgrp", "email-engine", TOKEN]);
    let program = "/usr/local/bin/email-engine-agent";
    guest.run(&[program, "expect", "--join-token-file", TOKEN]);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    for unit in [EXECUTOR, NETWORK] {
        let text = fs::read(shipped.join(unit)).unwrap();
        put(guest, &format!("/etc/systemd/system/{unit}"), &text, 0o644);
    }
    guest.run(&["systemctl", "daemon-reload"]);
    guest.run(&["systemctl", "enable", "--now", EXECUTOR, NETWORK]);
}

/// Lets the executor say when a pass ends; before it is installed.
pub(super) fn tells_of_passes(guest: &Guest) {
    let drop_in = format!("/etc/systemd/system/{EXECUTOR}.d/log.conf");
    let level = "[Service]\nEnvironment=EMAIL_ENGINE_AGENT_LOG_LEVEL=debug\n";
    put(guest, &drop_in, level.as_bytes(), 0o644);
}

/// Two passes have looked at the host since.
pub(super) async fn passes(guest: &Guest) {
    let seen = || {
        let log = guest.run(&["journalctl", "--unit", EXECUTOR, "--output=cat"]);
        log.matches("pass ended").count()
    };
    let before = seen();
    wait_for("two passes went by", async || {
        let now = seen();
        if now >= before + 2 { Ok(()) } else { Err(now) }
    })
    .await;
}

/// Puts a file there.
pub(super) fn put(guest: &Guest, path: &str, bytes: &[u8], mode: u32) {
    let file = guest.file(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}
