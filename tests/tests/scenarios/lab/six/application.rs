//! The application on its host, as a visitor and its operator meet it.

use email_engine_tests::lab::{MAILWIZZ, World};
use email_engine_tests::wait_for;

use super::pages;

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
    pages::are_certified(world).await;
    wait_for("every identity has its row", async || {
        let query = "SELECT COUNT(*) FROM mw_delivery_server WHERE status = 'active'";
        let words = ["mariadb", "-N", "mailwizz", "-e", query];
        let rows = guest.try_run(&words)?.stdout;
        let rows = String::from_utf8_lossy(&rows).trim().to_owned();
        if rows == "20" { Ok(()) } else { Err(rows) }
    })
    .await;
}
