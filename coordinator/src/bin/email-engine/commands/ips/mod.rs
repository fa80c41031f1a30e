//! `ips` and `domains`: sending identities, each with its own domain.

pub(crate) mod add;
mod explain;
mod turns;

use std::net::IpAddr;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{DomainView, IpDocument, IpSpec, IpStatus, IpView, LeavingView};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::observed::Observed;
use email_engine_protocol::time::Timestamp;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, row, text, word};
use crate::prompt::{self, Reply};

use add::Add;
pub(crate) use explain::{Explain, explain};

/// Arguments of `ips`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine ips list
  email-engine ips show 192.0.2.7
  email-engine ips add 192.0.2.7 --domain mail7.example.com --tenant client-1
  email-engine ips state-dns 192.0.2.7 --valid all --reason 'looked with dig'
  email-engine ips activate 192.0.2.7               warms up, once what must be seen was seen
  email-engine ips quarantine 192.0.2.7 --list spamhaus-zen
  email-engine ips release 192.0.2.7                from quarantine to rest, from rest to the bench
  email-engine ips remove 192.0.2.7
  email-engine ips remove 192.0.2.7 --last          although nobody else serves its purpose
  email-engine ips leaving                          what is left in queues of those removed")]
pub(crate) struct Ips {
    #[command(subcommand)]
    command: Option<IpsCommand>,
}

