//! Reloads and kills: a broken configuration never lives, and accepted mail does.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::bed::{Bed, wait_for};

const PLAIN: &str = "\
<virtual-mta a>
smtp-source-host 127.0.2.1 a.example
</virtual-mta>
<source 127.0.0.1>
always-allow-relaying yes
default-virtual-mta a
</source>
<domain *>
default-smtp-port SINK
retry-after 1s
retry-recipients-after 1s
</domain>
";

#[test]
fn a_broken_reload_keeps_the_old_configuration() {
    let bed = Bed::started(PLAIN);
    bed.configure(&PLAIN.replace("127.0.2.1 a.example", "a.example 127.0.2.1"));
    let tested = bed.pmta(&["test", "config"]);
    assert!(!tested.succeeded);
    assert!(tested.error.starts_with("Error in line "), "{tested:?}");
    assert!(
        tested
            .error
            .contains(&format!("of {}: ", bed.path("config").display()))
    );
    let reloaded = bed.pmta(&["reload"]);
    assert!(!reloaded.succeeded, "{reloaded:?}");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let mail = wait_for("the old configuration still delivers", || {
        bed.sink.mails().pop()
    });
    assert_eq!(mail.helo, "a.example");

    bed.configure(&PLAIN.replace("127.0.2.1 a.example", "127.0.2.9 nine.example"));
    assert!(bed.pmta(&["test", "config"]).succeeded);
    let reloaded = bed.pmta(&["reload"]);
    assert_eq!(reloaded.out, "Configuration reloaded.\n");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    wait_for("the new configuration delivers", || {
        let mails = bed.sink.mails();
        mails
            .iter()
            .any(|mail| mail.client.to_string() == "127.0.2.9")
            .then_some(())
    });
}

