//! `alerts routes`.

use clap::Subcommand;

use email_engine_protocol::api::{AlertKind, RouteSpec, RouteView, Severity};
use email_engine_protocol::id::{ChannelName, RouteName, TenantId};

use crate::commands::Desk;
use crate::exit::Failure;
use crate::output::{Output, or_dash, row, text};

#[derive(Debug, Subcommand)]
pub(super) enum RoutesCommand {
    /// List all
    List,
    /// Make one, or change it
    #[command(after_help = "\
Example:
  email-engine alerts routes set night --at-least critical --channel ops --channel mail")]
    Set {
        /// Its name
        name: RouteName,
        /// To this channel; may be given several times
        #[arg(long = "channel", required = true, value_name = "NAME")]
        channels: Vec<ChannelName>,
        /// These and graver ones: info, warning, critical
        #[arg(long, default_value = "warning")]
        at_least: Severity,
        /// This kind alone; may be given several times
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<AlertKind>,
        /// Alerts of this tenant alone
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Remove one
    Remove {
        /// Its name
        name: RouteName,
    },
}

pub(super) async fn run(desk: &Desk, command: RoutesCommand) -> Result<(), Failure> {
    match command {
        RoutesCommand::List => {
            let routes = desk.client.routes().await?;
            desk.output.show(&routes, |output| table(output, &routes))?;
        }
        RoutesCommand::Set {
            name,
            channels,
            at_least,
            kinds,
            tenant,
        } => {
            let route = RouteSpec {
                tenant,
                at_least,
                kinds: kinds.into_iter().collect(),
                channels: channels.into_iter().collect(),
            };
            let view = desk.client.set_route(&name, &route).await?;
            desk.output
                .show(&view, |_| format!("Route {name} is set."))?;
        }
        RoutesCommand::Remove { name } => {
            desk.client.remove_route(&name).await?;
            desk.output
                .show(&(), |_| format!("Route {name} is removed."))?;
        }
    }
    Ok(())
}

fn table(output: &Output, routes: &[RouteView]) -> String {
    let mut table = output.table(&["ROUTE", "AT LEAST", "KINDS", "TENANT", "CHANNELS"]);
    for RouteView { name, route } in routes {
        let kinds: Vec<_> = route.kinds.iter().map(ToString::to_string).collect();
        let channels: Vec<_> = route.channels.iter().map(ToString::to_string).collect();
        let kinds = match kinds.is_empty() {
            true => "all".to_owned(),
            false => kinds.join(", "),
        };
        table.add_row(row([
            name.to_string(),
            route.at_least.to_string(),
            kinds,
            or_dash(route.tenant.as_ref()),
            channels.join(", "),
        ]));
    }
    text(&table)
}
