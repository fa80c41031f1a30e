//! Mail from the application's host to the world, by way of the host that sends.

use email_engine_tests::lab::{IDENTITIES, MAILWIZZ, NAMES, POWERMTA, World};
use email_engine_tests::mail::{RECIPIENT, Verdict, identities};
use email_engine_tests::wait_for;

/// What the application does with a row of its table: it reads it, and submits as it says. Given whom to
/// write to, and what the messages are called.
const SUBMIT: &str = r#"
[, $to, $id] = $argv;
$password = trim(file_get_contents('/etc/email-engine/mailwizz/database-password'));
$socket = 'mysql:unix_socket=/run/mysqld/mysqld.sock;dbname=mailwizz';
$rows = (new PDO($socket, 'mailwizz', $password))->query("SELECT * FROM mw_delivery_server WHERE status = 'active'");
foreach ($rows as $row) {
    [, $domain] = explode('@', $row['from_email']);
    $text = "Message-ID: <$id@$domain>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\nSubject: News of the week\r\n"
        . "From: {$row['from_name']} <{$row['from_email']}>\r\nTo: <$to>\r\nX-Job: campaign-$domain\r\n";
    $sender = null;
    foreach (unserialize($row['meta_data'])['additional_headers'] as $header) {
        if ($header['name'] === 'X-Force-Return-Path') {
            $sender = $header['value'];
        } else {
            $text .= "{$header['name']}: {$header['value']}\r\n";
        }
    }
    $body = fopen('php://memory', 'w+');
    fwrite($body, "$text\r\nGood news.\r\n");
    rewind($body);
    $call = curl_init("smtp://{$row['hostname']}:{$row['port']}/mailwizz1.example.com");
    curl_setopt_array($call, [
        CURLOPT_USE_SSL => $row['protocol'] === 'tls' ? CURLUSESSL_ALL : CURLUSESSL_NONE,
        CURLOPT_MAIL_FROM => "<$sender>",
        CURLOPT_MAIL_RCPT => ["<$to>"],
        CURLOPT_UPLOAD => true,
        CURLOPT_INFILE => $body,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 30,
    ]);
    if (curl_exec($call) === false) {
        exit("$domain: " . curl_error($call));
    }
    echo "$domain by {$row['protocol']}\n";
}
"#;

/// One message of each identity, submitted under TLS where the application runs, arrives from that one's
/// address, signed by its key, and the names that were published say so; `round` from 1.
pub(super) async fn arrives(world: &World, round: usize) {
    takes_mail(world).await;
    let own = identities(&World::document());
    assert_eq!(own.len(), usize::from(IDENTITIES));
    let guest = world.guest(MAILWIZZ.0);
    let said = guest.run(&["php", "-r", SUBMIT, RECIPIENT, &format!("round-{round}")]);
    let sent = said.lines().filter(|line| line.ends_with(" by tls"));
    assert_eq!(sent.count(), own.len(), "{said}");
    let arrived = world.readers.mails_when(own.len() * round).await;
    for one in arrived.iter().skip(own.len() * (round - 1)) {
        let domain = one.from.rsplit('@').next().unwrap();
        assert_eq!(one.client, Some(own[domain]), "{domain}");
        let verdict = Verdict::by(NAMES.1, one).await;
        assert!(verdict.is_clean(domain), "{verdict:?}\n{}", one.text);
    }
}

/// The product runs, with its door open to the application's host.
async fn takes_mail(world: &World) {
    let connect = format!("exec 3<>/dev/tcp/{}/2525; head -c 4 <&3", POWERMTA.1);
    wait_for("PowerMTA takes mail", async || {
        let words = ["timeout", "5", "bash", "-c", &connect];
        let output = world.guest(MAILWIZZ.0).try_run(&words)?;
        match output.stdout.as_slice() {
            b"220 " => Ok(()),
            _ => Err(format!("{output:?}")),
        }
    })
    .await;
}
