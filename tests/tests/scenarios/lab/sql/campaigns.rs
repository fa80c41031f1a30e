//! Campaigns of a tenant's MailWizz, in a real database with the application's documented tables: when a server of
//! theirs is lost they stand still, move to who was promoted in its place, and go on; where nobody comes they stay
//! paused, and people are told which.

use email_engine_tests::lab::{Guest, databases};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, samples, wait_for};
use serde_json::{Value, json};

use super::super::agent;
use super::application::{COORDINATOR, HOST, allowed, ask, make_tables, role};
use crate::lists::server::Lists;
use crate::lists::{QUICK, is_healthy};

const NAMES: [&str; 3] = ["delivery_server", "campaign", "campaign_to_delivery_server"];

/// Campaigns by number, with the servers that each begins with.
const CAMPAIGNS: [(u32, &str, &str, &[u32]); 7] = [
    (1, "sending", "mail1 alone", &[1]),
    (2, "processing", "mail1 and mail2", &[1, 2]),
    (3, "paused", "by a person", &[1]),
    (4, "draft", "not begun", &[1]),
    (5, "sent", "over", &[1]),
    (6, "sending", "none of ours", &[]),
    (7, "pending-sending", "mail2 alone", &[2]),
];

/// An owner's own rule, which takes longer than anybody waits.
const DAWDLES: &str = "CREATE TRIGGER dawdles BEFORE DELETE ON mw_campaign_to_delivery_server FOR EACH ROW \
                       SET @slept = SLEEP(60)";

/// An owner's own rule, which lets nobody take a server out of a campaign.
const REFUSES: &str = "CREATE TRIGGER refuses BEFORE DELETE ON mw_campaign_to_delivery_server FOR EACH ROW \
                       SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'servers stay'";

fn server(number: u32) -> String {
    format!("vmta-mail{number}-example-net (Email-Engine)")
}

fn make_campaigns(guest: &Guest) {
    for (number, status, name, servers) in CAMPAIGNS {
        let made = format!(
            "INSERT INTO mw_campaign (campaign_id, campaign_uid, customer_id, name, status, date_added, last_updated) \
             VALUES ({number}, 'uid{number}', 1, '{name}', '{status}', NOW(), NOW())"
        );
        ask(guest, &made).unwrap();
        for server in servers {
            give(guest, number, *server);
        }
    }
}

fn give(guest: &Guest, campaign: u32, number: u32) {
    let server = server(number);
    let given = format!(
        "INSERT INTO mw_campaign_to_delivery_server \
         SELECT {campaign}, server_id FROM mw_delivery_server WHERE name = '{server}'"
    );
    ask(guest, &given).unwrap();
}

/// How a campaign is, and by which identities it is sent.
fn campaign(guest: &Guest, number: u32) -> Result<String, String> {
    let question = format!(
        "SELECT CONCAT_WS(' ', c.status, GROUP_CONCAT(REPLACE(REPLACE(s.name, 'vmta-', ''), \
         '-example-net (Email-Engine)', '') ORDER BY s.name SEPARATOR ' ')) FROM mw_campaign c \
         LEFT JOIN mw_campaign_to_delivery_server l ON l.campaign_id = c.campaign_id \
         LEFT JOIN mw_delivery_server s ON s.server_id = l.server_id \
         WHERE c.campaign_id = {number} GROUP BY c.campaign_id"
    );
    ask(guest, &question)
}

async fn campaigns_are(guest: &Guest, wanted: &[(u32, &str)], why: &str) {
    wait_for(&format!("campaigns are as they shall: {why}"), async || {
        for (number, wanted) in wanted {
            let seen = campaign(guest, *number)?;
            if seen != *wanted {
                return Err(format!("campaign {number}: {seen}, not {wanted}"));
            }
        }
        Ok(())
    })
    .await;
}

fn held(guest: &Guest) -> String {
    let held = "SELECT campaign_id FROM mw_email_engine_held ORDER BY campaign_id";
    ask(guest, held).unwrap().replace('\n', " ")
}

