//! `dns compliance`.

use clap::Args;

use email_engine_protocol::api::{ComplianceState, ComplianceView};
use email_engine_protocol::mail::DomainName;

use crate::commands::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text};

/// Arguments of `dns compliance`.
#[derive(Args, Debug)]
pub(crate) struct Compliance {
    /// Only this domain
    #[arg(long)]
    domain: Option<DomainName>,
}

pub(super) async fn run(desk: &Desk, compliance: &Compliance) -> Result<Exit, Failure> {
    let views = desk
        .client
        .dns_compliance(compliance.domain.as_ref())
        .await?;
    let is_one = compliance.domain.is_some();
    desk.output
        .show(&views, |output| shown(output, &views, is_one))?;
    let mut receivers = views.iter().flat_map(|view| &view.receivers);
    let is_broken = receivers.any(|one| one.state == ComplianceState::NotMet);
    Ok(match is_broken {
        true => Exit::Found,
        false => Exit::Success,
    })
}

fn shown(output: &Output, views: &[ComplianceView], with_rules: bool) -> String {
    let mut table = output.table(&["DOMAIN", "RECEIVER", "RULES", "REFUSES SINCE"]);
    for view in views {
        for one in &view.receivers {
            table.add_row(vec![
                output.mood(&view.domain, Mood::Plain),
                output.mood(&one.receiver, Mood::Plain),
                output.mood(word(one.state), mood(one.state)),
                output.mood(&one.refuses_since, Mood::Plain),
            ]);
        }
    }
    let mut told = text(&table);
    for view in views {
        for one in &view.receivers {
            for rule in &one.rules {
                if !with_rules && rule.state != ComplianceState::NotMet {
                    continue;
                }
                let (domain, receiver, state) = (&view.domain, &one.receiver, word(rule.state));
                told.push_str(&format!(
                    "\n{domain} {receiver}: {state}: {}: {}",
                    rule.rule, rule.evidence
                ));
                for fix in &rule.fix {
                    told.push_str(&format!("\n    {fix}"));
                }
            }
        }
    }
    told
}

const fn word(state: ComplianceState) -> &'static str {
    match state {
        ComplianceState::Met => "met",
        ComplianceState::NotMet => "not met",
        ComplianceState::Unknown => "unknown",
    }
}

const fn mood(state: ComplianceState) -> Mood {
    match state {
        ComplianceState::Met => Mood::Good,
        ComplianceState::NotMet => Mood::Bad,
        ComplianceState::Unknown => Mood::Underway,
    }
}
