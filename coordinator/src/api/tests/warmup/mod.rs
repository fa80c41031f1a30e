//! Warm-up and selection as they are asked for.

use std::net::IpAddr;

use serde_json::{Value, json};

use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::observed::{DayCounts, Gap};
use email_engine_protocol::time::Timestamp;

use super::memory::NOW;
use super::testbed::{Answered, Testbed};
use crate::command::{Command, RecordForeignPlans, RecordQuotas};
use crate::fleet::warmup::{Evidence, Unread};

/// Two identities of `red` that warm up, one of them for transactional mail, and a standby.
async fn warming() -> Testbed {
    declared(Testbed::new()).await
}

async fn declared(testbed: Testbed) -> Testbed {
    let document = json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [
            {"address": "198.51.100.1", "domain": "m1.red.example.com", "tenant": "red",
             "status": "warming", "phase": "week_1"},
            {"address": "198.51.100.2", "domain": "m2.red.example.com", "tenant": "red",
             "status": "warming", "phase": "week_4"},
            {"address": "198.51.100.3", "domain": "m3.red.example.com", "tenant": "red",
             "status": "warming", "phase": "week_2", "purpose": "transactional"},
            {"address": "198.51.100.4", "domain": "m4.red.example.com", "tenant": "red"}
        ]
    });
    let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
    ask.json(document).send().await.gives(200);
    testbed
}

async fn post(testbed: &Testbed, path: &str, body: Value) -> Answered {
    testbed
        .ask("red-operator", "POST", path)
        .json(body)
        .send()
        .await
}

async fn get(testbed: &Testbed, path: &str) -> Answered {
    testbed.ask("red-operator", "GET", path).send().await
}

#[tokio::test]
async fn a_pause_halves_the_quota_and_a_word_with_a_reason_ends_it() {
    let testbed = warming().await;
    let path = "/api/v1/warmup/198.51.100.2";
    let shown = get(&testbed, path).await.gives(200).body;
    assert_eq!(
        (&shown["daily_quota"], &shown["attempts_cap"]),
        (&json!(500), &json!(744))
    );
    let paused = post(&testbed, &format!("{path}/pause"), json!({"days": 3})).await;
    let paused = paused.gives(200).body;
    assert_eq!(
        (&paused["daily_quota"], &paused["plan"]["reached"]),
        (&json!(250), &json!(500))
    );
    let listed = get(&testbed, "/api/v1/ips/198.51.100.2")
        .await
        .gives(200)
        .body;
    assert_eq!(
        (&listed["daily_quota"], &listed["weight"]),
        (&json!(250), &json!(40))
    );
    let resume = format!("{path}/resume");
    post(&testbed, &resume, json!({"reason": ""}))
        .await
        .refuses(422, "invalid");
    let resumed = post(&testbed, &resume, json!({"reason": "it was a test"})).await;
    assert_eq!(resumed.gives(200).body["daily_quota"], 500);
    let audit = testbed.fleet.state().audit;
    let told = audit.last().unwrap();
    assert_eq!(told.object, "ip 198.51.100.2: it was a test");
    // A standby has no warm-up that could be slowed.
    let standby = post(&testbed, "/api/v1/warmup/198.51.100.4/pause", json!({})).await;
    assert_eq!(standby.status.as_u16(), 409, "{}", standby.text);
}

#[tokio::test]
async fn a_purpose_is_served_by_its_own_alone_and_never_over_quota() {
    let testbed = warming().await;
    let path = "/api/v1/tenants/red/select";
    let ask = |purpose: &'static str| post(&testbed, path, json!({"purpose": purpose}));
    let chosen = ask("transactional").await.gives(200).body;
    assert_eq!(
        chosen,
        json!({
            "ip": "198.51.100.3", "domain": "m3.red.example.com",
            "sender_email": "contact@m3.red.example.com", "sender_name": "red",
            "vmta": "vmta-m3-red-example-com", "pool": "red-pool"
        })
    );
    let refused = ask("newsletter").await.refuses(409, "no-identity");
    assert!(
        refused.text.contains("for purpose newsletter"),
        "{}",
        refused.text
    );
    // Weights 10 and 40, and 100 of transactional mail of which one is given.
    let mut first = 0;
    for _ in 0..50 {
        let chosen = ask("marketing").await.gives(200);
        first += u32::from(chosen.body["ip"] == "198.51.100.1");
    }
    assert_eq!(first, 10);
    for _ in 0..99 {
        ask("transactional").await.gives(200);
    }
    let spent = ask("transactional").await.refuses(409, "quota-used");
    let returns = "returns at 2026-11-22T00:00:00.000Z";
    assert!(spent.text.contains(returns), "{}", spent.text);
    // A stopped or a pausing one is no fallback for another purpose either.
    let stale = get(&testbed, &format!("{path}?purpose=transactional")).await;
    stale.refuses(409, "quota-used");
}