/// Six that send, and one on the bench that is fit for service.
async fn declare(fleet: &Fleet) {
    let mut document = samples::fleet(6);
    let mut standby = samples::identity(7);
    standby["status"] = "standby".into();
    document["ips"].as_array_mut().unwrap().push(standby);
    fleet.apply(&document).await;
    let checks = ["a", "ptr", "spf", "dkim", "dmarc", "address", "listing"];
    let checks = checks.map(|check| (check.to_owned(), Value::from("valid")));
    let checks: serde_json::Map<String, Value> = checks.into_iter().collect();
    let path = "/ips/198.51.100.7/checks";
    let stated = json!({ "checks": checks });
    fleet.api().post(path, &stated).await.ok();
}

/// Alerts of campaigns that stand still: those that are over, and those that are not.
fn alerts(operator: &Operator) -> (Vec<Value>, Vec<Value>) {
    let all = operator.answer(&["alerts", "list"]);
    let all = all.as_array().unwrap().iter().cloned();
    all.filter(|alert| alert["kind"] == "campaigns-held")
        .partition(|alert| alert["resolved_at"].is_string())
}

#[test]
fn campaigns_of_a_lost_server_stand_still_move_and_go_on_or_are_named() {
    let Some(base) = databases() else { return };
    alone(&[COORDINATOR], async move {
        let (Some(first), Some(second)) = (Lists::serve().await, Lists::serve().await) else {
            return;
        };
        let (one, other) = (first.address(), second.address());
        let listen = format!("{COORDINATOR}:7443");
        let settings = [
            ("MODE", "real"),
            ("AGENT_LISTEN", &*listen),
            ("DNSBL_RESOLVER", &*one),
            ("DNSBL_SECOND_RESOLVER", &*other),
            ("DNSBL_REGISTERED", "barracuda"),
        ];
        let fleet = Fleet::configured(1, &[&QUICK[..], &settings].concat()).await;
        let operator = Operator::of(&fleet);
        declare(&fleet).await;
        let files = [("mailwizz/role.toml", &*role("[[sql_script]]"))];
        fleet.give_files(HOST, &files).await;
        let guest = Guest::boot(HOST, &base, &["192.0.2.10"], COORDINATOR).await;
        let allow = "/etc/email-engine/allow.toml";
        agent::put(
            &guest,
            allow,
            allowed(&[&NAMES[..], &["email_engine_held"]].concat()).as_bytes(),
            0o644,
        );
        agent::tells_of_passes(&guest);
        agent::install(&guest, &fleet.host_token(HOST, "mailwizz").await);
        fleet.host_converged(HOST, "its agent was let in").await;
        make_tables(&guest, &NAMES);
        wait_for("the rows are there", async || {
            let rows = ask(&guest, "SELECT COUNT(*) FROM mw_delivery_server")?;
            if rows == "7" { Ok(()) } else { Err(rows) }
        })
        .await;
        make_campaigns(&guest);
        is_healthy(&operator, "spamhaus-zen").await;

        moves(&fleet, &guest, &operator, (&first, &second)).await;
        stays(&fleet, &guest, &operator, (&first, &second)).await;
    });
}

/// One is lost, another takes its place; nothing is half done meanwhile.
async fn moves(fleet: &Fleet, guest: &Guest, operator: &Operator, lists: (&Lists, &Lists)) {
    // Rules of one kind are followed in the order in which they were made: the second waits for its turn.
    ask(guest, DAWDLES).unwrap();
    ask(guest, REFUSES).unwrap();
    for list in [lists.0, lists.1] {
        list.name("spamhaus-zen", &["198.51.100.1"]);
    }
    fleet.host_says(HOST, "max_statement_time").await;
    ask(guest, "DROP TRIGGER dawdles").unwrap();
    fleet.host_says(HOST, "servers stay").await;
    // All or nothing: who was promoted did not come either. It was paused before, or not at all.
    let first = campaign(guest, 1).unwrap();
    let paused = held(guest) == "1";
    let wanted = if paused {
        "paused mail1"
    } else {
        "sending mail1"
    };
    assert_eq!(first, wanted);
    let second = campaign(guest, 2).unwrap();
    assert_eq!(second, "processing mail1 mail2");
    ask(guest, "DROP TRIGGER refuses").unwrap();
    let moved = [
        (1, "sending mail7"),
        (2, "processing mail2 mail7"),
        (3, "paused mail7"),
        (4, "draft mail7"),
        (5, "sent mail1"),
        (6, "sending"),
        (7, "pending-sending mail2"),
    ];
    campaigns_are(guest, &moved, "mail7 was promoted for mail1").await;
    assert_eq!(held(guest), "");
    fleet.host_converged(HOST, "campaigns moved").await;
    // Nothing is written while nothing changes.
    let changes = "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN \
                   ('COM_INSERT_SELECT', 'COM_UPDATE_MULTI', 'COM_DELETE_MULTI', 'COM_CREATE_TABLE')";
    let before = ask(guest, changes).unwrap();
    agent::passes(guest).await;
    assert_eq!(ask(guest, changes).unwrap(), before);
    assert!(operator.answer(&["failover"])["held_campaigns"] == json!([]));
}

