//! What only a restart of the product brings into force waits for the word, and is in force after it.

use email_engine_tests::Operator;
use email_engine_tests::mail::{MailFleet, addresses, alone};
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::inbound::{one_mail, reports_a_bounce};
use super::{HOST, live, said, sends};

/// The example without a name of the host in mail: it takes nothing from outside.
fn deaf() -> Value {
    let mut document = MailFleet::document();
    let hosts = document["hosts"].as_array_mut().unwrap();
    let host = hosts.iter_mut().find(|host| host["id"] == HOST).unwrap();
    host["labels"].as_object_mut().unwrap().remove("host-name");
    document
}

/// Whoever writes to an identity is heard.
async fn is_heard() -> bool {
    TcpStream::connect("192.0.2.2:25").await.is_ok()
}

/// The process that is the product.
fn product(mail: &MailFleet) -> String {
    std::fs::read_to_string(mail.root().join("run/pmta/pid")).unwrap()
}

#[test]
fn what_needs_a_restart_is_in_force_after_the_word_for_it_and_not_before() {
    alone(addresses(), async {
        let mail = MailFleet::on_a_machine(&deaf()).await;
        sends(&mail, "vmta-mail1", "before").await;
        let (old, before) = (live(&mail), product(&mail));
        assert!(!is_heard().await);

        mail.fleet
            .apply_for(HOST, &MailFleet::document(), false)
            .await;
        said(&mail, "waits for an operator to allow a restart").await;
        assert!(live(&mail) == old, "something was swapped");
        assert_eq!((is_heard().await, product(&mail)), (false, before.clone()));
        sends(&mail, "vmta-mail1", "meanwhile").await;

        let operator = Operator::of(&mail.fleet);
        let allow = ["hosts", "allow-restart", HOST, "--yes"];
        let allowed = operator.run(&allow);
        assert!(allowed.status.success(), "{allowed:?}");
        mail.fleet
            .host_converged(HOST, "the restart is allowed")
            .await;
        assert_ne!(product(&mail), before);
        mail.catch_up().await;
        // Only a product that was started with the processor makes a record of it.
        let sent = one_mail(&mail, "vmta-mail2").await;
        reports_a_bounce(&sent).await;
        let row = mail.powermta.rows_when("feedback", "rb", 1).await.remove(0);
        assert_eq!(row["orig"], "bounce@mail2.sos-holidays.com");
        assert_eq!(row["bounceCat"], "bad-mailbox");
    });
}
