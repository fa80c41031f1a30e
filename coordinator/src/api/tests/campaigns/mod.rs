//! A campaign is made once, by servers that are there, in the name of identities that may.

use serde_json::{Value, json};

use email_engine_protocol::id::RequestId;
use email_engine_protocol::url::ServiceUrl;

use super::testbed::{Answered, Testbed};
use crate::command::{Command, RecordReadings};
use crate::mailwizz::testbed::{Application, KEY, request};
use crate::state::Figures;

const PATH: &str = "/api/v1/tenants/red/campaigns";

/// Identities of tenant red: two for marketing, one of them warming, and one for notices.
fn document(url: Option<&ServiceUrl>) -> Value {
    let ip = |at: u32, purpose: &str, status: &str, phase: &str| {
        json!({
            "address": format!("198.51.100.{at}"), "domain": format!("mail{at}.red.example.com"),
            "tenant": "red", "purpose": purpose, "status": status, "phase": phase,
            "display_name": format!("Red {at}"),
        })
    };
    json!({
        "tenants": [{"id": "red", "name": "red", "mailwizz_url": url}],
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [
            ip(1, "marketing", "warming", "week_2"),
            ip(2, "marketing", "active", "active"),
            ip(3, "notification", "active", "active"),
        ]
    })
}

async fn give(testbed: &Testbed, url: Option<&ServiceUrl>) {
    // What sends already is taken over, which is an admin's to say.
    let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
    ask.json(document(url)).send().await.gives(200);
}

