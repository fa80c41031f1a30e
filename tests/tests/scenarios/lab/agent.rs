//! How an operator brings the agent to a host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use email_engine_tests::binary;
use email_engine_tests::lab::Guest;

const UNIT: &str = "\
[Unit]
After=network.target
[Service]
ExecStart=/usr/bin/email-engine-agent run
Environment=EMAIL_ENGINE_AGENT_JOIN_TOKEN_FILE=/etc/email-engine-join-token
Environment=EMAIL_ENGINE_AGENT_AUDIT_INTERVAL_SECONDS=2
Environment=EMAIL_ENGINE_AGENT_RECONNECT_MAX_SECONDS=1
Restart=always
[Install]
WantedBy=multi-user.target
";

/// The agent's program, a unit for it, and a token for one enrolment.
pub(super) fn install(guest: &Guest, token: &str) {
    let program = guest.file("/usr/bin/email-engine-agent");
    let output = Command::new("strip")
        .args(["--strip-debug", "-o"])
        .arg(&program)
        .arg(binary("email-engine-agent"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    put(
        guest,
        "/etc/email-engine-join-token",
        token.as_bytes(),
        0o600,
    );
    let unit = "/etc/systemd/system/email-engine-agent.service";
    put(guest, unit, UNIT.as_bytes(), 0o644);
    guest.run(&["systemctl", "daemon-reload"]);
    guest.run(&["systemctl", "enable", "--now", "email-engine-agent.service"]);
}

/// Puts a file there.
pub(super) fn put(guest: &Guest, path: &str, bytes: &[u8], mode: u32) {
    let file = guest.file(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}
