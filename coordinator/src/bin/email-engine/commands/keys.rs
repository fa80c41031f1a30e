//! `keys`: API keys of operators and programs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use email_engine_protocol::api::{AccessRole, ApiKeyRequest, ApiKeyView};
use email_engine_protocol::id::{ApiKeyId, TenantId};

use super::Desk;
use super::hosts::permitted;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text, word};
use crate::private_file::Reserved;

/// Arguments of `keys`.
#[derive(Args, Debug)]
#[command(after_help = "\
A key of role metrics reads /metrics of nodes and nothing else. A viewer reads, an operator also changes the fleet, an admin also keys, nodes and backups. With
--tenant a key sees and touches that tenant's objects only. The key is shown once.

Examples:
  email-engine keys create ci --role operator
  email-engine keys create client-1-dashboard --role viewer --tenant client-1 --out key.txt
  email-engine keys revoke ci")]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create an API key
    Create {
        /// Its name, for lists and the audit
        id: ApiKeyId,
        /// What it may do
        #[arg(long, value_enum)]
        role: RoleArgument,
        /// Bind it to one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
        /// Write the key to this file (mode 0600) instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List keys, without their secret
    List,
    /// Revoke a key, at once
    Revoke {
        /// Its name
        id: ApiKeyId,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArgument {
    Admin,
    Metrics,
    Operator,
    Viewer,
}

impl From<RoleArgument> for AccessRole {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Admin => Self::Admin,
            RoleArgument::Metrics => Self::Metrics,
            RoleArgument::Operator => Self::Operator,
            RoleArgument::Viewer => Self::Viewer,
        }
    }
}

pub(crate) async fn run(desk: &Desk, arguments: Keys) -> Result<Exit, Failure> {
    match arguments.command {
        KeysCommand::Create {
            id,
            role,
            tenant,
            out,
        } => {
            let role = role.into();
            let request = ApiKeyRequest { id, role, tenant };
            let place = out.as_deref().map(Reserved::at).transpose()?;
            let created = desk.client.create_key(&request).await?;
            match place {
                Some(mut place) => {
                    place.fill(&created.key)?;
                    let path = place.path().display();
                    desk.output
                        .note(&format!("key {} written to {path}", created.id));
                }
                // The key alone, so that it can be piped.
                None => {
                    desk.output.show(&created, |_| created.key.clone())?;
                    desk.output.note(&format!(
                        "key {} is shown this once; a context file takes it as `api_key` \
                         (email-engine --help), or --out writes it to a private file",
                        created.id
                    ));
                }
            }
        }
        KeysCommand::List => {
            let keys = desk.client.keys().await?;
            desk.output.show(&keys, |output| table(output, &keys))?;
        }
        KeysCommand::Revoke { id, yes } => {
            let own = if desk.client.uses(&id) {
                " It is the key that you use: no command with this context works any more."
            } else {
                ""
            };
            let known = desk.client.keys().await?;
            // Nobody is asked about what is not there: the cluster says so.
            if known.iter().any(|key| key.id == id) {
                permitted(&format!("Revoke key {id}?{own}"), yes)?;
            }
            let answer = desk.client.revoke_key(&id).await?;
            desk.output
                .show(&answer, |_| format!("Key {id} revoked."))?;
        }
    }
    Ok(Exit::Success)
}

fn table(output: &Output, keys: &[ApiKeyView]) -> String {
    let mut table = output.table(&["KEY", "ROLE", "TENANT", "CREATED", "STATE"]);
    for key in keys {
        let (state, mood) = match key.revoked_at {
            Some(at) => (format!("revoked {at}"), Mood::Bad),
            None => ("in force".to_owned(), Mood::Good),
        };
        table.add_row(vec![
            output.mood(&key.id, Mood::Plain),
            output.mood(&word(&key.role), Mood::Plain),
            output.mood(&or_dash(key.tenant.as_ref()), Mood::Plain),
            output.mood(&key.created_at, Mood::Plain),
            output.mood(&state, mood),
        ]);
    }
    text(&table)
}
