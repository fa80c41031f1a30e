//! An earlier configuration becomes the fleet's base: read, looked at, put in place, and on the host.

use std::fs;

use email_engine_tests::{Fleet, Operator, wait_for};

/// Rules of a receiver, among an address, a key and a password.
const EARLIER: &str = "\
log-file /var/log/pmta/pmta.log
log-rotate 14
<spool /var/spool/pmta>
</spool>
domain-macro big gmail.com,googlemail.com
<virtual-mta old>
    smtp-source-host 192.0.2.77 old.example.com
    domain-key old,*,/etc/pmta/keys/old.pem
</virtual-mta>
<smtp-user boss>
    password correct-horse-battery
</smtp-user>
<smtp-pattern-list slow>
    reply /unusual rate of unsolicited mail/ mode=backoff
</smtp-pattern-list>
<domain $big>
    max-smtp-out 5
    backoff-to-normal-after 2h
    smtp-pattern-list slow
</domain>
";

/// What the base writes on the host.
const LINES: [&str; 5] = [
    "log-file /var/log/pmta/pmta.log",
    "log-rotate 14",
    "domain-macro big gmail.com,googlemail.com",
    "    reply /unusual rate of unsolicited mail/ mode=backoff",
    "    max-smtp-out 5",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_configuration_is_imported_planned_applied_and_on_the_host() {
    let fleet = Fleet::converged_with(1, 1).await;
    let operator = Operator::of(&fleet);
    fs::write(operator.folder().join("earlier.conf"), EARLIER).unwrap();
    let imported = operator.prints(0, &["pmta", "import", "earlier.conf", "--out", "base.toml"]);
    assert!(imported.contains("written to base.toml"), "{imported}");
    let base = fs::read_to_string(operator.folder().join("base.toml")).unwrap();
    for secret in ["192.0.2.77", "old.pem", "correct-horse", "boss"] {
        assert!(
            !base.contains(secret) && !imported.contains("correct-horse"),
            "{secret}"
        );
    }

    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let before = fs::read_to_string(&config).unwrap();
    let planned = operator.prints(2, &["pmta", "base", "plan", "base.toml"]);
    for line in LINES {
        assert!(planned.contains(&format!("+{line}\n")), "{line}: {planned}");
    }
    assert_eq!(
        fs::read_to_string(&config).unwrap(),
        before,
        "a plan moves nothing"
    );

    let _ = operator.prints(0, &["pmta", "base", "apply", "base.toml"]);
    wait_for("the host has the base", async || {
        let after = fs::read_to_string(&config).unwrap();
        let has = |line: &&str| after.contains(&format!("{line}\n"));
        LINES.iter().all(has).then_some(()).ok_or(after)
    })
    .await;
    fleet.converged("the base is on the hosts").await;
    let again = operator.prints(0, &["pmta", "base", "plan", "base.toml"]);
    assert!(again.contains("Nothing to change on any host."), "{again}");
    // What is in force gives the same base again, but for the day and the file that it was read from.
    let _ = operator.prints(
        0,
        &[
            "pmta",
            "import",
            config.to_str().unwrap(),
            "--out",
            "again.toml",
        ],
    );
    let again = fs::read_to_string(operator.folder().join("again.toml")).unwrap();
    for line in ["log-rotate = \"14\"", "name = \"big\""] {
        assert!(again.contains(line), "{line}: {again}");
    }
}