#[derive(Debug, Subcommand)]
enum IpsCommand {
    #[command(flatten)]
    Turn(turns::Turn),
    /// Add one identity; its DKIM key is made by the cluster
    Add(Box<Add>),
    /// List all identities (the default)
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// List identities that are gone and drain: virtual MTAs stay until their queues are empty
    Leaving,
    /// Remove (retire) one identity; its virtual MTA and key stay on the host until its queue is empty
    #[command(visible_alias = "retire")]
    Remove {
        /// Its address
        address: IpAddr,
        /// Although nobody else serves its tenant for its purpose; refused otherwise
        #[arg(long)]
        last: bool,
        /// Do not wait for its queue: what is left in it may bounce
        #[arg(long)]
        now: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show one identity
    Show {
        /// Its address
        address: IpAddr,
    },
}

pub(crate) async fn run(desk: &Desk, arguments: Ips) -> Result<Exit, Failure> {
    match arguments
        .command
        .unwrap_or(IpsCommand::List { tenant: None })
    {
        IpsCommand::List { tenant } => {
            let ips = desk.client.ips(tenant.as_ref()).await?;
            let mut leaving = desk.client.leaving().await?;
            leaving.retain(|one| {
                tenant
                    .as_ref()
                    .is_none_or(|tenant| one.ip.tenant == *tenant)
            });
            desk.output
                .show(&ips, |output| table(output, &ips, &leaving))?;
        }
        IpsCommand::Turn(turn) => return turns::run(desk, turn).await,
        IpsCommand::Show { address } => {
            let ip = desk.client.ip(&address.to_string()).await?;
            desk.output.show(&ip, |_| details(&ip))?;
        }
        IpsCommand::Add(add) => {
            let address = add.address;
            let added = desk.client.add_ip(&IpDocument::from(*add)).await?;
            desk.output.note(&format!(
                "Identity {address} added. DNS records to publish:"
            ));
            desk.output.show(&added, |_| {
                let records: Vec<_> = added.iter().map(records).collect();
                records.join("\n")
            })?;
        }
        IpsCommand::Leaving => {
            let leaving = desk.client.leaving().await?;
            desk.output
                .show(&leaving, |output| drains(output, &leaving))?;
        }
        IpsCommand::Remove {
            address,
            last,
            now,
            yes,
        } => {
            // What drains is no identity any more: there is nothing to be planned.
            if !now {
                let planned = desk.client.plan_removal(&address.to_string()).await?;
                for warning in &planned.warnings {
                    desk.output.note(&format!("warning: {warning}"));
                }
            }
            let question = match now {
                true => format!("Remove {address} at once, with what is left in its queue?"),
                false => format!("Remove {address} and its DKIM key?"),
            };
            match prompt::confirm(&question, yes) {
                Reply::Yes => {}
                Reply::No => return Err(refused("not confirmed: nothing was changed")),
                Reply::Nobody => {
                    return Err(refused(
                        "a key would be lost and there is no terminal to ask on: say --yes",
                    ));
                }
            }
            remove(desk, address, last, now).await?;
        }
    }
    Ok(Exit::Success)
}

async fn remove(desk: &Desk, address: IpAddr, last: bool, now: bool) -> Result<(), Failure> {
    if now {
        let given_up = desk.client.give_up_ip(&address.to_string(), last).await?;
        for warning in &given_up.warnings {
            desk.output.note(&format!("warning: {warning}"));
        }
        let left = given_up.messages.map_or_else(
            || "how many messages were left in its queue is not known".to_owned(),
            |messages| format!("{messages} messages were left in its queue"),
        );
        let said = |_: &Output| format!("Identity {address} removed at once; {left}.");
        return Ok(desk.output.show(&given_up, said)?);
    }
    let answer = desk.client.remove_ip(&address.to_string(), last).await?;
    let said = |_: &Output| {
        format!(
            "Identity {address} removed. Its virtual MTA takes nothing new and goes when its queue is \
             empty: email-engine ips leaving"
        )
    };
    Ok(desk.output.show(&answer, said)?)
}

fn refused(text: &str) -> Failure {
    Failure::new(Exit::Failure, text)
}

fn table(output: &Output, ips: &[IpView], leaving: &[LeavingView]) -> String {
    let mut table = output.table(&[
        "ADDRESS",
        "DOMAIN",
        "TENANT",
        "HOST",
        "PURPOSE",
        "STATUS",
        "SINCE",
        "PHASE",
        "WEIGHT",
        "QUOTA/DAY",
    ]);
    let mut add = |ip: &IpSpec, (status, mood): (String, Mood), since, weight: u8, quota: u32| {
        table.add_row(vec![
            output.mood(&ip.address, Mood::Plain),
            output.mood(&ip.domain, Mood::Plain),
            output.mood(&ip.tenant, Mood::Plain),
            output.mood(&ip.host, Mood::Plain),
            output.mood(&word(&ip.purpose), Mood::Plain),
            output.mood(&status, mood),
            output.mood(&day(since), Mood::Plain),
            output.mood(&word(&ip.phase), Mood::Plain),
            output.mood(&weight, Mood::Plain),
            output.mood(&quota, Mood::Plain),
        ]);
    };
    for ip in ips {
        let spec = &ip.spec;
        let reserve = if spec.reserve { ", reserve" } else { "" };
        let status = format!("{}{reserve}", word(&spec.status));
        let status = (status, mood(spec.status));
        add(spec, status, ip.since, ip.weight, ip.daily_quota);
    }
    for one in leaving {
        let status = (format!("leaving, {}", left(one)), Mood::Underway);
        add(&one.ip, status, one.since, 0, 0);
    }
    text(&table)
}

fn drains(output: &Output, leaving: &[LeavingView]) -> String {
    let mut table = output.table(&["ADDRESS", "VIRTUAL MTA", "HOST", "SINCE", "QUEUE"]);
    for one in leaving {
        table.add_row(row([
            one.ip.address.to_string(),
            one.ip.vmta.to_string(),
            one.ip.host.to_string(),
            one.since.to_string(),
            left(one),
        ]));
    }
    text(&table)
}

/// The day of a moment: a table is for looking at many.
fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

/// What is left in a queue.
fn left(one: &LeavingView) -> String {
    match &one.messages {
        None => "not known yet".to_owned(),
        Some(Observed::Known { value, .. }) => format!("{value} left"),
        Some(Observed::Unknown { reason, .. }) => format!("not known: {reason}"),
    }
}

const fn mood(status: IpStatus) -> Mood {
    match status {
        IpStatus::Active => Mood::Good,
        IpStatus::Quarantine => Mood::Bad,
        IpStatus::Warming => Mood::Underway,
        IpStatus::Resting | IpStatus::Retiring | IpStatus::Standby => Mood::Plain,
    }
}

fn details(view: &IpView) -> String {
    let ip = &view.spec;
    let sent = view
        .last_sent
        .map_or_else(|| "not known".to_owned(), |at| at.to_string());
    [
        ("Address", ip.address.to_string()),
        ("Domain", ip.domain.to_string()),
        ("Hostname", ip.hostname.to_string()),
        ("Tenant", ip.tenant.to_string()),
        ("Host", ip.host.to_string()),
        (
            "Sender",
            format!("{} <{}>", ip.display_name, ip.sender_address()),
        ),
        ("Return path", ip.return_address().to_string()),
        ("Purpose", word(&ip.purpose)),
        ("Pool", ip.pool.to_string()),
        ("Virtual MTA", ip.vmta.to_string()),
        (
            "DKIM record",
            format!("{}._domainkey.{}", ip.selector, ip.domain),
        ),
        ("Zone", ip.zone.to_string()),
        ("Status", word(&ip.status)),
        ("Phase", word(&ip.phase)),
        ("Reserve", if ip.reserve { "yes" } else { "no" }.to_owned()),
        ("Since", view.since.to_string()),
        ("Mail left last", sent),
        ("Resumes at", word(&view.resumes_at)),
        ("Weight", view.weight.to_string()),
        ("Quota a day", view.daily_quota.to_string()),
        ("Planned a day", ip.planned_daily.to_string()),
    ]
    .iter()
    .map(|(name, value)| format!("{name:<14} {value}"))
    .collect::<Vec<_>>()
    .join("\n")
}

/// Arguments of `domains`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine domains
  email-engine domains show mail1.example.com       the DNS records to publish")]
pub(crate) struct Domains {
    #[command(subcommand)]
    command: Option<DomainsCommand>,
}

#[derive(Debug, Subcommand)]
enum DomainsCommand {
    /// List all sending domains (the default)
    List,
    /// Show the DNS records that a domain needs
    Show {
        /// The domain
        domain: DomainName,
    },
}

pub(crate) async fn domains(desk: &Desk, arguments: Domains) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(DomainsCommand::List) {
        DomainsCommand::List => {
            let domains = desk.client.domains().await?;
            desk.output.show(&domains, |output| {
                let mut table = output.table(&["DOMAIN", "ADDRESS", "TENANT", "ZONE", "RECORDS"]);
                for view in &domains {
                    table.add_row(row([
                        view.domain.to_string(),
                        view.ip.address.to_string(),
                        view.ip.tenant.to_string(),
                        view.ip.zone.to_string(),
                        view.records.len().to_string(),
                    ]));
                }
                text(&table)
            })?;
        }
        DomainsCommand::Show { domain } => {
            let view = desk.client.domain(domain.as_str()).await?;
            desk.output.show(&view, |_| records(&view))?;
        }
    }
    Ok(Exit::Success)
}

/// As a zone file has them: names and values may be copied as they are.
pub(crate) fn records(view: &DomainView) -> String {
    view.records
        .iter()
        .map(|record| {
            let until = record
                .until
                .map(|until| format!("\t; may go from {until} on"));
            let until = until.unwrap_or_default();
            format!(
                "{}.\tIN\t{}\t{}{until}",
                record.name, record.kind, record.value
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}
