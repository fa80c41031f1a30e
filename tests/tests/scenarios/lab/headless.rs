//! A host that nobody can reach or help: its cluster is away, its disk is full or read-only, it is rebooted.
//! It keeps what it was given last, leaves nothing half done, and comes back by itself.

use std::fs;
use std::path::PathBuf;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, samples, wait_for, wait_until};
use serde_json::Value;

use super::agent;

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "mailwizz1";
/// A managed file, and the folder of those of the identities.
const TABLE: &str = "/etc/cron.d/mailwizz";
const RECORDS: &str = "/etc/email-engine/mailwizz/delivery-servers";
/// Where the executor keeps what it was given.
const MEMORY: &str = "/var/lib/email-engine-agent/executor";

#[test]
fn a_host_that_nobody_can_reach_keeps_itself_through_reboots_full_and_read_only_disks() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(2)).await;
        let guest = Guest::boot(HOST, &base, &["192.0.2.10"], COORDINATOR).await;
        agent::install(&guest, &fleet.host_token(HOST, "mailwizz").await);
        fleet.host_converged(HOST, "its agent was let in").await;
        let good = fs::read(guest.file(TABLE)).unwrap();

        guest.unplug();
        drifts_and_is_mended(&guest, &good, "its cluster is away").await;
        guest.reboot().await;
        drifts_and_is_mended(&guest, &good, "it was rebooted meanwhile").await;
        cannot_write_and_says_so(&guest, &good).await;
        guest.plug();
        fleet.host_converged(HOST, "its cluster is back").await;

        has_no_room_for_a_file(&fleet, &guest).await;
        has_no_room_to_remember(&fleet, &guest).await;
    });
}

async fn drifts_and_is_mended(guest: &Guest, good: &[u8], why: &str) {
    guest.run(&["sh", "-c", &format!("echo '# by hand' >> {TABLE}")]);
    is_good(guest, good, why).await;
}

async fn is_good(guest: &Guest, good: &[u8], why: &str) {
    let what = format!("the table of jobs is as declared: {why}");
    wait_until(&what, async || {
        fs::read(guest.file(TABLE)).is_ok_and(|now| now == good)
    })
    .await;
}

/// For the executor the whole disk is read-only, as the kernel makes it when the disk fails. It stays, and
/// mends what it can once it can.
async fn cannot_write_and_says_so(guest: &Guest, good: &[u8]) {
    let process = executor(guest);
    let inside = |script: &str| {
        let script = format!("nsenter --target {process} --mount sh -ec '{script}'");
        guest.run(&["sh", "-c", &script]);
    };
    // Whoever has a file open for writing keeps a mount from becoming read-only, but not from a second one.
    inside(
        "for part in /etc /var; do mount --bind $part $part; mount -o remount,bind,ro $part; done",
    );
    guest.run(&["sh", "-c", &format!("echo '# by hand' >> {TABLE}")]);
    wait_for("the executor says why it cannot", async || {
        let words = [
            "journalctl",
            "--unit",
            agent::EXECUTOR,
            "--output=cat",
            "-b",
        ];
        let log = guest.run(&words);
        if log.contains("Read-only file system") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    assert_ne!(fs::read(guest.file(TABLE)).unwrap(), good);
    assert_eq!(executor(guest), process, "it runs on");
    inside("umount /etc /var");
    is_good(guest, good, "the disk can be written to again").await;
    assert_eq!(executor(guest), process, "nobody had to start it");
}

fn executor(guest: &Guest) -> String {
    let show = [
        "systemctl",
        "show",
        "--property=MainPID",
        "--value",
        agent::EXECUTOR,
    ];
    guest.run(&show).trim().to_owned()
}

/// A small disk at a folder, with what was there, for every process of the host.
fn tight(guest: &Guest, folder: &str, kilobytes: u32) {
    let script = format!(
        "set -e; cp -a {folder} /opt/kept; mount -t tmpfs -o size={kilobytes}k,mode=0755 tmpfs {folder}; \
         cp -a /opt/kept/. {folder}; rm -rf /opt/kept"
    );
    guest.run(&["systemctl", "stop", agent::NETWORK, agent::EXECUTOR]);
    guest.run(&["sh", "-c", &script]);
    guest.run(&["systemctl", "start", agent::EXECUTOR, agent::NETWORK]);
}

fn fill(guest: &Guest, folder: &str) -> PathBuf {
    let filler = format!("{folder}/filler");
    // Until there is no room: that it fails is the point.
    let fill = format!("cat /dev/zero > {filler} 2>/dev/null || true");
    guest.run(&["sh", "-c", &fill]);
    guest.file(&filler)
}

fn record(guest: &Guest, number: usize) -> Option<Value> {
    let name = format!("vmta-mail{number}-example-net.json");
    let path = format!("{RECORDS}/{name}");
    // Mounts of the guest are its own: it is asked, not its root.
    let output = guest.try_run(&["cat", &path]).unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// What does not fit is not there at all, what was there is whole, and the host says what failed.
async fn has_no_room_for_a_file(fleet: &Fleet, guest: &Guest) {
    tight(guest, RECORDS, 64);
    fleet
        .host_converged(HOST, "its records lie elsewhere")
        .await;
    let filler = format!("{RECORDS}/filler");
    let _ = fill(guest, RECORDS);
    let before = (record(guest, 1).unwrap(), record(guest, 2).unwrap());
    fleet.apply(&samples::fleet(3)).await;
    wait_for("the host says that there is no room", async || {
        let view = fleet.host(HOST).await;
        if view.to_string().contains("No space left") {
            Ok(())
        } else {
            Err(view)
        }
    })
    .await;
    assert_eq!(record(guest, 3), None);
    let now = (record(guest, 1).unwrap(), record(guest, 2).unwrap());
    assert_eq!(now, before);
    let left = guest.run(&["ls", "-A", RECORDS]);
    let odd = left
        .lines()
        .filter(|name| !name.ends_with(".json") && *name != "filler");
    assert_eq!(odd.count(), 0, "{left}");
    guest.run(&["rm", &filler]);
    fleet.host_converged(HOST, "there is room again").await;
    assert!(record(guest, 3).is_some());
}

/// How often the executor said so since the host was started.
fn says_no_room(guest: &Guest) -> usize {
    let words = [
        "journalctl",
        "--output=cat",
        "-b",
        "--unit",
        agent::EXECUTOR,
    ];
    guest.run(&words).matches("No space left").count()
}

/// A state that cannot be kept is not begun: what was accepted last is kept up meanwhile.
async fn has_no_room_to_remember(fleet: &Fleet, guest: &Guest) {
    let good = fs::read(guest.file(TABLE)).unwrap();
    tight(guest, MEMORY, 4 * 1_024);
    fleet
        .host_converged(HOST, "its memory lies elsewhere")
        .await;
    let filler = format!("{MEMORY}/filler");
    let _ = fill(guest, MEMORY);
    // There was no room for a file before.
    let said = says_no_room(guest);
    fleet.apply(&samples::fleet(4)).await;
    wait_until("the executor says that there is no room", async || {
        says_no_room(guest) > said
    })
    .await;
    drifts_and_is_mended(guest, &good, "there is no room to remember more").await;
    assert_eq!(record(guest, 4), None);
    guest.run(&["rm", &filler]);
    fleet.host_converged(HOST, "there is room again").await;
    assert!(record(guest, 4).is_some());
}
