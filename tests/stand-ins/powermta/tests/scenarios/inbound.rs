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
fn a_report_of_a_delay_is_a_status_and_no_bounce() {
    let bed = Bed::started(PROCESSORS);
    let delayed = DSN
        .replace("Action: failed", "Action: delayed")
        .replace("5.1.1", "4.4.1")
        .replace("550", "450");
    send(&bed, "bounce-17@own.example", &delayed);
    let row = bed.rows_when("rs", 1).remove(0);
    assert_eq!(row["orig"], "bounce-17@own.example");
    assert_eq!(row["rcpt"], "gone@far.example");
    assert_eq!(row["dsnAction"], "delayed");
    assert_eq!(row["dsnStatus"], "4.4.1 (no answer from host)");
    assert_eq!(row["bounceCat"], "", "it has not bounced");
    assert_eq!(bed.rows("rb").len(), 0);
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

const ALIASES: &str = "\
relay-domain own.example
<aliases>
alias jane@own.example one@rcpt.example,two@rcpt.example
alias root admin@rcpt.example
alias *@own.example rest@rcpt.example
</aliases>
<domain *>
default-smtp-port SINK
</domain>
";

#[test]
fn aliases_say_who_gets_mail_instead() {
    let bed = Bed::started(ALIASES);
    let text = "From: <p@far.example>\r\n\r\nHello.\r\n.";
    for (to, targets) in [
        (
            "Jane@own.example",
            &["one@rcpt.example", "two@rcpt.example"][..],
        ),
        ("other@own.example", &["rest@rcpt.example"]),
        // A local part alone is for the machine's own names.
        ("root@mta.example.com", &["admin@rcpt.example"]),
    ] {
        let before = bed.sink.mails().len();
        send(&bed, to, text);
        let mails = wait_for("its mail is forwarded", || {
            let mails = bed.sink.mails().split_off(before);
            let count: usize = mails.iter().map(|mail| mail.to.len()).sum();
            (count >= targets.len()).then_some(mails)
        });
        let mut found: Vec<_> = mails.into_iter().flat_map(|mail| mail.to).collect();
        found.sort();
        assert_eq!(found, targets, "{to}");
    }
    let refused = bed.say(&["EHLO x", "MAIL FROM:<>", "RCPT TO:<root@far.example>"]);
    assert!(
        refused[3].starts_with("550 "),
        "an alias allows no relaying"
    );
}

#[test]
fn a_mapped_header_that_is_not_there_leaves_the_field_as_it_is() {
    let bed = Bed::started(&format!(
        "{PROCESSORS}<acct-file DIR/log/fbl.csv>\nrecords f\n\
         map-header-to-field f header_X-First rcpt\n\
         map-header-to-field f header_X-Original rcpt\n</acct-file>\n"
    ));
    send(&bed, "fbl@own.example", ARF);
    let with = ARF.replace("X-Job: campaign", "X-Original: other@far.example");
    send(&bed, "fbl@own.example", &with);
    let path = bed.path("log").join("fbl-");
    let rows = wait_for("both complaints are recorded", || {
        let files = bed.accounting_files().into_iter();
        let file = files
            .into_iter()
            .find(|file| file.to_string_lossy().contains(&*path.to_string_lossy()))?;
        let text = std::fs::read_to_string(file).ok()?;
        (text.lines().count() == 3).then_some(text)
    });
    let column = rows
        .lines()
        .next()
        .unwrap()
        .split(',')
        .position(|name| name == "rcpt")
        .unwrap();
    let found: Vec<_> = rows
        .lines()
        .skip(1)
        .map(|row| row.split(',').nth(column).unwrap())
        .collect();
    assert_eq!(found, ["angry@far.example", "other@far.example"]);
}
