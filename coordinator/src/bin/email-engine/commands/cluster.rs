//! `cluster`: its nodes, and its backup.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{ClusterView, Consistency, MemberRole, TokenRequest};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::join::Admission;

use super::{Desk, token};
use crate::client::ClientError;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text, word};
use crate::private_file;
use crate::prompt::{self, Reply};

/// Arguments of `cluster`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine cluster status
  email-engine cluster add --out node.token     a token, and what to do with it
  email-engine cluster promote 3                let node 3 vote
  email-engine cluster remove 2                 its number is never used again
  email-engine cluster backup fleet.backup      online, sealed to the recovery key

A backup is restored into a new cluster, on its first machine:
  email-engine-coordinator restore --from fleet.backup --recovery-key-file FILE")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Create a node's join token and show the steps to join
    Add {
        /// How long the token lives
        #[arg(long, default_value = "1h", value_parser = token::parse_ttl)]
        ttl: u64,
        /// File for the token (mode 0600)
        #[arg(long, value_name = "FILE", default_value = "node.token")]
        out: PathBuf,
    },
    /// Save a consistent, sealed backup in a new file
    Backup {
        /// Where; it must not exist
        file: PathBuf,
    },
    /// Let a learner vote
    Promote {
        /// Its number
        node: u64,
    },
    /// Take a node out for good
    Remove {
        /// Its number
        node: u64,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show the nodes (also without a leader)
    Status,
    /// Show versions of this program and of the cluster
    Version,
}

pub(crate) async fn run(desk: &Desk, arguments: Cluster) -> Result<Exit, Failure> {
    match arguments.command {
        ClusterCommand::Add { ttl, out } => add(desk, ttl, out).await?,
        ClusterCommand::Backup { file } => {
            let size = desk.client.backup(&file).await?;
            desk.output.note(&format!(
                "backup of {size} bytes saved in {}; only the recovery key opens it",
                file.display()
            ));
        }
        ClusterCommand::Promote { node } => {
            let answer = desk.client.promote(NodeId(node)).await?;
            desk.output
                .show(&answer, |_| format!("Node {node} has a vote."))?;
        }
        ClusterCommand::Remove { node, yes } => remove(desk, NodeId(node), yes).await?,
        ClusterCommand::Status => {
            let (view, stale) = look(desk).await?;
            if stale {
                desk.output.note(&format!(
                    "no leader's word: this is what node {} has, it may be old",
                    view.node
                ));
            }
            desk.output.show(&view, |output| render(output, &view))?;
        }
        ClusterCommand::Version => {
            let (view, _) = look(desk).await?;
            let versions = serde_json::json!({
                "client": env!("CARGO_PKG_VERSION"),
                "cluster_version": view.cluster_version,
            });
            desk.output.show(&versions, |_| {
                format!(
                    "client   {}\ncluster  {}",
                    env!("CARGO_PKG_VERSION"),
                    view.cluster_version
                )
            })?;
        }
    }
    Ok(Exit::Success)
}

/// The cluster by the leader's word, else as a node has it; the second value says which.
async fn look(desk: &Desk) -> Result<(ClusterView, bool), ClientError> {
    match desk.client.cluster(Consistency::Linearizable).await {
        Err(ClientError::Unavailable { .. } | ClientError::Unreachable { .. }) => {
            let view = desk.client.cluster(Consistency::Stale).await?;
            Ok((view, true))
        }
        answered => Ok((answered?, false)),
    }
}

async fn add(desk: &Desk, ttl: u64, out: PathBuf) -> Result<(), Failure> {
    let request = TokenRequest {
        admission: Admission::Node,
        ttl_seconds: ttl,
        replace: false,
    };
    let created = desk.client.create_token(&request).await?;
    private_file::write(&out, format!("{}\n", created.token).as_bytes())?;
    let file = out.display();
    desk.output.note(&format!(
        "The token is in {file} and ends at {}. On the new machine:\n\
         \n\
         1. copy {file} there, readable for root only\n\
         2. email-engine-coordinator join --token-file {file}\n\
         3. email-engine-coordinator run          (as a service)\n\
         \n\
         Then here, once `email-engine cluster status` lists it as a learner:\n\
         \n\
         4. email-engine cluster promote NUMBER",
        created.expires_at
    ));
    Ok(())
}

async fn remove(desk: &Desk, node: NodeId, yes: bool) -> Result<(), Failure> {
    let question = format!("Remove node {node} for good? Its number is never used again.");
    match prompt::confirm(&question, yes) {
        Reply::Yes => {}
        Reply::No => {
            let text = "not confirmed: nothing was changed";
            return Err(Failure::new(Exit::Failure, text));
        }
        Reply::Nobody => {
            let text = "a removed node cannot come back under its number, and there is no terminal \
                        to ask on: say --yes";
            return Err(Failure::new(Exit::Failure, text));
        }
    }
    let answer = desk.client.remove_node(node).await?;
    desk.output.show(&answer, |_| {
        format!("Node {node} is removed; stop its process.")
    })?;
    Ok(())
}

fn render(output: &Output, view: &ClusterView) -> String {
    let mut table = output.table(&["NODE", "PART", "LEADER", "API", "AGENTS", "RAFT", "INDEX"]);
    for node in &view.nodes {
        let mood = match node.role {
            MemberRole::Learner => Mood::Underway,
            MemberRole::Removed | MemberRole::Voter => Mood::Plain,
        };
        table.add_row(vec![
            output.mood(&node.id, Mood::Plain),
            output.mood(&word(&node.role), mood),
            output.mood(&if node.leader { "leads" } else { "-" }, Mood::Good),
            output.mood(&node.api_endpoint, Mood::Plain),
            output.mood(&node.agent_endpoint, Mood::Plain),
            output.mood(&node.raft_endpoint, Mood::Plain),
            output.mood(&or_dash(node.matched_index), Mood::Plain),
        ]);
    }
    format!(
        "Cluster {}, epoch {}, version {}\n\
         Asked node {}: leader {}, term {}, applied {} of {}, revision {}\n\n{}",
        view.cluster,
        view.epoch,
        view.cluster_version,
        view.node,
        or_dash(view.leader),
        view.term,
        view.applied_index,
        view.last_index,
        view.revision,
        text(&table)
    )
}
