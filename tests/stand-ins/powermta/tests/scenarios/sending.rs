//! Mail leaves as the configuration says: address, name, signature, virtual MTA.

use std::fs;

use data_encoding::BASE64;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};

use crate::bed::{Bed, wait_for};

const ROUTES: &str = "\
<virtual-mta reject>
  <domain *>
    type discard
    discard-as-bounce true
  </domain>
</virtual-mta>
<pattern-list routes>
LINES  mail-from /.*/ virtual-mta=reject
</pattern-list>
<source 127.0.0.0/8>
  always-allow-relaying yes
  process-x-virtual-mta PROCESS
  remove-header REMOVE
  suppress-local-dsn true
  pattern-list routes
</source>
<domain *>
  default-smtp-port SINK
  dkim-sign yes
  dkim-headers List-Unsubscribe-Post, Feedback-ID
  use-starttls yes
  retry-after 10m
  check-spf-outbound SPF
</domain>
";

/// Five identities with a key each; what differs stands in capitals in `ROUTES`.
fn five(bed: &Bed, process: &str, spf: &str) -> String {
    let mut text = String::new();
    let mut lines = String::new();
    for n in 1..=5 {
        let domain = format!("mail{n}.example.com");
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap();
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        fs::write(bed.path(&format!("{domain}.pem")), pem.as_bytes()).unwrap();
        let public = RsaPublicKey::from(&key).to_public_key_der().unwrap();
        let record = format!("v=DKIM1; k=rsa; p={}", BASE64.encode(public.as_bytes()));
        bed.zone.text(&format!("s{n}._domainkey.{domain}"), &record);
        bed.zone
            .text(&domain, &format!("v=spf1 ip4:127.0.2.{n} -all"));
        text.push_str(&format!(
            "<virtual-mta vmta-mail{n}>\n\
             smtp-source-host 127.0.2.{n} {domain}\n\
             domain-key s{n},{domain},DIR/{domain}.pem\n\
             </virtual-mta>\n"
        ));
        lines.push_str(&format!(
            "  mail-from /@mail{n}\\.example\\.com$/ virtual-mta=vmta-mail{n}\n"
        ));
    }
    let remove = if process == "yes" {
        "x-nothing"
    } else {
        "X-Virtual-MTA"
    };
    let routes = ROUTES
        .replace("LINES", &lines)
        .replace("PROCESS", process)
        .replace("REMOVE", remove)
        .replace("SPF", spf);
    format!("{text}{routes}")
}

fn running(process: &str, spf: &str) -> Bed {
    let mut bed = Bed::new();
    let text = five(&bed, process, spf);
    bed.configure(&text);
    bed.start();
    bed
}

fn signature_passes(bed: &Bed, text: &str, domain: &str) -> bool {
    let mut connection = ConnectionConfig::udp();
    connection.port = bed.zone.address.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = bed.zone.address.port();
    let server = NameServerConfig::new(bed.zone.ip(), true, vec![connection, tcp]);
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    bed.zone.block_on(async {
        let checker = MessageAuthenticator::new(config, ResolverOpts::default()).unwrap();
        let message = AuthenticatedMessage::parse(text.as_bytes()).unwrap();
        let found = checker.verify_dkim(&message).await;
        found.iter().any(|one| {
            *one.result() == DkimResult::Pass && one.signature().is_some_and(|own| own.d == domain)
        })
    })
}

#[test]
fn each_of_five_domains_leaves_from_its_own_address_with_its_own_name_and_signature() {
    let bed = running("no", "yes");
    for n in 1..=5 {
        let from = format!("bounce@mail{n}.example.com");
        let unsubscribe = "List-Unsubscribe-Post: List-Unsubscribe=One-Click";
        let answer = bed.submit(
            &from,
            "to@rcpt.example",
            &[unsubscribe, "Message-Id: <m@x.example>"],
        );
        assert!(answer.starts_with("250 "), "{answer}");
    }
    let mails = wait_for("five messages arrive", || {
        let mails = bed.sink.mails();
        (mails.len() >= 5).then_some(mails)
    });
    for n in 1..=5 {
        let domain = format!("mail{n}.example.com");
        let mail = mails
            .iter()
            .find(|mail| mail.from == format!("bounce@{domain}"))
            .unwrap();
        assert_eq!(mail.client.to_string(), format!("127.0.2.{n}"));
        assert_eq!(mail.helo, domain);
        assert!(
            mail.text
                .contains("\r\n\r\nA line.\r\n.a line with a dot\r\n"),
            "{}",
            mail.text
        );
        assert!(mail.text.to_lowercase().contains("list-unsubscribe-post:"));
        let signed = mail
            .text
            .split("h=")
            .nth(1)
            .unwrap()
            .split(';')
            .next()
            .unwrap();
        assert!(
            signed.to_lowercase().contains("list-unsubscribe-post"),
            "{signed}"
        );
        assert!(signature_passes(&bed, &mail.text, &domain), "{}", mail.text);
        let forged = mail.text.replace("A line.", "Another.");
        assert!(
            !signature_passes(&bed, &forged, &domain),
            "the check can fail"
        );
    }
    let rows = bed.rows_when("d", 5);
    for row in &rows {
        let domain = row["orig"].rsplit('@').next().unwrap();
        let n = &domain[4..5];
        assert_eq!(row["vmta"], format!("vmta-mail{n}"));
        assert_eq!(row["queue"], format!("rcpt.example/vmta-mail{n}"));
        assert_eq!(row["dlvSourceIp"], format!("127.0.2.{n}"));
        assert_eq!(row["dlvDestinationIp"], "127.0.1.1");
        assert_eq!(row["dsnAction"], "relayed");
        assert_eq!(row["dsnStatus"], "2.0.0 (success)");
        assert_eq!(row["dsnDiag"], "smtp;250 2.6.0 stored");
        assert_eq!(row["dsnMta"], "mx.rcpt.example (127.0.1.1)");
        assert_eq!(row["header_Message-Id"], "<m@x.example>");
        assert_eq!(row["srcMta"], "feeder.example (127.0.0.1)");
    }
    assert_eq!(bed.rows("r").len(), 5);
    assert_eq!(bed.spool_files().len(), 0, "what was delivered is not kept");
}

