//! Mail that comes in: bounces and complaints become records, the rest goes where it should.

use crate::bed::{Bed, wait_for};

const PROCESSORS: &str = "\
relay-domain own.example
<bounce-processor>
deliver-unmatched-email no
forward-unmatched-to inbox@rcpt.example
<address-list>
address /^bounce[^@]*@own\\.example$/
</address-list>
</bounce-processor>
<feedback-loop-processor>
deliver-unmatched-email no
<address-list>
address fbl@own.example
</address-list>
</feedback-loop-processor>
<domain *>
default-smtp-port SINK
</domain>
";

const DSN: &str = "From: <>\r\n\
Subject: failed\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\
\r\n\
--b\r\nContent-Type: text/plain\r\n\r\nsorry\r\n\
--b\r\nContent-Type: message/delivery-status\r\n\r\n\
Reporting-MTA: dns; mx.far.example\r\n\
\r\n\
Final-Recipient: rfc822; gone@far.example\r\n\
Action: failed\r\n\
Status: 5.1.1\r\n\
Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
--b--\r\n.";

const ARF: &str = "From: <fbl@far.example>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\
\r\n\
--b\r\nContent-Type: text/plain\r\n\r\ncomplaint\r\n\
--b\r\nContent-Type: message/feedback-report\r\n\r\n\
Feedback-Type: abuse\r\n\
User-Agent: Far/1\r\n\
Version: 1\r\n\
Source-IP: 192.0.2.5\r\n\
Reported-Domain: mail1.example.com\r\n\
Original-Rcpt-To: <angry@far.example>\r\n\
\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\n\
From: <contact@mail1.example.com>\r\nSubject: news\r\nX-Job: campaign\r\n\r\nbody\r\n\
--b--\r\n.";

fn send(bed: &Bed, to: &str, text: &str) {
    let answers = bed.say(&[
        "EHLO mx.far.example",
        "MAIL FROM:<>",
        &format!("RCPT TO:<{to}>"),
        "DATA",
        text,
    ]);
    assert!(answers[5].starts_with("250 "), "{answers:?}");
}

#[test]
fn an_asynchronous_bounce_becomes_a_record_and_is_not_delivered() {
    let bed = Bed::started(PROCESSORS);
    send(&bed, "bounce-17@own.example", DSN);
    let row = bed.rows_when("rb", 1).remove(0);
    assert_eq!(row["orig"], "bounce-17@own.example");
    assert_eq!(row["rcpt"], "gone@far.example");
    assert_eq!(row["dsnStatus"], "5.1.1 (bad destination mailbox address)");
    assert_eq!(row["dsnDiag"], "smtp;550 5.1.1 no such user");
    assert_eq!(row["dsnReportingMta"], "mx.far.example");
    assert_eq!(row["bounceCat"], "bad-mailbox");
    assert_eq!(row["format"], "dsn");
    wait_for("nothing is left of it", || {
        bed.spool_files().is_empty().then_some(())
    });
    assert_eq!(bed.sink.mails().len(), 0);
}

#[test]
fn a_complaint_becomes_a_record() {
    let bed = Bed::started(PROCESSORS);
    send(&bed, "fbl@own.example", ARF);
    let row = bed.rows_when("f", 1).remove(0);
    assert_eq!(row["feedbackType"], "abuse");
    assert_eq!(row["rcpt"], "angry@far.example");
    assert_eq!(row["reportedDomain"], "mail1.example.com");
    assert_eq!(row["dlvSourceIp"], "192.0.2.5");
    assert_eq!(row["header_Subject"], "news");
    assert_eq!(row["header_X-job"], "campaign");
    assert_eq!(row["format"], "arf");
}

#[test]
fn a_reply_that_is_no_report_is_forwarded() {
    let bed = Bed::started(PROCESSORS);
    send(
        &bed,
        "bounce-17@own.example",
        "From: <p@far.example>\r\n\r\nI am away.\r\n.",
    );
    let mail = wait_for("the reply is forwarded", || bed.sink.mails().pop());
    assert_eq!(mail.to, ["inbox@rcpt.example"]);
}

#[test]
fn the_first_processor_needs_a_restart() {
    let mut bed = Bed::started("relay-domain own.example\n<domain *>\ntype discard\n</domain>");
    let later = PROCESSORS.replace("default-smtp-port SINK", "type discard");
    bed.configure(&later);
    assert!(bed.pmta(&["reload"]).succeeded);
    send(&bed, "bounce-17@own.example", DSN);
    bed.rows_when("d", 1);
    assert_eq!(bed.rows("rb").len(), 0, "a reload does not activate it");
    bed.kill();
    bed.start();
    send(&bed, "bounce-17@own.example", DSN);
    bed.rows_when("rb", 1);
}
