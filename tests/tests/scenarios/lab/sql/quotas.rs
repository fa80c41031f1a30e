//! The quota of an identity's delivery server in a real database, in the application's documented table: it is
//! what the warm-up says, comes back when somebody changes it, and is not set by two plans.

use email_engine_tests::lab::{Guest, databases};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, samples, wait_for};
use serde_json::{Value, json};

use super::super::agent;
use super::application::{COORDINATOR, HOST, allowed, ask, make_tables, role};

const IDENTITY: &str = "198.51.100.1";
const NAMES: [&str; 1] = ["delivery_server"];

async fn quota_is(guest: &Guest, wanted: &str, why: &str) {
    let name = "name = 'vmta-mail1-example-net (Email-Engine)'";
    let select = format!("SELECT daily_quota FROM mw_delivery_server WHERE {name}");
    wait_for(
        &format!("the daily quota is {wanted}: {why}"),
        async || match ask(guest, &select) {
            Ok(seen) if seen == wanted => Ok(()),
            other => Err(other),
        },
    )
    .await;
}

/// What the node was told of what came back on its hosts.
async fn repairs(fleet: &Fleet) -> f64 {
    fleet.api().metric("email_engine_drift_repairs_total").await
}

/// In its second week, or in another phase.
async fn declare(fleet: &Fleet, phase: &str) {
    let mut document = samples::fleet(1);
    document["ips"][0]["phase"] = json!(phase);
    fleet.apply(&document).await;
}

#[test]
fn a_delivery_servers_quota_is_the_warm_ups_and_is_read_back_and_put_back() {
    let Some(base) = databases() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        declare(&fleet, "week_2").await;
        fleet
            .give_files(HOST, &[("mailwizz/role.toml", &role("[[sql_row]]"))])
            .await;
        let guest = Guest::boot(HOST, &base, &["192.0.2.10"], COORDINATOR).await;
        agent::put(
            &guest,
            "/etc/email-engine/allow.toml",
            allowed(&NAMES).as_bytes(),
            0o644,
        );
        agent::install(&guest, &fleet.host_token(HOST, "mailwizz").await);
        fleet.host_converged(HOST, "its agent was let in").await;
        make_tables(&guest, &NAMES);
        quota_is(&guest, "100", "it is in its second week").await;
        fleet.host_converged(HOST, "the row was read back").await;

        declare(&fleet, "week_3").await;
        quota_is(&guest, "250", "the next phase began").await;
        fleet
            .host_converged(HOST, "the row of the next phase was read back")
            .await;

        let before = repairs(&fleet).await;
        ask(&guest, "UPDATE mw_delivery_server SET daily_quota = 9999").unwrap();
        quota_is(&guest, "250", "somebody had changed it").await;
        wait_for("the cluster was told that it was put back", async || {
            let now = repairs(&fleet).await;
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
        fleet.host_converged(HOST, "the row is as it was").await;
        two_plans_are_none(&fleet, &guest).await;
    });
}

/// What the application's own plan claims is told, held and explained until it is gone; the quota stays ours.
async fn two_plans_are_none(fleet: &Fleet, guest: &Guest) {
    let operator = Operator::of(fleet);
    let words = "MailWizz on mailwizz1 runs its own warm-up plan 7 on this server";
    let told = || operator.answer(&["warmup", "status"]).to_string();
    assert!(!told().contains(words));
    let set = "UPDATE mw_delivery_server SET warmup_plan_id = 7, daily_quota = 4000";
    ask(guest, set).unwrap();
    quota_is(guest, "250", "the other plan sets it as well").await;
    fleet.host_says(HOST, "column warmup_plan_id holds 7").await;
    wait_for("the warm-up says that it is held", async || {
        let told = told();
        if told.contains(words) {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
    let explained: Value = operator.answer(&["explain", "ip", IDENTITY]);
    assert!(
        explained
            .to_string()
            .contains("goes no further while MailWizz runs a plan of its own"),
        "{explained}"
    );
    ask(guest, "UPDATE mw_delivery_server SET warmup_plan_id = NULL").unwrap();
    wait_for("it is not held any more", async || {
        let told = told();
        if told.contains(words) {
            Err(told)
        } else {
            Ok(())
        }
    })
    .await;
    fleet.host_converged(HOST, "the other plan is gone").await;
    // An application from before such plans.
    ask(
        guest,
        "ALTER TABLE mw_delivery_server DROP COLUMN warmup_plan_id",
    )
    .unwrap();
    ask(guest, "UPDATE mw_delivery_server SET daily_quota = 1").unwrap();
    quota_is(guest, "250", "without the column as well").await;
    fleet.host_converged(HOST, "nobody claims it").await;
}
