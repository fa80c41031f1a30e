//! A bare host becomes one that sends, stays what was declared, and comes back after a reboot.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::{
    Client, Letter, MailFleet, MailWizz, Names, RECIPIENT, Receiver, Verdict, alone, identities,
};
use email_engine_tests::{Fleet, binary, wait_for, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::agent;

/// What the guest has of its provider, and what that brings to its door: the addresses of the five
/// identities, and of one to come, which the agent puts on the interface.
const ADMIN: &str = "198.51.100.20";
const SENDING: [&str; 6] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.4",
    "192.0.2.5",
    "192.0.2.6",
];
const COORDINATOR: &str = "203.0.113.1";
const NAME_SERVER: &str = "203.0.113.53";
const READERS: &str = "203.0.113.25";
const APPLICATION: &str = "198.51.100.10";
/// Everything else, on the other end of the wire.
const WORLD: [&str; 4] = [COORDINATOR, NAME_SERVER, READERS, APPLICATION];

/// An answer to a connection; a dropped packet has none.
const ANSWER: Duration = Duration::from_secs(1);

const CONFIGURATION: &str = "/etc/pmta/config";

#[test]
fn a_bare_host_enrols_sends_mends_itself_survives_a_reboot_and_grows() {
    let Some(base) = ground() else { return };
    alone(&WORLD, async move {
        let names = Names::start(&[NAME_SERVER]).await;
        names.exchanger("rcpt.example", READERS).await;
        let readers = Receiver::at(READERS).await;
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&declared()).await;
        names.publish(&fleet.api().get("/domains").await.ok()).await;

        let guest = Guest::boot("pmta1", &base, &[ADMIN], NAME_SERVER).await;
        guest.route(&SENDING);
        install_powermta(&guest);
        agent::install(&guest, &fleet.host_token("pmta1", "powermta").await);
        certified(&guest).await;
        fleet.host_converged("pmta1", "its agent was let in").await;

        let folder = records(&fleet).await;
        let root = folder.path().to_owned();
        let application = MailWizz::new(APPLICATION.to_owned(), root);
        serves(&guest).await;
        sends(&application, &readers, 1).await;
        hears_of_a_bounce(&guest).await;

        // What somebody edits comes back, with its owner and mode.
        let wanted = fs::read_to_string(guest.file(CONFIGURATION)).unwrap();
        let edit = format!("echo '# by hand' >> {CONFIGURATION}; chmod 0666 {CONFIGURATION}");
        guest.run(&["sh", "-c", &edit]);
        wait_until(
            "the edited configuration is as declared again",
            async || {
                let stat = guest.run(&["stat", "-c", "%a %U:%G", CONFIGURATION]);
                let text = fs::read_to_string(guest.file(CONFIGURATION)).unwrap();
                text == wanted && stat.trim() == "640 root:pmta"
            },
        )
        .await;

        guest.reboot().await;
        serves(&guest).await;
        sends(&application, &readers, 2).await;
        fleet.host_converged("pmta1", "it was rebooted").await;

        // Here it is the agent that lets PowerMTA take a new configuration.
        fleet.apply_for("pmta1", &grown(), false).await;
        names.publish(&fleet.api().get("/domains").await.ok()).await;
        fleet.host_converged("pmta1", "an identity was added").await;
        let folder = records(&fleet).await;
        let root = folder.path().to_owned();
        let application = MailWizz::new(APPLICATION.to_owned(), root);
        let sixth = application.server("vmta-mail6");
        let letter = Letter {
            to: RECIPIENT,
            id: "sixth",
        };
        application.send(&sixth, &letter).await;
        let arrived = readers.mails_when(2 * 5 + 1).await.pop().unwrap();
        assert_eq!(arrived.client, Some("192.0.2.6".parse().unwrap()));
        let verdict = Verdict::of(&arrived).await;
        assert!(verdict.is_clean("mail6.sos-holidays.com"), "{verdict:?}");

        is_kept_in_quarantine(&fleet, &guest).await;
    });
}

/// The example, with the firewall of its role.
fn declared() -> Value {
    MailFleet::labelled("firewall", "on")
}

/// That with a sixth identity.
fn grown() -> Value {
    let mut document = declared();
    let mut sixth = document["ips"][4].clone();
    sixth["address"] = json!("192.0.2.6");
    sixth["domain"] = json!("mail6.sos-holidays.com");
    sixth["vmta"] = json!("vmta-mail6");
    document["ips"].as_array_mut().unwrap().push(sixth);
    document
}

