//! The operator's own package and licence reach a bare host: installed, upgraded, never downgraded
//! unasked, finished after everything died in the middle, looked through, and removed with the host.

use std::fs;
use std::path::Path;
use std::process::Command;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::{MailFleet, Names, alone};
use email_engine_tests::{Fleet, Operator, binary, wait_for, wait_until};
use serde_json::json;

use super::agent::{self, EXECUTOR};

const ADMIN: &str = "198.51.100.20";
const COORDINATOR: &str = "203.0.113.1";
const NAME_SERVER: &str = "203.0.113.53";
const HOST: &str = "pmta1";
/// A package whose script waits while this is there.
const HELD: &str = "/opt/held";
const LICENCE: &str = "the operator's own licence\n";

#[test]
fn the_operators_package_is_installed_upgraded_mended_looked_through_and_removed() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR, NAME_SERVER], async move {
        let _names = Names::start(&[NAME_SERVER]).await;
        let fleet = agent::fleet_at(COORDINATOR).await;
        // The layer of bare hosts has no node exporter.
        fleet.apply(&MailFleet::document()).await;
        let operator = Operator::of(&fleet);
        packed(operator.folder());
        fs::write(operator.folder().join("license"), LICENCE).unwrap();
        put(&operator, "license", "powermta-license");
        put(&operator, "5.0r1.deb", "powermta");

        let guest = Guest::boot(HOST, &base, &[ADMIN], NAME_SERVER).await;
        // Its package source has nothing, and answers at once.
        guest.run(&[
            "sh",
            "-c",
            "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*",
        ]);
        agent::install(&guest, &fleet.host_token(HOST, "powermta").await);
        is_installed(&guest, "5.0r1").await;
        fleet.host_converged(HOST, "its agent was let in").await;
        let stat = guest.run(&["stat", "-c", "%a %U:%G", "/etc/pmta/license"]);
        assert_eq!(stat.trim(), "640 root:pmta");
        assert_eq!(
            fs::read_to_string(guest.file("/etc/pmta/license")).unwrap(),
            LICENCE
        );

        put(&operator, "5.0r2.deb", "powermta");
        is_installed(&guest, "5.0r2").await;
        fleet
            .host_converged(HOST, "another package was named")
            .await;
        let waiting = guest.run(&["sh", "-c", "find /var/lib -path '*/executor/packages/*'"]);
        assert_eq!(waiting, "", "no file waits for the package tool any more");

        put(&operator, "5.0r1.deb", "powermta");
        fleet
            .host_says(HOST, "5.0r2 is installed, newer than 5.0r1")
            .await;
        put(&operator, "foreign.deb", "powermta");
        fleet.host_says(HOST, "holds package elsewhere").await;
        put(&operator, "needy.deb", "powermta");
        fleet.host_says(HOST, "libnowhere").await;
        is_installed(&guest, "5.0r2").await;

        dies_in_the_middle(&fleet, &operator, &guest).await;
        is_looked_through(&fleet, &guest).await;
        goes(&fleet, &guest).await;
    });
}

/// Executor, errand and package tool are killed while the package's script runs.
async fn dies_in_the_middle(fleet: &Fleet, operator: &Operator, guest: &Guest) {
    fs::write(guest.file(HELD), "").unwrap();
    put(operator, "5.0r3.deb", "powermta");
    let reached = guest.file(&format!("{HELD}.reached"));
    wait_until("the package's script runs", async || reached.exists()).await;
    let now = seen(guest);
    assert!(!now.contains("ok installed"), "{now}");
    let units = [EXECUTOR, "email-engine-errand.service"];
    guest.run(&[&["systemctl", "kill", "--signal=KILL"][..], &units].concat());
    fs::remove_file(guest.file(HELD)).unwrap();
    is_installed(guest, "5.0r3").await;
    fleet
        .host_converged(HOST, "what was cut off is finished")
        .await;
}

