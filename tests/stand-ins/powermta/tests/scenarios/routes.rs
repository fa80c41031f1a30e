//! Ways in and out other than the plainest: TLS, logins, files, rollups, queues of other types.

use std::fs;

use data_encoding::BASE64;

use crate::bed::{Bed, wait_for};

const OPEN: &str = "<source 127.0.0.1>\nalways-allow-relaying yes\n</source>\n";

#[test]
fn two_daemons_talk_under_tls_and_the_second_writes_files() {
    let mut far = Bed::new();
    let made = rcgen::generate_simple_self_signed(["mx.rcpt.example".to_owned()]).unwrap();
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(far.path("tls.pem"), pem).unwrap();
    far.configure(
        "relay-domain rcpt.example\n\
         smtp-server-tls-certificate DIR/tls.pem\n\
         <source 0/0>\nallow-starttls yes\n</source>\n\
         <domain rcpt.example>\ntype file\nfile-destination DIR/in/$user\n</domain>",
    );
    far.start();
    let near = Bed::started(&format!(
        "{OPEN}<domain rcpt.example>\nsmtp-hosts {}\nrequire-starttls yes\n</domain>\n\
         <acct-file DIR/log/tls.csv>\nrecords d\nrecord-fields d *,dlvTlsProtocol\n</acct-file>",
        far.smtp_host()
    ));
    near.submit("a@x.example", "Joe@rcpt.example", &[]);
    let secured = wait_for("the delivery is written down", || {
        near.rows("d")
            .into_iter()
            .find(|row| row.contains_key("dlvTlsProtocol"))
    });
    assert_eq!(secured["dlvTlsProtocol"], "TLSv1.3");
    let file = wait_for("the file is there", || {
        let mut entries = fs::read_dir(far.path("in/joe")).ok()?;
        entries.next().map(|entry| entry.unwrap().path())
    });
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("\r\nSubject: hello\r\n"), "{text}");
    assert_eq!(far.rows_when("d", 1)[0]["dlvType"], "file");
}

#[test]
fn a_certificate_that_cannot_be_used_refuses_the_configuration() {
    let mut bed = Bed::new();
    let listener =
        "<smtp-listener 127.0.0.1:2526>\ntls-certificate DIR/tls.pem\n</smtp-listener>\n";
    bed.configure(OPEN);
    bed.start();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let texts = [
        (None, "cannot be read"),
        (Some(made.cert.pem()), "has no private key"),
        (Some(other.cert.pem() + &key), "does not fit its key"),
    ];
    for (text, why) in texts {
        if let Some(text) = text {
            fs::write(bed.path("tls.pem"), text).unwrap();
        }
        bed.configure(&format!("{OPEN}{listener}"));
        let said = bed.pmta(&["test", "config"]);
        let words = format!("{}{}", said.out, said.error);
        assert!(
            !said.succeeded && words.contains("Error in line "),
            "{said:?}"
        );
        assert!(words.contains(why), "{said:?}");
    }
    fs::write(bed.path("tls.pem"), made.cert.pem() + &key).unwrap();
    let said = bed.pmta(&["test", "config"]);
    assert!(said.succeeded, "{said:?}");
}

#[test]
fn tls_that_is_required_and_not_offered_means_no_delivery() {
    let bed = Bed::started(&format!(
        "{OPEN}<domain *>\ndefault-smtp-port SINK\nrequire-starttls yes\n</domain>"
    ));
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let row = bed.rows_when("tq", 1).remove(0);
    assert!(row["dsnDiag"].contains("TLS is required"), "{row:?}");
    assert_eq!(bed.sink.mails().len(), 0);
}

