//! `failover` and `breaker`: what becomes of listed identities, and what keeps the fleet from doing it by itself.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{
    BreakerView, FailoverPlan, FailoverView, HeldCampaignView, ListingEventView, SearchView, Why,
};
use email_engine_protocol::id::{ListId, TenantId};

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text, word};

/// Arguments of `failover`.
#[derive(Args, Debug)]
#[command(after_help = "\
An identity that two nodes (or two resolvers) saw on a list that weighs is taken out at once, and another of
its tenant takes its place: who is in reserve first, then who is on the bench. That is done by itself within
narrow bounds: one promotion a day and two a week for each tenant, two an hour for the fleet.

Examples:
  email-engine failover                                  what was done, and what stands against more
  email-engine failover plan --listed 192.0.2.7          what would happen
  email-engine failover freeze --tenant client-1 --why 'we move to other addresses'
  email-engine failover thaw --tenant client-1 --why 'moved'
  email-engine failover believe psbl --why 'they did send that'")]
pub(crate) struct Failover {
    #[command(subcommand)]
    command: Option<FailoverCommand>,
}

#[derive(Debug, Subcommand)]
enum FailoverCommand {
    /// Show what was done, and what stands against more (the default)
    Status {
        /// So many of the last events
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
    /// Show what would happen if an identity were listed now
    Plan {
        /// Its address
        #[arg(long, value_name = "ADDRESS")]
        listed: IpAddr,
    },
    /// Promote nobody for a tenant by itself; listed identities are taken out all the same
    Freeze(Turn),
    /// Promote again
    Thaw(Turn),
    /// Believe a list that named too many at once: what it says counts again
    Believe {
        /// Such as psbl
        list: ListId,
        /// Why; goes to the audit
        #[arg(long, value_name = "REASON")]
        why: String,
    },
}

#[derive(Args, Debug)]
struct Turn {
    /// Whose identities
    #[arg(long)]
    tenant: TenantId,
    /// Why; goes to the audit
    #[arg(long, value_name = "REASON")]
    why: String,
}

/// Arguments of `breaker`.
#[derive(Args, Debug)]
#[command(after_help = "\
A tenant's breaker opens when its promotions are spent, when more than a fifth and at least two of its
identities are in quarantine, or when too many complain. Its bulk mail is paused until somebody looks.

Examples:
  email-engine breaker
  email-engine breaker release --tenant client-1 --why 'the list was cleaned'")]
pub(crate) struct Breaker {
    #[command(subcommand)]
    command: Option<BreakerCommand>,
}

#[derive(Debug, Subcommand)]
enum BreakerCommand {
    /// Show breakers that are open, or were (the default)
    Status,
    /// Let a tenant go on
    Release(Turn),
}

pub(crate) async fn run(desk: &Desk, arguments: Failover) -> Result<Exit, Failure> {
    let command = arguments
        .command
        .unwrap_or(FailoverCommand::Status { limit: 20 });
    let view = match command {
        FailoverCommand::Plan { listed } => {
            let plan = desk.client.failover_plan(listed).await?;
            desk.output.show(&plan, |output| planned(output, &plan))?;
            return Ok(Exit::Success);
        }
        FailoverCommand::Status { limit } => desk.client.failover(usize::from(limit)).await?,
        FailoverCommand::Freeze(Turn { tenant, why }) => {
            let why = Why { reason: why };
            desk.client.turn_failover(&tenant, "freeze", &why).await?
        }
        FailoverCommand::Thaw(Turn { tenant, why }) => {
            let why = Why { reason: why };
            desk.client.turn_failover(&tenant, "thaw", &why).await?
        }
        FailoverCommand::Believe { list, why } => {
            let why = Why { reason: why };
            desk.client.believe_list(&list, &why).await?
        }
    };
    desk.output.show(&view, |output| status(output, &view))?;
    Ok(Exit::Success)
}

pub(crate) async fn breaker(desk: &Desk, arguments: Breaker) -> Result<Exit, Failure> {
    let view = match arguments.command.unwrap_or(BreakerCommand::Status) {
        BreakerCommand::Status => desk.client.failover(1).await?,
        BreakerCommand::Release(Turn { tenant, why }) => {
            let why = Why { reason: why };
            desk.client.release_breaker(&tenant, &why).await?
        }
    };
    let breakers = view.breakers;
    desk.output
        .show(&breakers, |output| breakers_of(output, &breakers))?;
    Ok(Exit::Success)
}

fn status(output: &Output, view: &FailoverView) -> String {
    let mut parts = Vec::new();
    for frozen in &view.frozen {
        parts.push(format!(
            "{}: frozen since {} by {}: {}",
            frozen.tenant, frozen.since, frozen.by, frozen.reason
        ));
    }
    for brake in &view.brakes {
        let state = match (brake.believed_at, &brake.believed_reason) {
            (Some(at), Some(reason)) => format!("believed since {at}: {reason}"),
            _ => "nothing is done because of it".to_owned(),
        };
        parts.push(format!(
            "{}: named {} addresses at once, {}; {state}",
            brake.list, brake.addresses, brake.since
        ));
    }
    if view.breakers.iter().any(|one| one.open_since.is_some()) {
        parts.push(breakers_of(output, &view.breakers));
    }
    parts.extend(held(view));
    parts.push(events_of(output, &view.events));
    parts.join("\n")
}

/// Campaigns that stand still, each with what it waits for.
fn held(view: &FailoverView) -> Vec<String> {
    let line = |one: &HeldCampaignView| {
        format!(
            "{}: campaign {} ({}) stands still on {} since {}: none of its servers takes mail ({})",
            one.tenant,
            one.name,
            one.uid,
            one.host,
            one.since,
            one.servers.join(", ")
        )
    };
    let mut lines: Vec<_> = view.held_campaigns.iter().map(line).collect();
    let more = view.held_campaigns_more;
    if more > 0 {
        lines.push(format!("and {more} more campaigns stand still"));
    }
    lines
}

fn events_of(output: &Output, events: &[ListingEventView]) -> String {
    if events.is_empty() {
        return "Nobody was taken out because of a list.".to_owned();
    }
    let mut table = output.table(&[
        "EVENT",
        "AT",
        "TENANT",
        "LISTED",
        "ON",
        "LOST",
        "REPLACED BY",
    ]);
    for event in events {
        let lists: Vec<_> = event.lists.iter().map(|on| on.list.to_string()).collect();
        let (mood, search) = search(&event.search);
        table.add_row(vec![
            output.mood(&event.id.to_string(), Mood::Plain),
            output.mood(&event.at.to_string(), Mood::Plain),
            output.mood(event.tenant.as_str(), Mood::Plain),
            output.mood(&event.address.to_string(), Mood::Plain),
            output.mood(&lists.join(", "), Mood::Plain),
            output.mood(&event.lost.to_string(), Mood::Plain),
            output.mood(&search, mood),
        ]);
    }
    text(&table)
}

fn search(search: &SearchView) -> (Mood, String) {
    match search {
        SearchView::NothingLost => (Mood::Plain, "- (it did not send)".to_owned()),
        SearchView::Open { obstacle, .. } => match obstacle {
            Some(why) => (Mood::Bad, format!("nobody yet: {why}")),
            None => (Mood::Underway, "is sought".to_owned()),
        },
        SearchView::Replaced {
            by,
            restores_percent,
            ..
        } => (Mood::Good, format!("{by} ({restores_percent} %)")),
        SearchView::Ended { why, .. } => (Mood::Bad, format!("nobody: {why}")),
    }
}

fn breakers_of(output: &Output, breakers: &[BreakerView]) -> String {
    if breakers.is_empty() {
        return "No breaker is open, and none was.".to_owned();
    }
    let mut table = output.table(&["TENANT", "STATE", "SINCE", "WHY", "PAUSED"]);
    for one in breakers {
        let (mood, state, since, why) = match one.open_since {
            Some(since) => (Mood::Bad, "open", Some(since), one.cause.as_deref()),
            None => (
                Mood::Good,
                "released",
                one.released_at,
                one.released_reason.as_deref(),
            ),
        };
        let paused: Vec<_> = one.paused.iter().map(word).collect();
        table.add_row(vec![
            output.mood(one.tenant.as_str(), Mood::Plain),
            output.mood(state, mood),
            output.mood(&or_dash(since.as_ref()), Mood::Plain),
            output.mood(why.unwrap_or("-"), Mood::Plain),
            output.mood(&paused.join(", "), Mood::Plain),
        ]);
    }
    text(&table)
}

fn planned(output: &Output, plan: &FailoverPlan) -> String {
    let address = plan.address;
    let status = plan.status.as_str();
    if !plan.taken_out {
        return format!("{address} is {status}: a listing changes nothing.");
    }
    let mut lines = vec![format!(
        "{address} of {} is {status}: it would be taken out, and {} mails a day lost.",
        plan.tenant, plan.lost
    )];
    lines.extend(plan.opens_breaker.clone());
    if plan.lost == 0 {
        return lines.join("\n");
    }
    match (&plan.obstacle, plan.candidates.iter().find(|one| one.fits)) {
        (Some(obstacle), _) => lines.push(format!("Nobody would take its place: {obstacle}.")),
        (None, Some(first)) => lines.push(format!(
            "{} ({}) would take its place, when no list has it, and restore {} %.",
            first.address, first.domain, first.restores_percent
        )),
        (None, None) => lines.push("Nobody could take its place.".to_owned()),
    }
    if !plan.candidates.is_empty() {
        let mut table =
            output.table(&["CANDIDATE", "STATUS", "PHASE", "SENDS", "RESTORES", "FITS"]);
        for one in &plan.candidates {
            let reserve = if one.reserve { " in reserve" } else { "" };
            let (mood, fits) = match &one.why {
                None => (Mood::Good, "yes".to_owned()),
                Some(why) => (Mood::Bad, why.clone()),
            };
            table.add_row(vec![
                output.mood(&one.address.to_string(), Mood::Plain),
                output.mood(&format!("{}{reserve}", one.status.as_str()), Mood::Plain),
                output.mood(&word(&one.phase), Mood::Plain),
                output.mood(&word(&one.purpose), Mood::Plain),
                output.mood(&format!("{} %", one.restores_percent), Mood::Plain),
                output.mood(&fits, mood),
            ]);
        }
        lines.push(text(&table));
    }
    lines.join("\n")
}
