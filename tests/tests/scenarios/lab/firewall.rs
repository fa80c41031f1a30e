//! The firewall on a real host: what its table says holds for whoever comes from elsewhere, other tables
//! stay, drift is undone, a reboot keeps it without the agent, and rules that cut the host off do not stay.

use std::net::SocketAddr;
use std::time::Duration;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, samples, wait_for, wait_until};
use serde_json::Value;
use tokio::net::TcpSocket;

use super::agent::{self, EXECUTOR, NETWORK};

const COORDINATOR: &str = "203.0.113.1";
const ADMIN: &str = "198.51.100.7";
const STRANGER: &str = "198.51.100.200";
const GUEST: &str = "192.0.2.30";
const HOST: &str = "api1";

/// Long enough for an answer on this wire; a dropped packet has none.
const ANSWER: Duration = Duration::from_secs(1);

const KEPT: &str = r#"
[[directory]]
path = "/etc/email-engine"
mode = "0755"
owner = "root"
group = "root"
on_remove = "leave"

[[directory]]
path = "/etc/email-engine/api"
mode = "0750"
owner = "root"
group = "root"
on_remove = "leave"

[[directory]]
path = "/etc/email-engine/api/one"
mode = "0750"
owner = "root"
group = "root"
on_remove = "leave"

[[package]]
name = "nftables"
on_remove = "leave"
"#;

const SSH: &str = r#"
[[firewall.rule]]
name = "ssh"
direction = "in"
protocol = "tcp"
ports = ["ssh"]
from = ["198.51.100.0/25"]
fate = "accept"
"#;

const WEB: &str = r#"
[[firewall.rule]]
name = "web"
direction = "in"
protocol = "tcp"
ports = ["8080"]
fate = "accept"
"#;

/// Who judges beforehand cannot know from which of its addresses a host will call.
const CUT: &str = r#"
[[firewall.rule]]
name = "cut"
direction = "out"
protocol = "udp"
from = ["192.0.2.30"]
fate = "drop"
"#;

fn role(seconds: u16, rules: &[&str]) -> String {
    let rules = rules.concat();
    format!(
        "{KEPT}\n[firewall]\ninput = \"drop\"\noutput = \"accept\"\nrollback_seconds = {seconds}\n\
         on_remove = \"delete\"\nafter = [\"package:nftables\"]\n{rules}"
    )
}

#[test]
fn a_firewall_holds_stays_and_is_taken_back_when_it_cuts_the_host_off() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR, ADMIN, STRANGER], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        release(&fleet, KEPT).await;
        let guest = Guest::boot(HOST, &base, &[GUEST], COORDINATOR).await;
        agent::install(&guest, &fleet.host_token(HOST, "api").await);
        fleet.host_converged(HOST, "its agent was let in").await;
        theirs(&guest);
        listen(&guest).await;
        let before = table(&guest, "theirs");
        is_open(&[(STRANGER, 8081), (STRANGER, 22), (ADMIN, 22)]).await;

        release(&fleet, &role(60, &[SSH, WEB])).await;
        comes_to_hold("it has rules").await;
        fleet.host_converged(HOST, "it has rules").await;
        holds().await;
        assert_eq!(table(&guest, "theirs"), before);
        counts_on(&guest).await;
        drifts(&guest).await;
        fleet.host_converged(HOST, "its rules came back").await;
        assert_eq!(table(&guest, "theirs"), before);

        outlives_a_reboot(&guest).await;
        fleet.host_converged(HOST, "its agent runs again").await;

        is_taken_back(&fleet, &guest).await;
        outlives_a_kill(&fleet, &guest).await;
        refuses(&fleet, &guest).await;

        theirs(&guest);
        release(&fleet, KEPT).await;
        fleet.host_converged(HOST, "it shall have no rules").await;
        is_open(&[(STRANGER, 8081), (STRANGER, 22)]).await;
        assert_eq!(table(&guest, "email_engine"), Value::Null);
        assert!(!guest.file(UNIT).exists());
        assert_ne!(table(&guest, "theirs"), Value::Null);
    });
}

const UNIT: &str = "/etc/systemd/system/email-engine-firewall.service";

/// A table of somebody else.
fn theirs(guest: &Guest) {
    guest.run(&["nft", "add table inet theirs"]);
    guest.run(&[
        "nft",
        "add chain inet theirs own { type filter hook input priority 10; }",
    ]);
    guest.run(&["nft", "add rule inet theirs own tcp dport 9999 drop"]);
}