/// A tenant whose MailWizz has the servers of these identities.
async fn ready(servers: &[(u64, u32, &'static str)]) -> (Testbed, Application) {
    let (testbed, application) = (Testbed::new(), Application::start().await);
    give(&testbed, Some(&application.url())).await;
    let ask = testbed.ask(
        "operator",
        "PUT",
        "/api/v1/tenants/red/secrets/mailwizz-api-key",
    );
    ask.json(json!({"value": KEY})).send().await.gives(200);
    let servers = servers.iter().map(|(id, at, status)| {
        let name = format!("vmta-mail{at}-red-example-com (Email-Engine)");
        (*id, name, *status)
    });
    application.held.lock().unwrap().servers = servers.collect();
    (testbed, application)
}

async fn ask(testbed: &Testbed, key: &str, change: Value) -> Answered {
    let mut body = json!(request());
    for (field, value) in change.as_object().unwrap() {
        body[field] = value.clone();
    }
    let ask = testbed
        .ask("red-operator", "POST", PATH)
        .header("idempotency-key", key);
    ask.json(body).send().await
}

fn made(application: &Application) -> usize {
    application.held.lock().unwrap().campaigns.len()
}

const ALL: &[(u64, u32, &str)] = &[(7, 1, "active"), (8, 2, "in-use"), (9, 3, "active")];

#[tokio::test]
async fn a_campaign_goes_by_the_servers_of_identities_that_can_take_it() {
    let (testbed, application) = ready(ALL).await;
    let answered = ask(&testbed, "one", json!({"volume": 10_050}))
        .await
        .gives(201);
    assert_eq!(
        answered.body["state"],
        json!({"state": "created", "uid": "uid1"})
    );
    assert_eq!(
        answered.body["ips"],
        json!(["198.51.100.2", "198.51.100.1"])
    );
    let fields = application.held.lock().unwrap().campaigns[0].clone();
    assert_eq!(fields["campaign[delivery_servers]"], "8,7");
    assert_eq!(
        fields["campaign[from_email]"],
        "contact@mail2.red.example.com"
    );
    assert_eq!(fields["campaign[from_name]"], "Red 2");
    let named = ask(&testbed, "two", json!({"ips": ["198.51.100.2"]}))
        .await
        .gives(201);
    assert_eq!(named.body["ips"], json!(["198.51.100.2"]));
    let list = testbed
        .ask("red-operator", "GET", PATH)
        .send()
        .await
        .gives(200);
    let states: Vec<_> = list
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"]["uid"])
        .collect();
    assert_eq!(states, ["uid2", "uid1"], "the newest first");
    let audit = testbed
        .ask("admin", "GET", "/api/v1/audit")
        .send()
        .await
        .text;
    assert!(
        audit.contains("begin-campaign") && audit.contains("created as uid2"),
        "{audit}"
    );
    assert!(!format!("{list:?}{audit}", list = list.text).contains(KEY));
}

#[tokio::test]
async fn the_same_request_again_is_answered_and_nothing_is_made_twice() {
    let (testbed, application) = ready(ALL).await;
    let first = ask(&testbed, "one", json!({})).await.gives(201);
    let again = ask(&testbed, "one", json!({})).await.gives(201);
    assert_eq!((first.body, made(&application)), (again.body, 1));

    let refused = ask(&testbed, "two", json!({"list": "nobody"})).await;
    let refused = refused.refuses(422, "mailwizz-refused");
    let words = "list_uid: The list does not exist.";
    assert!(refused.text.contains(words), "{}", refused.text);
    let again = ask(&testbed, "two", json!({"list": "nobody"})).await;
    let again = again.refuses(422, "mailwizz-refused");
    assert!(again.text.contains(words), "{}", again.text);
    assert_eq!(application.held.lock().unwrap().campaigns.len(), 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_looked_for() {
    let (testbed, application) = ready(ALL).await;
    // The answer to the making is lost on its way: it broke once the campaign was there.
    application.will_break_after_making();
    let lost = ask(&testbed, "one", json!({}))
        .await
        .refuses(504, "campaign-unclear");
    assert!(lost.text.contains("Idempotency-Key"), "{}", lost.text);
    assert_eq!(made(&application), 1);
    let list = testbed
        .ask("red-operator", "GET", PATH)
        .send()
        .await
        .gives(200);
    assert_eq!(list.body[0]["state"], json!({"state": "asked"}));
    let found = ask(&testbed, "one", json!({})).await.gives(201);
    assert_eq!(found.body["state"]["uid"], "uid1");
    assert_eq!(made(&application), 1);

    // One that is not there is for a person to judge: it may come yet.
    application.held.lock().unwrap().campaigns.clear();
    application.will_break_before_making();
    ask(&testbed, "two", json!({}))
        .await
        .refuses(504, "campaign-unclear");
    let unclear = ask(&testbed, "two", json!({}))
        .await
        .refuses(409, "campaign-unclear");
    assert!(unclear.text.contains("0 of that name"), "{}", unclear.text);
}

#[tokio::test]
async fn older_or_other_campaign_of_the_same_name_is_not_taken_for_a_lost_one() {
    let (testbed, application) = ready(ALL).await;
    let older = [("campaign[name]".to_owned(), request().name)].into();
    application.held.lock().unwrap().campaigns.push(older);
    application.will_break_before_making();
    ask(&testbed, "one", json!({}))
        .await
        .refuses(504, "campaign-unclear");
    let unclear = ask(&testbed, "one", json!({}))
        .await
        .refuses(409, "campaign-unclear");
    assert!(unclear.text.contains("0 of that name"), "{}", unclear.text);
    // Another request has one made: that is its own.
    ask(&testbed, "two", json!({})).await.gives(201);
    let unclear = ask(&testbed, "one", json!({}))
        .await
        .refuses(409, "campaign-unclear");
    assert!(unclear.text.contains("0 of that name"), "{}", unclear.text);
    // One that is made and not answered is found beside all of them.
    application.will_break_after_making();
    ask(&testbed, "three", json!({}))
        .await
        .refuses(504, "campaign-unclear");
    let found = ask(&testbed, "three", json!({})).await.gives(201);
    assert_eq!(found.body["state"]["uid"], "uid3");
    assert_eq!(made(&application), 3);
}

#[tokio::test]
async fn of_two_that_work_on_one_request_at_once_one_has_it_made() {
    let (testbed, application) = ready(ALL).await;
    application.will_be_asked_at_once_by(2);
    let (one, two) = tokio::join!(
        ask(&testbed, "one", json!({})),
        ask(&testbed, "one", json!({}))
    );
    assert_eq!(made(&application), 1, "{} {}", one.text, two.text);
    assert_eq!(one.gives(201).body, two.gives(201).body);
    // The same while the answer of MailWizz is lost: one asked, and both know no more than that.
    application.will_be_asked_at_once_by(2);
    application.will_break_after_making();
    let (one, two) = tokio::join!(
        ask(&testbed, "two", json!({})),
        ask(&testbed, "two", json!({}))
    );
    assert_eq!(made(&application), 2, "{} {}", one.text, two.text);
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 504], "{} {}", one.text, two.text);
}

#[tokio::test]
async fn whoever_asks_again_while_mailwizz_thinks_is_told_so_and_the_campaign_is_found_later() {
    let (testbed, application) = ready(ALL).await;
    application.will_fall_silent_after_making();
    let first = ask(&testbed, "one", json!({}));
    let again = async {
        while made(&application) == 0 {
            tokio::task::yield_now().await;
        }
        ask(&testbed, "one", json!({})).await
    };
    let (first, again) = tokio::join!(first, again);
    let told = again.refuses(409, "campaign-under-way");
    assert!(
        told.text.contains("same Idempotency-Key in a moment"),
        "{}",
        told.text
    );
    first.refuses(504, "campaign-unclear");
    let found = ask(&testbed, "one", json!({})).await.gives(201);
    assert_eq!(found.body["state"]["uid"], "uid1");
    assert_eq!(made(&application), 1);
}

#[tokio::test]
async fn named_identities_have_the_purpose_and_what_is_left_of_their_day() {
    let (testbed, application) = ready(ALL).await;
    // 100 a day in the second week.
    let of = |volume: u64| json!({"ips": ["198.51.100.1"], "volume": volume});
    let mixed = json!({"ips": ["198.51.100.1", "198.51.100.3"]});
    let refused = ask(&testbed, "a", mixed).await.refuses(422, "invalid");
    assert_eq!(refused.body["field"], "ips");
    assert_eq!(refused.body["value"], "198.51.100.3");
    let other = json!({"ips": ["198.51.100.1"], "purpose": "notification"});
    ask(&testbed, "b", other).await.refuses(422, "invalid");
    let much = ask(&testbed, "c", of(101))
        .await
        .refuses(409, "quota-exceeded");
    assert_eq!(much.body["accepted"], "at most 100, or more identities");

    // Of two at once that take most of it, one is made.
    application.will_be_asked_at_once_by(2);
    let (one, two) = tokio::join!(ask(&testbed, "d", of(60)), ask(&testbed, "e", of(60)));
    let (good, bad) = match one.status.as_u16() {
        201 => (one, two),
        _ => (two, one),
    };
    good.gives(201);
    let bad = bad.refuses(409, "quota-exceeded");
    assert_eq!(bad.body["accepted"], "at most 40, or more identities");
    assert_eq!(made(&application), 1);
    // What is refused over there is left.
    let nobody = json!({"ips": ["198.51.100.1"], "volume": 40, "list": "nobody"});
    ask(&testbed, "f", nobody)
        .await
        .refuses(422, "mailwizz-refused");
    ask(&testbed, "g", of(40)).await.gives(201);
    ask(&testbed, "h", of(1))
        .await
        .refuses(409, "quota-exceeded");
    // Whoever asks for one identity after the other gets nothing of it either.
    let select = testbed.ask("red-operator", "POST", "/api/v1/tenants/red/select");
    let chosen = select.json(json!({"purpose": "marketing", "mode": "round_robin"}));
    let chosen = chosen.send().await.gives(200);
    assert_eq!(chosen.body["ip"], "198.51.100.2");
}

#[tokio::test]
async fn without_the_means_nothing_is_asked_and_it_is_said_what_is_missing() {
    let (testbed, application) = (Testbed::new(), Application::start().await);
    give(&testbed, None).await;
    let refused = ask(&testbed, "a", json!({}))
        .await
        .refuses(409, "mailwizz-unknown");
    assert!(refused.text.contains("mailwizz_url"), "{}", refused.text);
    give(&testbed, Some(&application.url())).await;
    let refused = ask(&testbed, "b", json!({}))
        .await
        .refuses(409, "mailwizz-unknown");
    assert!(
        refused.text.contains("mailwizz-api-key"),
        "{}",
        refused.text
    );
    assert_eq!(application.held.lock().unwrap().asked, 0);

    let (testbed, application) = ready(&[(7, 1, "active"), (8, 2, "inactive")]).await;
    let refused = ask(&testbed, "c", json!({}))
        .await
        .refuses(409, "delivery-server-missing");
    assert!(
        refused.text.contains("is inactive there"),
        "{}",
        refused.text
    );
    let refused = ask(&testbed, "d", json!({"ips": ["198.51.100.3"]})).await;
    let refused = refused.refuses(409, "delivery-server-missing");
    assert!(refused.text.contains("is not there"), "{}", refused.text);
    assert_eq!(made(&application), 0);
    assert!(testbed.fleet.state().campaigns.is_empty());
}

#[tokio::test]
async fn an_identity_of_another_purpose_or_tenant_never_steps_in() {
    let (testbed, application) = ready(ALL).await;
    let none = ask(&testbed, "a", json!({"purpose": "newsletter"})).await;
    let none = none.refuses(409, "no-identity");
    assert!(none.text.contains("purpose newsletter"), "{}", none.text);
    let much = ask(&testbed, "b", json!({"volume": 10_101}))
        .await
        .refuses(409, "quota-exceeded");
    assert_eq!(much.body["accepted"], "at most 10100, or more identities");
    ask(&testbed, "c", json!({"ips": ["198.51.100.9"]}))
        .await
        .refuses(404, "not-found");
    ask(&testbed, "d", json!({"send_at": "tomorrow"}))
        .await
        .refuses(422, "invalid");
    assert_eq!(application.held.lock().unwrap().asked, 0);
    assert!(testbed.fleet.state().campaigns.is_empty());
}

#[tokio::test]
async fn whom_the_cluster_calls_and_how_it_judges_is_not_for_a_tenant_to_say() {
    let (testbed, application) = ready(ALL).await;
    let elsewhere =
        json!({"id": "red", "name": "red", "mailwizz_url": "https://elsewhere.example.net"});
    let put = testbed.ask("red-operator", "PUT", "/api/v1/tenants/red");
    let refused = put
        .json(elsewhere.clone())
        .send()
        .await
        .refuses(403, "forbidden");
    assert_eq!(refused.body["field"], "mailwizz_url");
    let apply = testbed.ask("red-operator", "POST", "/api/v1/fleet");
    let refused = apply.json(json!({"tenants": [elsewhere]})).send().await;
    let refused = refused.refuses(403, "forbidden");
    assert_eq!(refused.body["field"], "tenants[0].mailwizz_url");
    let loops = json!({"id": "red", "name": "red", "mailwizz_url": application.url(), "warmup": {"feedback_loops": ["yahoo"]}});
    let put = testbed.ask("red-operator", "PUT", "/api/v1/tenants/red");
    let refused = put.json(loops).send().await.refuses(403, "forbidden");
    assert_eq!(refused.body["field"], "warmup.feedback_loops");
    let same = json!({"id": "red", "name": "Red", "mailwizz_url": application.url()});
    let put = testbed.ask("red-operator", "PUT", "/api/v1/tenants/red");
    put.json(same).send().await.gives(200);
}

#[tokio::test]
async fn opens_are_shown_of_whoever_sent_alone_and_are_unknown_of_others() {
    let (testbed, _application) = ready(ALL).await;
    let alone = ask(&testbed, "one", json!({"ips": ["198.51.100.2"]})).await;
    let shared = ask(&testbed, "two", json!({"volume": 9_900})).await;
    for (made, opened) in [(alone.gives(201), 40), (shared.gives(201), 7)] {
        let request = made.body["request"].as_str().unwrap();
        let figures = Figures {
            delivered: 300,
            opened,
            clicked: 5,
        };
        let readings = [(RequestId::new(request).unwrap(), figures)].into();
        let record = Command::RecordReadings(RecordReadings { readings });
        testbed.fleet.apply(record).unwrap();
    }
    let today = async |path: &str| {
        let shown = testbed.ask("red-operator", "GET", path).send().await;
        shown.gives(200).body["opens"]
            .as_array()
            .unwrap()
            .last()
            .cloned()
            .unwrap()
    };
    let at = "2026-11-21T00:00:00.000Z";
    assert_eq!(
        today("/api/v1/ips/198.51.100.2/stats").await,
        json!({"at": at, "opens": 40, "clicks": 5, "of": 300})
    );
    assert_eq!(
        today("/api/v1/ips/198.51.100.1/stats").await,
        json!({"at": at, "opens": null, "clicks": null, "of": null})
    );
    assert_eq!(
        today("/api/v1/tenants/red/stats").await,
        json!({"at": at, "opens": 47, "clicks": 10, "of": 600})
    );
    let csv = "/api/v1/ips/198.51.100.2/stats?format=csv";
    let csv = testbed
        .ask("red-operator", "GET", csv)
        .send()
        .await
        .gives(200);
    let last = csv.text.lines().last().unwrap();
    assert!(
        last.starts_with("2026-11-21T00:00:00.000Z,all,,") && last.ends_with(",40,5,300"),
        "{last}"
    );
}