/// From the address of an identity in quarantine the host opens no connection to a mail server, also after
/// a reboot; from every other one, and to every other port, it does.
async fn is_kept_in_quarantine(fleet: &Fleet, guest: &Guest) {
    let connects = |address: &str, port: &str| {
        let dial = "use IO::Socket::INET; exit(IO::Socket::INET->new(LocalAddr => $ARGV[0], \
                    PeerAddr => $ARGV[1], PeerPort => $ARGV[2], Timeout => 5) ? 0 : 1)";
        let words = ["perl", "-e", dial, address, READERS, port];
        guest.try_run(&words).unwrap().status.success()
    };
    // Another port that its firewall lets it reach.
    let _other = tokio::net::TcpListener::bind((READERS, 443)).await.unwrap();
    let other = "443";
    assert!(connects("192.0.2.3", "25"));
    fleet.take_out("192.0.2.3").await;
    fleet.host_caught_up("pmta1", "one is in quarantine").await;
    for (address, port, expected) in [
        ("192.0.2.3", "25", false),
        ("192.0.2.3", other, true),
        ("192.0.2.4", "25", true),
    ] {
        assert_eq!(connects(address, port), expected, "{address} to {port}");
    }
    guest.reboot().await;
    wait_until("it is refused again", async || !connects("192.0.2.3", "25")).await;
    assert!(connects("192.0.2.4", "25"));

    fleet.take_up("192.0.2.3").await;
    fleet.host_caught_up("pmta1", "it was taken up again").await;
    assert!(connects("192.0.2.3", "25"));
    let tables = guest.run(&["nft", "list", "tables"]);
    assert_eq!(tables, "table inet email_engine\n", "its firewall is left");
}

/// The stand-in's package, as an operator installs the product's.
fn install_powermta(guest: &Guest) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/powermta/packaging/build");
    let made = guest.file("/opt/packages");
    let output = Command::new(script)
        .arg(binary("pmtad").parent().unwrap())
        .arg(&made)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    guest.run(&["dpkg", "--install", "/opt/packages/PowerMTA-5.0r1.deb"]);
}

/// What the cluster gives the application's host, in a folder that stands for it.
async fn records(fleet: &Fleet) -> TempDir {
    let folder = TempDir::new().unwrap();
    let view: Value = fleet.api().get("/hosts/mailwizz1/config").await.ok();
    for file in view["files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap().trim_start_matches('/');
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file["text"].as_str().unwrap()).unwrap();
    }
    folder
}

/// The cluster's certificate is in force, with the rights of a key.
async fn certified(guest: &Guest) {
    wait_for("the configuration names a certificate", async || {
        let text = fs::read_to_string(guest.file(CONFIGURATION));
        match text
            .as_deref()
            .unwrap_or_default()
            .split("tls-certificate ")
            .nth(1)
        {
            Some(rest) => Ok(rest.lines().next().unwrap_or_default().to_owned()),
            None => Err(text),
        }
    })
    .await;
    let stat = guest.run(&[
        "sh",
        "-c",
        "stat -c '%a %U:%G' /etc/pmta/tls/submission-*.pem",
    ]);
    assert_eq!(stat.trim(), "640 root:pmta");
}

async fn serves(guest: &Guest) {
    wait_for("PowerMTA is active and takes mail", async || {
        let output = guest.try_run(&["systemctl", "is-active", "pmta.service"])?;
        let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let door: SocketAddr = MailFleet::submission();
        // From the one host that submits here: the others' packets are dropped.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let own = SocketAddr::new(APPLICATION.parse().unwrap(), 0);
        socket.bind(own).unwrap();
        let open = timeout(ANSWER, socket.connect(door)).await;
        match open {
            Ok(Ok(_)) if state == "active" => Ok(()),
            open => Err(format!("{state}: {open:?}")),
        }
    })
    .await;
}

/// PowerMTA ran before the agent came, with its package's configuration; what only a restart brings
/// into force, such as the processing of bounces, is in force all the same.
async fn hears_of_a_bounce(guest: &Guest) {
    let text = "From: <mailer-daemon@rcpt.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; mx.rcpt.example\r\n\r\n\
        Final-Recipient: rfc822; reader@rcpt.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
        --b--\r\n";
    let door = SocketAddr::new(SENDING[0].parse().unwrap(), 25);
    let mut client = Client::connect(READERS, door).await;
    client.say("EHLO mx.rcpt.example").await;
    let answer = client
        .transfer("", "bounce@mail1.sos-holidays.com", text)
        .await;
    assert!(answer.starts_with("250 "), "{answer}");
    wait_for("the bounce is a record", async || {
        let rows = guest.run(&["sh", "-c", "cat /var/log/pmta/feedback-*.csv"]);
        let found = rows.lines().any(|row| row.starts_with("rb,"));
        if found { Ok(()) } else { Err(rows) }
    })
    .await;
}

/// One message of each identity, which arrives as it should; `round` from 1.
async fn sends(application: &MailWizz, readers: &Receiver, round: usize) {
    let own = identities(&MailFleet::document());
    let servers = application.servers();
    assert_eq!(servers.len(), own.len());
    for server in servers.values() {
        let id = format!("round-{round}");
        let letter = Letter {
            to: RECIPIENT,
            id: &id,
        };
        let answer = application.send(server, &letter).await;
        assert!(answer.starts_with("250 "), "{answer}");
    }
    let arrived = readers.mails_when(own.len() * round).await;
    for one in arrived.iter().skip(own.len() * (round - 1)) {
        let domain = one.from.rsplit('@').next().unwrap();
        assert_eq!(one.client, Some(own[domain]), "{domain}");
        let verdict = Verdict::of(one).await;
        assert!(verdict.is_clean(domain), "{verdict:?}\n{}", one.text);
    }
}
