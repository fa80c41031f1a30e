//! Answers of receivers: bounces with their category, back-off, sources switched off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bed::sink::Sink;
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
reply /TSS04/ mode=backoff,defer-queue
reply /BL21/ disable-source-ip,reenable-after=1h
reply /as you were/ mode=normal
reply /permanently deferred/ bounce-queue
reply /over quota/ bounce-rcpt
reply /resources/ defer-queue
reply /elsewhere/ skip-mx
reply /elsewhere/ bounce-queue
reply /conflict/ mode=backoff
reply /conflict/ mode=normal,defer-queue
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

/// Answers every command that begins so with one line.
fn refuse(sink: &Sink, verb: &'static str, answer: &'static str) {
    sink.answer(move |line| line.starts_with(verb).then(|| answer.to_owned()));
}

fn mode(bed: &Bed) -> serde_json::Value {
    bed.json(&["show", "queues", "rcpt.example/a"])["queue"][0]["mode"].clone()
}

#[test]
fn a_pattern_bounces_the_whole_queue_at_once() {
    let bed = Bed::started(
        &RULES
            .replace("DSN", "true")
            .replace("retry-after 1s\nb", "max-smtp-out 1\nb"),
    );
    let tried = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tried);
    bed.sink.answer(move |line| {
        line.starts_with("MAIL").then(|| {
            counted.fetch_add(1, Ordering::Relaxed);
            "451 4.7.1 permanently deferred".to_owned()
        })
    });
    bed.pmta(&["pause", "queue", "rcpt.example/a"]);
    for n in 0..3 {
        bed.submit("a@x.example", &format!("to{n}@rcpt.example"), &[]);
    }
    bed.pmta(&["resume", "queue", "rcpt.example/a"]);
    for row in bed.rows_when("b", 3) {
        assert_eq!(row["dsnDiag"], "smtp;451 4.7.1 permanently deferred");
    }
    assert_eq!(tried.load(Ordering::Relaxed), 1, "two were never tried");
    assert_eq!(bed.rows("t").len(), 0);
}

#[test]
fn a_pattern_bounces_a_recipient_and_no_transaction() {
    let bed = bed("true");
    refuse(&bed.sink, "RCPT TO:<full@", "452 4.2.2 over quota");
    let text = "From: <a@x.example>\r\n\r\nhi\r\n.";
    let envelope = ["EHLO f.example", "MAIL FROM:<a@x.example>"];
    let to = ["RCPT TO:<full@rcpt.example>", "RCPT TO:<fine@rcpt.example>"];
    bed.say(&[envelope[0], envelope[1], to[0], to[1], "DATA", text]);
    let bounced = bed.rows_when("b", 1).remove(0);
    assert_eq!(
        (bounced["rcpt"].as_str(), bounced["bounceCat"].as_str()),
        ("full@rcpt.example", "quota-issues")
    );
    assert_eq!(bed.rows_when("d", 1)[0]["rcpt"], "fine@rcpt.example");
    refuse(&bed.sink, "MAIL", "452 4.3.1 over quota");
    bed.submit("a@x.example", "later@rcpt.example", &[]);
    assert_eq!(bed.rows_when("t", 1)[0]["rcpt"], "later@rcpt.example");
    assert_eq!(bed.rows("b").len(), 1, "only an answer to RCPT does that");
}

#[test]
fn a_pattern_makes_the_queue_wait_and_another_answer_does_not() {
    let bed = bed("true");
    refuse(&bed.sink, "RCPT", "451 4.3.0 try later");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("t", 1);
    assert_eq!(bed.rows("tq").len(), 0);
    refuse(&bed.sink, "RCPT", "451 4.3.1 no resources");
    let row = bed.rows_when("tq", 1).remove(0);
    assert_eq!(row["dsnDiag"], "smtp;451 4.3.1 no resources");
    assert_eq!(mode(&bed), "normal", "to wait is not to back off");
}