#[test]
fn a_broken_configuration_does_not_start() {
    let bed = Bed::new();
    bed.configure("no-such-directive yes");
    let output = Command::new(env!("CARGO_BIN_EXE_pmtad"))
        .arg("--config")
        .arg(bed.path("config"))
        .arg("--control")
        .arg(bed.path("control"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("Parse error in line "), "{said}");
    assert!(
        said.contains("unknown directive no-such-directive"),
        "{said}"
    );
    let noted = fs::read_to_string(bed.path("log/pmta-startuperr.log")).unwrap();
    let (_, fault) = noted.split_once("Startup error: ").unwrap();
    assert_eq!(fault, said, "who reads the product's files sees it too");
}

#[test]
fn a_listener_that_cannot_be_had_is_a_fault_at_start_too() {
    let bed = Bed::started(PLAIN);
    let second = Command::new(env!("CARGO_BIN_EXE_pmtad"))
        .arg("--config")
        .arg(bed.path("config"))
        .arg("--control")
        .arg(bed.path("control-2"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    let noted = fs::read_to_string(bed.path("log/pmta-startuperr.log")).unwrap();
    assert!(
        noted.contains("Startup error: listeners: smtp-listener"),
        "{noted}"
    );
}

/// A port on 127.0.0.1 below those that the system hands out, so that no other test gets it.
fn port(from: u16) -> u16 {
    let start = from + u16::try_from(std::process::id() % 5_000).unwrap();
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (start..start + 1_000).find(free).unwrap()
}

fn monitor(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = "GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn the_monitor_stays_at_its_port_until_a_restart() {
    let (first, second) = (port(11_000), port(21_000));
    let text = |port: u16| format!("{PLAIN}http-access 127.0.0.1 monitor\nhttp-mgmt-port {port}\n");
    let mut bed = Bed::started(&text(first));
    let up = |port: u16| {
        let answer = wait_for("the monitor answers", || monitor(port));
        assert!(answer.contains("Status running"), "{answer}");
    };
    up(first);
    bed.configure(&text(second));
    assert!(bed.pmta(&["reload"]).succeeded);
    bed.logged(&format!("http-mgmt-port {second} waits for a restart"));
    up(first);
    assert_eq!(monitor(second), None);
    bed.kill();
    bed.start();
    up(second);
    assert_eq!(monitor(first), None);
}

#[test]
fn what_is_not_carried_out_is_said_at_start_and_at_a_reload() {
    let bed = Bed::started(&format!(
        "{PLAIN}<domain slow.example>\nqueue-priority 90\nuse-dane no\n</domain>"
    ));
    let log = bed.logged("does not carry out use-dane");
    let line = log
        .lines()
        .find(|line| line.contains("queue-priority"))
        .unwrap();
    assert!(
        line.contains("notice: ") && line.contains("(line "),
        "{line}"
    );
    assert!(
        !log.contains("carry out max-smtp-out") && !log.contains("rror in line"),
        "{log}"
    );
    bed.configure(&format!("{PLAIN}run-as-root no\n"));
    assert!(bed.pmta(&["reload"]).succeeded);
    bed.logged("notice: the stand-in does not carry out run-as-root");
    bed.logged("run-as-root no waits for a restart");
}

#[test]
fn a_kill_loses_no_accepted_message() {
    let mut bed = Bed::new();
    bed.configure(PLAIN);
    bed.start();
    bed.sink.answer(|line| {
        line.starts_with("RCPT")
            .then(|| "451 4.2.0 later".to_owned())
    });
    let count = 20;
    for n in 0..count {
        let answer = bed.submit("a@x.example", &format!("to{n}@rcpt.example"), &[]);
        assert!(answer.starts_with("250 "), "{answer}");
        if n == 10 {
            bed.kill();
            bed.start();
        }
    }
    bed.kill();
    assert_eq!(bed.spool_files().len(), count);
    bed.sink.consent();
    bed.start();
    wait_for("every accepted message arrives", || {
        let mails = bed.sink.mails();
        let arrived = |n: usize| {
            mails
                .iter()
                .any(|mail| mail.to == [format!("to{n}@rcpt.example")])
        };
        (0..count).all(arrived).then_some(())
    });
    wait_for("the spool is empty", || {
        bed.spool_files().is_empty().then_some(())
    });
}

#[test]
fn what_was_delivered_before_a_kill_is_not_delivered_again() {
    let mut bed = Bed::new();
    bed.configure(PLAIN);
    bed.start();
    bed.sink
        .answer(|line| line.contains("slow").then(|| "451 4.2.0 later".to_owned()));
    let text = "From: <a@x.example>\r\n\r\nhi\r\n.";
    let answers = bed.say(&[
        "EHLO f.example",
        "MAIL FROM:<a@x.example>",
        "RCPT TO:<fast@rcpt.example>",
        "RCPT TO:<slow@rcpt.example>",
        "DATA",
        text,
    ]);
    assert!(answers[6].starts_with("250 "), "{answers:?}");
    bed.rows_when("d", 1);
    bed.kill();
    bed.sink.consent();
    bed.start();
    wait_for("the other recipient is served", || {
        bed.sink
            .mails()
            .iter()
            .any(|mail| mail.to == ["slow@rcpt.example"])
            .then_some(())
    });
    let fast = bed
        .sink
        .mails()
        .iter()
        .filter(|mail| mail.to.contains(&"fast@rcpt.example".into()))
        .count();
    assert_eq!(fast, 1);
}

#[test]
fn mail_of_a_removed_virtual_mta_is_bounced() {
    let bed = Bed::started(PLAIN);
    bed.sink.answer(|line| {
        line.starts_with("RCPT")
            .then(|| "451 4.2.0 later".to_owned())
    });
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("t", 1);
    bed.configure(
        &PLAIN
            .replace("<virtual-mta a>", "<virtual-mta b>")
            .replace("mta a\n", "mta b\n"),
    );
    assert!(bed.pmta(&["reload"]).succeeded);
    let rows = bed.rows_when("b", 1);
    assert_eq!(
        rows[0]["dsnStatus"],
        "5.3.5 (specified VirtualMTA does not exist)"
    );
}
