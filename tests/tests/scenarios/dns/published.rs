//! Zones that the fleet may change: what it wants comes by itself, what others have stays, and what could not be
//! read is not empty.

use std::fs::Permissions;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::{TOP, zone};
use email_engine_tests::zones::{ZoneServer, free_port};
use email_engine_tests::{Fleet, Operator, samples, wait_for};
use hickory_resolver::proto::rr::RecordType;
use serde_json::{Value, json};

const FIRST: &str = "127.0.0.4";
const SECOND: &str = "127.0.0.5";
const ZONE: &str = "example.net";
const REVERSE: &str = "100.51.198.in-addr.arpa";
const KEY_NAME: &str = "ee-key.example.net";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const DOMAIN: &str = "mail1.example.net";
const ADDRESS: &str = "198.51.100.1";

fn theirs() -> String {
    zone(&format!(
        "ns1 60 IN A {FIRST}\nns2 60 IN A {SECOND}\nwww 60 IN A 203.0.113.80\n\
         mail1 60 IN TXT \"site-verification=theirs\"\n"
    ))
}

/// Two servers of a zone, of which the first may be changed, and a cluster that knows it.
struct World {
    fleet: Fleet,
    operator: Operator,
    servers: [ZoneServer; 2],
    at: String,
}

impl World {
    /// Of so many identities; nothing of the zone is declared.
    async fn new(identities: u32) -> Self {
        let port = free_port(&[FIRST, SECOND]);
        let (own, reverse) = (theirs(), zone(""));
        let zones = [
            ("net", TOP),
            (ZONE, own.as_str()),
            (REVERSE, reverse.as_str()),
        ];
        let first = ZoneServer::new(FIRST, port, &zones)
            .changed_by(KEY_NAME, KEY)
            .followed_by(SECOND);
        let second = ZoneServer::following(SECOND, port, &["net", ZONE, REVERSE], FIRST);
        let mut servers = [first, second];
        for server in &mut servers {
            server.start().await;
        }
        let (text, at) = (port.to_string(), format!("{FIRST}:{port}"));
        let settings = [("DNS_RESOLVERS", &*at), ("DNS_PORT", &*text)];
        let fleet = Fleet::configured(1, &settings).await;
        fleet.apply(&document(identities)).await;
        let operator = Operator::of(&fleet);
        let file = operator.folder().join("tsig.key");
        std::fs::write(&file, KEY).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        Self {
            fleet,
            operator,
            servers,
            at,
        }
    }

    fn set(&self, zone: &str, mode: &str) {
        self.set_at(&self.at, zone, mode);
    }

    fn set_at(&self, server: &str, zone: &str, mode: &str) {
        let place = [
            "dns", "zones", "set", zone, "--server", server, "--mode", mode,
        ];
        let key = ["--key-name", KEY_NAME, "--key-file", "tsig.key"];
        let _ = self.operator.prints(0, &[&place[..], &key].concat());
    }

    fn plan(&self, zone: &str, code: i32) -> Value {
        let plan = ["dns", "plan", zone, "--output", "json"];
        serde_json::from_str(&self.operator.prints(code, &plan)).unwrap()
    }

    /// Waits until the leader has seen to a zone and there is nothing left to do.
    async fn is_done(&self, zone: &str) {
        wait_for("all that is wanted is in the zone", async || {
            let plan = self.operator.run(&["dns", "plan", zone]);
            match plan.status.code() {
                Some(0) => Ok(()),
                _ => Err(String::from_utf8_lossy(&plan.stdout).into_owned()),
            }
        })
        .await;
    }

    /// Waits until the leader says that it is stuck, and with what.
    async fn is_stuck(&self, words: &str) {
        wait_for(&format!("the leader is stuck: {words}"), async || {
            let zones = self.operator.answer(&["dns", "zones", "list"]);
            let stuck = zones[0]["stuck"].as_str().unwrap_or_default();
            match stuck.contains(words) {
                true => Ok(()),
                false => Err(zones.clone()),
            }
        })
        .await;
    }

