//! `settings`: what rendering depends on, fleet-wide.

use clap::{Args, Subcommand};

use email_engine_protocol::api::Settings;
use email_engine_protocol::mail::MailAddress;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::or_dash;

/// Arguments of `settings`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine settings
  email-engine settings set --dkim-selector mail --management-port 1983")]
pub(crate) struct SettingsCommand {
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Change some settings; the others stay
    Set(Set),
    /// Show all settings (the default)
    Show,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Set {
    /// DKIM selector of new identities
    #[arg(long)]
    dkim_selector: Option<String>,
    /// Where PowerMTA's notices go
    #[arg(long)]
    postmaster: Option<MailAddress>,
    /// Size at which PowerMTA begins a new accounting file, such as 50M
    #[arg(long)]
    accounting_max_size: Option<String>,
    /// Port of PowerMTA's monitor on loopback
    #[arg(long)]
    management_port: Option<u16>,
    /// Only store them: hosts go on with the settings that they have until a release
    #[arg(long)]
    hold: bool,
}

pub(crate) async fn run(desk: &Desk, arguments: SettingsCommand) -> Result<Exit, Failure> {
    let mut settings = desk.client.settings().await?;
    if let Some(Verb::Set(set)) = arguments.command {
        let release = !set.hold;
        merge(&mut settings, set);
        desk.client.put_settings(&settings, release).await?;
    }
    desk.output.show(&settings, |_| lines(&settings))?;
    Ok(Exit::Success)
}

fn merge(settings: &mut Settings, set: Set) {
    if let Some(selector) = set.dkim_selector {
        settings.dkim_selector = selector;
    }
    if set.postmaster.is_some() {
        settings.postmaster = set.postmaster;
    }
    if let Some(size) = set.accounting_max_size {
        settings.accounting_max_size = size;
    }
    if let Some(port) = set.management_port {
        settings.management_port = port;
    }
}

fn lines(settings: &Settings) -> String {
    format!(
        "dkim-selector        {}\npostmaster           {}\n\
         accounting-max-size  {}\nmanagement-port      {}",
        settings.dkim_selector,
        or_dash(settings.postmaster.as_ref()),
        settings.accounting_max_size,
        settings.management_port
    )
}
