//! Records are exported into a zone, its servers are asked, and their answers let identities send or not.

use super::{TOP, zone};
use email_engine_tests::zones::{ZoneServer, free_port};
use email_engine_tests::{Fleet, Operator, samples, wait_for};
use serde_json::Value;

const FIRST: &str = "127.0.0.2";
const SECOND: &str = "127.0.0.3";
const DOMAIN: &str = "mail1.example.net";
const ADDRESS: &str = "198.51.100.1";

/// The zone of the domain, whose owner has records of their own.
fn own_zone(records: &str) -> String {
    zone(&format!(
        "ns1 60 IN A {FIRST}\nns2 60 IN A {SECOND}\n@ 60 IN TXT \"v=spf1 -all\"\n{records}"
    ))
}

/// Two servers of the same zones, and a cluster that asks them. The first is the cluster's resolver as well: it
/// answers for all names that are asked for.
struct World {
    fleet: Fleet,
    operator: Operator,
    servers: [ZoneServer; 2],
}

impl World {
    async fn new() -> Self {
        let port = free_port(&[FIRST, SECOND]);
        let empty = [
            ("net", TOP.to_owned()),
            ("example.net", own_zone("")),
            ("100.51.198.in-addr.arpa", zone("")),
        ];
        let zones = empty.each_ref().map(|(name, text)| (*name, text.as_str()));
        let servers = [FIRST, SECOND].map(|address| ZoneServer::new(address, port, &zones));
        let (port, resolver) = (port.to_string(), format!("{FIRST}:{port}"));
        let settings = [("DNS_RESOLVERS", &*resolver), ("DNS_PORT", &*port)];
        let fleet = Fleet::configured(1, &settings).await;
        let mut document = samples::fleet(1);
        // On the bench: what the servers say is what lets it begin.
        let ip = document["ips"][0].as_object_mut().unwrap();
        ip.remove("status");
        ip.remove("phase");
        ip.insert("zone".to_owned(), "example.net".into());
        fleet.apply(&document).await;
        let operator = Operator::of(&fleet);
        Self {
            fleet,
            operator,
            servers,
        }
    }

    /// Gives a server its zones, and starts it anew.
    async fn serve(&mut self, server: usize, forward: &str, reverse: &str) {
        let server = &mut self.servers[server];
        server.write("example.net", &own_zone(forward));
        server.write("100.51.198.in-addr.arpa", &zone(reverse));
        server.start().await;
    }

    /// What is to be published: the snippet of the zone, and the way back.
    fn wanted(&self) -> (String, String) {
        let export = ["dns", "export", "--format", "bind", "--dir", "zones"];
        let _ = self.operator.notes(0, &export);
        let snippet = self.operator.folder().join("zones/example.net.include");
        let forward = std::fs::read_to_string(snippet).unwrap();
        let records = self.operator.answer(&["dns", "records"]);
        let pointer = &records["pointers"][0]["pointers"][0];
        let text = |field: &str| pointer[field].as_str().unwrap();
        assert_eq!(text("name"), DOMAIN);
        let reverse = format!("{}. 60 IN PTR {}.\n", text("reverse"), text("name"));
        (forward, reverse)
    }

    /// What a check says that ends with this code.
    fn checked(&self, code: i32) -> Value {
        let check = ["dns", "check", "--domain", DOMAIN, "--output", "json"];
        let said = self.operator.prints(code, &check);
        serde_json::from_str::<Value>(&said).unwrap()[0].clone()
    }

    async fn said_of(&self, check: &str) -> Value {
        let view = self.fleet.api().get(&format!("/ips/{ADDRESS}")).await.ok();
        view["checks"][check]["verdict"].clone()
    }
}

/// Whether each kind of record is right: A, MX, PTR, SPF, DKIM, DMARC.
fn verdicts(view: &Value) -> [Option<bool>; 6] {
    ["a", "mx", "ptr", "spf", "dkim", "dmarc"].map(|part| view[format!("{part}_valid")].as_bool())
}

