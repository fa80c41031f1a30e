//! `warmup`: where identities stand in their warm-up, and what an operator says about it.

pub(crate) mod select;
mod simulate;

use std::net::IpAddr;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{IpStatus, PauseRequest, ResumeRequest, WarmupView};
use email_engine_protocol::id::TenantId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text, word};

use simulate::Simulate;

/// Arguments of `warmup`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine warmup status
  email-engine warmup status 192.0.2.7               with the rates and reasons of its last verdict
  email-engine warmup pause 192.0.2.7 --days 3       half its quota
  email-engine warmup resume 192.0.2.7 --why 'the list was cleaned'
  email-engine warmup simulate --identities 50 --days 60
  email-engine warmup simulate --tenant client-1 --target 100000 --lose 2 --on 10")]
pub(crate) struct Warmup {
    #[command(subcommand)]
    command: Option<WarmupCommand>,
}

#[derive(Debug, Subcommand)]
enum WarmupCommand {
    /// Send half of an identity's quota for some days
    Pause {
        /// Its address
        address: IpAddr,
        /// For how many days; as many as after a broken line when absent
        #[arg(long)]
        days: Option<u32>,
    },
    /// Let an identity go on that is stopped or paused
    Resume {
        /// Its address
        address: IpAddr,
        /// What was wrong and is mended; goes to the audit
        #[arg(long, value_name = "REASON")]
        why: String,
    },
    /// Show how a pool will grow when nothing goes wrong; without --tenant no cluster is asked
    Simulate(Simulate),
    /// Show where identities stand (the default)
    Status {
        /// One of them, in full
        address: Option<IpAddr>,
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

pub(crate) async fn run(
    output: &Output,
    desk: impl Fn() -> Result<Desk, Failure>,
    arguments: Warmup,
) -> Result<Exit, Failure> {
    let command = arguments.command.unwrap_or(WarmupCommand::Status {
        address: None,
        tenant: None,
    });
    match command {
        WarmupCommand::Pause { address, days } => {
            let request = PauseRequest { days };
            let client = desk()?.client;
            let view = client.pause_warmup(&address.to_string(), &request).await?;
            output.show(&view, |output| details(output, &view))?;
        }
        WarmupCommand::Resume { address, why } => {
            let request = ResumeRequest { reason: why };
            let client = desk()?.client;
            let view = client.resume_warmup(&address.to_string(), &request).await?;
            output.show(&view, |output| details(output, &view))?;
        }
        WarmupCommand::Simulate(simulate) => simulate.run(output, desk).await?,
        WarmupCommand::Status {
            address: Some(address),
            ..
        } => {
            let view = desk()?.client.warmup(&address.to_string()).await?;
            output.show(&view, |output| details(output, &view))?;
        }
        WarmupCommand::Status {
            address: None,
            tenant,
        } => {
            let mut views = desk()?.client.warmups().await?;
            views.retain(|view| tenant.as_ref().is_none_or(|tenant| view.tenant == *tenant));
            output.show(&views, |output| table(output, &views))?;
        }
    }
    Ok(Exit::Success)
}

fn table(output: &Output, views: &[WarmupView]) -> String {
    let mut table = output.table(&[
        "ADDRESS",
        "TENANT",
        "PURPOSE",
        "STATUS",
        "PHASE",
        "SINCE",
        "QUOTA/DAY",
        "CAP/DAY",
        "COMPLAINTS",
        "STATE",
    ]);
    for view in views {
        let since = view.plan.phase_started_at.to_string();
        let (state, mood) = state(view);
        let (complaints, measured) = complaints(view);
        table.add_row(vec![
            output.mood(&view.address, Mood::Plain),
            output.mood(&view.tenant, Mood::Plain),
            output.mood(&word(&view.purpose), Mood::Plain),
            output.mood(&word(&view.status), Mood::Plain),
            output.mood(&word(&view.plan.phase), Mood::Plain),
            output.mood(since.split('T').next().unwrap_or_default(), Mood::Plain),
            output.mood(&view.daily_quota, Mood::Plain),
            output.mood(&view.attempts_cap, Mood::Plain),
            output.mood(&complaints, measured),
            output.mood(&state, mood),
        ]);
    }
    text(&table)
}

/// How it goes, in a word and its first reason.
fn state(view: &WarmupView) -> (String, Mood) {
    let first = view.reasons.first().map_or("", String::as_str);
    if !matches!(view.status, IpStatus::Active | IpStatus::Warming) {
        return ("-".to_owned(), Mood::Plain);
    }
    if view.plan.stopped.is_some() {
        return (format!("stopped: {first}"), Mood::Bad);
    }
    if view.weight == 0 {
        return (format!("held back: {first}"), Mood::Bad);
    }
    if view.plan.paused_until.is_some() {
        return (format!("paused: {first}"), Mood::Underway);
    }
    match &view.plan.verdict {
        Some(verdict) => (format!("{}: {first}", word(&verdict.step)), Mood::Plain),
        None => ("not judged yet".to_owned(), Mood::Plain),
    }
}

/// What nobody measures is no good sign.
fn complaints(view: &WarmupView) -> (String, Mood) {
    let sends = matches!(view.status, IpStatus::Active | IpStatus::Warming);
    match &view.plan.rates.complaints {
        _ if !sends => ("-".to_owned(), Mood::Plain),
        Some(rate) => (rate.to_string(), Mood::Plain),
        None => ("unmeasured".to_owned(), Mood::Bad),
    }
}

fn details(output: &Output, view: &WarmupView) -> String {
    let plan = &view.plan;
    let complaints = match complaints(view) {
        (word, Mood::Bad) => {
            output.line(&format!("{word}: no feedback loop is enrolled"), Mood::Bad)
        }
        (word, _) => word,
    };
    let blocks = plan.rates.blocks.as_ref().map_or_else(
        || "none".to_owned(),
        |(group, rate)| format!("{rate}, at {group}"),
    );
    let or_none = |at: Option<String>| at.unwrap_or_else(|| "-".to_owned());
    let mut lines = vec![
        ("Address", view.address.to_string()),
        ("Tenant", view.tenant.to_string()),
        ("Status", word(&view.status)),
        (
            "Phase",
            format!("{} since {}", word(&plan.phase), plan.phase_started_at),
        ),
        (
            "Quota a day",
            format!("{} of {} reached", view.daily_quota, plan.reached),
        ),
        ("Attempts cap", format!("{} a day", view.attempts_cap)),
        ("State", state(view).0),
        (
            "Paused until",
            or_none(plan.paused_until.map(|at| at.to_string())),
        ),
        (
            "Stopped at",
            or_none(plan.stopped.as_ref().map(|stop| stop.at.to_string())),
        ),
        (
            "Last judged",
            or_none(plan.judged_on.map(|at| at.to_string())),
        ),
        ("Bounces", plan.rates.bounces.to_string()),
        ("Complaints", complaints),
        ("Refusals", blocks),
        ("Deferrals", plan.rates.deferrals.to_string()),
        ("Used", format!("on {} of 7 days", plan.rates.used_days)),
    ];
    lines.extend(
        view.reasons
            .iter()
            .map(|reason| ("Because", reason.clone())),
    );
    let lines = lines.iter();
    lines
        .map(|(name, value)| format!("{name:<14} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use email_engine_protocol::api::{Phase, Purpose, Rate, WarmupPlan, WarmupRates};
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::output::Format;

    fn view(complaints: Option<Rate>) -> WarmupView {
        WarmupView {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            tenant: TenantId::new("client-1").unwrap(),
            purpose: Purpose::Marketing,
            status: IpStatus::Warming,
            daily_quota: 100,
            attempts_cap: 150,
            weight: 20,
            reasons: Vec::new(),
            plan: WarmupPlan {
                phase: Phase::Week2,
                phase_started_at: Timestamp(0),
                reached: 100,
                daily_quota: 100,
                paused_until: None,
                stopped: None,
                judged_on: None,
                verdict: None,
                rates: WarmupRates {
                    complaints,
                    ..WarmupRates::default()
                },
                forgiven: None,
            },
        }
    }

    #[test]
    fn complaints_that_nobody_measures_are_shown_red_and_others_as_they_are() {
        let output = Output {
            format: Format::Table,
            quiet: false,
            colour: true,
        };
        let unmeasured = view(None);
        assert_eq!(complaints(&unmeasured).1, Mood::Bad);
        let told = details(&output, &unmeasured);
        let red = "\u{1b}[31munmeasured: no feedback loop is enrolled\u{1b}[0m";
        assert!(told.contains(red), "{told:?}");
        let measured = view(Some(Rate {
            events: 1,
            of: 100,
            measured: true,
        }));
        let told = details(&output, &measured);
        assert!(told.contains("1.00 % (1 of 100)"), "{told:?}");
        assert!(!told.contains("\u{1b}[31m"), "{told:?}");
        let resting = WarmupView {
            status: IpStatus::Resting,
            ..unmeasured
        };
        assert_eq!(complaints(&resting), ("-".to_owned(), Mood::Plain));
    }
}