#[test]
fn who_logs_in_gets_the_source_of_the_user() {
    let bed = Bed::started(
        "<source feed>\nalways-allow-relaying yes\n</source>\n\
         <smtp-user joe>\npassword secret-word\nsource feed\n</smtp-user>\n\
         <source 0/0>\nallow-unencrypted-plain-auth yes\n</source>\n\
         <domain *>\ntype discard\n</domain>",
    );
    let plain = |password: &str| {
        let response = BASE64.encode(format!("\0joe\0{password}").as_bytes());
        format!("AUTH PLAIN {response}")
    };
    let mail = ["MAIL FROM:<a@x.example>", "RCPT TO:<b@rcpt.example>"];
    let wrong = bed.say(&["EHLO x.example", &plain("guess"), mail[0], mail[1]]);
    assert!(
        wrong[2].starts_with("535 ") && wrong[4].starts_with("550 "),
        "{wrong:?}"
    );
    let right = bed.say(&["EHLO x.example", &plain("secret-word"), mail[0], mail[1]]);
    assert!(
        right[2].starts_with("235 ") && right[4].starts_with("250 "),
        "{right:?}"
    );
}

#[test]
fn domains_of_one_exchanger_share_the_rollup_queue() {
    let bed = Bed::started(&format!(
        "{OPEN}<mx-rollup-list>\nmx mx.rcpt.example big.rollup\n</mx-rollup-list>\n\
         <domain big.rollup>\ndefault-smtp-port SINK\n</domain>"
    ));
    bed.zone.exchanger("second.example", 5, "mx.rcpt.example");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.submit("a@x.example", "to@second.example", &[]);
    let rows = bed.rows_when("d", 2);
    assert!(
        rows.iter()
            .all(|row| row["queue"] == "big.rollup/{default}"),
        "{rows:?}"
    );
    assert_eq!(bed.sink.mails().len(), 2);
}

#[test]
fn a_queue_with_mail_keeps_its_type_until_it_is_empty() {
    let text = format!("{OPEN}<domain *>\ntype TYPE\ndefault-smtp-port SINK\n</domain>");
    let bed = Bed::started(&text.replace("TYPE", "smtp"));
    bed.pmta(&["pause", "queue", "rcpt.example/{default}"]);
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    bed.configure(&text.replace("TYPE", "discard"));
    assert!(bed.pmta(&["reload"]).succeeded);
    bed.pmta(&["resume", "queue", "rcpt.example/{default}"]);
    assert_eq!(bed.rows_when("d", 1)[0]["dlvType"], "smtp");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let rows = bed.rows_when("d", 2);
    assert!(
        rows.iter().any(|row| row["dlvType"] == "discard"),
        "{rows:?}"
    );
}

#[test]
fn the_best_host_that_answers_gets_the_mail() {
    let bed = Bed::started(&format!(
        "{OPEN}<domain *>\ndefault-smtp-port SINK\n</domain>"
    ));
    let worse = bed.second_sink();
    bed.zone
        .host("worse.rcpt.example", &worse.address.ip().to_string());
    bed.zone.exchanger("rcpt.example", 20, "worse.rcpt.example");
    bed.submit("a@x.example", "to@rcpt.example", &[]);
    let row = bed.rows_when("d", 1).remove(0);
    assert_eq!(row["dsnMta"], "mx.rcpt.example (127.0.1.1)");
    assert_eq!(worse.connections(), 0, "the order is that of preference");

    // Nobody listens there, so connections are refused.
    bed.zone.host("dead.rcpt.example", "127.0.1.9");
    bed.zone.exchanger("half.example", 10, "dead.rcpt.example");
    bed.zone.exchanger("half.example", 20, "worse.rcpt.example");
    bed.submit("a@x.example", "to@half.example", &[]);
    let rows = bed.rows_when("d", 2);
    let next = format!("worse.rcpt.example ({})", worse.address.ip());
    assert!(rows.iter().any(|row| row["dsnMta"] == next), "{rows:?}");
    assert_eq!(
        bed.rows("t").len() + bed.rows("tq").len(),
        0,
        "the dead one is no fault"
    );
}
