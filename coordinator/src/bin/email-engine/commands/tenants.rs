//! `tenants`: customers with nothing in common with each other.

use clap::{Args, Subcommand};

use email_engine_protocol::api::TenantSpec;
use email_engine_protocol::id::TenantId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Output, or_dash, row, text};

/// Arguments of `tenants`.
#[derive(Args, Debug)]
pub(crate) struct Tenants {
    #[command(subcommand)]
    command: Option<TenantsCommand>,
}

#[derive(Debug, Subcommand)]
enum TenantsCommand {
    /// List all tenants (the default)
    List,
    /// Show one tenant
    Show {
        /// Its slug
        tenant: TenantId,
    },
}

pub(crate) async fn run(desk: &Desk, arguments: Tenants) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(TenantsCommand::List) {
        TenantsCommand::List => {
            let tenants = desk.client.tenants().await?;
            desk.output
                .show(&tenants, |output| table(output, &tenants))?;
        }
        TenantsCommand::Show { tenant } => {
            let tenant = desk.client.tenant(&tenant).await?;
            desk.output.show(&tenant, |_| details(&tenant))?;
        }
    }
    Ok(Exit::Success)
}

fn table(output: &Output, tenants: &[TenantSpec]) -> String {
    let mut table = output.table(&["TENANT", "NAME", "BRAND DOMAINS", "MAILBOX"]);
    for tenant in tenants {
        table.add_row(row([
            tenant.id.to_string(),
            tenant.name.clone(),
            joined(&tenant.brand_domains),
            or_dash(tenant.inbound_mailbox.as_ref()),
        ]));
    }
    text(&table)
}

fn details(tenant: &TenantSpec) -> String {
    [
        ("Tenant", tenant.id.to_string()),
        ("Name", tenant.name.clone()),
        ("Brand domains", joined(&tenant.brand_domains)),
        ("Link domains", joined(&tenant.link_domains)),
        ("Mailbox", or_dash(tenant.inbound_mailbox.as_ref())),
        ("DMARC reports", or_dash(tenant.dmarc_rua.as_ref())),
    ]
    .iter()
    .map(|(name, value)| format!("{name:<14} {value}"))
    .collect::<Vec<_>>()
    .join("\n")
}

fn joined<T: ToString>(domains: impl IntoIterator<Item = T>) -> String {
    let names: Vec<_> = domains.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(", ")
    }
}
