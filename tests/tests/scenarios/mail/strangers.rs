//! Who is not of the fleet may write to it, and relay nothing.

use std::net::SocketAddr;

use email_engine_tests::mail::{Client, MailFleet, RECIPIENT, addresses, alone, identities};

const STRANGER: &str = "203.0.113.66";

#[test]
fn a_host_outside_the_fleet_cannot_relay() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let own = identities(&MailFleet::document());
        let mut doors: Vec<SocketAddr> = own.values().map(|at| SocketAddr::new(*at, 25)).collect();
        doors.push(MailFleet::submission());
        for door in doors {
            let mut client = Client::connect(STRANGER, door).await;
            let offers = client.say("EHLO stranger.example").await;
            assert!(!offers.contains("AUTH"), "{door}: {offers}");
            // As a stranger, as one of the fleet's own senders, and as a bounce.
            for sender in ["a@stranger.example", "bounce@mail1.sos-holidays.com", ""] {
                client.say(&format!("MAIL FROM:<{sender}>")).await;
                for recipient in [RECIPIENT, "a@rcpt.example@mail1.sos-holidays.com.x.example"] {
                    let answer = client.say(&format!("RCPT TO:<{recipient}>")).await;
                    assert!(answer.starts_with('5'), "{door} {recipient}: {answer}");
                }
                let answer = client.say("RCPT TO:<contact@mail1.sos-holidays.com>").await;
                assert!(answer.starts_with("250 "), "{door}: {answer}");
                client.say("RSET").await;
            }
        }
        assert_eq!(mail.readers.mails(), []);
    });
}

#[test]
fn a_receivers_own_host_cannot_relay_back() {
    alone(addresses(), async {
        let mail = MailFleet::sending().await;
        let own = identities(&MailFleet::document());
        let door = SocketAddr::new(own["mail1.sos-holidays.com"], 25);
        // The host's other machines are of the fleet; an identity's own address is not.
        for from in ["192.0.2.1", "203.0.113.25"] {
            let mut client = Client::connect(from, door).await;
            client.say("EHLO x.example").await;
            client
                .say("MAIL FROM:<bounce@mail1.sos-holidays.com>")
                .await;
            let answer = client.say(&format!("RCPT TO:<{RECIPIENT}>")).await;
            assert!(answer.starts_with("550 "), "{from}: {answer}");
        }
        drop(mail);
    });
}
