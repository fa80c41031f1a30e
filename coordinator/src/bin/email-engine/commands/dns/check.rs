//! `dns check`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;

use email_engine_protocol::api::{DnsCheckView, DnsPart, DnsVerdict, DomainView};
use email_engine_protocol::mail::DomainName;

use crate::commands::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text};

/// Between two looks at whether it is done.
const PAUSE: Duration = Duration::from_millis(300);

/// Arguments of `dns check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Only this domain's records
    #[arg(long)]
    domain: Option<DomainName>,
    /// Show what was seen last, and ask nobody
    #[arg(long)]
    last: bool,
    /// Seconds to wait for the answers
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: u64,
}

pub(super) async fn run(desk: &Desk, check: &Check) -> Result<Exit, Failure> {
    let domain = check.domain.as_ref();
    let views = match check.last {
        true => look(desk, domain).await?,
        false => {
            let asked = desk.client.dns_check(domain).await?;
            seen(desk, domain, &asked, check.wait).await?
        }
    };
    told(desk, &views)
}

/// Shows what was seen; says by the exit code whether something of it is wrong.
pub(super) fn told(desk: &Desk, views: &[DomainView]) -> Result<Exit, Failure> {
    desk.output.show(&views, |output| shown(output, views))?;
    let mut verdicts = views.iter().flat_map(|view| view.checked.dns.values());
    let is_wrong = verdicts.any(|one| matches!(one.verdict, DnsVerdict::Invalid { .. }));
    Ok(match is_wrong {
        true => Exit::Found,
        false => Exit::Success,
    })
}

async fn look(desk: &Desk, domain: Option<&DomainName>) -> Result<Vec<DomainView>, Failure> {
    Ok(match domain {
        Some(domain) => vec![desk.client.domain(domain.as_str()).await?],
        None => desk.client.domains().await?,
    })
}

/// Waits for so many seconds until those that were asked for were looked at.
pub(super) async fn seen(
    desk: &Desk,
    domain: Option<&DomainName>,
    asked: &DnsCheckView,
    wait: u64,
) -> Result<Vec<DomainView>, Failure> {
    let end = Instant::now() + Duration::from_secs(wait);
    let domains: BTreeSet<&DomainName> = asked.domains.iter().collect();
    loop {
        let views = look(desk, domain).await?;
        let is_open = |view: &&DomainView| {
            let at = view.checked.last_dns_check;
            domains.contains(&view.domain) && at.is_none_or(|at| at < asked.asked_at)
        };
        let open = views.iter().filter(is_open).count();
        if open == 0 {
            return Ok(views);
        }
        if Instant::now() >= end {
            let why = format!(
                "{open} of {} domains were not looked at within {} s; `dns check --last` shows what is known",
                asked.domains.len(),
                wait
            );
            return Err(Failure::new(Exit::Failure, why));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn shown(output: &Output, views: &[DomainView]) -> String {
    let mut table = output.table(&[
        "DOMAIN", "ADDRESS", "A", "MX", "PTR", "SPF", "DKIM", "DMARC", "SEEN",
    ]);
    for view in views {
        let seen = &view.checked;
        let cell = |known: Option<bool>| match known {
            Some(true) => output.mood("valid", Mood::Good),
            Some(false) => output.mood("invalid", Mood::Bad),
            None => output.mood("unknown", Mood::Underway),
        };
        let at = seen.last_dns_check;
        let at = at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        table.add_row(vec![
            output.mood(&view.domain, Mood::Plain),
            output.mood(&view.ip.address, Mood::Plain),
            cell(seen.a_valid),
            cell(seen.mx_valid),
            cell(seen.ptr_valid),
            cell(seen.spf_valid),
            cell(seen.dkim_valid),
            cell(seen.dmarc_valid),
            output.mood(&at, Mood::Plain),
        ]);
    }
    let mut told = text(&table);
    for view in views {
        for (part, finding) in &view.checked.dns {
            told.push_str(&words(&view.domain, *part, &finding.verdict));
            for line in &finding.publish {
                told.push_str(&format!("\n    publish: {line}"));
            }
        }
    }
    told
}

fn words(domain: &DomainName, part: DnsPart, verdict: &DnsVerdict) -> String {
    let part = part.as_str();
    match verdict {
        DnsVerdict::Valid { warnings } => {
            let told = warnings
                .iter()
                .map(|warning| format!("\n{domain} {part}: {warning}"));
            told.collect()
        }
        DnsVerdict::Invalid { seen, .. } => format!("\n{domain} {part}: invalid: {seen}"),
        DnsVerdict::Unknown { why } => format!("\n{domain} {part}: unknown: {why}"),
    }
}
