//! `settings`: what rendering depends on, fleet-wide.

use clap::{Args, Subcommand};
use serde_json::Value;

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
  email-engine settings set --dkim-selector mail --management-port 1983

Those of the warm-up and of failover are set in a fleet file, under [settings.warmup] and
[settings.failover]; say the other settings there as well.")]
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
    let mut lines = vec![
        ("dkim-selector".to_owned(), settings.dkim_selector.clone()),
        (
            "postmaster".to_owned(),
            or_dash(settings.postmaster.as_ref()),
        ),
        (
            "accounting-max-size".to_owned(),
            settings.accounting_max_size.clone(),
        ),
        (
            "management-port".to_owned(),
            settings.management_port.to_string(),
        ),
    ];
    let parts = [
        ("warmup", serde_json::to_value(&settings.warmup)),
        ("failover", serde_json::to_value(&settings.failover)),
    ];
    for (part, fields) in parts {
        // Plain data: it is JSON, and an object.
        if let Ok(Value::Object(fields)) = fields {
            let fields = fields.into_iter();
            lines.extend(fields.map(|(name, value)| (format!("{part}.{name}"), value.to_string())));
        }
    }
    let width = lines.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default();
    let lines = lines.iter();
    lines
        .map(|(name, value)| format!("{name:<width$}  {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_settings_are_shown_those_of_fleet_files_too() {
        let shown = lines(&Settings::default());
        let all = serde_json::to_value(Settings::default()).unwrap();
        for part in ["warmup", "failover"] {
            for name in all[part].as_object().unwrap().keys() {
                assert!(
                    shown.contains(&format!("\n{part}.{name} ")),
                    "{name}: {shown}"
                );
            }
        }
        assert!(shown.starts_with("dkim-selector "), "{shown}");
    }
}
