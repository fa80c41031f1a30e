//! A bare machine becomes a host by one run, which may be cut off, repeated and taken back.

use std::path::Path;

use email_engine_protocol::join::JoinToken;
use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, samples};
use serde_json::Value;

use super::{FOLDER, TOKEN, bootstrap, bring, changes, files, give, said};

pub(super) const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "192.0.2.30";
const JOURNAL: &str = "/var/lib/email-engine-bootstrap/journal/agent";

#[test]
fn a_bare_machine_becomes_a_host_by_one_run_that_may_be_cut_off_repeated_and_taken_back() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = cluster().await;
        let guest = Guest::boot("api1", &base, &[HOST], COORDINATOR).await;
        bring(&guest, &["email-engine-bootstrap", "email-engine-agent"]);
        let bare = files(&guest);

        // Nothing is touched by a look, nor by a token that the preflight refuses.
        give(
            &guest,
            &fleet.token(&serde_json::json!("node"), false).await,
        );
        let refused = bootstrap(&guest, &["agent", "--join-file", TOKEN, "--json"]);
        assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
        give(&guest, &fleet.host_token("api1", "api").await);
        let looked = bootstrap(&guest, &["agent", "--join-file", TOKEN, "--check"]);
        assert_eq!(looked.status.code(), Some(0), "{}", said(&looked));
        assert_eq!(changes(&bare, &files(&guest)), Vec::<String>::new());

        cut_off(
            &guest,
            "write_file\",\"path\":\"/usr/local/bin/email-engine-agent",
        );
        a_refused_token_has_its_own_exit_code(&guest, &fleet).await;

        give(&guest, &fleet.host_token("api1", "api").await);
        let run = [
            "agent",
            "--join-file",
            TOKEN,
            "--json",
            "--wait-seconds",
            "240",
        ];
        let ran = bootstrap(&guest, &run);
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
        assert!(said(&ran).contains("\"continues\":true"), "{}", said(&ran));
        fleet.host_converged("api1", "its bootstrap says so").await;
        assert!(!guest.file("/etc/email-engine/join-token").exists());

        // Root's own, and no secret of the token is in it.
        let told = "/var/lib/email-engine-agent/executor/expected";
        let whose = guest.run(&["stat", "-c", "%U:%G %a", told]);
        assert_eq!(whose.trim(), "root:root 600");

        let (before, process) = (files(&guest), processes(&guest));
        let again = bootstrap(&guest, &run);
        assert_eq!(again.status.code(), Some(0), "{}", said(&again));
        assert!(said(&again).contains("\"changed\":0"), "{}", said(&again));
        assert_eq!(changes(&before, &files(&guest)), Vec::<String>::new());
        assert_eq!(processes(&guest), process);

        is_taken_back_at_a_terminal(&guest);
        let runtime = guest.try_run(&["test", "-e", "/run/email-engine"]).unwrap();
        assert_eq!(runtime.status.code(), Some(1));
        let managed = managed(&fleet, "api1").await;
        let left = changes(&bare, &files(&guest));
        let left: Vec<_> = left.into_iter().filter(|path| !managed(path)).collect();
        assert_eq!(left, Vec::<String>::new());
        let again = bootstrap(&guest, &["agent", "--uninstall", "--yes"]);
        assert_eq!(again.status.code(), Some(0), "{}", said(&again));
        assert!(
            said(&again).contains("Nothing was changed"),
            "{}",
            said(&again)
        );
    });
}

pub(super) async fn cluster() -> Fleet {
    let listen = |port: u16| format!("{COORDINATOR}:{port}");
    let (agent, raft, api) = (listen(7443), listen(7444), listen(7443));
    let settings = [
        ("MODE", "real"),
        ("AGENT_LISTEN", agent.as_str()),
        ("RAFT_LISTEN", raft.as_str()),
        ("API_LISTEN", api.as_str()),
        ("DKIM_STOCK", "1"),
    ];
    let fleet = Fleet::configured(1, &settings).await;
    fleet.apply(&samples::fleet(1)).await;
    fleet
}

/// A run that is killed as soon as its journal speaks of this step.
fn cut_off(guest: &Guest, step: &str) {
    let script = format!(
        "{FOLDER}/email-engine-bootstrap agent --join-file {TOKEN} >/dev/null 2>&1 & \
         until grep -qF '{step}' {JOURNAL} && grep -F begun {JOURNAL} | grep -qF '{step}'; do :; done \
         2>/dev/null; kill -9 $!; wait $! || echo killed"
    );
    let end = guest.run(&["sh", "-c", &script]);
    assert_eq!(end.trim(), "killed");
    assert!(
        !guest
            .file("/etc/systemd/system/email-engine-agent.service")
            .exists()
    );
}

/// The token was right when it was looked at, and the cluster knows better.
async fn a_refused_token_has_its_own_exit_code(guest: &Guest, fleet: &Fleet) {
    let token = fleet.host_token("api1", "api").await;
    give(guest, &token);
    let id = token.parse::<JoinToken>().unwrap().id;
    fleet.api().delete(&format!("/tokens/{id}")).await.ok();
    let run = ["agent", "--join-file", TOKEN, "--wait-seconds", "240"];
    let refused = bootstrap(guest, &run);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
}

/// Whoever watches sees how far it is, which no pipe is told.
fn is_taken_back_at_a_terminal(guest: &Guest) {
    let words = format!(
        "stty cols 100 rows 24; exec env TERM=xterm {FOLDER}/email-engine-bootstrap agent --uninstall --yes"
    );
    let ran = [
        "script",
        "--quiet",
        "--return",
        "--command",
        &words,
        "/dev/null",
    ];
    let ran = guest.try_run(&ran).unwrap();
    let shown = said(&ran);
    assert_eq!(ran.status.code(), Some(0), "{shown}");
    let steps = shown
        .lines()
        .filter(|line| line.starts_with("  - "))
        .count();
    assert!(steps > 3, "{shown}");
    // The bar is redrawn in its place, and gone at the end.
    let drawn: Vec<&str> = shown.split('\r').map(str::trim_end).collect();
    let at_step = |number: usize| {
        let position = format!("[{number}/{steps}] ");
        drawn.iter().any(|line| line.contains(&position))
    };
    assert!((0..steps).all(at_step), "{shown}");
    let last = drawn.iter().rfind(|line| !line.is_empty());
    // Behind the order that clears its line (ECMA-48, EL).
    assert_eq!(last, Some(&"\x1b[2KRemoved."), "{shown}");
}

/// The processes of our units.
fn processes(guest: &Guest) -> String {
    guest.run(&[
        "sh",
        "-c",
        "systemctl show --property=Id,MainPID 'email-engine-*.service'",
    ])
}

/// Whether a path is what the cluster had the agent make: that is the host's, and stays.
async fn managed(fleet: &Fleet, host: &str) -> impl Fn(&str) -> bool {
    let view: Value = fleet.api().get(&format!("/hosts/{host}/config")).await.ok();
    let files = view["files"].as_array().unwrap().iter();
    let mut paths: Vec<String> = files
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .collect();
    let above: Vec<String> = paths
        .iter()
        .flat_map(|path| Path::new(path).ancestors().skip(1))
        .map(|path| path.display().to_string())
        .collect();
    paths.extend(above);
    move |change| {
        let path = change.split(" is ").next().unwrap().trim_end_matches('#');
        // The distribution's own collection of whom to trust is made from what was added to it.
        path.starts_with("/etc/ssl/certs/")
            // The firewall of its role, which stands without the agent.
            || path.ends_with("/email-engine-firewall.service")
            || paths.iter().any(|managed| managed == path)
    }
}