/// The zone file with one bit of the key turned, and the line as it should be.
fn with_flipped_bit(forward: &str) -> (String, &str) {
    let line = forward.lines().find(|line| line.contains("._domainkey."));
    let line = line.unwrap();
    let at = line.find("p=").unwrap() + 60;
    let mut bytes = line.as_bytes().to_vec();
    bytes[at] ^= 1;
    let flipped = String::from_utf8(bytes).unwrap();
    (forward.replace(line, &flipped), line)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_servers_of_a_zone_show_opens_preflight_and_one_flipped_bit_closes_it() {
    let mut world = World::new().await;
    let (forward, reverse) = world.wanted();
    world.serve(0, "", "").await;
    world.serve(1, "", "").await;
    let nothing = world.checked(2);
    assert_eq!(nothing["dkim_valid"], false);
    assert_eq!(nothing["spf_valid"], false);
    let seen = nothing["dns"]["dkim"]["invalid"]["seen"].as_str().unwrap();
    assert!(
        seen.starts_with("ns1.example.net (127.0.0.2) shows no record"),
        "{seen}"
    );

    // On one server alone it is not published.
    world.serve(0, &forward, &reverse).await;
    let half = world.checked(2);
    assert_eq!(half["a_valid"], false);
    let seen = half["dns"]["a"]["invalid"]["seen"].as_str().unwrap();
    assert!(
        seen.starts_with("ns2.example.net (127.0.0.3) shows"),
        "{seen}"
    );

    world.serve(1, &forward, &reverse).await;
    let right = world.checked(0);
    assert_eq!(verdicts(&right), [Some(true); 6], "{right}");
    assert!(right["last_dns_check"].is_string());
    for check in ["a", "ptr", "spf", "dkim", "dmarc"] {
        assert_eq!(world.said_of(check).await, "valid", "{check}");
    }

    let (flipped, line) = with_flipped_bit(&forward);
    world.serve(1, &flipped, &reverse).await;
    let wrong = world.checked(2);
    let others = [
        Some(true),
        Some(true),
        Some(true),
        Some(true),
        Some(false),
        Some(true),
    ];
    assert_eq!(verdicts(&wrong), others);
    let dkim = &wrong["dns"]["dkim"];
    let seen = dkim["invalid"]["seen"].as_str().unwrap();
    assert!(
        seen.starts_with("ns2.example.net (127.0.0.3) shows another key: 1 characters"),
        "{seen}"
    );
    assert_eq!(dkim["publish"], serde_json::json!([line]), "the exact line");
    let refused = world.operator.notes(1, &["ips", "activate", ADDRESS]);
    assert!(
        refused.contains("dkim: invalid, ns2.example.net"),
        "{refused}"
    );
    assert!(!refused.contains("spf:"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_makes_nothing_wrong_and_takes_no_word_back() {
    let mut world = World::new().await;
    let (forward, reverse) = world.wanted();
    world.serve(0, &forward, &reverse).await;
    world.serve(1, &forward, &reverse).await;
    assert_eq!(verdicts(&world.checked(0)), [Some(true); 6]);
    world.servers[1].stop();
    let dark = world.checked(0);
    assert_eq!(verdicts(&dark), [None; 6], "{dark}");
    let why = dark["dns"]["spf"]["unknown"]["why"].as_str().unwrap();
    assert!(why.starts_with("ns2.example.net (127.0.0.3)"), "{why}");
    assert_eq!(
        world.said_of("spf").await,
        "valid",
        "what was seen holds for its day"
    );
    world.servers[0].stop();
    assert_eq!(verdicts(&world.checked(0)), [None; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_by_what_servers_show_and_by_nobodys_word() {
    let mut world = World::new().await;
    let (forward, reverse) = world.wanted();
    world.serve(0, &forward, &reverse).await;
    world.serve(1, &forward, &reverse).await;
    assert_eq!(verdicts(&world.checked(0)), [Some(true); 6]);
    let rotated = world.operator.answer(&["dkim", "rotate", ADDRESS]);
    let new = rotated["rotation"]["new_selector"]
        .as_str()
        .unwrap()
        .to_owned();
    let lacking = world.checked(2);
    assert_eq!(
        lacking["dns"]["next_dkim"]["invalid"]["replace"],
        Value::Null
    );
    let stage = async |world: &World| {
        let view = world
            .fleet
            .api()
            .get(&format!("/ips/{ADDRESS}/dkim"))
            .await
            .ok();
        view["rotation"].clone()
    };
    assert_eq!(stage(&world).await["stage"], "publish");

    let (both, _) = world.wanted();
    assert!(
        both.contains(&format!("{new}._domainkey.{DOMAIN}.")),
        "{both}"
    );
    world.serve(0, &both, &reverse).await;
    world.serve(1, &both, &reverse).await;
    assert_eq!(
        world.checked(0)["dns"]["next_dkim"]["valid"]["warnings"],
        serde_json::json!([])
    );
    // Nothing runs on its host: there is nothing to wait for once the record was seen.
    wait_for("the new key signs", async || {
        let rotation = stage(&world).await;
        let done = ["switched", "retired"]
            .map(Value::from)
            .contains(&rotation["stage"]);
        match done {
            true => Ok(()),
            false => Err(rotation),
        }
    })
    .await;
    let view = world
        .fleet
        .api()
        .get(&format!("/ips/{ADDRESS}/dkim"))
        .await
        .ok();
    assert_eq!(view["selector"], new);
}
