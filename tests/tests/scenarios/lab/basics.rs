//! What services stand on, on a real host: a user, a group, a kernel setting, a link and a hundred
//! sending addresses come, stay, outlive a reboot, and go.

use std::fs;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, samples, wait_for};
use serde_json::json;

use super::agent;

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "api1";
const LINK: &str = "/etc/email-engine/api/current";
const SETTING: &str = "net.ipv4.tcp_keepalive_time";

/// The only things that this host may be given.
const ALLOWED: &str = r#"
paths = ["/etc/email-engine/api/"]
users = ["app"]
groups = ["app", "keys"]
sysctls = ["net.ipv4.tcp_keepalive_time"]
interfaces = ["default"]
addresses = ["198.51.100.0/24"]
"#;

const KEPT: &str = r#"
[[directory]]
path = "/etc/email-engine/api"
mode = "0750"
owner = "root"
group = "root"
on_remove = "leave"
"#;

const BASICS: &str = r#"
[[directory]]
path = "/etc/email-engine/api/data"
mode = "0750"
owner = "app"
group = "keys"
on_remove = "delete"

[[group]]
name = "keys"
on_remove = "delete"

[[user]]
name = "app"
groups = ["keys"]
home = "/etc/email-engine/api/data"
on_remove = "delete"

[[symlink]]
path = "/etc/email-engine/api/current"
target = "/etc/email-engine/api/data"
on_remove = "delete"

[[sysctl]]
key = "net.ipv4.tcp_keepalive_time"
value = "600"
on_remove = "delete"
"#;

/// The last numbers of the sending addresses.
const SENDING: std::ops::RangeInclusive<u8> = 101..=200;

fn addresses() -> String {
    let all: Vec<String> = SENDING
        .map(|last| format!("\"198.51.100.{last}\""))
        .collect();
    let all = all.join(", ");
    format!("[[ip_address]]\naddresses = [{all}]\non_remove = \"delete\"\n")
}

#[test]
fn what_services_stand_on_comes_stays_outlives_a_reboot_and_goes() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        fleet
            .give_files(
                HOST,
                &[("api/role.toml", &format!("{KEPT}{BASICS}{}", addresses()))],
            )
            .await;
        let guest = Guest::boot(HOST, &base, &["192.0.2.30"], COORDINATOR).await;
        let before = guest.run(&["sysctl", "-n", SETTING]);
        agent::put(
            &guest,
            "/etc/email-engine/allow.toml",
            ALLOWED.as_bytes(),
            0o644,
        );
        agent::install(&guest, &fleet.host_token(HOST, "api").await);
        fleet.host_converged(HOST, "its agent was let in").await;
        assert_eq!(seen(&guest), GOOD);

        drifts(&guest).await;

        // Without the agent: what it left on the host does it.
        guest.run(&[
            "systemctl",
            "disable",
            "--now",
            "email-engine-agent.service",
        ]);
        let undo = "ip address flush to 198.51.100.0/24 dev eth0; sysctl -qw net.ipv4.tcp_keepalive_time=7000";
        guest.run(&["sh", "-c", undo]);
        guest.reboot().await;
        is_good(&guest, "it was rebooted").await;
        guest.run(&["systemctl", "enable", "--now", "email-engine-agent.service"]);
        fleet.host_converged(HOST, "its agent runs again").await;

        goes(&fleet, &guest).await;
        assert_eq!(guest.run(&["sysctl", "-n", SETTING]), before);
        let left = "ls /etc/sysctl.d /etc/systemd/system /etc/systemd/system/*.wants | grep -c 'email-engine-addresses\\|zz-email'";
        let left = guest.try_run(&["sh", "-c", left]).unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout).trim(), "0");
    });
}

/// What somebody changes comes back.
async fn drifts(guest: &Guest) {
    for (what, words) in [
        ("an address", "ip address del 198.51.100.150/32 dev eth0"),
        (
            "every address",
            "ip address flush to 198.51.100.0/24 dev eth0",
        ),
        ("the setting", "sysctl -qw net.ipv4.tcp_keepalive_time=7000"),
        ("a user with a shell", "usermod --shell /bin/sh app"),
        ("a user out of its group", "gpasswd --delete app keys"),
        ("the user and the group", "userdel app; groupdel keys"),
        ("the link", "ln -sfn /etc /etc/email-engine/api/current"),
        (
            "what is read at boot",
            "sed -i '$d' /etc/sysctl.d/zz-email-engine-*; rm /etc/systemd/system/email-engine-addresses-*",
        ),
    ] {
        guest.run(&["sh", "-c", words]);
        is_good(guest, &format!("{what} came back")).await;
    }
}

/// With the operator's word all of it goes.
async fn goes(fleet: &Fleet, guest: &Guest) {
    fleet.give_files(HOST, &[("api/role.toml", KEPT)]).await;
    let view = wait_for("the host refuses so large a removal", async || {
        let view = fleet.host(HOST).await.to_string();
        if view.contains("nobody allowed") {
            Ok(view)
        } else {
            Err(view)
        }
    })
    .await;
    assert!(view.contains("removes"), "{view}");
    let path = format!("/hosts/{HOST}/allow-removal");
    fleet.api().post(&path, &json!({})).await.ok();
    wait_for("all of it is gone", async || {
        let now = seen(guest);
        if now == "0 addresses, , , , no link" {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
    fleet.host_converged(HOST, "all of it is gone").await;
}

/// What [`seen`] says when all is well, but for the setting's value.
const GOOD: &str =
    "100 addresses, 600, app /usr/sbin/nologin L, app keys, /etc/email-engine/api/data";

/// How all of it is.
fn seen(guest: &Guest) -> String {
    let ask = |script: &str| {
        let output = guest.try_run(&["sh", "-c", script]).unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let count = ask("ip -o address show dev eth0 | grep -c ' 198.51.100.'");
    let user =
        ask("id app >/dev/null && getent passwd app | cut -d : -f 1,7 --output-delimiter=' '");
    let status = ask("passwd --status app | cut -d ' ' -f 2");
    let groups = ask("id -Gn app");
    let setting = ask(
        "grep -q '= 600' /etc/sysctl.d/zz-email-engine-* && sysctl -n net.ipv4.tcp_keepalive_time",
    );
    let link = fs::read_link(guest.file(LINK));
    let link = link.map_or_else(|_| "no link".to_owned(), |to| to.display().to_string());
    let user = format!("{user} {status}");
    format!(
        "{count} addresses, {setting}, {}, {groups}, {link}",
        user.trim()
    )
}

async fn is_good(guest: &Guest, why: &str) {
    wait_for(&format!("the host is as declared: {why}"), async || {
        let units = guest.file("/etc/systemd/system/multi-user.target.wants");
        let unit = units.join("email-engine-addresses-default.service");
        let kept = guest.file("/etc/systemd/system/email-engine-addresses-default.service");
        match seen(guest) {
            now if now == GOOD && unit.is_symlink() && kept.exists() => Ok(()),
            now => Err(now),
        }
    })
    .await;
}