/// One identity sent much in the hour before this one.
struct SentLately;

impl Evidence for SentLately {
    fn day_counts(&self, _: IpAddr, _: u32, _: u32) -> Result<Vec<DayCounts>, Unread> {
        Ok(Vec::new())
    }

    fn gaps(&self, _: &HostId) -> Vec<Gap> {
        Vec::new()
    }

    fn read_until(&self, _: &HostId) -> Option<Timestamp> {
        None
    }

    fn sent_by_hour(&self, address: IpAddr, from: u32, to: u32) -> Vec<(u32, u64)> {
        assert_eq!(u64::from(to), NOW.0 / Timestamp::HOUR);
        let busy = address.to_string() == "198.51.100.1";
        (busy && from < to)
            .then_some((from, 3))
            .into_iter()
            .collect()
    }
}

#[tokio::test]
async fn least_used_goes_by_what_was_counted_in_the_last_hour() {
    let testbed = declared(Testbed::new().knowing(SentLately)).await;
    let chosen = async |testbed: &Testbed| {
        let asked = json!({"purpose": "marketing", "mode": "least_used"});
        let answered = post(testbed, "/api/v1/tenants/red/select", asked).await;
        let ip = answered.gives(200).body["ip"].clone();
        ip.as_str().unwrap().rsplit('.').next().unwrap().to_owned()
    };
    let mut order = String::new();
    for _ in 0..6 {
        order += &chosen(&testbed).await;
    }
    // What is chosen here counts once it is more than what was counted.
    assert_eq!(order, "222111");
}

#[tokio::test]
async fn a_campaign_is_divided_and_what_is_missing_is_said() {
    let testbed = warming().await;
    let path = "/api/v1/tenants/red/select?purpose=marketing&volume=";
    let covered = get(&testbed, &format!("{path}300")).await.gives(200).body;
    let mails = |covered: &Value| -> Vec<_> {
        let parts = covered["parts"].as_array().unwrap().iter();
        parts.map(|part| part["mails"].as_u64().unwrap()).collect()
    };
    assert_eq!(
        (mails(&covered), &covered["missing"]),
        (vec![50, 250], &json!(0))
    );
    assert_eq!(covered["parts"][1]["ip"], "198.51.100.2");
    let short = get(&testbed, &format!("{path}2000")).await.gives(200).body;
    assert_eq!(mails(&short), [50, 500]);
    assert_eq!(
        (&short["missing"], &short["more_days"]),
        (&json!(1_450), &json!(3))
    );
    for (parameters, field) in [
        ("purpose=other", "purpose"),
        ("volume=5", "purpose"),
        ("purpose=marketing&volume=0", "volume"),
        ("purpose=marketing&mode=fair", "mode"),
    ] {
        let asked = format!("/api/v1/tenants/red/select?{parameters}");
        let refused = get(&testbed, &asked).await;
        assert!(
            [400, 422].contains(&refused.status.as_u16()),
            "{}",
            refused.text
        );
        assert_eq!(refused.body["field"], field, "{}", refused.text);
    }
}

#[tokio::test]
async fn a_pool_is_simulated_as_it_stands_and_with_what_may_come() {
    let testbed = warming().await;
    let path = "/api/v1/warmup/simulate";
    let alone = get(&testbed, &format!("{path}?identities=3&days=8"))
        .await
        .gives(200)
        .body;
    assert_eq!(
        (&alone["days"][0]["quota"], &alone["days"][7]["quota"]),
        (&json!(150), &json!(300))
    );
    let own = get(
        &testbed,
        &format!("{path}?tenant=red&days=9&lose=1@2&target=1000"),
    )
    .await;
    let own = own.gives(200).body;
    // 50, 500 and 100; the largest goes on the second day.
    assert_eq!(
        (&own["days"][0]["quota"], &own["days"][1]["quota"]),
        (&json!(650), &json!(150))
    );
    assert_eq!(own["target"]["mails"], 1_000);
    for (parameters, field) in [
        ("lose=1", "lose"),
        ("days=9&add=1@10", "add"),
        ("days=0", "days"),
        ("each=50001", "each"),
    ] {
        let refused = get(&testbed, &format!("{path}?{parameters}")).await;
        assert_eq!(refused.body["field"], field, "{}", refused.text);
    }
    get(&testbed, &format!("{path}?tenant=blue"))
        .await
        .refuses(404, "not-found");
}