#[test]
fn a_pattern_takes_the_queue_out_of_back_off() {
    let bed = bed("true");
    bed.pmta(&["set", "queue", "--mode=backoff", "rcpt.example/a"]);
    assert_eq!(mode(&bed), "backoff");
    refuse(&bed.sink, "RCPT", "451 4.0.0 as you were");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    wait_for("the queue is normal", || {
        (mode(&bed) == "normal").then_some(())
    });
    assert_eq!(bed.rows("d").len(), 0, "no delivery did it");
}

#[test]
fn of_conflicting_patterns_the_first_holds_and_the_rest_of_the_other() {
    let bed = bed("true");
    refuse(&bed.sink, "RCPT", "451 4.0.0 conflict");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("tq", 1);
    assert_eq!(mode(&bed), "backoff");
}

/// A second exchanger, which is worse.
fn second(bed: &Bed) -> Sink {
    let second = bed.second_sink();
    bed.zone
        .host("second.rcpt.example", &second.address.ip().to_string());
    bed.zone
        .exchanger("rcpt.example", 20, "second.rcpt.example");
    second
}

#[test]
fn a_pattern_passes_a_host_over_and_the_mail_stays() {
    let bed = bed("true");
    let second = second(&bed);
    refuse(&bed.sink, "RCPT", "550 5.7.0 try elsewhere");
    refuse(&second, "RCPT", "550 5.7.0 try elsewhere");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let row = bed.rows_when("tq", 1).remove(0);
    let last = format!("second.rcpt.example ({})", second.address.ip());
    assert_eq!(
        row["dsnMta"], last,
        "the queue waits once every host was tried"
    );
    second.consent();
    assert_eq!(bed.rows_when("d", 1)[0]["dsnMta"], last);
    assert_eq!(bed.rows("b").len(), 0, "even with a 5xx answer");
    assert_eq!(bed.sink.mails().len(), 0);
}

#[test]
fn a_421_means_the_next_host_only_when_said() {
    for (line, next) in [("", false), ("smtp-421-means-mx-unavailable yes\n", true)] {
        let rules = RULES.replace("DSN", "true");
        let bed =
            Bed::started(&rules.replace("retry-after 1s\nb", &format!("{line}retry-after 1s\nb")));
        let second = second(&bed);
        refuse(&bed.sink, "MAIL", "421 4.3.2 not now");
        bed.submit("a@x.example", "to@rcpt.example", &[]);
        if next {
            bed.rows_when("d", 1);
            assert_eq!(second.mails().len(), 1);
            continue;
        }
        bed.rows_when("t", 1);
        assert_eq!(
            (bed.rows("tq").len(), second.connections()),
            (0, 0),
            "the recipient waits"
        );
    }
}

#[test]
fn mail_that_has_grown_too_old_bounces_with_its_last_error() {
    let rules = RULES.replace("DSN", "true");
    let bed =
        Bed::started(&rules.replace("retry-after 1s\nb", "bounce-after 1s\nretry-after 1s\nb"));
    refuse(&bed.sink, "RCPT", "451 4.2.0 later");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let row = bed.rows_when("b", 1).remove(0);
    assert_eq!(row["dsnStatus"], "4.4.7 (delivery time expired)");
    assert_eq!(row["bounceCat"], "message-expired");
    assert!(row["dsnDiag"].ends_with("smtp;451 4.2.0 later"), "{row:?}");
    assert!(bed.rows("t").len() >= 2, "it was tried again before");
    assert_eq!(bed.spool_files().len(), 0);
}

#[test]
fn back_off_sends_the_queue_to_another_virtual_mta() {
    let bed = Bed::started(&format!(
        "{}<virtual-mta b>\nsmtp-source-host 127.0.2.2 b.example\n</virtual-mta>\n",
        RULES.replace("DSN", "true").replace(
            "retry-after 1s\nb",
            "retry-after 1s\nbackoff-reroute-to-virtual-mta b\nb"
        )
    ));
    refuse(&bed.sink, "MAIL", "451 4.7.0 [TSS04] deferred");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.rows_when("t", 1);
    bed.sink.consent();
    let row = bed.rows_when("d", 1).remove(0);
    assert_eq!(
        (row["vmta"].as_str(), row["dlvSourceIp"].as_str()),
        ("b", "127.0.2.2")
    );
}
