//! What goes wrong on an API host by itself is told, healed where that does no harm, and over by itself. What
//! a broken file would make go wrong never begins.

use std::fs;
use std::path::Path;

use email_engine_tests::lab::Guest;
use email_engine_tests::{Fleet, Operator, wait_for};

use super::{HOST, ask, is_served};

const SITE: &str = "/etc/nginx/sites-available/email-engine-api.conf";
const ALERTS: &str = "/etc/email-engine/monitoring/alerts.yml";
const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/roles/api");

/// Has the host's own layer of the roles hold these files, with a text in the place of another, and nothing
/// else.
fn release(fleet: &Fleet, changed: &[(&str, &str, &str)]) {
    let operator = Operator::of(fleet);
    let roles = operator.folder().join("my-roles");
    let layer = roles.join("overrides/hosts").join(HOST).join("api");
    let _ = fs::remove_dir_all(&roles);
    for (name, before, after) in changed {
        let file = layer.join(name);
        let text = fs::read_to_string(&file);
        let text = text.or_else(|_| fs::read_to_string(Path::new(ROLES).join(name)));
        let text = text.unwrap();
        assert!(text.contains(before), "{name} has no {before:?}");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text.replace(before, after)).unwrap();
    }
    let stored = operator.prints(0, &["roles", "put", "my-roles"]);
    let _ = operator.prints(0, &["roles", "use", stored.trim(), "--host", HOST]);
}

fn main_process(guest: &Guest, unit: &str) -> String {
    guest.run(&["systemctl", "show", "-P", "MainPID", unit])
}

/// All checks are right on the host. A cache that stands still is told and left alone, a web service that does
/// is restarted, and both are well again.
pub(super) async fn says_what_is_not_well(fleet: &Fleet, guest: &Guest) {
    let operator = Operator::of(fleet);
    fleet.host_converged(HOST, "all is well").await;
    let config = fleet.api().get("/hosts/api1/config").await.ok().to_string();
    for check in ["database", "cache", "api-client_1"] {
        assert!(config.contains(&format!("health_check:{check}")), "{check}");
    }
    // This operator wants to know sooner.
    let pace = (
        "interval_seconds = 30\nattempts = 3\n",
        "interval_seconds = 5\nattempts = 2\n",
    );
    let own_pace = (
        "interval_seconds = 10\nattempts = 5\n",
        "interval_seconds = 5\nattempts = 2\n",
    );
    let changed = [
        pace,
        own_pace,
        ("timeout_seconds = 20\n", "timeout_seconds = 3\n"),
        ("timeout_seconds = 9", "timeout_seconds = 2"),
    ];
    release(
        fleet,
        &changed.map(|(before, after)| ("service.toml", before, after)),
    );
    fleet.host_converged(HOST, "its checks are others").await;

    let unit = "redis-server.service";
    let before = main_process(guest, unit);
    guest.run(&["kill", "-STOP", before.trim()]);
    operator
        .is_shown(HOST, &["health_check:cache", "redis-cli"])
        .await;
    assert_eq!(ask("GET", "/", "", "").await.unwrap().0, 200);
    guest.run(&["kill", "-CONT", before.trim()]);
    fleet.host_converged(HOST, "its cache is well again").await;
    assert_eq!(main_process(guest, unit), before, "it was restarted");

    let unit = "email-engine-api-web@client_1.service";
    let before = main_process(guest, unit);
    guest.run(&["kill", "-STOP", before.trim()]);
    wait_for("its web service is another process", async || {
        let now = main_process(guest, unit);
        let is_another = now != before && now.trim() != "0";
        if is_another { Ok(()) } else { Err(now) }
    })
    .await;
    is_served(guest, "2", "its web service was restarted").await;
    fleet.host_converged(HOST, "its API is well again").await;
}

/// What nginx or Prometheus refuses never takes the place of what is there, and what nginx answers nobody
/// with is taken back.
pub(super) async fn goes_on_when_an_override_is_broken(fleet: &Fleet, guest: &Guest) {
    let operator = Operator::of(fleet);
    let read = |path: &str| fs::read(guest.file(path)).unwrap();
    let before = (read(SITE), read(ALERTS));
    let process = guest.run(&["cat", "/run/nginx.pid"]);
    let site = "nginx/site.j2";
    let broken = [
        (site, "server_name _;", "server_nam _;"),
        ("prometheus/alerts.j2", "expr: up", "expr: up ="),
    ];
    release(fleet, &broken);
    let refused = [
        "transaction:nginx",
        "unknown directive \"server_nam\"",
        "transaction:prometheus",
        "stage test",
    ];
    operator.is_shown(HOST, &refused).await;
    assert_eq!((read(SITE), read(ALERTS)), before);
    assert_eq!(ask("GET", "/", "", "").await.unwrap().0, 200);
    // What stands there is what either would start with.
    guest.run(&["nginx", "-t"]);
    let rules = ["promtool", "check", "rules", ALERTS];
    guest.run(&rules);

    let silent = "listen 443 ssl http2;\n    return 444;";
    release(fleet, &[(site, "listen 443 ssl http2;", silent)]);
    operator
        .is_shown(HOST, &["transaction:nginx", "stage health"])
        .await;
    assert_eq!(read(SITE), before.0);
    is_served(guest, "2", "the site of before is back").await;
    assert_eq!(guest.run(&["cat", "/run/nginx.pid"]), process);

    release(fleet, &[(site, "server_name _;", "server_name _;")]);
    fleet.host_converged(HOST, "it has the shipped files").await;
}
