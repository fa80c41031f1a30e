//! The application on its host, as a visitor and its operator meet it.

use std::net::SocketAddr;

use email_engine_tests::lab::{MAILWIZZ, World};
use email_engine_tests::wait_for;

/// The name under which it is served.
const NAME: &str = "news.example.com";

/// What whoever sets the application up does in the wizard, from the host itself.
const WIZARD: &str = r#"
$password = trim(file_get_contents('/etc/email-engine/mailwizz/database-password'));
$words = http_build_query(['name' => 'mailwizz', 'user' => 'mailwizz', 'password' => $password]);
$call = ['http' => ['method' => 'POST', 'content' => $words, 'header' => 'Content-Type: application/x-www-form-urlencoded']];
echo file_get_contents('http://localhost/install/index.php', false, stream_context_create($call));
"#;

/// The wizard is gone through once, after which the page answers and the identities have their rows.
pub(super) async fn is_set_up(world: &World) {
    let guest = world.guest(MAILWIZZ.0);
    let said = guest.run(&["php", "-r", WIZARD]);
    assert_eq!(said.trim(), "installed");
    answers(world).await;
    wait_for("every identity has its row", async || {
        let query = "SELECT COUNT(*) FROM mw_delivery_server WHERE status = 'active'";
        let words = ["mariadb", "-N", "mailwizz", "-e", query];
        let rows = guest.try_run(&words)?.stdout;
        let rows = String::from_utf8_lossy(&rows).trim().to_owned();
        if rows == "20" { Ok(()) } else { Err(rows) }
    })
    .await;
}

/// Its page comes over TLS, under its name.
pub(super) async fn answers(_world: &World) {
    let url = format!("https://{NAME}/customer/");
    wait_for("the application answers over TLS", async || {
        let said = |error: reqwest::Error| error.to_string();
        let host = MAILWIZZ.1.parse().map_err(|_| "no address")?;
        // Port 0 is that of the scheme. Nobody has agreed to anybody's terms: its certificate stands in.
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .resolve(NAME, SocketAddr::new(host, 0))
            .build()
            .map_err(said)?;
        let answer = client.get(&url).send().await.map_err(said)?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(said)?;
        if status == 200 && text.contains("customer") {
            Ok(())
        } else {
            Err(format!("{status}: {text}"))
        }
    })
    .await;
}