/// Servers, one of them where sshd listens on a host that has one.
async fn listen(guest: &Guest) {
    let script = "use IO::Socket::INET; for my $p (22, 8080, 8081) { next if fork; my $l = \
                  IO::Socket::INET->new(Listen => 9, ReuseAddr => 1, LocalPort => $p) or die; \
                  while ($l->accept) {} } 1 while wait != -1";
    guest.run(&["systemd-run", "--quiet", "perl", "-e", script]);
    wait_for("its servers listen", async || {
        let seen = guest.run(&["cat", "/proc/net/tcp"]);
        let all = [":0016", ":1F90", ":1F91"]
            .iter()
            .all(|port| seen.contains(port));
        if all { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Whether somebody reaches a port.
async fn reaches(from: &str, port: u16) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    let to = SocketAddr::new(GUEST.parse().unwrap(), port);
    let connected = tokio::time::timeout(ANSWER, socket.connect(to)).await;
    matches!(connected, Ok(Ok(_)))
}

/// Soon: a machine that is busy, or has just started, may take longer than one answer is waited for.
async fn is_open(ways: &[(&str, u16)]) {
    for (from, port) in ways {
        wait_until(&format!("{from} reaches {port}"), async || {
            reaches(from, *port).await
        })
        .await;
    }
}

/// What the rules say, from elsewhere.
async fn holds() {
    is_open(&[(ADMIN, 22), (ADMIN, 8080), (STRANGER, 8080)]).await;
    for (from, port) in [(STRANGER, 22), (STRANGER, 8081), (ADMIN, 8081)] {
        assert!(!reaches(from, port).await, "{from} reaches {port}");
    }
}

async fn comes_to_hold(why: &str) {
    wait_for(&format!("its rules hold: {why}"), async || {
        let seen = (reaches(STRANGER, 8081).await, reaches(STRANGER, 8080).await);
        if seen == (false, true) {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}

/// A table as nft lists it; null when it is not there.
fn table(guest: &Guest, name: &str) -> Value {
    let output = guest
        .try_run(&["nft", "-j", "list", "table", "inet", name])
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// The kernel's number of the table and what its rules have counted: another number is another table.
fn counted(guest: &Guest) -> (u64, u64) {
    let listed = table(guest, "email_engine");
    let entries = listed["nftables"].as_array().cloned().unwrap_or_default();
    let handle = entries
        .iter()
        .find_map(|one| one["table"]["handle"].as_u64());
    let rules = entries.iter().filter(|one| one["rule"]["comment"] == "web");
    let packets = rules.flat_map(|one| one["rule"]["expr"].as_array().cloned().unwrap_or_default());
    let packets = packets.filter_map(|expr| expr["counter"]["packets"].as_u64());
    (handle.unwrap_or_default(), packets.sum())
}

/// A pass that finds nothing to do leaves the rules and their counters.
async fn counts_on(guest: &Guest) {
    let before = counted(guest);
    assert!(before.1 > 0, "nobody was counted");
    guest.run(&["rmdir", "/etc/email-engine/api/one"]);
    wait_for("another pass was made", async || {
        let there = guest.file("/etc/email-engine/api/one").exists();
        if there { Ok(()) } else { Err(()) }
    })
    .await;
    assert_eq!(counted(guest), before);
}

/// What somebody does to the table is undone.
async fn drifts(guest: &Guest) {
    for (what, words) in [
        ("flushed", "flush table inet email_engine"),
        ("deleted", "delete table inet email_engine"),
        ("opened", "insert rule inet email_engine input accept"),
    ] {
        guest.run(&["nft", words]);
        comes_to_hold(&format!("the table was {what}")).await;
    }
    guest.run(&["rm", UNIT]);
    wait_for("what sets it at boot is back", async || {
        if guest.file(UNIT).exists() {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
}

/// Without the agent: what it left on the host does it.
async fn outlives_a_reboot(guest: &Guest) {
    guest.run(&["systemctl", "disable", "--now", NETWORK, EXECUTOR]);
    guest.reboot().await;
    assert_ne!(counted(guest).0, 0, "no table after the reboot");
    listen(guest).await;
    holds().await;
    guest.run(&["systemctl", "enable", "--now", EXECUTOR, NETWORK]);
}

/// Whether the rule that cuts the host off is in force.
fn is_cut(guest: &Guest) -> bool {
    table(guest, "email_engine").to_string().contains("\"cut\"")
}

/// The established session would have gone on: only a new connection tells.
async fn is_taken_back(fleet: &Fleet, guest: &Guest) {
    release(fleet, &role(10, &[SSH, WEB, CUT])).await;
    wait_for("the rules are tried", async || {
        if is_cut(guest) { Ok(()) } else { Err(()) }
    })
    .await;
    fleet
        .host_says(
            HOST,
            "taken back: no new connection to a coordinator within 10 s",
        )
        .await;
    assert!(!is_cut(guest));
    holds().await;
    // Nor are they tried again.
    counts_on(guest).await;
    assert!(!is_cut(guest));
}

/// As a power cut would: nothing of the executor runs that could take anything back.
async fn outlives_a_kill(fleet: &Fleet, guest: &Guest) {
    release(fleet, &role(600, &[SSH, WEB, CUT])).await;
    wait_for("the rules are tried", async || {
        if is_cut(guest) { Ok(()) } else { Err(()) }
    })
    .await;
    let main = guest.run(&[
        "systemctl",
        "show",
        "--property=MainPID",
        "--value",
        EXECUTOR,
    ]);
    guest.run(&["kill", "-KILL", main.trim()]);
    wait_for("the next life has taken them back", async || {
        if is_cut(guest) { Err(()) } else { Ok(()) }
    })
    .await;
    fleet
        .host_says(
            HOST,
            "taken back: the agent was ended while they were tried",
        )
        .await;
    holds().await;
}

/// Rules that would cut people or a coordinator off are not set at all.
async fn refuses(fleet: &Fleet, guest: &Guest) {
    release(fleet, &role(60, &[SSH, WEB])).await;
    fleet
        .host_converged(HOST, "its rules are good ones again")
        .await;
    let before = counted(guest);
    release(fleet, &role(60, &[WEB])).await;
    fleet
        .host_says(HOST, "nobody could reach tcp port 22")
        .await;
    let against = CUT.replace("from = [\"192.0.2.30\"]", "ports = [\"7443\"]");
    release(fleet, &role(60, &[SSH, WEB, &against])).await;
    fleet
        .host_says(
            HOST,
            "the coordinator at 203.0.113.1:7443 could not be reached",
        )
        .await;
    assert_eq!(counted(guest).0, before.0);
    holds().await;
}

/// Gives the host another role file.
async fn release(fleet: &Fleet, role: &str) {
    let files = [
        ("api/role.toml", role),
        ("firewall.toml", "enabled = true\n"),
    ];
    fleet.give_files(HOST, &files).await;
}