#[test]
fn the_header_is_obeyed_and_removed_where_it_is_processed() {
    let bed = running("yes", "no");
    bed.submit(
        "a@mail1.example.com",
        "to@rcpt.example",
        &["X-Virtual-MTA: VMTA-mail3"],
    );
    let mail = wait_for("the message arrives", || bed.sink.mails().pop());
    assert_eq!(mail.client.to_string(), "127.0.2.3");
    assert!(
        !mail.text.to_lowercase().contains("x-virtual-mta"),
        "{}",
        mail.text
    );
    let answer = bed.submit(
        "a@mail1.example.com",
        "to@rcpt.example",
        &["X-Virtual-MTA: none"],
    );
    assert!(
        answer.starts_with("550 5.7.1 invalid VirtualMTA"),
        "{answer}"
    );
}

#[test]
fn the_header_is_ignored_and_removed_on_a_shared_host() {
    let bed = running("no", "no");
    bed.submit(
        "a@mail1.example.com",
        "to@rcpt.example",
        &["X-Virtual-MTA: vmta-mail3"],
    );
    let mail = wait_for("the message arrives", || bed.sink.mails().pop());
    assert_eq!(mail.client.to_string(), "127.0.2.1");
    assert!(
        !mail.text.to_lowercase().contains("x-virtual-mta"),
        "{}",
        mail.text
    );
}

#[test]
fn an_unknown_sender_is_discarded_as_a_bounce_and_never_sent() {
    let bed = running("no", "no");
    let answer = bed.submit("a@stranger.example", "to@rcpt.example", &[]);
    assert!(answer.starts_with("250 "), "{answer}");
    let rows = bed.rows_when("b", 1);
    assert_eq!(rows[0]["vmta"], "reject");
    assert_eq!(rows[0]["dlvType"], "discard");
    assert_eq!(bed.sink.connections(), 0);
    assert_eq!(bed.spool_files().len(), 0);
}

#[test]
fn mail_from_an_address_that_its_domain_does_not_name_ends_here() {
    let bed = running("yes", "yes");
    bed.submit(
        "a@mail1.example.com",
        "to@rcpt.example",
        &["X-Virtual-MTA: vmta-mail2"],
    );
    let rows = bed.rows_when("b", 1);
    assert!(rows[0]["dsnDiag"].contains("SPF"), "{:?}", rows[0]);
    assert_eq!(rows[0]["bounceCat"], "policy-related");
    assert_eq!(bed.sink.mails().len(), 0);
}

#[test]
fn a_host_that_may_not_relay_is_refused() {
    let bed = Bed::started("relay-domain own.example\n");
    let answers = bed.say(&[
        "EHLO x.example",
        "MAIL FROM:<a@x.example>",
        "RCPT TO:<b@rcpt.example>",
        "RCPT TO:<b@own.example>",
    ]);
    assert!(
        answers[3].starts_with("550 5.7.1 relaying denied"),
        "{answers:?}"
    );
    assert!(answers[4].starts_with("250 "), "{answers:?}");
}

#[test]
fn a_pool_is_plain_round_robin() {
    let bed = Bed::started(
        "<virtual-mta a>\nsmtp-source-host 127.0.2.1 a.example\n</virtual-mta>\n\
         <virtual-mta b>\nsmtp-source-host 127.0.2.2 b.example\n</virtual-mta>\n\
         <virtual-mta-pool both>\nvirtual-mta a\nvirtual-mta b\n</virtual-mta-pool>\n\
         <source 127.0.0.1>\nalways-allow-relaying yes\ndefault-virtual-mta both\n</source>\n\
         <domain *>\ndefault-smtp-port SINK\n</domain>",
    );
    for n in 0..4 {
        bed.submit("a@x.example", &format!("to{n}@rcpt.example"), &[]);
    }
    let rows = bed.rows_when("d", 4);
    let of = |vmta: &str| rows.iter().filter(|row| row["vmta"] == vmta).count();
    assert_eq!((of("a"), of("b")), (2, 2));
    assert!(rows.iter().all(|row| row["vmtaPool"] == "both"));
    assert!(
        bed.rows("r").iter().all(|row| row["vmta"] == "both"),
        "the pool's name at reception"
    );
}
