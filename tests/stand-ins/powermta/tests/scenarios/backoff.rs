//! Answers of receivers: bounces with their category, back-off, sources switched off.

use crate::bed::{Bed, wait_for};

const RULES: &str = "\
<virtual-mta a>
smtp-source-host 127.0.2.1 a.example
</virtual-mta>
<source 127.0.0.1>
always-allow-relaying yes
suppress-local-dsn DSN
default-virtual-mta a
</source>
<smtp-pattern-list replies>
reply /TSS04/ mode=backoff
reply /BL21/ disable-source-ip,reenable-after=1h
</smtp-pattern-list>
<bounce-category-patterns>
/no such user here/ bad-mailbox
</bounce-category-patterns>
<domain *>
default-smtp-port SINK
smtp-pattern-list replies
backoff-to-normal-after-delivery yes
retry-after 1s
backoff-retry-after 1s
retry-recipients-after 1s
</domain>
";

fn bed(dsn: &str) -> Bed {
    Bed::started(&RULES.replace("DSN", dsn))
}

#[test]
fn a_refused_recipient_bounces_with_status_and_category() {
    let bed = bed("true");
    bed.sink.answer(|line| {
        line.starts_with("RCPT")
            .then(|| "550 No such user here".to_owned())
    });
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let row = bed.rows_when("b", 1).remove(0);
    assert_eq!(row["dsnAction"], "failed");
    assert_eq!(row["dsnStatus"], "5.0.0 (undefined status)");
    assert_eq!(row["dsnDiag"], "smtp;550 No such user here");
    assert_eq!(row["bounceCat"], "bad-mailbox");
    assert_eq!(row["rcpt"], "to@rcpt.example");
    wait_for("the spool is empty", || {
        bed.spool_files().is_empty().then_some(())
    });
    assert_eq!(
        bed.sink.mails().len(),
        0,
        "no report, for they are suppressed"
    );
}

#[test]
fn a_report_goes_to_the_sender_unless_suppressed() {
    let bed = bed("false");
    bed.sink.answer(|line| {
        line.starts_with("RCPT TO:<to@")
            .then(|| "550 5.1.1 unknown".to_owned())
    });
    bed.submit("sender@rcpt.example", "to@rcpt.example", &[]);
    let report = wait_for("the report arrives", || bed.sink.mails().pop());
    assert_eq!(
        (report.from.as_str(), report.to[0].as_str()),
        ("", "sender@rcpt.example")
    );
    assert!(report.text.contains("Status: 5.1.1"), "{}", report.text);
}

#[test]
fn a_pattern_puts_the_queue_into_back_off_and_a_delivery_takes_it_out() {
    let bed = bed("true");
    bed.sink.answer(|line| {
        line.starts_with("MAIL")
            .then(|| "421 4.7.0 [TSS04] deferred".to_owned())
    });
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let mode = || bed.json(&["show", "queues", "rcpt.example/a"])["queue"][0]["mode"].clone();
    wait_for("the queue backs off", || {
        (mode() == "backoff").then_some(())
    });
    let row = bed.rows_when("tq", 1).remove(0);
    assert_eq!(
        row["dsnStatus"],
        "4.7.0 (other or undefined security status)"
    );
    assert_eq!(row["queue"], "rcpt.example/a");
    assert_eq!(bed.rows_when("t", 1)[0]["dsnAction"], "delayed");
    bed.sink.consent();
    bed.rows_when("d", 1);
    wait_for("the queue is normal again", || {
        (mode() == "normal").then_some(())
    });
}

#[test]
fn a_pattern_switches_the_source_address_off() {
    let bed = bed("true");
    bed.sink.answer(|line| {
        line.starts_with("MAIL")
            .then(|| "451 4.7.1 [BL21] listed".to_owned())
    });
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let disabled = wait_for("the source is off", || {
        let all = bed.json(&["show", "disabled", "sources"]);
        all["source"].get(0).cloned()
    });
    assert_eq!(disabled["ip"], "127.0.2.1");
    bed.sink.consent();
    assert!(
        bed.pmta(&["enable", "source", "127.0.2.1", "rcpt.example/a"])
            .succeeded
    );
    bed.rows_when("d", 1);
}

#[test]
fn without_a_mail_host_the_queue_waits_and_bounces_only_when_told() {
    let bed = Bed::started(
        &RULES
            .replace("DSN", "true")
            .replace("retry-after 1s", "retry-after 1s\nbounce-upon-no-mx yes"),
    );
    bed.submit("a@x.example", "to@nowhere.example", &[]);
    let row = bed.rows_when("b", 1).remove(0);
    assert_eq!(row["dsnStatus"], "5.1.2 (bad destination system address)");
    assert_eq!(row["bounceCat"], "bad-domain");
}