/// A program that somebody replaced is told and stays.
async fn is_looked_through(fleet: &Fleet, guest: &Guest) {
    guest.run(&["sh", "-c", "echo '# patched' >> /usr/sbin/pmtawatch"]);
    guest.run(&["systemctl", "restart", EXECUTOR]);
    fleet
        .host_says(HOST, "not as the package brought them: /usr/sbin/pmtawatch")
        .await;
    let text = fs::read_to_string(guest.file("/usr/sbin/pmtawatch")).unwrap();
    assert!(text.ends_with("# patched\n"));
    guest.run(&["sed", "-i", "$d", "/usr/sbin/pmtawatch"]);
    guest.run(&["systemctl", "restart", EXECUTOR]);
    fleet.host_converged(HOST, "it is as it was").await;
}

/// A role may say that it goes with its host.
async fn goes(fleet: &Fleet, guest: &Guest) {
    let api = fleet.api();
    let given = fleet.host(HOST).await["target"].clone();
    let before = api.get("/releases").await.ok()["default"]["bundle"].clone();
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/roles/powermta/role.toml"
    );
    let shipped = fs::read_to_string(shipped).unwrap();
    let entry = "name = \"powermta\"\nartifact = \"powermta\"\n";
    let (head, package) = shipped.split_once(entry).unwrap();
    let package = package.replacen("\"leave\"", "\"delete\"", 1);
    let role = format!("{head}{entry}{package}");
    let files = json!({ "from": before, "files": { "powermta/role.toml": role } });
    let bundle = api.post("/bundles", &files).await.ok()["bundle"].clone();
    api.post("/releases", &json!({ "bundle": bundle }))
        .await
        .ok();
    wait_for("the host is given the role in which it goes", async || {
        let target = fleet.host(HOST).await["target"].clone();
        if target == given { Err(target) } else { Ok(()) }
    })
    .await;
    fleet.host_converged(HOST, "it has another role").await;
    for ip in MailFleet::document()["ips"].as_array().unwrap() {
        let path = format!(
            "/ips/{}?now=true&last=true",
            ip["address"].as_str().unwrap()
        );
        api.delete(&path).await.ok();
    }
    api.delete(&format!("/hosts/{HOST}")).await.ok();
    wait_for("the package is gone", async || {
        let now = seen(guest);
        if now.contains("ok installed") {
            Err(now)
        } else {
            Ok(())
        }
    })
    .await;
}

/// What dpkg says.
fn seen(guest: &Guest) -> String {
    let words = ["dpkg-query", "-W", "-f=${Status} ${Version}", "powermta"];
    let output = guest.try_run(&words).unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn is_installed(guest: &Guest, version: &str) {
    wait_for(&format!("{version} is installed"), async || {
        let now = seen(guest);
        if now == format!("install ok installed {version}") {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
}

fn put(operator: &Operator, file: &str, name: &str) {
    let _ = operator.prints(0, &["artifact", "put", file, "--use", name]);
}

/// The stand-in's package in several versions: the one that is shipped, changed in its control file and its
/// script.
const PACK: &str = r#"
set -eu
cd "$1"
dpkg-deb -R PowerMTA-5.0r1.deb tree
make() {
    cp -al tree made
    rm made/DEBIAN/control made/DEBIAN/postinst
    sed "$2" tree/DEBIAN/control > made/DEBIAN/control
    { head -n 1 tree/DEBIAN/postinst; echo "$3"; tail -n +2 tree/DEBIAN/postinst; } > made/DEBIAN/postinst
    chmod 0755 made/DEBIAN/postinst
    dpkg-deb --root-owner-group -Zgzip -z1 -b made "$1" > /dev/null
    rm -r made
}
mv PowerMTA-5.0r1.deb 5.0r1.deb
make 5.0r2.deb 's/5.0r1/5.0r2/' ''
make 5.0r3.deb 's/5.0r1/5.0r3/' "while [ -e $2 ]; do touch $2.reached; sleep 0.05; done"
make foreign.deb 's/^Package: .*/Package: elsewhere/' ''
make needy.deb 's/^Version: .*/Version: 5.0r4\nDepends: libnowhere/' ''
"#;

fn packed(folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/powermta/packaging/build");
    let binaries = binary("pmtad");
    let made = Command::new(script)
        .arg(binaries.parent().unwrap())
        .arg(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let made = Command::new("bash")
        .args(["-c", PACK, "bash"])
        .arg(folder)
        .arg(HELD)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}
