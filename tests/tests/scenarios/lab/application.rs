//! A bare host of the application gets the package and the service that its role needs, and keeps
//! them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{samples, wait_for};
use serde_json::Value;

use super::agent;

const COORDINATOR: &str = "203.0.113.1";
const CRON_FILE: &str = "/etc/cron.d/mailwizz";

/// Makes the host's cron a package again and its only package source, and takes it off the host.
const UNINSTALL: &str = r"
set -eu
made=/opt/cron
mkdir -p $made/DEBIAN /opt/packages
dpkg-query --listfiles cron | while read -r path; do
    if [ ! -d $path ]; then echo $path; fi
done | tar -cf - -T - | tar -xf - -C $made
for part in conffiles preinst postinst prerm postrm; do
    script=/var/lib/dpkg/info/cron.$part
    if [ -e $script ]; then cp $script $made/DEBIAN/$part; fi
done
dpkg-query --status cron |
    awk '/^[^ ]/ { skip = /^(Status|Conffiles):/ } !skip' > $made/DEBIAN/control
cd /opt/packages
dpkg-deb --build $made cron.deb
{
    dpkg-deb --field cron.deb
    echo 'Filename: ./cron.deb'
    echo Size: $(stat -c %s cron.deb)
    echo SHA256: $(sha256sum cron.deb | cut -d ' ' -f 1)
} > Packages
dpkg --purge cron
rm -rf /etc/apt/sources.list.d/* $made
echo 'deb [trusted=yes] file:/opt/packages ./' > /etc/apt/sources.list
apt-get update
";

/// Has the programs that could be asked about packages and services write down that they were.
const LISTEN: &str = r#"
set -eu
for program in /usr/bin/systemctl /usr/bin/dpkg-query; do
    mv $program $program.own
    printf '#!/bin/sh\necho "$0 $*" >> /opt/asked\nexec "$0.own" "$@"\n' > $program
    chmod 0755 $program
done
"#;
const ASKED: &str = "/opt/asked";

#[test]
fn a_bare_host_gets_the_package_and_the_service_of_its_role_and_keeps_them() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        let guest = Guest::boot("mailwizz1", &base, &["192.0.2.10"], COORDINATOR).await;
        guest.run(&["sh", "-c", UNINSTALL]);
        assert!(!runs(&guest).starts_with("install"), "{}", runs(&guest));

        agent::tells_of_passes(&guest);
        agent::install(&guest, &fleet.host_token("mailwizz1", "mailwizz").await);
        fleet
            .host_converged("mailwizz1", "its agent was let in")
            .await;
        assert_eq!(runs(&guest), GOOD);
        let view: Value = fleet.api().get("/hosts/mailwizz1/config").await.ok();
        let mut files = view["files"].as_array().unwrap().iter();
        let wanted = files.find(|file| file["path"] == CRON_FILE).unwrap();
        let file = guest.file(CRON_FILE);
        assert_eq!(fs::read_to_string(&file).unwrap(), wanted["text"]);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);

        // Who looks asks no program; who mends does.
        guest.run(&["sh", "-c", LISTEN]);
        agent::passes(&guest).await;
        assert!(!guest.file(ASKED).exists());
        guest.run(&["systemctl.own", "disable", "--now", "cron.service"]);
        is_back(&guest, "the service that was switched off").await;
        let asked = fs::read_to_string(guest.file(ASKED)).unwrap();
        assert!(
            asked.contains("systemctl enable -- cron.service"),
            "{asked}"
        );
        guest.run(&["dpkg", "--purge", "cron"]);
        is_back(&guest, "the package that was taken away").await;
        assert_eq!(fs::read_to_string(&file).unwrap(), wanted["text"]);
    });
}

/// What [`runs`] says when all is well.
const GOOD: &str = "install ok installed, enabled, active";

/// How package and service are.
fn runs(guest: &Guest) -> String {
    let ask = |words: &[&str]| {
        let output = guest.try_run(words).unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // By their own names where they have them, so that only the agent is heard.
    let own = |program: &str| {
        let own = format!("{program}.own");
        if guest.file(&format!("/usr/bin/{own}")).exists() {
            own
        } else {
            program.to_owned()
        }
    };
    let (dpkg_query, systemctl) = (&own("dpkg-query"), &own("systemctl"));
    let package = ask(&[dpkg_query, "-W", "-f=${Status}", "cron"]);
    let enabled = ask(&[systemctl, "is-enabled", "cron.service"]);
    let active = ask(&[systemctl, "is-active", "cron.service"]);
    format!("{package}, {enabled}, {active}")
}

async fn is_back(guest: &Guest, what: &str) {
    wait_for(&format!("{what} is back"), async || {
        let now = runs(guest);
        if now == GOOD { Ok(()) } else { Err(now) }
    })
    .await;
}
