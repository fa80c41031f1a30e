//! `dnsbl` and `listings`: lists of bad senders, and who is on them.

mod replies;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{
    ListKeyRequest, ListTestRequest, ListTestView, ListView, ListingClass, ListingView, SweepView,
};
use email_engine_protocol::id::ListId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text};
use crate::private_file;

/// Arguments of `dnsbl`.
#[derive(Args, Debug)]
#[command(after_help = "\
Every few hours all identities are looked up on all lists that are configured. What two nodes (or two
resolvers) saw ten minutes apart is confirmed; what is not understood is unknown, neither listed nor clean.

Examples:
  email-engine dnsbl zones                        which lists there are, and how they answer
  email-engine dnsbl key spamhaus-zen --from-file key.txt
  email-engine dnsbl sweep                        look everybody up now
  email-engine dnsbl test 192.0.2.7               what lists say now, written down nowhere
  email-engine listings --all                     who is and was on which list
  email-engine listings --replies                 what receivers said of lists")]
pub(crate) struct Dnsbl {
    #[command(subcommand)]
    command: DnsblCommand,
}

#[derive(Debug, Subcommand)]
enum DnsblCommand {
    /// List the lists: which are configured, which answer as they must
    Zones,
    /// Look everybody up now
    Sweep {
        /// Only show how far the last one is
        #[arg(long)]
        show: bool,
    },
    /// Ask all lists about an address or a name now, through the resolver of the node that answers
    Test {
        /// Such as 192.0.2.7 or mail1.example.com
        subject: String,
    },
    /// Give the cluster the key of a list; the file is private (mode 0600) and holds the key alone
    Key {
        /// Such as spamhaus-zen
        list: ListId,
        /// Where it is read from
        #[arg(long, value_name = "FILE")]
        from_file: PathBuf,
    },
}

/// Arguments of `listings`.
#[derive(Args, Debug)]
pub(crate) struct Listings {
    /// Those that are over as well
    #[arg(long)]
    all: bool,
    /// Receivers' replies that name lists instead: minutes after one the list is asked about the identity
    #[arg(long)]
    replies: bool,
}

pub(crate) async fn run(desk: &Desk, arguments: Dnsbl) -> Result<Exit, Failure> {
    match arguments.command {
        DnsblCommand::Zones => {
            let lists = desk.client.lists().await?;
            desk.output.show(&lists, |output| zones(output, &lists))?;
        }
        DnsblCommand::Sweep { show } => {
            let sweep = match show {
                true => desk.client.sweep().await?,
                false => desk.client.begin_sweep().await?,
            };
            desk.output
                .show(&sweep, |output| progress(output, &sweep))?;
        }
        DnsblCommand::Test { subject } => {
            let tests = desk.client.test_lists(&ListTestRequest { subject }).await?;
            desk.output
                .show(&tests, |output| verdicts(output, &tests))?;
        }
        DnsblCommand::Key { list, from_file } => {
            let text = private_file::read(&from_file)?;
            let value = text.trim_end_matches(['\r', '\n']).to_owned();
            let view = desk
                .client
                .set_list_key(&list, &ListKeyRequest { value })
                .await?;
            desk.output
                .show(&view, |_| format!("{} has a key.", view.name))?;
        }
    }
    Ok(Exit::Success)
}

pub(crate) async fn listings(desk: &Desk, arguments: &Listings) -> Result<Exit, Failure> {
    if arguments.replies {
        return replies::show(desk, arguments.all).await;
    }
    let listings = desk.client.listings(arguments.all).await?;
    desk.output
        .show(&listings, |output| listed(output, &listings))?;
    Ok(Exit::Success)
}

