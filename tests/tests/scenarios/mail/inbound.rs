//! What comes back to an identity's domain arrives where it should.

use std::net::SocketAddr;

use email_engine_tests::mail::{
    Client, Letter, Mail, MailFleet, RECIPIENT, addresses, alone, identities,
};
use email_engine_tests::wait_until;

const RECEIVER: &str = "203.0.113.25";
const TENANTS_MAILBOX: &str = "contact@sos-holidays.com";

/// The receiver writes to an address at the domain's exchanger, which is the identity itself.
async fn write_back(from: &str, to: &str, text: &str) {
    let domain = to.rsplit('@').next().unwrap();
    let address = identities(&MailFleet::document())[domain];
    let mut client = Client::connect(RECEIVER, SocketAddr::new(address, 25)).await;
    client.say("EHLO mx.rcpt.example").await;
    let answer = client.transfer(from, to, text).await;
    assert!(answer.starts_with("250 "), "{to}: {answer}");
    client.say("QUIT").await;
}

/// A report about a message, with the message's own head.
fn report(kind: &str, part: &str, fields: &str, about: &Mail) -> String {
    let head = about.text.split("\r\n\r\n").next().unwrap();
    format!(
        "From: <mailer-daemon@rcpt.example>\r\nSubject: report\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type={kind}; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nIn words.\r\n\
         --b\r\nContent-Type: message/{part}\r\n\r\n{fields}\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{head}\r\n\r\nGood day\r\n--b--\r\n"
    )
}

/// One message of an identity, as it arrived.
pub(super) async fn one_mail(mail: &MailFleet, vmta: &str) -> Mail {
    let before = mail.readers.mails().len();
    let server = mail.mailwizz1().server(vmta);
    let letter = Letter {
        to: RECIPIENT,
        id: "news-17",
    };
    mail.mailwizz1().send(&server, &letter).await;
    mail.readers.mails_when(before + 1).await.remove(before)
}

/// The receiver says afterwards that it could not deliver a message: as receivers do, from nobody, to
/// the envelope sender.
pub(super) async fn reports_a_bounce(sent: &Mail) {
    let fields = "Reporting-MTA: dns; mx.rcpt.example\r\n\r\n\
        Final-Recipient: rfc822; reader@rcpt.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
        Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n";
    let text = report("delivery-status", "delivery-status", fields, sent);
    write_back("", &sent.from, &text).await;
}

#[test]
fn an_asynchronous_bounce_becomes_a_record_that_names_the_message() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let sent = one_mail(&mail, "vmta-mail2").await;
        reports_a_bounce(&sent).await;
        let row = mail.powermta.rows_when("feedback", "rb", 1).await.remove(0);
        assert_eq!(row["orig"], "bounce@mail2.sos-holidays.com");
        assert_eq!(row["rcpt"], RECIPIENT);
        assert_eq!(row["bounceCat"], "bad-mailbox");
        assert_eq!(row["header_Message-Id"], "<news-17@mail2.sos-holidays.com>");
        assert_eq!(mail.office.mails(), [], "a machine reads it, nobody else");
    });
}

#[test]
fn a_complaint_becomes_a_record_that_names_the_message() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let sent = one_mail(&mail, "vmta-mail3").await;
        let fields = "Feedback-Type: abuse\r\nUser-Agent: Rcpt/1\r\nVersion: 1\r\n\
            Source-IP: 192.0.2.3\r\nReported-Domain: mail3.sos-holidays.com\r\n\
            Original-Rcpt-To: <reader@rcpt.example>\r\n";
        let text = report("feedback-report", "feedback-report", fields, &sent);
        write_back("fbl@rcpt.example", "fbl@mail3.sos-holidays.com", &text).await;
        let row = mail.powermta.rows_when("feedback", "f", 1).await.remove(0);
        assert_eq!(row["feedbackType"], "abuse");
        assert_eq!(row["rcpt"], RECIPIENT);
        assert_eq!(row["reportedDomain"], "mail3.sos-holidays.com");
        assert_eq!(row["dlvSourceIp"], "192.0.2.3");
        assert_eq!(row["header_Message-Id"], "<news-17@mail3.sos-holidays.com>");
        assert_eq!(mail.office.mails(), []);
    });
}

#[test]
fn a_reply_reaches_the_tenants_mailbox_and_the_rest_goes_in_no_circles() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let reply = "From: <reader@rcpt.example>\r\nSubject: Re: News\r\n\r\nThank you.\r\n";
        let senders = [
            "contact@mail1",
            "support@mail2",
            "hello@mail3",
            "postmaster@mail4",
        ];
        // Neither a report nor for anybody: nobody gets these.
        for local in ["bounce@mail1", "fbl@mail1", "nobody@mail1"] {
            let to = format!("{local}.sos-holidays.com");
            write_back("reader@rcpt.example", &to, reply).await;
        }
        for local in senders.iter().chain(&["abuse@mail5"]) {
            let to = format!("{local}.sos-holidays.com");
            write_back("reader@rcpt.example", &to, reply).await;
        }
        let arrived = mail.office.mails_when(senders.len() + 1).await;
        assert_eq!(arrived.len(), senders.len() + 1);
        for one in &arrived {
            assert_eq!(one.to, [TENANTS_MAILBOX]);
            assert_eq!(one.from, "reader@rcpt.example");
            assert!(one.text.contains("Thank you."), "{}", one.text);
            // From the machine's own address and name: it is no mail of an identity.
            assert_eq!(one.client, Some("198.51.100.20".parse().unwrap()));
            assert_eq!(one.helo, "pmta1.sos-holidays.com");
            assert_eq!(one.header("DKIM-Signature"), None);
        }
        // Nothing of it is anybody's sending.
        for kind in ["d", "b", "t"] {
            assert_eq!(mail.powermta.rows("acct", kind), [], "{kind}");
        }
        wait_until("its last answer was heard", async || {
            mail.powermta.queued("fleet-inbound") == 0
        })
        .await;
    });
}