#[tokio::test]
async fn a_tenant_tightens_its_warm_up_and_is_told_the_bound_when_it_loosens() {
    let testbed = warming().await;
    let tenant = |warmup: Value| json!({"id": "red", "name": "red", "warmup": warmup});
    let put = |body: Value| {
        let ask = testbed
            .ask("red-operator", "PUT", "/api/v1/tenants/red")
            .json(body);
        ask.send()
    };
    let refused = put(tenant(json!({"target": 20_000}))).await.gives(422);
    assert_eq!(refused.body["field"], "warmup.target", "{}", refused.text);
    assert!(refused.text.contains("at most 10000"), "{}", refused.text);
    let quotas = json!({"quotas": [50, 100, 200, 300, 400, 500]});
    put(tenant(quotas)).await.gives(200);
    // At once, and not with the next day.
    let shown = get(&testbed, "/api/v1/warmup/198.51.100.2")
        .await
        .gives(200);
    assert_eq!(shown.body["daily_quota"], 300);
}

/// Counts that cannot be read of these addresses; others sent nothing.
struct Damaged(&'static [&'static str]);

impl Evidence for Damaged {
    fn day_counts(&self, address: IpAddr, _: u32, _: u32) -> Result<Vec<DayCounts>, Unread> {
        if self.0.contains(&&address.to_string()[..]) {
            let reason = "a row of series is damaged".to_owned();
            return Err(Unread { address, reason });
        }
        Ok(Vec::new())
    }

    fn read_until(&self, _: &HostId) -> Option<Timestamp> {
        None
    }

    fn gaps(&self, _: &HostId) -> Vec<Gap> {
        Vec::new()
    }
}

#[tokio::test]
async fn whoever_sent_nobody_knows_how_much_today_is_not_chosen() {
    let one = Testbed::new().knowing(Damaged(&["198.51.100.2"]));
    let testbed = declared(one).await;
    let path = "/api/v1/tenants/red/select?purpose=marketing";
    for _ in 0..9 {
        let chosen = get(&testbed, path).await.gives(200).body;
        assert_eq!(chosen["ip"], "198.51.100.1");
    }
    let both = Testbed::new().knowing(Damaged(&["198.51.100.1", "198.51.100.2"]));
    let testbed = declared(both).await;
    get(&testbed, path).await.refuses(503, "unread");
    let volume = format!("{path}&volume=10");
    get(&testbed, &volume).await.refuses(503, "unread");
    // Nor is it forgiven what nobody knows.
    let resume = "/api/v1/warmup/198.51.100.2/resume";
    let refused = post(&testbed, resume, json!({"reason": "mended"})).await;
    refused.refuses(503, "unread");
    let chosen = get(&testbed, "/api/v1/tenants/red/select?purpose=transactional").await;
    assert_eq!(chosen.gives(200).body["ip"], "198.51.100.3");
}

#[tokio::test]
async fn a_plan_of_mailwizzs_own_is_shown_where_the_warm_up_is_asked_for_and_explained() {
    let testbed = warming().await;
    let hosts = json!({"hosts": [
        {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
        {"id": "mw1", "role": "mailwizz", "tenant": "red", "addresses": ["192.0.2.2"]},
    ]});
    let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
    ask.json(hosts).send().await.gives(200);
    let vmta = VmtaName::new("vmta-m2-red-example-com").unwrap();
    testbed
        .fleet
        .apply(Command::RecordForeignPlans(RecordForeignPlans {
            host: HostId::new("mw1").unwrap(),
            plans: [(vmta, "12".to_owned())].into(),
        }))
        .unwrap();
    let words = "MailWizz on mw1 runs its own warm-up plan 12 on this server: take it out there";
    let shown = get(&testbed, "/api/v1/warmup").await.gives(200).body;
    let told: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["reasons"][0] == words)
        .map(|one| &one["address"])
        .collect();
    assert_eq!(told, ["198.51.100.2"]);
    let explained = get(&testbed, "/api/v1/ips/198.51.100.2/explain").await;
    let explained = explained.gives(200);
    for words in [words, "goes no further", "host mw1"] {
        assert!(explained.text.contains(words), "{}", explained.text);
    }
    let other = get(&testbed, "/api/v1/ips/198.51.100.1/explain").await;
    assert!(!other.gives(200).text.contains("plan of its own"));

    // Quotas that it does not keep concern all of its tenant's, and nobody else's.
    let host = HostId::new("mw1").unwrap();
    let quotas = RecordQuotas { host, kept: false };
    testbed.fleet.apply(Command::RecordQuotas(quotas)).unwrap();
    let shown = get(&testbed, "/api/v1/warmup").await.gives(200).body;
    let unlimited = |one: &Value| one["reasons"].to_string().contains("mw1 keeps no quotas");
    for one in shown.as_array().unwrap() {
        assert_eq!(unlimited(one), one["tenant"] == "red", "{one}");
    }
    let explained = get(&testbed, "/api/v1/ips/198.51.100.1/explain").await;
    let explained = explained.gives(200).text;
    assert!(
        explained.contains("capped by PowerMTA alone"),
        "{explained}"
    );
}
