//! Two bare machines become a MailWizz and a PowerMTA host by one `deploy`, and by a second nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use email_engine_tests::lab::{Guest, ground, web};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, binary, samples};

const COORDINATOR: &str = "203.0.113.1";
const MAILWIZZ: (&str, &str) = ("mailwizz1", "192.0.2.10");
const POWERMTA: (&str, &str) = ("pmta1", "192.0.2.20");
const SENDING: &str = "198.51.100.1";

/// How the operator reaches the machines: a program for each, and files to be brought there.
const DEPLOY: [&str; 17] = [
    "deploy",
    "-f",
    "fleet.toml",
    "--yes",
    "--no-diff",
    "--log-dir",
    "log",
    "--via",
    "./enter-{host}",
    "--programs",
    "programs",
    "--artifact",
    "mailwizz=mailwizz.zip",
    "--artifact",
    "powermta=PowerMTA-5.0r1.deb",
    "--artifact",
    "powermta-license=license",
];

#[test]
fn two_bare_machines_are_hosts_of_their_roles_after_one_deploy_and_a_second_changes_nothing() {
    let (Some(bare), Some(web)) = (ground(), web()) else {
        return;
    };
    alone(&[COORDINATOR], async move {
        let fleet = cluster().await;
        let operator = Operator::of(&fleet);
        let mut document = samples::fleet(1);
        document["hosts"].as_array_mut().unwrap().truncate(2);
        let _ = operator.file("fleet.toml", &document);
        pack(operator.folder());

        let mailwizz = Guest::boot(MAILWIZZ.0, &web, &[MAILWIZZ.1], COORDINATOR).await;
        let powermta = Guest::boot(POWERMTA.0, &bare, &[POWERMTA.1], COORDINATOR).await;
        // Its package source has nothing, and answers at once.
        powermta.run(&[
            "sh",
            "-c",
            "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*",
        ]);
        for (guest, (name, _)) in [(&mailwizz, MAILWIZZ), (&powermta, POWERMTA)] {
            guest.write_door(&operator.folder().join(format!("enter-{name}")));
        }

        let said = operator.run(&DEPLOY);
        let (out, noted) = (text(&said.stdout), text(&said.stderr));
        assert_eq!(said.status.code(), Some(0), "{out}\n{noted}");
        assert!(
            noted.contains("done: 1 public keys known, 1 on pmta1"),
            "{noted}"
        );
        assert!(noted.contains("mailwizz1: database:"), "{noted}");
        assert!(out.contains("its wizard sets it up"), "{out}");
        assert!(out.contains("198.51.100.1 -> mail1.example.net"), "{out}");
        for (name, _) in [MAILWIZZ, POWERMTA] {
            fleet.host_converged(name, "it was deployed").await;
        }
        serves(&mailwizz);
        sends(&powermta);

        let before = looks(&[&mailwizz, &powermta]);
        let again = operator.prints(0, &DEPLOY);
        assert!(
            again.contains("Nothing was changed: the fleet is what the file says."),
            "{again}"
        );
        assert_eq!(looks(&[&mailwizz, &powermta]), before);
    });
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn cluster() -> Fleet {
    let listen = |port: u16| format!("{COORDINATOR}:{port}");
    let (agent, raft, api) = (listen(7443), listen(7444), listen(7443));
    let settings = [
        ("MODE", "real"),
        ("AGENT_LISTEN", agent.as_str()),
        ("RAFT_LISTEN", raft.as_str()),
        ("API_LISTEN", api.as_str()),
        ("DKIM_STOCK", "1"),
    ];
    Fleet::configured(1, &settings).await
}

/// What an operator has: archive, package and licence of the products, and our programs as a release has
/// them, without what only a debugger reads.
fn pack(folder: &Path) {
    let stand_ins = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins");
    let ran = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    ran(Command::new(stand_ins.join("mailwizz/pack")).arg(folder.join("mailwizz.zip")));
    let binaries = binary("pmtad");
    ran(Command::new(stand_ins.join("powermta/packaging/build"))
        .arg(binaries.parent().unwrap())
        .arg(folder));
    fs::write(folder.join("license"), "the operator's own licence\n").unwrap();
    fs::create_dir(folder.join("programs")).unwrap();
    for program in ["email-engine-bootstrap", "email-engine-agent"] {
        ran(Command::new("strip")
            .args(["--strip-debug", "-o"])
            .arg(folder.join("programs").join(program))
            .arg(binary(program)));
    }
}

/// The application waits for its wizard, on an empty database.
fn serves(guest: &Guest) {
    let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mailwizz'";
    let words = ["mariadb", "--batch", "--skip-column-names", "-e", tables];
    assert_eq!(guest.run(&words).trim(), "0");
    let active = [
        "systemctl",
        "is-active",
        "nginx",
        "php8.2-fpm",
        "mariadb",
        "cron",
    ];
    assert_eq!(guest.run(&active), "active\n".repeat(4));
}

/// The product runs with the fleet's configuration, on the address that it sends from.
fn sends(guest: &Guest) {
    assert_eq!(guest.run(&["systemctl", "is-active", "pmta"]), "active\n");
    let licence = guest.run(&["stat", "-c", "%a %U:%G", "/etc/pmta/license"]);
    assert_eq!(licence.trim(), "640 root:pmta");
    let addresses = guest.run(&["ip", "-oneline", "address"]);
    assert!(addresses.contains(&format!("{SENDING}/32")), "{addresses}");
    assert!(!guest.file("/var/lib/email-engine-deploy").exists());
    assert!(!guest.file("/etc/email-engine/join-token").exists());
}

/// What runs on them, and since when.
fn looks(guests: &[&Guest]) -> Vec<String> {
    let units = "systemctl show --property=Id,MainPID,ActiveEnterTimestampMonotonic --type=service \
                 --state=running 'email-engine-*' pmta.service nginx.service mariadb.service";
    let guests = guests.iter();
    guests
        .map(|guest| guest.run(&["sh", "-c", units]))
        .collect()
}
