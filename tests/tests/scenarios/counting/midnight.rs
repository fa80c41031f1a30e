//! A day ends, and who sent enough in the days before may send more: judged once, whoever leads, and true on the
//! hosts. The machines' clocks are set; their pace is their own.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use email_engine_tests::{Clock, Fleet, Operator, samples, wait_for, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use super::kills::senders;

/// It sends what it may, and more than half of it on every day; the other one hardly anything.
const BUSY: &str = "198.51.100.1";
const QUIET: &str = "198.51.100.2";
const DAY: u64 = 24 * 3600;
const HOSTS: [&str; 2] = ["pmta1", "mailwizz1"];

fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Three nodes and two hosts, eight days ago.
async fn a_week_ago(folder: &TempDir) -> Option<(Fleet, Arc<Clock>)> {
    let clock = Arc::new(Clock::new(folder.path())?);
    clock.show("-8d");
    let own = Arc::clone(&clock);
    let mut fleet = Fleet::prepared(3, move |_, node| {
        // As long as that and more, so that what is shown then is good now.
        node.set("CERTIFICATE_LIFE_SECONDS", "2592000");
        node.go_by(&own);
    })
    .await;
    fleet.apply(&samples::fleet(2)).await;
    fleet
        .start_prepared_agents(&HOSTS, |_, agent| {
            for (key, value) in clock.environment() {
                agent.set(key, value);
            }
        })
        .await;
    fleet.converged("eight days ago").await;
    Some((fleet, clock))
}

/// What both sent on each of the seven days before today, and one mail of today.
async fn a_week_of_mail(fleet: &Fleet) {
    let senders = senders(fleet).await;
    let mut text =
        "type,timeLogged,timeQueued,orig,rcpt,bounceCat,dlvSourceIp,vmta,queue\n".to_owned();
    let today = now() / DAY * DAY;
    for (days_ago, of_busy, of_quiet) in (1..=7).map(|ago| (ago, 80, 8)).chain([(0, 1, 1)]) {
        for sender in &senders {
            let (address, domain, vmta) = (&sender.address, &sender.domain, &sender.vmta);
            let count = if address == BUSY { of_busy } else { of_quiet };
            for second in 0..count {
                let at = today - days_ago * DAY + second;
                writeln!(
                    text,
                    "d,{at},{at},bounce@{domain},somebody@rcpt.example,,{address},{vmta},rcpt.example/{vmta}"
                )
                .unwrap();
            }
        }
    }
    let file = fleet.agents["pmta1"].file("/var/log/pmta/acct-2026-11-21-0000.csv");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

async fn plan(fleet: &Fleet, address: &str) -> Result<Value, String> {
    let path = format!("/warmup/{address}");
    Ok(fleet.api().try_get(&path).await?.body)
}

/// Waits until both were judged on a day that another one was not, and gives the plans.
async fn judged(fleet: &Fleet, before: &[Value], why: &str) -> Vec<Value> {
    wait_for(why, async || {
        let plans = [plan(fleet, BUSY).await?, plan(fleet, QUIET).await?];
        let is_news = |(at, plan): (usize, &Value)| {
            let judged_on = &plan["plan"]["judged_on"];
            judged_on.is_string() && before.get(at).is_none_or(|was| was != judged_on)
        };
        match plans.iter().enumerate().all(is_news) {
            true => Ok(plans.to_vec()),
            false => Err(format!("{plans:?}")),
        }
    })
    .await
}

fn advances(operator: &Operator) -> Vec<String> {
    let audit = operator.answer(&["audit", "--limit", "1000"]);
    let rows = audit.as_array().unwrap().iter();
    let ticks = rows.filter(|row| row["command"] == "tick-warmup");
    let objects = ticks.map(|row| row["object"].as_str().unwrap().to_owned());
    objects
        .filter(|object| object.contains("advance"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_judged_once_whoever_leads_and_the_hosts_have_what_came_of_it() {
    let folder = TempDir::new().unwrap();
    let Some((mut fleet, clock)) = a_week_ago(&folder).await else {
        return;
    };
    let operator = Operator::of(&fleet);
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let before = fs::read(&config).unwrap();
    // Nobody says that all is read before there is anything to read; and a slow machine has judged that first day.
    fleet.agents.get_mut("pmta1").unwrap().kill();
    let mut eve = Vec::new();
    for address in [BUSY, QUIET] {
        let plan = plan(&fleet, address).await.unwrap();
        eve.push(plan["plan"]["judged_on"].clone());
    }
    clock.set_right();
    let document = samples::fleet(2);
    fleet
        .api()
        .post("/fleet?override_clock=true", &document)
        .await
        .ok();
    a_week_of_mail(&fleet).await;
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    // Whoever leads is killed while the week is counted and judged.
    for _ in 0..3 {
        let leader = fleet.leader().await;
        fleet.nodes.get_mut(&leader).unwrap().kill();
        fleet.leader().await;
        fleet.nodes.get_mut(&leader).unwrap().start().await;
    }
    let first = judged(&fleet, &eve, "the days before today are judged").await;
    let phases = |plans: &[Value]| -> Vec<String> {
        let phases = plans.iter().map(|plan| plan["plan"]["phase"].as_str());
        phases.map(|phase| phase.unwrap().to_owned()).collect()
    };
    assert_eq!(phases(&first), ["week_3", "week_2"]);
    assert_eq!(
        (&first[0]["daily_quota"], &first[1]["daily_quota"]),
        (&250.into(), &100.into())
    );
    wait_until("its host lets out more", async || {
        fs::read(&config).unwrap() != before
    })
    .await;
    fleet.converged("the hosts have it").await;
    let server = "/etc/email-engine/mailwizz/delivery-servers/vmta-mail1-example-net.json";
    let server = fs::read_to_string(fleet.agents["mailwizz1"].file(server)).unwrap();
    let server: Value = serde_json::from_str(&server).unwrap();
    assert_eq!(server["daily_quota"], 250, "{server}");

    // Midnight comes, and nobody has been there for a week.
    let leader = fleet.leader().await;
    fleet.nodes.get_mut(&leader).unwrap().kill();
    let left = DAY - now() % DAY;
    clock.show(&format!("+{}", left.saturating_sub(5)));
    fleet.nodes.get_mut(&leader).unwrap().start().await;
    let days: Vec<Value> = first
        .iter()
        .map(|plan| plan["plan"]["judged_on"].clone())
        .collect();
    let second = judged(&fleet, &days, "the next day is judged").await;
    assert_eq!(phases(&second), ["week_3", "week_2"]);
    let advances = advances(&operator);
    assert_eq!(advances.len(), 1, "{advances:?}");
    assert!(advances[0].contains(BUSY), "{advances:?}");
}
