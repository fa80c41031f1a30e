//! `stats`: what was counted of mail.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use email_engine_coordinator::api::{STATISTICS_UNKNOWN as UNKNOWN, statistics_csv};
use email_engine_protocol::api::StatisticsView;
use email_engine_protocol::id::{ReceiverGroup, TenantId};
use email_engine_protocol::time::Timestamp;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output, row, text};

/// Arguments of `stats`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub(crate) struct Stats {
    /// Of one sending identity
    #[arg(long, value_name = "ADDRESS", group = "whose")]
    ip: Option<IpAddr>,
    /// Of all identities of a tenant, those that are gone included
    #[arg(long, group = "whose")]
    tenant: Option<TenantId>,
    /// Of so many days, today (UTC) included
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=400))]
    days: u32,
    /// By UTC day (400 are kept) or hour (of 14 days)
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
    /// Only of this group of receivers, such as gmail
    #[arg(long)]
    group: Option<ReceiverGroup>,
}

/// By what counts are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Hour,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

pub(crate) async fn run(desk: &Desk, arguments: &Stats) -> Result<Exit, Failure> {
    let path = match (arguments.ip, &arguments.tenant) {
        (Some(address), _) => ["ips".to_owned(), address.to_string()],
        (None, Some(tenant)) => ["tenants".to_owned(), tenant.to_string()],
        (None, None) => unreachable!("one of them is required"),
    };
    let from = first_day(arguments.days);
    let path = [&path[0][..], &path[1], "stats"];
    let by = arguments.by.as_str();
    let group = arguments.group.as_ref();
    let view = desk.client.statistics(&path, from, by, group).await?;
    if desk.output.format == Format::Csv {
        desk.output.print(statistics_csv(&view).trim_end())?;
        return Ok(Exit::Success);
    }
    desk.output.show(&view, |output| {
        let mut table = output.table(&[
            "AT",
            "RECEIVERS",
            "SENT",
            "DELIVERED",
            "BOUNCED",
            "DEFERRED",
            "COMPLAINTS",
        ]);
        for one in &view.rows {
            table.add_row(row([
                at(one.at, arguments.by),
                one.group.to_string(),
                one.sent.to_string(),
                one.delivered.to_string(),
                one.bounced.to_string(),
                one.deferred.to_string(),
                one.complaints.to_string(),
            ]));
        }
        text(&table) + &remarks(&view) + &opens(output, &view)
    })?;
    Ok(Exit::Success)
}

/// Opens and clicks by day, in a table of their own: they are not told by receivers.
fn opens(output: &Output, view: &StatisticsView) -> String {
    if view.opens.is_empty() {
        return String::new();
    }
    let told =
        |count: Option<u64>| count.map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string());
    let mut table = output.table(&["DAY", "OPENS", "CLICKS", "OF"]);
    for one in &view.opens {
        table.add_row(row([
            at(one.at, By::Day),
            told(one.opens),
            told(one.clicks),
            told(one.of),
        ]));
    }
    format!("\n\n{}", text(&table))
}

/// The beginning of the first day.
fn first_day(days: u32) -> Timestamp {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let today = since.as_secs() / 86_400;
    Timestamp(today.saturating_sub(u64::from(days) - 1) * Timestamp::DAY)
}

fn at(at: Timestamp, by: By) -> String {
    let whole = at.to_string();
    let end = match by {
        By::Day => 10,
        By::Hour => 16,
    };
    whole.get(..end).unwrap_or(&whole).to_owned()
}

/// What is to be known of the rows.
fn remarks(view: &StatisticsView) -> String {
    let gaps = view.gaps.iter().map(|gap| {
        let (host, from, to) = (&gap.host, gap.from, gap.to);
        format!("\nrecords of host {host} may be missing from {from} to {to}")
    });
    let read = match view.read_until {
        Some(at) => format!("\ncounted up to {at}"),
        None => "\nnot all hosts have told up to when they are counted".to_owned(),
    };
    gaps.chain([read]).collect()
}