/// One more is lost and nobody is left: what has no other server stays paused, and is named.
async fn stays(fleet: &Fleet, guest: &Guest, operator: &Operator, lists: (&Lists, &Lists)) {
    for list in [lists.0, lists.1] {
        list.name("spamhaus-zen", &["198.51.100.1", "198.51.100.2"]);
    }
    // The budget of a day is spent, so that the breaker pauses all of it.
    let paused = [
        (1, "paused mail7"),
        (3, "paused mail7"),
        (7, "paused mail2"),
    ];
    campaigns_are(guest, &paused, "mail2 is lost, and the breaker is open").await;
    wait_for("people are told which stand still", async || {
        let view = operator.answer(&["failover"]);
        let all = view["held_campaigns"].as_array().unwrap().iter();
        let uids: Vec<_> = all.map(|one| one["uid"].clone()).collect();
        let known = ["uid1", "uid2", "uid7"]
            .iter()
            .all(|uid| uids.contains(&json!(uid)));
        match known && !alerts(operator).1.is_empty() {
            true => Ok(()),
            false => Err(view),
        }
    })
    .await;
    let told = operator.answer(&["alerts", "list"]).to_string();
    assert!(told.contains("mail2 alone (uid7)"), "{told}");
    assert!(!told.contains("uid3"), "a person paused it: {told}");
    let shown = operator.prints(0, &["failover"]);
    assert!(
        shown.contains("campaign mail2 alone (uid7) stands still"),
        "{shown}"
    );
    let explained = operator
        .answer(&["explain", "ip", "198.51.100.2"])
        .to_string();
    assert!(explained.contains("(uid7)"), "{explained}");
    let why = ["--tenant", "client-1", "--why", "the list was cleaned"];
    let _released = operator.answer(&[&["breaker", "release"][..], &why].concat());
    let some = [
        (1, "sending mail7"),
        (2, "sending mail2 mail7"),
        (3, "paused mail7"),
        (7, "paused mail2"),
    ];
    campaigns_are(
        guest,
        &some,
        "the breaker was released, and nobody came for mail2",
    )
    .await;
    assert_eq!(held(guest), "7");
    let open = alerts(operator).1;
    assert!(!open.is_empty(), "it is not over");
    // What a person turns on again would be sent by any server.
    ask(
        guest,
        "UPDATE mw_campaign SET status = 'sending' WHERE campaign_id = 7",
    )
    .unwrap();
    campaigns_are(guest, &[(7, "paused mail2")], "it still has no server").await;
    // Another server, by a person's hand.
    give(guest, 7, 3);
    let goes_on = [(7, "sending mail2 mail3"), (3, "paused mail7")];
    campaigns_are(guest, &goes_on, "somebody gave it a server").await;
    assert_eq!(held(guest), "");
    wait_for(
        "it is told that nothing stands still",
        async || match alerts(operator) {
            (over, open) if open.is_empty() && !over.is_empty() => Ok(()),
            other => Err(other),
        },
    )
    .await;
    assert_eq!(operator.answer(&["failover"])["held_campaigns"], json!([]));
    fleet.host_converged(HOST, "all of it is done").await;
}
