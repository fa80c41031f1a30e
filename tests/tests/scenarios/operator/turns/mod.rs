//! What an operator does with identities that send: one goes to another relay, is slowed and goes on, is
//! chosen for the next mail, gets another key; and what a pool will grow to.

use std::fs;

use email_engine_tests::{Fleet, Operator, samples, wait_for, wait_until};
use serde_json::{Value, json};

const ONE: &str = "198.51.100.1";
const OTHER: &str = "198.51.100.2";

/// Whether a relay's PowerMTA has the virtual MTA of an identity.
fn is_on(fleet: &Fleet, host: &str, number: usize) -> bool {
    let config = fs::read_to_string(fleet.agents[host].file("/etc/pmta/config"));
    let section = format!("<virtual-mta vmta-mail{number}-example-net>");
    config.unwrap_or_default().contains(&section)
}

/// Waits until the application may send so many mails a day by the first identity.
async fn mailwizz_sends(fleet: &Fleet, daily: u64, why: &str) {
    let path = "/etc/email-engine/mailwizz/delivery-servers/vmta-mail1-example-net.json";
    let file = fleet.agents["mailwizz1"].file(path);
    wait_for(why, async || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let record: Value = serde_json::from_str(&text).unwrap_or_default();
        match record["daily_quota"] == daily {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_goes_to_another_relay_by_one_command_and_takes_along_what_it_reached() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    let mut document = samples::fleet(2);
    let second = json!({ "id": "pmta2", "role": "powermta", "addresses": ["192.0.2.21"] });
    document["hosts"].as_array_mut().unwrap().push(second);
    fleet.apply(&document).await;
    fleet.start_agents(&["pmta2"]).await;
    fleet.converged("a second relay came").await;
    assert!(is_on(&fleet, "pmta1", 1) && !is_on(&fleet, "pmta2", 1));
    let operator = Operator::of(&fleet);

    let nowhere = operator.notes(1, &["ips", "move", ONE]);
    assert!(
        nowhere.contains("at least one of host, pool, vmta"),
        "{nowhere}"
    );
    let there = ["ips", "move", ONE, "--host", "pmta2"];
    let refused = operator.notes(1, &there);
    let one_host = "a pool holds identities of one tenant on one host";
    assert!(refused.contains(one_host), "{refused}");
    let shown = operator.answer(&["ips", "show", ONE]);
    assert_eq!(shown["host"], "pmta1", "what is refused moves nothing");

    let own_pool = ["--pool", "client-1-second", "--reason", "the first is full"];
    let told = operator.prints(0, &[&there[..], &own_pool].concat());
    assert!(
        told.starts_with("198.51.100.1 on pmta2 is warming since ")
            && told.contains("phase week_2: weight 20, 100 mails a day"),
        "{told}"
    );
    let shown = operator.answer(&["ips", "show", ONE]);
    assert_eq!(
        (&shown["host"], &shown["pool"]),
        (&json!("pmta2"), &json!("client-1-second"))
    );
    wait_until("the new relay has it and the old one no more", async || {
        is_on(&fleet, "pmta2", 1) && !is_on(&fleet, "pmta1", 1)
    })
    .await;
    assert!(is_on(&fleet, "pmta1", 2), "the other stays where it is");
    fleet.converged("one identity moved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sends_is_slowed_goes_on_is_chosen_and_gets_another_key_by_commands() {
    let fleet = Fleet::converged_with(1, 2).await;
    let operator = Operator::of(&fleet);
    a_pause_halves_what_the_application_sends_until_it_ends(&fleet, &operator).await;
    who_sends_next_is_told_with_all_that_a_sender_needs(&operator);
    a_leaked_key_is_changed_in_haste_and_the_others_of_the_tenant_without(&operator);
    a_pool_is_simulated_with_and_without_a_cluster(&operator);
}

async fn a_pause_halves_what_the_application_sends_until_it_ends(
    fleet: &Fleet,
    operator: &Operator,
) {
    mailwizz_sends(fleet, 100, "nothing slows it").await;
    let pause = ["warmup", "pause", ONE, "--days", "3"];
    let why = ["--reason", "a receiver asked"];
    let paused = operator.answer(&[&pause[..], &why].concat());
    assert_eq!(
        (&paused["daily_quota"], &paused["plan"]["reached"]),
        (&json!(50), &json!(100))
    );
    let rows = operator.rows(&["warmup"]);
    let row = rows.iter().find(|row| row[0] == ONE).unwrap();
    assert_eq!(row[6], "50", "{row:?}");
    assert_eq!(row[8], "unmeasured", "{row:?}");
    assert!(row[9].starts_with("paused: "), "{row:?}");
    let shown = operator.prints(0, &["warmup", "status", ONE]);
    assert!(shown.contains("50 of 100 reached"), "{shown}");
    mailwizz_sends(fleet, 50, "it is paused").await;

    let resume = ["warmup", "resume", ONE];
    let wordless = operator.notes(64, &resume);
    assert!(wordless.contains("--why <REASON>"), "{wordless}");
    let resume = [&resume[..], &["--why", "the list was cleaned"]].concat();
    let resumed = operator.answer(&resume);
    assert_eq!(
        (&resumed["daily_quota"], &resumed["plan"]["paused_until"]),
        (&json!(100), &Value::Null)
    );
    mailwizz_sends(fleet, 100, "it goes on").await;
    let again = operator.notes(1, &resume);
    assert!(again.contains("(HTTP 409)"), "{again}");

    let audit = operator.answer(&["audit", "--limit", "100"]);
    let told = |command: &str| {
        let mut entries = audit.as_array().unwrap().iter();
        let found = entries.find(|entry| entry["command"] == command);
        found.unwrap_or_else(|| panic!("no {command}: {audit}"))
    };
    assert_eq!(told("pause-warmup")["reason"], "a receiver asked");
    let object = "ip 198.51.100.1: the list was cleaned";
    assert_eq!(told("resume-warmup")["object"], object);
}

fn who_sends_next_is_told_with_all_that_a_sender_needs(operator: &Operator) {
    let of_tenant = ["select", "--tenant", "client-1"];
    let open = operator.notes(64, &of_tenant);
    assert!(open.contains("--purpose <PURPOSE>"), "{open}");
    let select = [&of_tenant[..], &["--purpose", "marketing"]].concat();
    let mut chosen = [operator.answer(&select), operator.answer(&select)];
    // Equal weights take turns.
    chosen.sort_by_key(|one| one["ip"].to_string());
    let first = json!({
        "ip": ONE, "domain": "mail1.example.net",
        "sender_email": "contact@mail1.example.net", "sender_name": "Client One",
        "vmta": "vmta-mail1-example-net", "pool": "client-1-pool"
    });
    assert_eq!((&chosen[0], &chosen[1]["ip"]), (&first, &json!(OTHER)));
    let shown = operator.prints(0, &select);
    assert!(shown.contains("Virtual MTA    vmta-mail"), "{shown}");

    let campaign = operator.answer(&[&select[..], &["--volume", "150"]].concat());
    let parts = campaign["parts"].as_array().unwrap().iter();
    let mails = parts.map(|part| part["mails"].as_u64().unwrap());
    assert_eq!((mails.sum::<u64>(), &campaign["missing"]), (150, &json!(0)));
    let nobody = operator.notes(1, &[&of_tenant[..], &["--purpose", "newsletter"]].concat());
    for part in ["no identity for purpose newsletter", "(HTTP 409)"] {
        assert!(nobody.contains(part), "{part}: {nobody}");
    }
}

fn a_leaked_key_is_changed_in_haste_and_the_others_of_the_tenant_without(operator: &Operator) {
    let status = ["dkim", "status", ONE];
    let before = operator.answer(&status);
    assert_eq!(
        (&before["selector"], &before["rotation"]),
        (&json!("mail"), &Value::Null)
    );
    let price = operator.notes(0, &["dkim", "rotate", ONE, "--emergency"]);
    for part in ["warning: ", "cannot be verified from then on"] {
        assert!(price.contains(part), "{part}: {price}");
    }
    let begun = operator.answer(&status);
    let rotation = &begun["rotation"];
    assert_eq!(
        (&rotation["stage"], &rotation["cause"]),
        (&json!("publish"), &json!("emergency"))
    );
    assert_eq!(begun["selector"], "mail", "nobody saw the new record yet");
    let new = rotation["new_selector"].as_str().unwrap();
    let record = format!("\n{new}._domainkey.mail1.example.net. ");
    let shown = operator.prints(0, &status);
    assert!(
        shown.contains("To be published:") && shown.contains(&record),
        "{shown}"
    );
    let slower = operator.notes(1, &["dkim", "rotate", ONE]);
    assert!(slower.contains("it becomes verified when"), "{slower}");

    let of_tenant = operator.answer(&["dkim", "rotate", "--tenant", "client-1"]);
    let counts = ["begun", "under_way", "remaining"].map(|name| of_tenant[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(0)], "{of_tenant}");
    let other = &of_tenant["identities"][0];
    assert_eq!(
        (&other["address"], &other["rotation"]["cause"]),
        (&json!(OTHER), &json!("asked"))
    );
    let rows = operator.rows(&["dkim", "status", "--tenant", "client-1"]);
    for address in [ONE, OTHER] {
        let row = rows.iter().find(|row| row[0] == address).unwrap();
        assert_eq!((&*row[2], &*row[5]), ("mail", "publish"), "{row:?}");
    }
}

fn a_pool_is_simulated_with_and_without_a_cluster(operator: &Operator) {
    let simulate = ["warmup", "simulate", "--days", "3", "--output", "json"];
    let mut alone = operator.command(&[&simulate[..], &["--identities", "5"]].concat());
    let nowhere = operator.folder().join("nowhere.toml");
    let alone = alone.env("EMAIL_ENGINE_CONTEXT", nowhere).output().unwrap();
    assert_eq!(alone.status.code(), Some(0), "{alone:?}");
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap();
    let days = alone["days"].as_array().unwrap();
    let first = (days[0]["day"].as_u64(), days[0]["quota"].as_u64());
    assert_eq!((days.len(), first), (3, (Some(1), Some(250))), "{alone}");
    // Both are in their second week.
    let own = operator.prints(0, &[&simulate[..], &["--tenant", "client-1"]].concat());
    let own: Value = serde_json::from_str(&own).unwrap();
    assert_eq!(own["days"][0]["quota"], 200, "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_selects_and_one_that_knows_no_leader_refuses_in_so_many_words() {
    const SELECT: &str = "/tenants/client-1/select";
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(2)).await;
    let marketing = json!({ "purpose": "marketing" });
    for node in fleet.nodes.keys() {
        let api = fleet.api_of(*node);
        let chosen = wait_for("the node has applied the document", async || {
            let answer = api.post(SELECT, &marketing).await;
            match answer.status {
                200 => Ok(answer.body),
                _ => Err(answer),
            }
        })
        .await;
        let is_known = [ONE, OTHER].map(|address| chosen["ip"] == address);
        assert!(is_known.contains(&true), "node {node}: {chosen}");
        assert_eq!(chosen["pool"], "client-1-pool", "node {node}");
    }

    let left = fleet.leader().await;
    let others: Vec<u64> = fleet.nodes.keys().copied().collect();
    for node in others.iter().filter(|node| **node != left) {
        fleet.nodes.get_mut(node).unwrap().kill();
    }
    let alone = fleet.api_of(left);
    wait_for("the node has noticed that it is alone", async || {
        let cluster = alone.try_get("/cluster?consistency=stale").await?.body;
        match cluster["leader"].is_null() {
            true => Ok(()),
            false => Err(cluster.to_string()),
        }
    })
    .await;
    // What was applied is there, and whether the key was revoked meanwhile is not known.
    let refused = alone.post(SELECT, &marketing).await;
    assert_eq!(
        (refused.status, refused.code()),
        (503, "no-leader"),
        "{refused:?}"
    );
    for node in others.iter().filter(|node| **node != left) {
        fleet.nodes.get_mut(node).unwrap().start().await;
    }
    wait_for("it selects again with its majority", async || {
        let answer = alone.post(SELECT, &marketing).await;
        match answer.status {
            200 => Ok(()),
            _ => Err(answer),
        }
    })
    .await;
}