fn zones(output: &Output, lists: &[ListView]) -> String {
    let mut table = output.table(&["LIST", "NAME", "ASKED WITH", "STATE", "SINCE"]);
    for list in lists {
        let (mood, state, since) = match (&list.missing, &list.trouble, list.healthy_at) {
            (Some(missing), _, _) => (Mood::Plain, format!("not configured: {missing}"), None),
            (None, Some(trouble), _) => (
                Mood::Bad,
                format!("unknown: {trouble}"),
                list.unhealthy_since,
            ),
            (None, None, Some(at)) => (Mood::Good, "healthy".to_owned(), Some(at)),
            (None, None, None) => (Mood::Plain, "not asked yet".to_owned(), None),
        };
        table.add_row(vec![
            output.mood(list.id.as_str(), Mood::Plain),
            output.mood(&list.name, Mood::Plain),
            output.mood(&list.kind, Mood::Plain),
            output.mood(&state, mood),
            output.mood(&or_dash(since.as_ref()), Mood::Plain),
        ]);
    }
    let answer = lists
        .iter()
        .filter(|list| list.configured && list.trouble.is_none());
    let answer = answer.filter(|list| list.healthy_at.is_some()).count();
    format!(
        "{}\n\n{answer} of {} lists answer",
        text(&table),
        lists.len()
    )
}

fn progress(output: &Output, sweep: &SweepView) -> String {
    let mut table = output.table(&["LIST", "NODE", "SUBJECTS", "LISTED", "UNKNOWN", "STATE"]);
    for one in &sweep.lists {
        let (mood, state) = match (&one.at, &one.trouble) {
            (None, _) => (Mood::Underway, "under way".to_owned()),
            (Some(_), Some(trouble)) => (Mood::Bad, format!("unknown: {trouble}")),
            (Some(at), None) => (Mood::Good, at.to_string()),
        };
        table.add_row(vec![
            output.mood(one.list.as_str(), Mood::Plain),
            output.mood(&or_dash(one.node.as_ref()), Mood::Plain),
            output.mood(&one.subjects.to_string(), Mood::Plain),
            output.mood(&one.listed.to_string(), Mood::Plain),
            output.mood(&one.unknown.to_string(), Mood::Plain),
            output.mood(&state, mood),
        ]);
    }
    format!(
        "Sweep {} of {}\n{}",
        sweep.number,
        sweep.began_at,
        text(&table)
    )
}

fn verdicts(output: &Output, tests: &[ListTestView]) -> String {
    let mut table = output.table(&["LIST", "VERDICT", "CLASS", "WHY", "IN ITS WORDS"]);
    for test in tests {
        let mood = match &*test.verdict {
            "clean" => Mood::Good,
            "listed" => Mood::Bad,
            _ => Mood::Plain,
        };
        table.add_row(vec![
            output.mood(test.list.as_str(), Mood::Plain),
            output.mood(&test.verdict, mood),
            output.mood(test.class.map_or("-", ListingClass::as_str), Mood::Plain),
            output.mood(&test.detail, Mood::Plain),
            output.mood(test.reason.as_deref().unwrap_or("-"), Mood::Plain),
        ]);
    }
    text(&table)
}

fn listed(output: &Output, listings: &[ListingView]) -> String {
    if listings.is_empty() {
        return "Nobody is on any list, as far as lists answer (`email-engine dnsbl zones`)."
            .to_owned();
    }
    let mut table = output.table(&[
        "SUBJECT",
        "LIST",
        "CLASS",
        "STATE",
        "FIRST SEEN",
        "LAST SEEN",
        "WHY",
        "DELIST",
    ]);
    for one in listings {
        let (mood, state) = match (one.confirmed_at, one.cleared_at) {
            (_, Some(at)) => (Mood::Good, format!("over since {at}")),
            (Some(at), None) => (Mood::Bad, format!("confirmed {at}")),
            (None, None) => (Mood::Underway, "to be confirmed".to_owned()),
        };
        table.add_row(vec![
            output.mood(&one.subject, Mood::Plain),
            output.mood(one.list.as_str(), Mood::Plain),
            output.mood(one.class.as_str(), Mood::Plain),
            output.mood(&state, mood),
            output.mood(&one.first_seen.to_string(), Mood::Plain),
            output.mood(&one.last_seen.to_string(), Mood::Plain),
            output.mood(one.reason.as_deref().unwrap_or(&one.meaning), Mood::Plain),
            output.mood(one.delist.as_deref().unwrap_or("-"), Mood::Plain),
        ]);
    }
    text(&table)
}
