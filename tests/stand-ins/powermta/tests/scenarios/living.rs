//! Reloads and kills: a broken configuration never lives, and accepted mail does.

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
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pmtad"))
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