    fn sees(&self, owner: &str, kind: RecordType) -> Vec<String> {
        self.servers[0].stranger().sees(owner, kind)
    }

    /// Waits until every server shows all records of the domain as they must be.
    async fn is_right(&self) {
        wait_for("every server shows it", async || {
            let said = self
                .operator
                .run(&["dns", "check", "--domain", DOMAIN, "--output", "json"]);
            let views: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
            let parts = ["a", "mx", "ptr", "spf", "dkim", "dmarc"];
            match parts
                .iter()
                .all(|part| views[0][format!("{part}_valid")] == true)
            {
                true => Ok(()),
                false => Err(views),
            }
        })
        .await;
    }
}

/// On the bench: what the servers say is what lets them begin.
fn document(identities: u32) -> Value {
    let mut document = samples::fleet(identities.try_into().unwrap());
    for ip in document["ips"].as_array_mut().unwrap() {
        let ip = ip.as_object_mut().unwrap();
        ip.remove("status");
        ip.remove("phase");
        ip.insert("zone".to_owned(), ZONE.into());
    }
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_published_verified_and_rotated_on_a_real_zone_end_to_end() {
    let world = World::new(1).await;
    world.set(ZONE, "advise");
    let plan = world.plan(ZONE, 2);
    assert_eq!(
        (&plan["remove"], &plan["blocked"]),
        (&json!([]), &json!([]))
    );
    let hash = plan["hash"].as_str().unwrap();
    let refused = world
        .operator
        .notes(1, &["dns", "apply", ZONE, "--plan", hash]);
    assert!(refused.contains("only advised about"), "{refused}");
    assert!(
        world.sees(DOMAIN, RecordType::A).is_empty(),
        "nobody changed anything"
    );

    // From here on nobody says anything but that keys be rotated.
    world.set(ZONE, "manage");
    world.set(REVERSE, "manage");
    world.is_done(ZONE).await;
    world.is_right().await;
    world.is_done(REVERSE).await;
    assert!(
        world
            .sees(DOMAIN, RecordType::TXT)
            .contains(&"site-verification=theirs".to_owned())
    );
    assert_eq!(
        world.sees("www.example.net", RecordType::A),
        ["203.0.113.80"]
    );

    let old = format!("mail._domainkey.{DOMAIN}");
    let before = world.sees(&old, RecordType::TXT);
    let rotated = world.operator.answer(&["dkim", "rotate", ADDRESS]);
    let new = rotated["rotation"]["new_selector"]
        .as_str()
        .unwrap()
        .to_owned();
    wait_for("the new key signs", async || {
        // Nobody waits for the minute until it is looked at again.
        let _ = world.operator.run(&["dns", "check", "--domain", DOMAIN]);
        let view = world
            .fleet
            .api()
            .get(&format!("/ips/{ADDRESS}/dkim"))
            .await
            .ok();
        match view["selector"] == new {
            true => Ok(()),
            false => Err(view),
        }
    })
    .await;
    let published = world.sees(&format!("{new}._domainkey.{DOMAIN}"), RecordType::TXT);
    assert_eq!(published.len(), 1);
    assert_ne!(published, before);
    assert_eq!(
        world.sees(&old, RecordType::TXT),
        before,
        "what it signed last is judged by it"
    );
    world.is_done(ZONE).await;
    world.is_right().await;
    let audit = world.operator.prints(0, &["audit", "--limit", "200"]);
    assert!(audit.contains("end-publish") && !audit.contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shows_no_data_or_has_no_zone_after_a_restart_loses_nothing() {
    let mut world = World::new(3).await;
    world.set(ZONE, "manage");
    world.is_done(ZONE).await;
    // It comes back with the zone as its file had it, and one identity is not wanted any more.
    world.servers[0].start().await;
    world.fleet.apply_pruning(&document(2)).await;
    world.is_stuck("has it its whole zone").await;
    let plan = world.plan(ZONE, 2);
    assert_eq!(plan["remove"], json!([]));
    assert_eq!(plan["serial"], 1, "nobody changed it");
    let hash = plan["hash"].as_str().unwrap();
    let refused = world
        .operator
        .notes(1, &["dns", "apply", ZONE, "--plan", hash]);
    assert!(refused.contains("--force"), "{refused}");
    assert!(world.sees(DOMAIN, RecordType::A).is_empty());

    // It has no zone at all, as after an empty transfer, or does not answer.
    world.servers[0].write(ZONE, "");
    world.servers[0].start().await;
    let unread = world.operator.notes(1, &["dns", "plan", ZONE]);
    assert!(
        unread.contains("nothing is planned from half of a zone"),
        "{unread}"
    );
    world.servers[0].stop();
    let silent = world.operator.notes(1, &["dns", "plan", ZONE]);
    assert!(
        silent.contains("nothing is planned from half of a zone"),
        "{silent}"
    );

    // What was made is remembered: an operator's word brings it back.
    world.servers[0].write(ZONE, &theirs());
    world.servers[0].start().await;
    let plan = world.plan(ZONE, 2);
    let hash = plan["hash"].as_str().unwrap();
    let done = [
        "dns", "apply", ZONE, "--plan", hash, "--force", "--wait", "0",
    ];
    let _ = world.operator.prints(0, &done);
    world.is_done(ZONE).await;
    assert_eq!(world.sees(DOMAIN, RecordType::A), [ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_somebody_else_changed_between_plan_and_apply_is_left_alone() {
    let world = World::new(3).await;
    world.set(ZONE, "manage");
    world.is_done(ZONE).await;
    world.fleet.apply_pruning(&document(1)).await;
    world.is_stuck("would go or change").await;
    let plan = world.plan(ZONE, 2);
    assert!(plan["guard"].as_str().unwrap().contains("more than 30 %"));
    let other = "mail2.example.net";
    let before = world.sees(other, RecordType::TXT);
    world.servers[0].stranger().adds(ZONE, other, "theirs");

    let hash = plan["hash"].as_str().unwrap();
    let apply = |hash: &str| {
        vec![
            "dns".to_owned(),
            "apply".to_owned(),
            ZONE.to_owned(),
            "--plan".to_owned(),
            hash.to_owned(),
            "--force".to_owned(),
            "--wait".to_owned(),
            "0".to_owned(),
        ]
    };
    let old = apply(hash);
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let refused = world.operator.notes(1, &old);
    assert!(refused.contains("changed since that plan"), "{refused}");
    let with = [before, vec!["theirs".to_owned()]].concat();
    assert_eq!(
        world.sees(other, RecordType::TXT).len(),
        with.len(),
        "nothing went"
    );

    let plan = world.plan(ZONE, 2);
    let new = apply(plan["hash"].as_str().unwrap());
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let _ = world.operator.prints(0, &new);
    assert_eq!(
        world.sees(other, RecordType::TXT),
        ["theirs"],
        "ours went, and nobody else's"
    );
    let key = world.sees(&format!("mail._domainkey.{other}"), RecordType::TXT);
    let [key] = &key[..] else {
        panic!("the record of a key that is gone says so for its days: {key:?}");
    };
    assert!(key.ends_with("p="), "nothing was signed with it: {key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_whose_server_is_silent_delay_no_other() {
    let world = World::new(1).await;
    let silent = UdpSocket::bind("127.0.0.6:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    for zone in ["a1", "a2", "a3", "a4", "a5", "a6", "a7"] {
        world.set_at(&at, &format!("{zone}.example"), "manage");
    }
    let began = Instant::now();
    world.set(ZONE, "manage");
    world.is_done(ZONE).await;
    // Each of them is waited for six seconds, and one after the other that is 42.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
}
