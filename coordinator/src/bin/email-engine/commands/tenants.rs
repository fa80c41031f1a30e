//! `tenants`: customers with nothing in common with each other.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{TenantSecret, TenantSecretRequest, TenantSecretView, TenantSpec};
use email_engine_protocol::id::TenantId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Output, or_dash, row, text};
use crate::private_file;

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
    /// Secrets of a tenant's API service: which there are, and new ones
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// List which there are; what is in them is shown to nobody
    List {
        /// The tenant's slug
        tenant: TenantId,
    },
    /// Give one, in the place of the one that is there
    #[command(after_help = "\
The file is private (mode 0600) and holds the secret alone; a line end after it is left out. Hosts of the
tenant get it with their next state, and their API service is restarted.

Example:
  email-engine tenants secret set client-1 mailwizz-api-key --from-file key.txt")]
    Set {
        /// The tenant's slug
        tenant: TenantId,
        /// api-key or mailwizz-api-key
        name: TenantSecret,
        /// Where it is read from
        #[arg(long, value_name = "FILE")]
        from_file: PathBuf,
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
        TenantsCommand::Secret { command } => secret(desk, command).await?,
    }
    Ok(Exit::Success)
}

async fn secret(desk: &Desk, command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::List { tenant } => {
            let secrets = desk.client.tenant_secrets(&tenant).await?;
            desk.output
                .show(&secrets, |output| secrets_table(output, &secrets))?;
        }
        SecretCommand::Set {
            tenant,
            name,
            from_file,
        } => {
            let text = private_file::read(&from_file)?;
            let value = text.trim_end_matches(['\r', '\n']).to_owned();
            let request = TenantSecretRequest { value };
            let view = desk.client.set_secret(&tenant, name, &request).await?;
            desk.output
                .show(&view, |_| format!("Tenant {tenant} has a new {name}."))?;
        }
    }
    Ok(())
}

fn secrets_table(output: &Output, secrets: &[TenantSecretView]) -> String {
    let mut table = output.table(&["SECRET", "VERSION"]);
    for secret in secrets {
        let version = or_dash(secret.version.as_ref());
        table.add_row(row([secret.name.to_string(), version]));
    }
    text(&table)
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
        ("MailWizz", or_dash(tenant.mailwizz_url.as_ref())),
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
