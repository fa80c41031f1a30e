//! One run brings everything there, and a second one changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use email_engine_tests::{Fleet, Operator, samples};
use serde_json::Value;

use super::{Machines, changes_of_operators, deploy, ground, texts};

const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stand-ins/mailwizz/pack");

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_there_after_one_run_and_a_second_changes_nothing() {
    let (fleet, operator, machines) = ground(2).await;
    let packed = Command::new(PACK)
        .arg(operator.folder().join("mailwizz.zip"))
        .status();
    assert!(packed.unwrap().success());
    let further = ["--artifact", "mailwizz=mailwizz.zip", "--yes"];
    let run = deploy(&[&Machines::VIA[..], &further].concat());
    let ended = operator.run(&run);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let noted = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}\n{noted}");

    is_told(&noted);

    // What is left for a person.
    assert!(said.contains("198.51.100.1 -> mail1.example.net"), "{said}");
    assert!(said.contains("its wizard sets it up"), "{said}");
    assert!(
        said.contains("Deployed: all 3 hosts are what they shall be."),
        "{said}"
    );
    let log = operator.folder().join("log");
    let shown: Vec<String> = ["mail1.example.net", "mail2.example.net"]
        .iter()
        .map(|domain| operator.prints(0, &["domains", "show", domain]))
        .collect();
    let text = fs::read_to_string(log.join("dns-records.txt")).unwrap();
    assert_eq!(text, shown.concat());
    let table = fs::read_to_string(log.join("dns-records.csv")).unwrap();
    assert_eq!(table.lines().count(), text.lines().count() + 1);
    assert!(table.contains(",TXT,\"\"\"v=DKIM1; k=rsa; p="), "{table}");

    for host in samples::HOSTS {
        fleet.host_converged(host, "it was deployed").await;
        is_tidy(&machines, host);
        let log = log.join(format!("hosts/{host}.log"));
        let lines = fs::read_to_string(&log).unwrap();
        assert!(lines.contains("done     let in"), "{lines}");
        let mode = fs::metadata(&log).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    no_secret(&texts(&log));
    for outputs in [&said, &noted] {
        no_secret(outputs);
    }

    assert!(texts(&log).contains("step 10 of 10"));

    changes_nothing(&fleet, &operator, &machines, &run).await;
}

/// The plan came first, with all that it would do; then each step.
fn is_told(noted: &str) {
    let plan = noted.split("step 1 of 10").next().unwrap();
    for line in [
        "! powermta-license: it says that it expired on 2020-01-31",
        "+ mailwizz: mailwizz.zip, ",
        "+ powermta-license: license, 38 bytes, confidential: uploaded and named, for pmta1",
        "+ pmta1 (powermta, 192.0.2.20) by: ./machine machines/pmta1",
        "Would change: 6 to create",
    ] {
        assert!(plan.contains(line), "no {line:?} in {plan}");
    }
    for step in 1..=10 {
        assert!(noted.contains(&format!("step {step} of 10: ")), "{noted}");
    }
    assert!(
        noted.contains(
            "step 7 of 10: DKIM keys made, public keys collected\n  done: 2 public keys known, 2 on pmta1"
        ),
        "{noted}"
    );
    assert!(noted.contains("  done: mailwizz1: database:"), "{noted}");
    assert!(
        noted.contains("host pmta1: copying email-engine-agent"),
        "{noted}"
    );
}

async fn changes_nothing(fleet: &Fleet, operator: &Operator, machines: &Machines, run: &[&str]) {
    let before = (changes_of_operators(fleet).await, seen(machines));
    let again = operator.run(run);
    let said = String::from_utf8_lossy(&again.stdout);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(
        said.contains("Nothing was changed: the fleet is what the file says."),
        "{said}"
    );
    assert_eq!((changes_of_operators(fleet).await, seen(machines)), before);
    // It need not be asked about either, and a program can read it.
    let asked: Vec<&str> = run
        .iter()
        .copied()
        .filter(|word| *word != "--yes")
        .collect();
    let result = operator.answer(&asked);
    assert_eq!(result["changed"], false);
    assert_eq!(result["steps"].as_array().unwrap().len(), 10);
    assert_eq!(result["steps"][3]["done"], Value::Null);
    assert_eq!(result["hosts"][0]["trouble"], Value::Null);
    let plan = operator.answer(&[&asked[..], &["--plan"]].concat());
    assert_eq!(plan["let_in"], Value::Array(Vec::new()));
}

fn seen(machines: &Machines) -> Vec<String> {
    samples::HOSTS.map(|host| machines.commands(host)).to_vec()
}

/// What was brought is gone, and on no command line was a secret.
fn is_tidy(machines: &Machines, host: &str) {
    let commands = machines.commands(host);
    let words = "email-engine-bootstrap agent --join-file - --no-converge --wait-seconds 1800\n";
    assert!(commands.contains(words), "{commands}");
    assert!(
        !commands.contains("eejoin2") && !commands.contains("leak"),
        "{commands}"
    );
    let brought = machines.of(host).join("var/lib/email-engine-deploy");
    assert!(!brought.exists());
}

fn no_secret(texts: &str) {
    for secret in ["eejoin2.", "expires: 2020", "eek1."] {
        assert!(!texts.contains(secret), "{secret}: {texts}");
    }
}
