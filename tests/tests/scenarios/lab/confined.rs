//! What each half may do on a real host: the executor speaks with nobody but this machine, the network
//! half has nothing of it, and nobody else may take its place.

use std::net::SocketAddr;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{samples, wait_until};

use super::agent::{self, EXECUTOR, NETWORK};

const COORDINATOR: &str = "203.0.113.1";
const GUEST: &str = "192.0.2.30";
const SOCKET: &str = "/run/email-engine/executor.sock";
const ENVIRONMENT: &str = "/etc/email-engine/api/client_1.env";

#[test]
fn the_executor_reaches_this_machine_alone_and_the_network_half_nothing_of_it() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        let guest = Guest::boot("api1", &base, &[GUEST], COORDINATOR).await;
        agent::install(&guest, &fleet.host_token("api1", "api").await);
        fleet.host_converged("api1", "its agent was let in").await;

        for (unit, most) in [(EXECUTOR, 4.0), (NETWORK, 1.2)] {
            let exposed = exposure(&guest, unit);
            assert!(exposed <= most, "{unit} is exposed by {exposed}");
        }
        reaches_this_machine_alone(&guest).await;
        the_network_half_owns_its_certificate_alone(&guest);
        nobody_else_is_heard(&guest);

        // Whichever dies is there again, and the host is kept.
        for unit in [EXECUTOR, NETWORK] {
            let before = main_process(&guest, unit);
            guest.run(&["kill", "-KILL", &before]);
            wait_until("another process has taken its place", async || {
                let now = main_process(&guest, unit);
                now != "0" && now != before
            })
            .await;
            guest.run(&["rm", ENVIRONMENT]);
            wait_until("what somebody removed is back", async || {
                guest.file(ENVIRONMENT).exists()
            })
            .await;
        }
        fleet.apply_for("api1", &samples::fleet(2), false).await;
        fleet
            .host_converged("api1", "both halves are there again")
            .await;
    });
}

/// From within the executor's own unit, and from outside of it.
async fn reaches_this_machine_alone(guest: &Guest) {
    let listener = tokio::net::TcpListener::bind((COORDINATOR, 0))
        .await
        .unwrap();
    let SocketAddr::V4(world) = listener.local_addr().unwrap() else {
        unreachable!("an IPv4 address was bound")
    };
    let dial = |within: &str, address: &str, port: u16| {
        let script = format!("{within} exec 3<>/dev/tcp/{address}/{port}");
        let ended = guest.try_run(&["timeout", "3", "bash", "-c", &script]);
        ended.unwrap().status.success()
    };
    let group = "/sys/fs/cgroup/system.slice/email-engine-executor.service/cgroup.procs";
    let inside = format!("echo $$ > {group};");
    let listens = "use IO::Socket::INET; my $l = IO::Socket::INET->new(Listen => 5, \
                   LocalAddr => '127.0.0.1:2599') or die; while ($l->accept) {}";
    guest.run(&["systemd-run", "--quiet", "perl", "-e", listens]);
    wait_until("the executor reaches a server of its machine", async || {
        dial(&inside, "127.0.0.1", 2599)
    })
    .await;
    assert!(dial("", COORDINATOR, world.port()), "the host itself does");
    assert!(
        !dial(&inside, COORDINATOR, world.port()),
        "the executor reached the world"
    );
}

/// As its user: whatever belongs to the other half cannot be read or changed.
fn the_network_half_owns_its_certificate_alone(guest: &Guest) {
    let tries = |script: &str| {
        let as_it = ["setpriv", "--reuid=email-engine", "--regid=email-engine"];
        let rest = ["--clear-groups", "sh", "-c", script];
        let ended = guest.try_run(&[&as_it[..], &rest].concat());
        ended.unwrap().status.success()
    };
    assert!(tries("ls /var/lib/email-engine-agent/identity"));
    for script in [
        "ls /var/lib/email-engine-agent",
        "ls /var/lib/email-engine-agent/executor",
        "cat /var/lib/email-engine-agent/executor/*",
        &format!("cat {ENVIRONMENT}"),
        "echo x >> /etc/email-engine/agent.toml",
        "mv /run/email-engine/executor.sock /run/email-engine/mine",
    ] {
        assert!(!tries(script), "the network half's user could: {script}");
    }
    let user = guest.run(&[
        "stat",
        "-c",
        "%U %a",
        "/var/lib/email-engine-agent/identity",
    ]);
    assert_eq!(user.trim(), "email-engine 700");
    let socket = guest.run(&["stat", "-c", "%U:%G %a", SOCKET]);
    assert_eq!(socket.trim(), "root:email-engine 660");
}

/// Another user is stopped at the folder; one of the group that got that far is turned away unheard.
fn nobody_else_is_heard(guest: &Guest) {
    let dial = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 3; \
                my $n = sysread($s, my $word, 1); exit($n ? 0 : 4);";
    let code = |groups: &str| {
        let words = ["setpriv", "--reuid=nobody", "--regid=nogroup", groups];
        let ended =
            guest.try_run(&[&words[..], &["timeout", "20", "perl", "-e", dial, SOCKET]].concat());
        ended.unwrap().status.code()
    };
    assert_eq!(code("--clear-groups"), Some(3));
    assert_eq!(code("--groups=email-engine"), Some(4));
}

/// What systemd thinks of a unit: 0 is safe, 10 is not.
fn exposure(guest: &Guest, unit: &str) -> f64 {
    let ended = guest.try_run(&["systemd-analyze", "security", "--no-pager", unit]);
    let text = String::from_utf8(ended.unwrap().stdout).unwrap();
    let last = text.lines().last().unwrap();
    let figure = last.split_whitespace().find_map(|word| word.parse().ok());
    figure.unwrap_or_else(|| panic!("no figure in {last:?}"))
}

fn main_process(guest: &Guest, unit: &str) -> String {
    let asked = ["systemctl", "show", "--property=MainPID", "--value", unit];
    guest.run(&asked).trim().to_owned()
}
